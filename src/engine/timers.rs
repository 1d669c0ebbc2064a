//! Timers of incidents that pass: ticks and staleness.
//!
//! One incident never stops another: if its timer cannot be handled for a reason of its own (a row that cannot be read,
//! a constraint), it is set aside. Its timer is tried again after 10 s, 20 s, 40 s, … 5 min, and the fallback rooms of
//! its list are notified once. An outage of the database ends the step instead, as nothing can be handled then.

use super::{Change, Engine, EngineError, Questions, Wake};
use crate::domain::incident::{Incident, Phase};
use crate::domain::input::Input;
use crate::domain::outgoing::Outgoing;
use crate::domain::polling::{LEASE, POLLED_WITHIN};
use crate::domain::time::{between, later};
use crate::ids;
use crate::store::enqueue::NewMessage;
use crate::store::timers::{self, Due};
use crate::store::{StoreError, alertmanager, inbox, incident, room, unreadable, user_trouble};
use std::time::Duration;

/// The pause after the first failure of an incident's timer; it doubles with each: 10 s, 20 s, 40 s, … 5 min.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
const LONGEST_PAUSE: Duration = Duration::from_mins(5);

impl Engine {
    /// Ticks the most overdue incident, or sets it aside. Returns whether one was due.
    pub async fn tick_one(&self) -> Result<bool, EngineError> {
        let mut change = self.begin().await?;
        let now = change.now();
        timers::limit_statements(change.tx(), self.store.server_limit()).await?;
        let due = match timers::lock_due(change.tx(), now).await? {
            Some(due) => Some(due),
            None => unreadable::lock_again(change.tx(), now).await?,
        };
        let Some(due) = due else { return Ok(false) };
        // An incident that was set aside has its own metric; its lateness says nothing about the others.
        let (since, counts) = (due.at, due.failures == 0);
        let is_held = user_trouble::checks(change.tx(), &due.room_list).await?.is_some();
        let input = if is_held {
            Input::TickWhileHeld
        } else if alertmanager::is_unpolled(
            change.tx(),
            due.number,
            later(now, LEASE.saturating_sub(POLLED_WITHIN)),
        )
        .await?
        {
            Input::TickWhileUnpolled
        } else {
            Input::Tick
        };
        if self.handle_or_set_aside(change, due, &input).await? && counts {
            self.metrics.ladder_lag(between(since, now));
        }
        Ok(true)
    }

    /// Resolves the incident that has been without updates for the longest time over its limit, or sets it aside.
    /// Returns whether there was one.
    pub async fn resolve_one_stale(&self) -> Result<bool, EngineError> {
        let mut change = self.begin().await?;
        let now = change.now();
        timers::limit_statements(change.tx(), self.store.server_limit()).await?;
        let Some(due) = timers::lock_stale(change.tx(), now).await? else { return Ok(false) };
        self.handle_or_set_aside(change, due, &Input::Stale).await?;
        Ok(true)
    }

