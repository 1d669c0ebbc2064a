//! I8, I9, I16: versions, entries, and repeated inputs.

use super::{Change, Held};
use crate::domain::incident::{Incident, Phase, PhaseName};
use crate::domain::input::{Effect, Input, Outcome};
use crate::domain::timeline::{Entry, Kind, ResolveReason};
use jiff::Timestamp;
use proptest::{prop_assert, prop_assert_eq};
use ruma::OwnedUserId;

pub(super) fn hold(change: &Change<'_>) -> Held {
    let Some(after) = change.after() else {
        prop_assert!(change.decision.entries.is_empty() && change.decision.effects.is_empty());
        return Ok(());
    };
    one_entry_per_version(change, after)?;
    twice_is_once(change, after)?;
    prop_assert_eq!(
        replay(&change.world.timeline),
        Some(Replayed::of(after)),
        "I8: the replayed timeline differs from the incident"
    );
    Ok(())
}

fn one_entry_per_version(change: &Change<'_>, after: &Incident) -> Held {
    let mut version = change.same_before().map_or(0, |before| before.version);
    if change.after() == change.before {
        version = after.version;
    }
    for entry in &change.decision.entries {
        if !matches!(entry.kind, Kind::LateAck { .. }) {
            version += 1;
        }
        prop_assert_eq!(entry.version, version, "I8: one entry per version");
        prop_assert_eq!(
            entry.at,
            when(change, entry),
            "an entry has the time of its input, or of the person"
        );
        let stored = serde_json::to_value(entry).and_then(serde_json::from_value::<Entry>);
        prop_assert_eq!(stored.ok(), Some(entry.clone()), "I8: an entry is not read as it was written");
    }
    prop_assert_eq!(after.version, version, "I16: every write is version + 1");
    if let Some(before) = change.before.filter(|before| before.version == after.version) {
        let mut moved = before.clone();
        moved.firing.clone_from(&after.firing);
        moved.cleared.clone_from(&after.cleared);
        moved.next_at = after.next_at;
        // A hold without an end of its own is extended.
        moved.hold.clone_from(&after.hold);
        prop_assert_eq!(&moved, after, "I16: a change without a version");
        prop_assert!(change.decision.effects.is_empty(), "I16: an effect without a version");
        if change.is_persons() || change.is_report() {
            let doubts = matches!(before.phase, Phase::Resolved { .. }) && before.cleared != after.cleared;
            // A report that contradicts a hold moves its end, to ask Alertmanager first.
            let asks = before.hold != after.hold && change.decision.outcome == Outcome::Doubted;
            prop_assert!(doubts || asks || before.next_at == after.next_at, "I9: a repeat moves the timer");
        }
    }
    Ok(())
}

/// When what an entry records happened: now, or when the person acted.
fn when(change: &Change<'_>, entry: &Entry) -> Timestamp {
    let now = change.around.now;
    let of_person = matches!(
        entry.kind,
        Kind::Acknowledged { .. }
            | Kind::JoinedAck { .. }
            | Kind::LateAck { .. }
            | Kind::Snoozed { .. }
            | Kind::EscalationAsked { .. }
            | Kind::Resolved { why: ResolveReason::ByHand { .. }, .. }
    );
    match (change.input, change.before) {
        (Input::Person(action), Some(before)) if of_person && action.acted_at >= before.opened_at => {
            action.acted_at.min(now)
        }
        _ => now,
    }
}

fn twice_is_once(change: &Change<'_>, after: &Incident) -> Held {
    let again = &change.again;
    let changed = again.incident.as_ref() != Some(after) || !again.effects.is_empty();
    match change.input {
        Input::Report(_) => {
            prop_assert!(!changed && again.entries.is_empty(), "I9: a webhook twice is not once");
            prop_assert!(again.outcome != Outcome::Done, "I9: a webhook twice is not once");
        }
        Input::Listing(_)
        | Input::PageSent(_)
        | Input::Stale
        | Input::ReadableAgain { .. }
        | Input::MaintenanceStarted
        | Input::MaintenanceEnded => {
            prop_assert!(!changed, "I9: {:?} twice is not once", change.input);
        }
        Input::Tick | Input::TickWhileHeld | Input::TickWhileUnpolled => {
            let pages = |effects: &[Effect]| effects.iter().any(|effect| matches!(effect, Effect::Page(_)));
            let burst = pages(&change.decision.effects) && pages(&again.effects);
            prop_assert!(!burst, "I12: a burst");
        }
        Input::Person(_) | Input::PageUndeliverable(_) => {}
    }
    Ok(())
}

