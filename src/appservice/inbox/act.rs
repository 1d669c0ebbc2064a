//! Acting on the incidents that a command names.

use super::InboxError;
use super::message::Said;
use super::scene::{Handled, Scene};
use super::tell::names;
use crate::domain::answer::{ActResult, Acted, Answer, Hidden, in_log};
use crate::domain::command::Which;
use crate::domain::input::{Act, Outcome, PersonAction};
use crate::domain::rights::missing;
use crate::engine::{Standing, result_of};

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
        let numbers = if let Some(mut numbers) = Self::named(said, which) {
            // Locked in one order, whatever order they were said in, so that two commands cannot wait for each other.
            numbers.sort_unstable();
            numbers
        } else {
            let lists: Vec<String> = said.lists.iter().map(|list| list.name.clone()).collect();
            self.change.candidates(&lists, act, MOST).await?
        };
        let mut results = Vec::new();
        let mut changed = 0_u32;
        let mut elsewhere = Vec::new();
        let mut speaker = None;
        for number in numbers {
            let (acted, decision) = self.act_on(said, number, act, comment.clone()).await?;
            if all && matches!(acted.result, ActResult::Refused { .. }) {
                elsewhere.push(acted);
                continue;
            }
            if let Some((room_list, outcome)) = decision {
                speaker.get_or_insert(room_list);
                changed += u32::from(matches!(outcome, Outcome::Done | Outcome::JoinedAck));
            }
            results.push(acted);
        }
        let Some(first) = said.lists.first().cloned() else {
            return Ok(Handled::ignored("a room of no list"));
        };
        if results.is_empty() {
            let handled = if elsewhere.is_empty() {
                Handled::refused(format!("{}: nothing open", act.verb().word()))
            } else {
                Handled::refused(told(act, &elsewhere))
            };
            self.reply(said, Answer::NothingOpen { room_list: names(said), elsewhere }).await?;
            return Ok(handled);
        }
        let speaker = speaker.unwrap_or_else(|| first.name.clone());
        let summary = told(act, &results);
        self.answer(&speaker, Answer::Acted { results }, said.thread.clone()).await?;
        let mut handled = Handled::acted(summary);
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
    ) -> Result<(Acted, Option<(String, Outcome)>), InboxError> {
        let room = self.event.room.clone();
        let (stored, refused) = match self.change.standing(number, room.as_str()).await? {
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
        if let Some(needs) = missing(act, self.role(&policy.permissions), &policy.permissions) {
            return Ok((acted(ActResult::NoRight { needs }), None));
        }
        let action = PersonAction { who, via: said.via, act, comment };
        let decision = self.change.person(&stored, action, Some(room.as_str())).await?;
        let result = result_of(&stored, &decision, act, &policy);
        Ok((acted(result), Some((stored.room_list, decision.outcome))))
    }
}

/// What a command came to, in the words of logs.
fn told(act: Act, results: &[Acted]) -> String {
    format!("{}: {}", act.verb().word(), in_log(results))
}