    /// Returns whether the timer was handled.
    async fn handle_or_set_aside(
        &self,
        change: Change,
        due: Due,
        input: &Input,
    ) -> Result<bool, EngineError> {
        match handle(change, &due, input).await {
            Ok(()) => {
                if due.failures > 0 {
                    let Due { number, room_list, failures, .. } = &due;
                    tracing::info!(
                        incident = number,
                        room_list,
                        failures,
                        "incident {number} of {room_list} is no longer set aside: its timer was handled"
                    );
                }
                Ok(true)
            }
            Err(error) if concerns_one_incident(&error) => {
                self.set_aside(&due, &error).await?;
                Ok(false)
            }
            // The database may be gone, or this incident alone takes too long: then it can be set aside.
            Err(error) if is_late(&error) => match self.set_aside(&due, &error).await {
                Ok(()) => Ok(false),
                Err(_) => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    /// Sets an incident aside whose timer failed in a change of its own, which is rolled back.
    async fn set_aside(&self, due: &Due, error: &EngineError) -> Result<(), EngineError> {
        let reason = error.reason();
        let mut change = self.begin().await?;
        // A conflict with another change passes; one that comes again does not.
        let is_final = error.is_data_error();
        if self.set_aside_in(&mut change, due, is_final, &reason).await? {
            change.commit().await?;
            log_set_aside(due, is_final, &reason);
        }
        Ok(())
    }

    /// Sets an incident aside, and notifies the fallback rooms of its list once. Returns whether it did: not if another
    /// process did, or the incident has changed meanwhile.
    pub(super) async fn set_aside_in(
        &self,
        change: &mut Change,
        due: &Due,
        is_final: bool,
        reason: &str,
    ) -> Result<bool, EngineError> {
        let again_at = later(change.now(), pause(due.failures.saturating_add(1)));
        let done = timers::set_aside(change.tx(), due, again_at, reason).await?;
        if done && is_news(due, is_final) {
            self.notify_fallback(change, due, reason).await?;
        }
        Ok(done)
    }

    /// Notifies the fallback rooms of the list's current policy. The notice needs nothing of the incident that may be
    /// unreadable.
    async fn notify_fallback(&self, change: &mut Change, due: &Due, reason: &str) -> Result<(), EngineError> {
        let Some(list) = self.lists.load().get(&due.room_list).cloned() else { return Ok(()) };
        let now = change.now();
        for room in room::rooms_of(change.tx(), &list.policy.fallback_rooms).await? {
            let payload = Outgoing::IncidentSetAside {
                number: due.number,
                name: due.name.clone(),
                why: reason.to_owned(),
            };
            let message = NewMessage {
                id: ids::unique(),
                room_list: &due.room_list,
                room: &room,
                payload,
                incident: None,
                rung: None,
                post: None,
                not_before: now,
            };
            change.enqueue(message).await?;
        }
        Ok(())
    }
}

/// Handles a timer in the change that locked its incident.
async fn handle(mut change: Change, due: &Due, input: &Input) -> Result<(), EngineError> {
    let Some(stored) = incident::load(change.tx(), due.number).await? else { return Ok(()) };
    if due.failures > 0 {
        timers::no_longer_set_aside(change.tx(), due.number).await?;
        if inbox::reopen_answers(change.tx(), due.number).await? > 0 {
            change.wake(Wake::Inbox);
        }
    }
    if due.unreadable && (change.readable_again(&stored).await? || *input == Input::Stale) {
        return Ok(change.commit().await?);
    }
    // What is over pages nobody when it closes: the list's current policy will do for that.
    let decision = if matches!(stored.incident.phase, Phase::Resolved { .. }) {
        change.decide(&stored, input, None).await?
    } else {
        change.decide_by_its_policy(&stored, input).await?
    };
    let engine = change.engine().clone();
    change.commit().await?;
    // It pages unless Alertmanager answers that the alerts have ended, or are held back for longer.
    let waits = |incident: &Incident| incident.hold.as_ref().is_some_and(|hold| hold.outlasted);
    if !waits(&stored.incident) && decision.incident.as_ref().is_some_and(waits) {
        let incidents = [due.number].into();
        engine.asking.ask(Questions { incidents, ..Questions::default() }, &engine.wakers.poll);
    }
    Ok(())
}

/// Whether people hear of it: at the first failure if it is final, otherwise at the second one.
fn is_news(due: &Due, is_final: bool) -> bool {
    due.failures == u32::from(!is_final)
}

/// Logs, after the commit, that an incident was set aside.
pub(super) fn log_set_aside(due: &Due, is_final: bool, reason: &str) {
    let Due { number, room_list, .. } = due;
    let failures = due.failures.saturating_add(1);
    if is_news(due, is_final) {
        tracing::error!(
            incident = number,
            room_list,
            failures,
            error = reason,
            "incident {number} of {room_list} is set aside, its timer cannot be handled: {reason}"
        );
    } else {
        tracing::warn!(
            incident = number,
            room_list,
            failures,
            error = reason,
            "incident {number} of {room_list} is still set aside: {reason}"
        );
    }
}

/// Whether an error is about the incident and not about the database: then other incidents can be handled. A foreign
/// key (23503) or unique index (23505) may be a conflict that passes, and a statement that the server ended at its limit
/// (57014) may be faster next time, so setting aside is only a pause then.
fn concerns_one_incident(error: &EngineError) -> bool {
    let passes = |error: &StoreError| {
        error.sqlstate().is_some_and(|code| matches!(code.as_str(), "23503" | "23505" | "57014"))
    };
    error.is_data_error() || matches!(error, EngineError::Unavailable(error) if passes(error))
}

/// Whether the server did not answer in time.
fn is_late(error: &EngineError) -> bool {
    matches!(error, EngineError::Unavailable(error) if error.is_late())
}

/// The pause after so many failures in a row.
fn pause(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    FIRST_PAUSE.saturating_mul(1_u32 << doublings).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::pause;
    use std::time::Duration;

    #[test]
    fn the_pause_grows_to_five_minutes() {
        let seconds: Vec<u64> = (1..=7).map(|failures| pause(failures).as_secs()).collect();
        assert_eq!(seconds, [10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(pause(u32::MAX), Duration::from_mins(5));
    }
}
