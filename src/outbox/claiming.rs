//! Claiming the head of a room's queue: rendered, frozen and leased in one transaction.

use super::dispatch::{Outbox, OutboxError};
use super::rendering::{Rendered, Source, Subject, render, render_reaction};
use crate::domain::reaction;
use crate::domain::time::later;
use crate::store::{
    Claimed, Head, Lease, Payload, StoredIncident, Tx, claim, commit, incident, settle, timeline,
};
use crate::telemetry::DeliveryOutcome;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// How much of a timeline a message may be rendered from.
const STORY: i64 = 200;

impl Outbox {
    /// Claims what a room has to send next. `None`: nothing, or the room is closed or taken.
    pub(super) async fn claim(&self, room: &str) -> Result<Option<Claimed>, OutboxError> {
        let now = self.engine.clock().now();
        let mut tx = self.engine.store().begin().await?;
        let Some(head) = claim::lock_head(&mut tx, room, now).await? else { return Ok(None) };
        let claimed = self.take(&mut tx, head, None, now).await?;
        commit(tx).await?;
        Ok(claimed)
    }

    /// Takes a message, or the next one that is still wanted. The room's gate is locked by this transaction, or ours by
    /// the lease that is `held`.
    pub(super) async fn take(
        &self,
        tx: &mut Tx,
        head: Head,
        held: Option<&Lease>,
        now: Timestamp,
    ) -> Result<Option<Claimed>, OutboxError> {
        let mut head = head;
        loop {
            match self.freeze(tx, &head, now).await {
                Ok(Some((event_type, content, version))) => {
                    let lease = Lease { room: head.room.clone(), owner: self.owner, message: head.id };
                    let until = later(now, self.settings.lease);
                    let letter = (event_type.as_str(), &content);
                    claim::take(tx, &head, (&lease, held), until, letter, version, now).await?;
                    return Ok(Some(Claimed { head, event_type, content, version, lease }));
                }
                Ok(None) => settle::cancelled(tx, &head, now).await?,
                // One row that cannot be read must not stop its room for ever.
                Err(error) if error.is_inconsistent() => {
                    tracing::error!(outbox_message = %head.id, room = head.room, %error, "{} cannot be rendered and is given up: {error}", head.id);
                    self.engine.metrics().delivery(DeliveryOutcome::Undeliverable);
                    settle::undeliverable(tx, &head, &error.to_string(), now).await?;
                }
                Err(error) => return Err(error),
            }
            match claim::next_head(tx, &head.room, None, now).await? {
                Some(next) => head = next,
                None => return Ok(None),
            }
        }
    }

    /// The message's content: as it was frozen, or rendered now. `None`: it is not wanted any more.
    async fn freeze(
        &self,
        tx: &mut Tx,
        head: &Head,
        now: Timestamp,
    ) -> Result<Option<(String, serde_json::Value, Option<i64>)>, OutboxError> {
        if let Some((event_type, content)) = &head.frozen {
            return Ok(Some((event_type.clone(), content.clone(), head.version)));
        }
        let lists = self.engine.lists();
        let list = lists.get(&head.room_list);
        let ack_reaction = list.map_or(reaction::default_ack(), |list| list.ack_reaction());
        if let Payload::AckReaction { to } = &head.payload {
            return Ok(ready(render_reaction(head, to, ack_reaction)?, None));
        }
        let none = BTreeMap::new();
        let templates = list.map_or(&none, |list| &list.templates);
        let source = |policy, subject| Source {
            room_list: &head.room_list,
            subject,
            policy,
            templates,
            ack_reaction,
            now,
        };
        let Some(number) = head.incident else {
            let Some(list) = list else { return Ok(None) };
            return Ok(ready(render(head, &source(&list.policy, None))?, None));
        };
        let Some(stored) = incident::load(tx, number).await? else { return Ok(None) };
        let policy = self.engine.policy(stored.incident.run.policy_version).await?;
        let story = timeline::read(tx, number, STORY).await?;
        let view = stored.view(u32::try_from(policy.levels.len()).unwrap_or(u32::MAX));
        let subject = Subject { view: &view, story: &story };
        Ok(ready(render(head, &source(&policy, Some(subject)))?, Some(version_of(&stored))))
    }
}

/// A rendered message with the version of the incident that it shows.
fn ready(rendered: Rendered, version: Option<i64>) -> Option<(String, serde_json::Value, Option<i64>)> {
    match rendered {
        Rendered::Ready(event_type, content) => Some((event_type.to_owned(), content, version)),
        Rendered::Unwanted => None,
    }
}

fn version_of(stored: &StoredIncident) -> i64 {
    i64::try_from(stored.incident.version).unwrap_or(i64::MAX)
}
