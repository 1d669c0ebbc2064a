//! Carrying out a decision's effects: what is put into the outbox, and what is taken out of it.

use super::{Engine, EngineError};
use crate::domain::incident::{Incident, Rung};
use crate::domain::input::{Decision, Effect, Urgency};
use crate::domain::policy::Policy;
use crate::domain::time::later;
use crate::ids;
use crate::store::enqueue::{self, Draft, Showing};
use crate::store::post::{self, Target};
use crate::store::{Payload, Tx};
use jiff::Timestamp;
use std::time::Duration;
use uuid::Uuid;

/// How long an edit of the machine's waits for others that it can be joined with.
const EDIT_DEBOUNCE: Duration = Duration::from_secs(2);

/// Where the messages of one decision come from.
struct Origin<'a> {
    number: i64,
    room_list: &'a str,
    now: Timestamp,
}

impl Engine {
    /// Carries out effects, in their order, in the transaction of their decision.
    #[expect(clippy::too_many_arguments, reason = "everything here is written in one transaction")]
    pub(super) async fn carry_out(
        &self,
        tx: &mut Tx,
        number: i64,
        room_list: &str,
        incident: &Incident,
        decision: &Decision,
        policy: &Policy,
        told_in: Option<&str>,
        now: Timestamp,
    ) -> Result<(), EngineError> {
        let origin = Origin { number, room_list, now };
        for effect in &decision.effects {
            match effect {
                Effect::CancelUnsent => {
                    enqueue::cancel_unsent(tx, number, now).await?;
                }
                Effect::Page(rung) => {
                    let rooms =
                        policy.level(rung.level).map(|level| level.rooms.as_slice()).unwrap_or_default();
                    origin.show(tx, rooms, &Payload::Page, *rung).await?;
                }
                Effect::Fallback => {
                    origin.show(tx, &policy.fallback_rooms, &Payload::Fallback, rung_of(incident)).await?;
                }
                Effect::Reminder(count) => {
                    let number = *count;
                    let last = policy.levels.last().map(|level| level.rooms.as_slice()).unwrap_or_default();
                    let mut last = enqueue::rooms_of(tx, last).await?;
                    let fallback = enqueue::rooms_of(tx, &policy.fallback_rooms).await?;
                    last.retain(|room| !fallback.contains(room));
                    let reminder = |last_resort| Payload::Reminder { number, last_resort };
                    origin.show(tx, &last, &reminder(false), rung_of(incident)).await?;
                    origin.show(tx, &fallback, &reminder(true), rung_of(incident)).await?;
                }
                Effect::AckReminder => {
                    // An acker may have spoken in any of the rooms.
                    for target in live_posts(tx, number).await? {
                        origin.put(tx, &target.room, Payload::AckReminder, Some(target.id), now).await?;
                    }
                }
                Effect::TellFallback(entry) => {
                    let told = Payload::TellFallback { entry: entry.clone() };
                    origin.show(tx, &policy.fallback_rooms, &told, rung_of(incident)).await?;
                }
                Effect::Refresh(urgency) => {
                    let at = match urgency {
                        Urgency::AtOnce => now,
                        Urgency::Soon => later(now, EDIT_DEBOUNCE),
                    };
                    for target in live_posts(tx, number).await? {
                        origin.put(tx, &target.room, Payload::Refresh, Some(target.id), at).await?;
                        if target.again {
                            origin.put(tx, &target.room, Payload::RefreshNewest, Some(target.id), at).await?;
                        }
                    }
                }
                Effect::Tell(entry) => {
                    for target in live_posts(tx, number).await? {
                        if told_in != Some(target.room.as_str()) {
                            let tell = Payload::Tell { entry: entry.clone() };
                            origin.put(tx, &target.room, tell, Some(target.id), now).await?;
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

impl Origin<'_> {
    /// Puts a message that shows the incident into each room, on the room's one post of it.
    async fn show(
        &self,
        tx: &mut Tx,
        references: &[String],
        payload: &Payload,
        rung: Rung,
    ) -> Result<(), EngineError> {
        let showing = Showing { room_list: self.room_list, incident: self.number, payload, rung, references };
        Ok(enqueue::show(tx, &showing, ids::unique, self.now).await?)
    }

    async fn put(
        &self,
        tx: &mut Tx,
        room: &str,
        payload: Payload,
        post: Option<Uuid>,
        not_before: Timestamp,
    ) -> Result<(), EngineError> {
        let draft = Draft {
            id: ids::unique(),
            room_list: self.room_list,
            room,
            payload,
            incident: Some(self.number),
            rung: None,
            post,
            not_before,
        };
        enqueue::enqueue(tx, draft, self.now).await?;
        Ok(())
    }
}

async fn live_posts(tx: &mut Tx, number: i64) -> Result<Vec<Target>, EngineError> {
    Ok(post::of_incident(tx, number).await?.into_iter().filter(|post| post.live).collect())
}

/// The rung that was paged last, or the one before the first page.
fn rung_of(incident: &Incident) -> Rung {
    incident.rung().unwrap_or(Rung { run_no: incident.run.no, loop_no: incident.run.loop_no, level: 0 })
}
