//! Claiming: what a room has to send next, rendered and frozen in one transaction with the lease on the room's gate.

use super::dispatch::{Outbox, OutboxError};
use super::gathering::Gathered;
use super::rendering::{Rendered, Source, Subject, render, render_reaction, render_removal};
use crate::domain::incident::Phase;
use crate::domain::on_call::OnCallNow;
use crate::domain::outgoing::Outgoing;
use crate::domain::reaction;
use crate::domain::time::later;
use crate::domain::timeline::began;
use crate::domain::zone;
use crate::ids;
use crate::store::{
    Claimed, Head, IN_A_MESSAGE, Lease, StoredIncident, Tx, claim, commit, digest, incident, post, reactions,
    room_list, settle, timeline,
};
use crate::telemetry::DeliveryOutcome;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// The maximum number of timeline entries for rendering a message.
const STORY: i64 = 200;

/// Event type and content of a message, and the version of the incident that the content shows.
pub(super) type Frozen = (String, serde_json::Value, Option<i64>);

impl Outbox {
    /// Takes a room's gate and claims the head of its queue, in one transaction. `None`: no message is due, or the room
    /// pauses, or somebody else holds its gate.
    pub(super) async fn claim(&self, room: &str) -> Result<Option<(Lease, Claimed)>, OutboxError> {
        let now = self.clock.now();
        let mut tx = self.store.begin().await?;
        if !claim::lock_gate(&mut tx, room, now).await? {
            return Ok(None);
        }
        let claimed = self.claim_one(&mut tx, room, now).await?;
        let leased = match claimed {
            Some(claimed) => {
                let lease = Lease { room: room.to_owned(), owner: ids::unique() };
                let until = later(now, self.settings.lease);
                settle::take_gate(&mut tx, &lease, until, claimed.head.id).await?;
                Some((lease, claimed))
            }
            None => None,
        };
        commit(tx).await?;
        Ok(leased)
    }

    /// Claims up to `most` messages of different incidents: renders and freezes them. The caller holds the room's gate.
    pub(super) async fn claim_up_to(
        &self,
        tx: &mut Tx,
        room: &str,
        most: usize,
        now: Timestamp,
    ) -> Result<Vec<Claimed>, OutboxError> {
        let mut claimed = Vec::new();
        while claimed.len() < most
            && let Some(next) = self.claim_one(tx, room, now).await?
        {
            claimed.push(next);
        }
        Ok(claimed)
    }

    /// Claims a message; if it is obsolete, the next one.
    async fn claim_one(
        &self,
        tx: &mut Tx,
        room: &str,
        now: Timestamp,
    ) -> Result<Option<Claimed>, OutboxError> {
        while let Some(head) = claim::next_head(tx, room, now).await? {
            let head = match self.gather(tx, head, now).await? {
                Gathered::Send(head) => *head,
                Gathered::Later => continue,
            };
            if let Some((event_type, content, version)) = self.freeze_or_drop(tx, &head, now).await? {
                claim::freeze(tx, &head, (&event_type, &content), version, now).await?;
                let (searched, changed) = (false, false);
                return Ok(Some(Claimed { head, event_type, content, version, searched, changed }));
            }
        }
        Ok(None)
    }

    /// The message's content. `None`: the message was obsolete or invalid, and is settled: one invalid row must not block its
    /// room forever.
    pub(super) async fn freeze_or_drop(
        &self,
        tx: &mut Tx,
        head: &Head,
        now: Timestamp,
    ) -> Result<Option<Frozen>, OutboxError> {
        match self.freeze(tx, head, now).await {
            Ok(Some(frozen)) => return Ok(Some(frozen)),
            Ok(None) => {
                digest::let_go(tx, head, false, now).await?;
                settle::cancelled(tx, head, now).await?;
            }
            Err(error) if error.is_inconsistent() => {
                tracing::error!(outbox_message = %head.id, room = head.room, %error, "{} cannot be rendered and is given up: {error}", head.id);
                self.metrics.delivery(DeliveryOutcome::Undeliverable);
                settle::undeliverable(tx, head, &error.to_string(), now).await?;
            }
            Err(error) => return Err(error),
        }
        Ok(None)
    }

    /// The message's frozen content, or else its content rendered now. `None`: the message is obsolete.
    async fn freeze(&self, tx: &mut Tx, head: &Head, now: Timestamp) -> Result<Option<Frozen>, OutboxError> {
        if let Some((event_type, content)) = &head.frozen {
            return Ok(Some((event_type.clone(), content.clone(), head.version)));
        }
        if head.payload.carries_pages() {
            return self.freeze_digest(tx, head, now).await;
        }
        let lists = self.lists.load();
        let list = lists.get(&head.room_list);
        let ack_reaction = list.map_or(reaction::default_ack(), |list| list.ack_reaction());
        if let Outgoing::AckReaction { to } = &head.payload {
            return Ok(ready(render_reaction(head, to, ack_reaction)?, None));
        }
        if let Outgoing::RemoveReaction { message } | Outgoing::RemoveDigestReaction { message } =
            &head.payload
        {
            let placed = reactions::placed(tx, *message).await?;
            return Ok(ready(render_removal(placed.as_deref()), None));
        }
        if let Outgoing::DigestReaction { to } = &head.payload {
            let head = Head { to_acknowledge: true, ..head.clone() };
            return Ok(ready(render_reaction(&head, to, ack_reaction)?, None));
        }
        let none = BTreeMap::new();
        let templates = list.map_or(&none, |list| &list.templates);
        let source = |policy, on_call, subject, for_good| Source {
            room_list: &head.room_list,
            subject,
            policy,
            on_call,
            templates,
            ack_reaction,
            for_good,
            now,
            zone: list.map_or(&zone::UTC, |list| &list.time_zone),
        };
        let Some(number) = head.incident else {
            let Some(list) = list else { return Ok(None) };
            return Ok(ready(render(head, &source(&list.policy, OnCallNow::none(), None, false))?, None));
        };
        let Some(stored) = incident::load(tx, number).await? else { return Ok(None) };
        let policy =
            self.engine.policy_or_current(&stored.room_list, stored.incident.run.policy_version).await?;
        if matches!(stored.incident.phase, Phase::Resolved { .. })
            && let Some(edited) = head.edited()
            && post::is_gone(tx, &head.room, edited).await?
        {
            // Nobody would see the edit.
            post::show_anew(tx, head, edited, now).await?;
            return Ok(None);
        }
        let story = timeline::read(tx, number, STORY).await?;
        let levels = u32::try_from(policy.levels.len()).unwrap_or(u32::MAX);
        let mut view = stored.view(tx, levels, IN_A_MESSAGE).await?;
        view.began_at = began(&story);
        let subject = Subject { view: &view, story: &story };
        let is_forced = matches!(stored.incident.phase, Phase::Resolved { forced: true, .. });
        let for_good = is_forced && !room_list::is_configured(tx, &stored.room_list).await?;
        let on_call = self.engine.on_call(tx, &policy.schedules(), now).await?;
        let source = source(&policy, &on_call, Some(subject), for_good);
        Ok(ready(render(head, &source)?, Some(version_of(&stored))))
    }
}

/// The content of a rendered message, with the incident's version that it shows.
fn ready(rendered: Rendered, version: Option<i64>) -> Option<Frozen> {
    match rendered {
        Rendered::Ready(event_type, content) => Some((event_type.to_owned(), content, version)),
        Rendered::Obsolete => None,
    }
}

fn version_of(stored: &StoredIncident) -> i64 {
    i64::try_from(stored.incident.version).unwrap_or(i64::MAX)
}
