//! The ladder: which level is paged next, and when.

use super::draft::Draft;
use crate::domain::incident::Phase;
use crate::domain::input::{Effect, Urgency};
use crate::domain::time::later;
use crate::domain::timeline::Kind;
use std::time::Duration;

/// What comes after the current level.
enum Step {
    /// A page.
    Page { loop_no: u32, level: u32 },
    /// The ladder has run out.
    RunOut,
}

impl Draft<'_> {
    /// Pages the next level, or leaves the ladder if there is none (I11).
    pub(super) fn climb(&mut self) {
        match self.next_step() {
            Step::Page { loop_no, level } => self.page(loop_no, level),
            Step::RunOut => self.run_out(),
        }
    }

    /// How long the current level has to answer.
    pub(super) fn time_to_answer(&self) -> Duration {
        let level = self.incident.run.level.and_then(|level| self.policy().level(level));
        level.map_or(Duration::ZERO, |level| level.escalate_after)
    }

    fn next_step(&self) -> Step {
        let run = &self.incident.run;
        let level = run.level.map_or(0, |level| level.saturating_add(1));
        if self.policy().level(level).is_some() {
            Step::Page { loop_no: run.loop_no, level }
        } else if run.loop_no < self.policy().repeat && level > 0 {
            Step::Page { loop_no: run.loop_no.saturating_add(1), level: 0 }
        } else {
            Step::RunOut
        }
    }

    /// The level's time runs from the moment its page is sent, so that a slow homeserver cannot exhaust the ladder
    /// before anybody was told; the cap is the fail-safe for a page that is never sent. Both are counted from now,
    /// not from when the tick was due: after an outage there is no burst (I12).
    fn page(&mut self, loop_no: u32, level: u32) {
        let run = &mut self.incident.run;
        let first = run.no == 1 && run.level.is_none();
        (run.loop_no, run.level, run.told) = (loop_no, Some(level), false);
        let unsent = self.time_to_answer().saturating_add(self.policy().send_cap);
        self.incident.next_at = Some(later(self.around.now, unsent));
        self.record(Kind::Paged { loop_no, level });
        if let Some(rung) = self.incident.rung() {
            self.effect(Effect::Page(rung));
        }
        if !first {
            self.effect(Effect::Refresh(Urgency::Soon));
        }
    }

    /// I15: this is the only way into unanswered, and every way out of it starts a run.
    fn run_out(&mut self) {
        let policy = self.policy();
        self.incident.phase = Phase::Unanswered { reminders: 0 };
        self.incident.next_at = policy
            .remind_every
            .filter(|_| policy.max_reminders > 0)
            .map(|every| later(self.around.now, every));
        let entry = self.record(Kind::Unanswered);
        self.effect(Effect::Fallback);
        self.show_and_tell(Urgency::Soon, entry);
    }
}
