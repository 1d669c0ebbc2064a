//! Applies the effects of a decision to the outbox: enqueues messages and cancels unsent ones.

use crate::domain::digest::EDIT_PAUSE;
use crate::domain::incident::{Incident, Rung};
use crate::domain::input::{Effect, Urgency};
use crate::domain::outgoing::Outgoing;
use crate::domain::policy::Policy;
use crate::domain::time::later;
use crate::ids;
use crate::store::enqueue::{self, IncidentMessage, NewMessage};
use crate::store::post::{self, Target};
use crate::store::{StoreError, Tx, digest, reactions, room};
use jiff::Timestamp;
use std::time::Duration;

/// How long an edit that no person waits for is delayed, so it can cover later changes.
const EDIT_DEBOUNCE: Duration = Duration::from_secs(2);

/// Carries out the effects of one decision.
#[derive(Debug)]
pub(super) struct Effects<'a> {
    pub(super) number: i64,
    pub(super) room_list: &'a str,
    /// The incident after the decision.
    pub(super) incident: &'a Incident,
    pub(super) policy: &'a Policy,
    /// The room that gets an answer anyway, so the incident's thread there gets no message.
    pub(super) answered_in: Option<&'a str>,
    pub(super) now: Timestamp,
}

impl Effects<'_> {
    /// Carries out effects in order, in the transaction of their decision.
    pub(super) async fn carry_out(&self, tx: &mut Tx, effects: &[Effect]) -> Result<(), StoreError> {
        for effect in effects {
            self.carry_out_one(tx, effect).await?;
        }
        // A page that nobody needs to acknowledge any more has no reaction of ours; the pages of the next run have one again.
        let is_shown = effects.iter().any(|effect| matches!(effect, Effect::Refresh(_)));
        if is_shown && !self.incident.phase.asks_for_acknowledgement() {
            reactions::remove_placed(tx, self.number, self.now).await?;
        }
        Ok(())
    }

    async fn carry_out_one(&self, tx: &mut Tx, effect: &Effect) -> Result<(), StoreError> {
        let fallback = &self.policy.fallback_rooms;
        match effect {
            Effect::CancelUnsent => {
                enqueue::cancel_unsent(tx, self.number, self.now).await?;
            }
            Effect::Page(rung) => self.show(tx, self.rooms_of(*rung), &Outgoing::Page, *rung).await?,
            Effect::Announce(rung) => {
                self.show(tx, self.rooms_of(*rung), &Outgoing::Announcement, *rung).await?;
            }
            Effect::Fallback => self.show(tx, fallback, &Outgoing::Fallback, self.rung()).await?,
            Effect::Reminder(count) => {
                let number = *count;
                let last = self.policy.levels.last().map(|level| level.rooms.as_slice()).unwrap_or_default();
                let mut last = room::rooms_of(tx, last).await?;
                let fallback = room::rooms_of(tx, fallback).await?;
                last.retain(|room| !fallback.contains(room));
                let reminder = |last_resort| Outgoing::Reminder { number, last_resort };
                self.show(tx, &last, &reminder(false), self.rung()).await?;
                self.show(tx, &fallback, &reminder(true), self.rung()).await?;
            }
            Effect::AckReminder => {
                // The ackers may have acknowledged in any of the rooms.
                for target in self.live_posts(tx).await? {
                    self.put(tx, &target, Outgoing::AckReminder, self.now).await?;
                }
            }
            Effect::NotifyFallback(entry) => {
                let notice = Outgoing::FallbackNotice { entry: entry.clone() };
                self.show(tx, fallback, &notice, self.rung()).await?;
            }
            Effect::Refresh(urgency) => {
                let at = match urgency {
                    Urgency::AtOnce => self.now,
                    Urgency::Soon => later(self.now, EDIT_DEBOUNCE),
                };
                for (digest, edited_at) in digest::of_incident(tx, self.number).await? {
                    let at = at.max(later(edited_at, EDIT_PAUSE));
                    digest::refresh(tx, &digest, ids::unique(), at, self.now).await?;
                }
                for target in self.live_posts(tx).await? {
                    if !target.replaced {
                        self.refresh(tx, &target, Outgoing::Refresh, at).await?;
                    }
                    if target.again {
                        self.refresh(tx, &target, Outgoing::RefreshNewest, at).await?;
                    }
                }
            }
            Effect::PostInThread(entry) => {
                for target in self.live_posts(tx).await? {
                    if self.answered_in != Some(target.room.as_str()) {
                        self.put(tx, &target, Outgoing::ThreadEntry { entry: entry.clone() }, self.now)
                            .await?;
                    }
                }
            }
        }
        Ok(())
    }

    fn rooms_of(&self, rung: Rung) -> &[String] {
        let level = self.policy.level(rung.level);
        level.map(|level| level.rooms.as_slice()).unwrap_or_default()
    }

    /// Enqueues a message that shows the incident for each room, on the room's post of the incident.
    async fn show(
        &self,
        tx: &mut Tx,
        references: &[String],
        payload: &Outgoing,
        rung: Rung,
    ) -> Result<(), StoreError> {
        let message =
            IncidentMessage { room_list: self.room_list, incident: self.number, payload, rung, references };
        enqueue::enqueue_for_rooms(tx, &message, ids::unique, self.now).await
    }

    /// Enqueues a message that relates to a post, for the post's room.
    async fn put(
        &self,
        tx: &mut Tx,
        post: &Target,
        payload: Outgoing,
        not_before: Timestamp,
    ) -> Result<(), StoreError> {
        let message = NewMessage {
            id: ids::unique(),
            room_list: self.room_list,
            room: &post.room,
            payload,
            incident: Some(self.number),
            rung: None,
            post: Some(post.id),
            not_before,
        };
        enqueue::enqueue(tx, message, self.now).await
    }

    /// Enqueues an edit of a post. If an unsent edit exists, it covers the change, and this only makes sure that it is
    /// sent no later than `not_before`.
    async fn refresh(
        &self,
        tx: &mut Tx,
        post: &Target,
        payload: Outgoing,
        not_before: Timestamp,
    ) -> Result<(), StoreError> {
        if enqueue::bring_edit_forward(tx, post.id, &payload, not_before).await? {
            return Ok(());
        }
        self.put(tx, post, payload, not_before).await
    }

    async fn live_posts(&self, tx: &mut Tx) -> Result<Vec<Target>, StoreError> {
        Ok(post::of_incident(tx, self.number).await?.into_iter().filter(|post| post.live).collect())
    }

    /// The rung that was paged last, or the first rung of the run before its first page.
    fn rung(&self) -> Rung {
        let run = &self.incident.run;
        self.incident.rung().unwrap_or(Rung { run_no: run.no, loop_no: run.loop_no, level: 0 })
    }
}
