//! The ladder: which level matrixbot pages next, and when.

use super::draft::Draft;
use crate::domain::incident::{Fingerprint, Incident, Phase};
use crate::domain::input::{Effect, Urgency};
use crate::domain::policy::{Mention, Severity};
use crate::domain::time::later;
use crate::domain::timeline::Kind;
use jiff::Timestamp;
use std::time::Duration;

/// The step after the current level.
enum Step {
    /// Page a level.
    Page { loop_no: u32, level: u32 },
    /// There is no further level.
    RunOut,
}

impl Draft<'_> {
    /// Pages the next level. If there is none, the incident becomes unanswered (I11).
    pub(super) fn climb(&mut self) {
        match self.next_step() {
            Step::Page { loop_no, level } => self.page(loop_no, level),
            Step::RunOut => self.run_out(),
        }
    }

    /// How long the current level has to acknowledge.
    pub(super) fn time_to_answer(&self) -> Duration {
        let level = self.incident.run.level.and_then(|level| self.policy().level(level));
        level.map_or(Duration::ZERO, |level| self.policy().time_to_answer(self.incident.severities(), level))
    }

    /// When the first page of a run is due that waits for so long, and for the time of day that its severities wait for.
    pub(super) fn first_page_at(&self, delay: Duration) -> Timestamp {
        let held = self.around.newest.policy.held_until(
            self.incident.severities(),
            self.around.now,
            self.around.zone,
        );
        later(self.around.now, delay).max(held.unwrap_or(self.around.now))
    }

    /// How long the current level has if its page cannot be sent.
    pub(super) fn time_if_unsent(&self) -> Duration {
        self.time_to_answer().saturating_add(self.policy().send_cap)
    }

    /// The firing alerts that make the incident louder than its pages of this run have been: by a higher rank than any
    /// alert that they showed, by mentions of the level that they did not have, or because the incident escalates now.
    /// `before`: the incident before the report.
    pub(super) fn louder_than_paged(&self, before: &Incident) -> Vec<Fingerprint> {
        let policy = self.around.newest.policy;
        let level = self.incident.run.level.unwrap_or(0);
        let shown: Vec<Severity> = match &self.incident.run.severities {
            Some(names) => names.iter().map(|name| policy.severity_by_name(name)).collect(),
            None => before.firing.values().map(|alert| alert.severity.clone()).collect(),
        };
        let firing: Vec<&Severity> = self.incident.firing.values().map(|alert| &alert.severity).collect();
        let highest = shown.iter().map(|severity| severity.rank).max();
        let mentioned: Vec<Mention> =
            shown.iter().flat_map(|severity| policy.mentions(std::iter::once(severity), level)).collect();
        let mentions = policy.mentions(firing.iter().copied(), level);
        let mentions_more = mentions.iter().any(|mention| !mentioned.contains(mention));
        let top = firing.iter().map(|severity| severity.rank).max();
        let escalated = shown.iter().any(|severity| severity.escalate);
        let is_louder = |severity: &Severity| {
            Some(severity.rank) > highest
                || (severity.escalate && !escalated)
                || (mentions_more && Some(severity.rank) == top)
        };
        let alerts = self.incident.firing.iter().filter(|(_, alert)| is_louder(&alert.severity));
        alerts.map(|(fingerprint, _)| fingerprint.clone()).collect()
    }

    fn next_step(&self) -> Step {
        let run = &self.incident.run;
        let level = run.level.map_or(run.start_level, |level| level.saturating_add(1));
        if self.policy().level(level).is_some() {
            Step::Page { loop_no: run.loop_no, level }
        } else if run.loop_no < self.policy().repeat && level > 0 {
            Step::Page { loop_no: run.loop_no.saturating_add(1), level: 0 }
        } else {
            Step::RunOut
        }
    }

    /// Pages a level. Its time runs from when its page is sent, so a slow homeserver cannot exhaust the ladder before a
    /// room is notified. The send cap is the fail-safe for a page that is never sent. The timer counts from now, not
    /// from when the tick was due, so there is no burst after an outage (I12).
    fn page(&mut self, loop_no: u32, level: u32) {
        let run = &mut self.incident.run;
        let first = run.no == 1 && run.level.is_none();
        (run.loop_no, run.level, run.notified) = (loop_no, Some(level), false);
        let names =
            self.incident.firing.values().map(|alert| alert.severity.name.clone().unwrap_or_default());
        run.severities.get_or_insert_default().extend(names);
        self.incident.next_at = Some(later(self.around.now, self.time_if_unsent()));
        self.record(Kind::Paged { loop_no, level });
        if let Some(rung) = self.incident.rung() {
            self.effect(Effect::Page(rung));
        }
        if !first {
            self.effect(Effect::Refresh(Urgency::Soon));
        }
    }

    /// Makes the incident unanswered. I15: nothing else does, and every way out of unanswered starts a run.
    fn run_out(&mut self) {
        let policy = self.policy();
        self.incident.phase = Phase::Unanswered { reminders: 0 };
        self.incident.next_at = policy
            .remind_every
            .filter(|_| policy.max_reminders > 0)
            .map(|every| later(self.around.now, every));
        let entry = self.record(Kind::Unanswered);
        self.effect(Effect::Fallback);
        self.refresh_and_post(Urgency::Soon, entry);
    }
}