/// The state that follows from the timeline alone (I8).
#[derive(Debug, Clone, PartialEq, Eq)]
struct Replayed {
    /// The phase.
    phase: PhaseName,
    /// The run.
    run_no: u32,
    /// The level that was paged last.
    level: Option<u32>,
    /// The loop within the run.
    loop_no: u32,
    /// Whether the current level's page was sent to a room.
    notified: bool,
    /// The policy of the run.
    policy_version: i64,
    /// Who acknowledged or snoozed it.
    ackers: Vec<OwnedUserId>,
    /// The version of the last entry.
    version: u64,
}

impl Replayed {
    /// The state that `replay` of the incident's timeline must give.
    fn of(incident: &Incident) -> Self {
        Self {
            phase: incident.phase.name(),
            run_no: incident.run.no,
            level: incident.run.level,
            loop_no: incident.run.loop_no,
            notified: incident.run.notified,
            policy_version: incident.run.policy_version,
            ackers: incident.ackers.clone(),
            version: incident.version,
        }
    }

    /// The state after `entry`.
    fn follow(&mut self, entry: &Entry) {
        self.version = entry.version;
        match &entry.kind {
            Kind::RunStarted { policy_version, suppressed, from, .. } => {
                self.phase = if *suppressed { PhaseName::Suppressed } else { PhaseName::Firing };
                self.run_no = self.run_no.saturating_add(1);
                let loop_no = from.map_or(0, |from| from.loop_no);
                (self.level, self.loop_no, self.notified) = (None, loop_no, false);
                self.policy_version = *policy_version;
                self.ackers.clear();
            }
            Kind::Paged { loop_no, level } => {
                (self.level, self.loop_no, self.notified) = (Some(*level), *loop_no, false);
            }
            Kind::PageSent { .. } => self.notified = true,
            Kind::Unanswered => self.phase = PhaseName::Unanswered,
            Kind::Acknowledged { who, .. } => {
                self.phase = PhaseName::Acknowledged;
                self.ackers = vec![who.clone()];
            }
            Kind::JoinedAck { who, .. } => self.ackers.push(who.clone()),
            Kind::Snoozed { who, .. } => {
                self.phase = PhaseName::Snoozed;
                self.ackers = vec![who.clone()];
            }
            Kind::Resolved { .. } => self.phase = PhaseName::Resolved,
            Kind::RefiredAcknowledged => self.phase = PhaseName::Acknowledged,
            Kind::Suppressed => self.phase = PhaseName::Suppressed,
            Kind::Closed => self.phase = PhaseName::Closed,
            Kind::AlertsChanged(_)
            | Kind::Undeliverable { .. }
            | Kind::Reminded { .. }
            | Kind::LateAck { .. }
            | Kind::AckEndsSoon { .. }
            | Kind::EscalationAsked { .. }
            | Kind::HeldBack { .. }
            | Kind::Released { .. }
            | Kind::PartlySilenced { .. }
            | Kind::SilencedAgain { .. }
            | Kind::HoldEnded => {}
        }
    }
}

/// Replays an incident's whole timeline, oldest entry first; `None` if there is no entry.
fn replay<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Option<Replayed> {
    let mut state = Replayed {
        phase: PhaseName::Firing,
        run_no: 0,
        level: None,
        loop_no: 0,
        notified: false,
        policy_version: 0,
        ackers: Vec::new(),
        version: 0,
    };
    for entry in entries {
        state.follow(entry);
    }
    (state.version > 0).then_some(state)
}
