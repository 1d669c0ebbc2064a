//! An unfinished decision.

use crate::domain::incident::{Incident, Phase, Run};
use crate::domain::input::{Decision, Effect, Outcome, Surroundings, Urgency};
use crate::domain::policy::Policy;
use crate::domain::timeline::{Entry, Kind};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// The incident as the rules change it, with the entries and effects so far.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    /// The incident so far.
    pub(super) incident: Incident,
    /// What the decision depends on.
    pub(super) around: Surroundings<'a>,
    /// The earliest start of its alerts before the decision.
    earliest: Timestamp,
    entries: Vec<Entry>,
    effects: Vec<Effect>,
}

impl<'a> Draft<'a> {
    /// A decision about an existing incident.
    pub(super) fn of(incident: &Incident, around: Surroundings<'a>) -> Self {
        let (earliest, entries) = (incident.earliest_start(), Vec::new());
        Self { incident: incident.clone(), around, earliest, entries, effects: Vec::new() }
    }

    /// A decision that may open an incident. Until its first run starts, the incident has version 0 and run 0.
    pub(super) fn of_nothing(around: Surroundings<'a>) -> Self {
        let incident = Incident {
            phase: Phase::Firing,
            run: Run {
                no: 0,
                level: None,
                loop_no: 0,
                notified: false,
                policy_version: around.newest.version,
                start_level: 0,
                severities: None,
            },
            next_at: None,
            ackers: Vec::new(),
            flap_count: 0,
            version: 0,
            opened_at: around.now,
            reopened_at: None,
            firing: BTreeMap::new(),
            cleared: BTreeMap::new(),
            known_at_ack: BTreeMap::new(),
            hold: None,
            partly_silenced: BTreeSet::new(),
        };
        Self { incident, around, earliest: around.now, entries: Vec::new(), effects: Vec::new() }
    }

    /// The policy that the run keeps (I14).
    pub(super) fn policy(&self) -> &'a Policy {
        self.around.of_run.policy
    }

    /// The earliest start of its alerts, whatever a newer report says about them.
    pub(super) fn earliest_start(&self) -> Timestamp {
        self.incident.earliest_start().min(self.earliest)
    }

    /// Records a change: one version and one entry (I8, I16).
    pub(super) fn record(&mut self, kind: Kind) -> Entry {
        self.incident.version = self.incident.version.saturating_add(1);
        self.note(kind)
    }

    /// The same for what a person did earlier, while matrixbot was down or busy.
    pub(super) fn record_at(&mut self, at: Timestamp, kind: Kind) -> Entry {
        self.incident.version = self.incident.version.saturating_add(1);
        self.note_at(at, kind)
    }

    /// Adds an entry with the current version, for an event that changed nothing.
    pub(super) fn note(&mut self, kind: Kind) -> Entry {
        self.note_at(self.around.now, kind)
    }

    /// The same for what a person did earlier.
    pub(super) fn note_at(&mut self, at: Timestamp, kind: Kind) -> Entry {
        let entry = Entry::of(&self.incident, at, kind);
        self.entries.push(entry.clone());
        entry
    }

    /// Adds an effect.
    pub(super) fn effect(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    /// Edits the incident's posts and posts the entry in their threads.
    pub(super) fn refresh_and_post(&mut self, urgency: Urgency, entry: Entry) {
        self.effect(Effect::Refresh(urgency));
        self.effect(Effect::PostInThread(entry));
    }

    /// The finished decision.
    pub(super) fn decided(mut self, outcome: Outcome) -> Decision {
        // The end of a hold is never missed, whatever else the timer waits for.
        if let (Some(hold), Phase::Firing | Phase::Unanswered { .. }) =
            (&self.incident.hold, &self.incident.phase)
        {
            self.incident.next_at = Some(self.incident.next_at.map_or(hold.until, |at| at.min(hold.until)));
        }
        Decision { incident: Some(self.incident), outcome, entries: self.entries, effects: self.effects }
    }
}

/// A decision that changes nothing.
pub(super) fn unchanged(incident: Option<&Incident>, outcome: Outcome) -> Decision {
    Decision { incident: incident.cloned(), outcome, entries: Vec::new(), effects: Vec::new() }
}
