//! Messages of which an earlier attempt may have been accepted. The room is searched first; a message that is not there is
//! rendered again, because its incident may have changed since, and is sent with the same transaction id.
//!
//! The first attempt may still arrive after the search. Then the homeserver returns its event for the same transaction id, or
//! accepts both. Either way an edit makes what is in the room show the present state: the post counts as showing the older
//! of the two versions.

use super::dispatch::{Outbox, OutboxError};
use crate::engine::Change;
use crate::store::claim::{self, Locked};
use crate::store::copies::Shown;
use crate::store::settle::{self, Retry};
use crate::store::{Claimed, Head, Sign};

impl Outbox {
    /// Renders a message again that no earlier attempt brought into its room. Returns it if it is to be sent, and what its
    /// room does.
    pub(super) async fn render_again(
        &self,
        change: &mut Change,
        before: &Claimed,
    ) -> Result<(Option<Claimed>, Option<Sign>), OutboxError> {
        let now = change.now();
        let before = &before.head;
        let head = match claim::lock(change.tx(), &before.room, before.id, now).await? {
            Locked::Head(head) => Head { frozen: None, ..*head },
            Locked::GivenUp => return Ok((None, Some(Sign::Answers))),
            Locked::Missing => {
                // Another transaction has it locked: the search is repeated.
                let retry = Retry { uncertain: true, counts: false, error: "the message is locked" };
                settle::retry(change.tx(), before.id, &retry, now).await?;
                return Ok((None, Some(Sign::Pause { until: now, counts: false })));
            }
        };
        let Some((event_type, content, version)) = self.freeze_or_drop(change.tx(), &head, now).await? else {
            return Ok((None, Some(Sign::Answers)));
        };
        // What was frozen before may be a later rendering than the one that arrived, its version never is.
        let changed = head.version != version;
        let version = match (head.version, version) {
            (Some(first), Some(now)) => Some(first.min(now)),
            (_, now) => now,
        };
        claim::freeze_again(change.tx(), head.id, (&event_type, &content), version).await?;
        let again = Claimed { head, event_type, content, version, searched: true, changed };
        Ok((Some(again), None))
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
