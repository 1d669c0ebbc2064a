//! Acting on the incidents that a command names.

use super::InboxError;
use super::message::Said;
use super::rights::{lacks, role};
use super::scene::{Handled, Scene};
use crate::domain::answer::{ActResult, Acted, Answer, Hidden};
use crate::domain::command::Which;
use crate::domain::incident::{Phase, PhaseName};
use crate::domain::input::{Act, Decision, Outcome, PersonAction};
use crate::domain::policy::Policy;
use crate::engine::Standing;
use crate::store::{StoredIncident, overview};

/// How many incidents one command may act on.
const MOST: i64 = 100;

impl Scene<'_> {
    /// Does to each incident what the command says, and answers once.
    pub(super) async fn act(
        &mut self,
        said: &Said,
        which: &Which,
        act: Act,
        comment: Option<String>,
    ) -> Result<Handled, InboxError> {
        let all = *which == Which::All;
        let numbers = match Self::named(said, which) {
            // Locked in one order, whatever order they were said in, so that two commands cannot wait for each other.
            Some(mut numbers) => {
                numbers.sort_unstable();
                numbers
            }
            None => self.candidates(said, act).await?,
        };
        let mut results = Vec::new();
        let mut decided = Vec::new();
        let mut speaker = None;
        for number in numbers {
            let (acted, decision) = self.act_on(said, number, act, comment.clone()).await?;
            if all && matches!(acted.result, ActResult::Refused { .. }) {
                continue;
            }
            if let Some((before, decision)) = decision {
                speaker.get_or_insert_with(|| before.room_list.clone());
                decided.push((before, decision));
            }
            results.push(acted);
        }
        let Some(first) = said.lists.first().cloned() else {
            return Ok(Handled::ignored("a room of no list"));
        };
        if results.is_empty() {
            self.reply(said, Answer::NothingOpen { room_list: first.name.clone() }).await?;
            return Ok(Handled::refused("nothing open"));
        }
        let changed = decided
            .iter()
            .filter(|(_, decision)| matches!(decision.outcome, Outcome::Done | Outcome::JoinedAck))
            .count();
        let speaker = speaker.unwrap_or_else(|| first.name.clone());
        self.answer(&speaker, Answer::Acted { results }, said.thread.clone()).await?;
        let mut handled = Handled::acted(format!("{act:?} of {changed} incidents"), decided);
        if changed == 0 {
            handled.kind = crate::telemetry::EventResult::Refused;
        }
        Ok(handled)
    }

    async fn act_on(
        &mut self,
        said: &Said,
        number: i64,
        act: Act,
        comment: Option<String>,
    ) -> Result<(Acted, Option<(StoredIncident, Decision)>), InboxError> {
        let room = self.event.room.clone();
        let (stored, refused) = match self.inbox.engine.standing(self.tx, number, room.as_str()).await? {
            Standing::Here(stored) => (stored, None),
            Standing::NotTold(stored) => (stored, Some(Hidden::NotToldHere)),
            Standing::Below(stored) => (stored, Some(Hidden::HigherLevel)),
            Standing::Unknown => {
                let result = ActResult::Refused { why: Hidden::Unknown };
                return Ok((Acted { number, name: None, result }, None));
            }
        };
        let name = Some(stored.view(0).name());
        let acted = |result| Acted { number, name, result };
        if let Some(why) = refused {
            return Ok((acted(ActResult::Refused { why }), None));
        }
        let who = self.event.sender.clone();
        let policy = self.inbox.engine.policy(stored.incident.run.policy_version).await?;
        let sender_role = role(&policy.permissions, &who, self.prepared.power_level);
        if let Some(needs) = lacks(act, sender_role, &policy.permissions) {
            return Ok((acted(ActResult::NoRight { needs }), None));
        }
        let action = PersonAction { who, via: said.via, act, comment };
        let decision = self.inbox.engine.person(self.tx, &stored, action, Some(room.as_str())).await?;
        let result = result_of(&stored, &decision, act, &policy);
        Ok((acted(result), Some((*stored, decision))))
    }

    /// The open incidents of the room's lists that `all` means for an act.
    async fn candidates(&mut self, said: &Said, act: Act) -> Result<Vec<i64>, InboxError> {
        use PhaseName::{Acknowledged, Firing, Snoozed, Suppressed, Unanswered};
        let phases: &[PhaseName] = match act {
            Act::Acknowledge => &[Firing, Snoozed, Unanswered, Suppressed],
            Act::Unacknowledge => &[Acknowledged],
            Act::Unsnooze => &[Snoozed],
            Act::Escalate(_) => &[Firing],
            Act::Snooze(_) | Act::Resolve => &[Firing, Acknowledged, Snoozed, Unanswered, Suppressed],
        };
        let lists: Vec<String> = said.lists.iter().map(|list| list.name.clone()).collect();
        let phases: Vec<String> = phases.iter().map(|phase| phase.as_str().to_owned()).collect();
        Ok(overview::open_numbers(self.tx, &lists, &phases, MOST).await?)
    }
}

/// What an act came to, in the words of an answer.
pub(super) fn result_of(
    before: &StoredIncident,
    decision: &Decision,
    act: Act,
    policy: &Policy,
) -> ActResult {
    match decision.outcome {
        Outcome::Done => done(before, decision, act, policy),
        Outcome::JoinedAck => ActResult::Joined { others: before.incident.ackers.clone() },
        Outcome::AlreadyYours => ActResult::AlreadyYours,
        Outcome::TooLate => ActResult::TooLate { resolved_at: before.resolved_at },
        Outcome::NotAcknowledged => ActResult::NotAcknowledged,
        Outcome::NotSnoozed => ActResult::NotSnoozed,
        Outcome::StaleRung => ActResult::StalePage,
        Outcome::UnderMaintenance => ActResult::UnderMaintenance,
        Outcome::Repeated | Outcome::OrphanClear | Outcome::Nothing => {
            ActResult::Nothing { phase: before.incident.phase.name() }
        }
    }
}

fn done(before: &StoredIncident, decision: &Decision, act: Act, policy: &Policy) -> ActResult {
    let Some(after) = &decision.incident else {
        return ActResult::Nothing { phase: before.incident.phase.name() };
    };
    match (act, &after.phase) {
        (Act::Acknowledge, Phase::Acknowledged { until, .. }) => ActResult::Acknowledged { until: *until },
        (Act::Unacknowledge, _) => ActResult::GivenBack { pages_in: policy.unack_delay },
        (Act::Snooze(wanted), Phase::Snoozed { until }) => {
            ActResult::Snoozed { until: *until, shortened: wanted > policy.max_snooze }
        }
        (Act::Unsnooze, _) => ActResult::SnoozeEnded,
        (Act::Escalate(_), Phase::Unanswered { .. }) => ActResult::LadderEnded,
        (Act::Escalate(_), _) => ActResult::Escalated {
            level: after.run.level.unwrap_or(0),
            levels: u32::try_from(policy.levels.len()).unwrap_or(u32::MAX),
        },
        (Act::Resolve, _) => {
            ActResult::Resolved { still_firing: u64::try_from(after.firing.len()).unwrap_or(u64::MAX) }
        }
        (_, phase) => ActResult::Nothing { phase: phase.name() },
    }
}
