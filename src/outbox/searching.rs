//! Messages of which an earlier attempt may have been accepted. The room is searched first; a message that is not there is
//! rendered again, because its incident may have changed since, and is sent with the same transaction id.
//!
//! The first attempt may still arrive after the search. Then the homeserver returns its event for the same transaction id, or
//! accepts both. Either way an edit makes what is in the room show the present state: the post counts as showing the older
//! of the two versions.

use super::dispatch::{Outbox, OutboxError};
use crate::domain::time::later;
use crate::engine::Change;
use crate::store::copies::Shown;
use crate::store::settle::Retry;
use crate::store::{Claimed, Head, claim, digest, settle};
use crate::telemetry::DeliveryOutcome;

impl Outbox {
    /// Renders a message again that no earlier attempt brought into its room. If it is obsolete by now, claims the next one.
    pub(super) async fn render_again(
        &self,
        mut change: Change,
        claimed: &Claimed,
    ) -> Result<Option<Claimed>, OutboxError> {
        let now = change.now();
        let Claimed { head: before, lease, .. } = claimed;
        let Some(head) = claim::next_head(change.tx(), &before.room, Some(before.id), now).await? else {
            // Another transaction has it locked: the search is repeated.
            let retry = Retry { at: now, uncertain: true, counts: false, error: "the message is locked" };
            settle::retry(change.tx(), lease, &retry, now).await?;
            change.commit().await?;
            return Ok(None);
        };
        if head.id != before.id {
            // It cannot be read and is given up.
            change.commit().await?;
            return Ok(None);
        }
        let head = Head { frozen: None, ..head };
        match self.freeze(change.tx(), &head, now).await {
            Ok(Some((event_type, content, version))) => {
                // What was frozen before may be a later rendering than the one that arrived, its version never is.
                let changed = head.version != version;
                let version = match (head.version, version) {
                    (Some(first), Some(now)) => Some(first.min(now)),
                    (_, now) => now,
                };
                let until = later(now, self.settings.lease);
                claim::freeze_again(change.tx(), lease, until, (&event_type, &content), version).await?;
                change.commit().await?;
                let lease = lease.clone();
                let searched = true;
                return Ok(Some(Claimed { head, event_type, content, version, lease, searched, changed }));
            }
            Ok(None) => {
                digest::let_go(change.tx(), &head, false, now).await?;
                settle::cancelled(change.tx(), &head, now).await?;
            }
            Err(error) if error.is_inconsistent() => {
                tracing::error!(outbox_message = %head.id, room = head.room, %error, "{} cannot be rendered and is given up: {error}", head.id);
                self.metrics.delivery(DeliveryOutcome::Undeliverable);
                settle::undeliverable(change.tx(), &head, &error.to_string(), now).await?;
            }
            Err(error) => return Err(error),
        }
        let next = self.claim_next(&mut change, lease).await?;
        change.commit().await?;
        Ok(next)
    }
}

/// A message as one that shows an incident; `None`: it does not, and edits none.
pub(super) fn shown(head: &Head) -> Option<Shown> {
    Some(Shown {
        id: head.id,
        room_list: head.room_list.clone(),
        room: head.room.clone(),
        incident: head.incident,
        post: head.post?,
        role: head.payload.role(head.is_first())?,
    })
}
