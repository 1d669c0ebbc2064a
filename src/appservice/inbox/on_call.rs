//! `oncall`: who is on call, and changes of that.

use super::InboxError;
use super::handler::{EventHandler, Handled};
use super::message::CommandMessage;
use crate::domain::answer::Answer;
use crate::domain::command::OnCall;
use crate::domain::lists::ListSettings;
use crate::domain::on_call::planning::{Change, NoPlan};
use crate::domain::on_call::words::{Ahead, Changed, Now, OnCallAnswer, ShiftSpan};
use crate::domain::on_call::{Known, Schedule};
use crate::domain::policy::Role;
use crate::domain::rights::{missing_on_call, role};
use crate::domain::time::later;
use crate::store::on_call::{self, Made};
use crate::store::room;
use jiff::Timestamp;
use ruma::OwnedUserId;
use std::sync::Arc;
use std::time::Duration;

/// How far ahead shifts are looked at.
const AHEAD: Duration = Duration::from_hours(24 * 400);
/// `oncall next` lists shifts of this time, and at most so many.
const LISTED: Duration = Duration::from_hours(24 * 35);
const MOST_LISTED: usize = 10;

/// A change of one schedule.
type Asked = (Change, Option<String>);

impl EventHandler<'_> {
    /// Answers a command about who is on call.
    pub(super) async fn oncall(
        &mut self,
        message: &CommandMessage,
        command: OnCall,
    ) -> Result<Handled, InboxError> {
        let schedules = self.schedules_here(message).await?;
        if schedules.is_empty() {
            return self.on_call_answer(message, OnCallAnswer::NoSchedule, "no schedule").await;
        }
        let asked: Asked = match command {
            OnCall::Who => return self.who(message, &schedules).await,
            OnCall::Next => return self.next_shifts(message, &schedules).await,
            OnCall::Undo => return self.undo(message, &schedules).await,
            OnCall::Take { lasting, schedule } => (Change::Take(lasting), schedule),
            OnCall::Give { to, lasting, schedule } => match self.person(&to) {
                Some(to) => (Change::Give(to, lasting), schedule),
                None => return self.who_is_that(message, to).await,
            },
            OnCall::Swap { with, days, schedule } => match self.person(&with) {
                Some(with) => (Change::Swap(with, days), schedule),
                None => return self.who_is_that(message, with).await,
            },
        };
        self.change_on_call(message, &schedules, asked).await
    }

    async fn change_on_call(
        &mut self,
        message: &CommandMessage,
        schedules: &[Arc<Schedule>],
        (change, typed): Asked,
    ) -> Result<Handled, InboxError> {
        let Some(schedule) = named(schedules, typed.as_deref()) else {
            let names = schedules.iter().map(|schedule| schedule.name.clone()).collect();
            let answer = OnCallAnswer::WhichSchedule { typed, names };
            return self.on_call_answer(message, answer, "which schedule").await;
        };
        let (now, who) = (self.change.now(), self.event.sender.clone());
        let known = self.known(&schedule, now).await?;
        // The best role in the room's lists counts.
        let roles = message.lists.iter().map(|list| (role(self.caller(), &list.policy), list));
        let Some((role, list)) = roles.max_by_key(|(role, _)| *role) else {
            return Ok(Handled::ignored("a room of no list"));
        };
        let permissions = list.policy.permissions.clone();
        if let Some(needs) = missing_on_call(false, role, &permissions) {
            let answer = OnCallAnswer::NotPermitted { needs, others: Vec::new() };
            return self.on_call_answer(message, answer, "not permitted").await;
        }
        let plan = match schedule.plan(&known, &who, &change, now, role == Role::Moderate) {
            Ok(plan) => plan,
            Err(of) => return self.no_plan(message, &schedule, of).await,
        };
        if let Some(needs) = missing_on_call(!plan.others.is_empty(), role, &permissions) {
            let answer = OnCallAnswer::NotPermitted { needs, others: plan.others };
            return self.on_call_answer(message, answer, "not permitted").await;
        }
        let command = self.event.event_id.clone();
        let made = Made { schedule: &schedule.name, by: &who, at: now, command: command.as_str() };
        on_call::add_overrides(self.change.tx(), made, &plan.overrides).await?;
        let of = Changed {
            schedule: schedule.name.clone(),
            zone: schedule.zone.clone(),
            by: who,
            overrides: plan.overrides,
            others: plan.others,
            undone: false,
        };
        self.announce(message, &schedule, of, "changed").await
    }

    async fn undo(
        &mut self,
        message: &CommandMessage,
        schedules: &[Arc<Schedule>],
    ) -> Result<Handled, InboxError> {
        let names: Vec<String> = schedules.iter().map(|schedule| schedule.name.clone()).collect();
        let (who, now) = (self.event.sender.clone(), self.change.now());
        let undone = on_call::undo(self.change.tx(), &names, &who, now).await?;
        let schedule = undone.as_ref().and_then(|undone| named(schedules, Some(&undone.schedule)));
        let (Some(undone), Some(schedule)) = (undone, schedule) else {
            return self.on_call_answer(message, OnCallAnswer::NothingToUndo, "nothing to undo").await;
        };
        let of = Changed {
            schedule: undone.schedule,
            zone: schedule.zone.clone(),
            by: who,
            overrides: undone.overrides,
            others: Vec::new(),
            undone: true,
        };
        self.announce(message, &schedule, of, "undone").await
    }

    /// Answers with a change, and announces it elsewhere.
    async fn announce(
        &mut self,
        message: &CommandMessage,
        schedule: &Schedule,
        of: Changed,
        result: &str,
    ) -> Result<Handled, InboxError> {
        self.change.announce_changed(schedule, &of, self.event.room.as_str()).await?;
        let answer = Answer::OnCall { of: OnCallAnswer::Changed { of } };
        self.answer(message, answer).await?;
        Ok(Handled::acted(format!("oncall: {result} {}", schedule.name)))
    }

    async fn who(
        &mut self,
        message: &CommandMessage,
        schedules: &[Arc<Schedule>],
    ) -> Result<Handled, InboxError> {
        let (now, mut answers) = (self.change.now(), Vec::new());
        for schedule in schedules {
            let known = self.known(schedule, now).await?;
            let failing = on_call::failing_since(self.change.tx(), &schedule.name).await?;
            answers.push(Now::of(schedule, &known, now, failing));
        }
        let answer = Answer::OnCall { of: OnCallAnswer::Who { schedules: answers } };
        self.answer(message, answer).await?;
        Ok(Handled::acted("oncall"))
    }

    async fn next_shifts(
        &mut self,
        message: &CommandMessage,
        schedules: &[Arc<Schedule>],
    ) -> Result<Handled, InboxError> {
        let (now, mut answers) = (self.change.now(), Vec::new());
        for schedule in schedules {
            let known = self.known(schedule, now).await?;
            let spans = schedule.spans(&known, now, later(now, LISTED)).into_iter();
            let shifts = spans.take(MOST_LISTED).map(ShiftSpan::from).collect();
            let (schedule, zone) = (schedule.name.clone(), schedule.zone.clone());
            answers.push(Ahead { schedule, zone, shifts });
        }
        let answer = Answer::OnCall { of: OnCallAnswer::Next { schedules: answers } };
        self.answer(message, answer).await?;
        Ok(Handled::acted("oncall next"))
    }

    async fn known(&mut self, schedule: &Schedule, now: Timestamp) -> Result<Known, InboxError> {
        Ok(self.inbox.engine.known(self.change.tx(), schedule, now, later(now, AHEAD)).await?)
    }

    async fn no_plan(
        &mut self,
        message: &CommandMessage,
        schedule: &Schedule,
        of: NoPlan,
    ) -> Result<Handled, InboxError> {
        let (name, zone) = (schedule.name.clone(), schedule.zone.clone());
        self.on_call_answer(message, OnCallAnswer::NoPlan { schedule: name, zone, of }, "nothing to do").await
    }

    async fn who_is_that(&mut self, message: &CommandMessage, typed: String) -> Result<Handled, InboxError> {
        self.on_call_answer(message, OnCallAnswer::WhoIsThat { typed }, "unknown person").await
    }

    async fn on_call_answer(
        &mut self,
        message: &CommandMessage,
        of: OnCallAnswer,
        why: &str,
    ) -> Result<Handled, InboxError> {
        self.answer(message, Answer::OnCall { of }).await?;
        Ok(Handled::refused(format!("oncall: {why}")))
    }

    /// The schedules that belong to the room: those that its lists mention, and those that announce in it.
    async fn schedules_here(&mut self, message: &CommandMessage) -> Result<Vec<Arc<Schedule>>, InboxError> {
        let schedules = self.inbox.engine.schedules();
        let references = room::references_to(self.change.tx(), self.event.room.as_str()).await?;
        let mentions = |list: &Arc<ListSettings>, name: &str| list.policy.schedules().contains(name);
        let belongs = |schedule: &&Arc<Schedule>| {
            message.lists.iter().any(|list| mentions(list, &schedule.name))
                || schedule.announce.iter().any(|room| references.contains(room))
        };
        Ok(schedules.values().filter(belongs).cloned().collect())
    }

    /// The person of the room whom somebody means: by user id, by its first part, or by a mention.
    fn person(&self, typed: &str) -> Option<OwnedUserId> {
        let members = &self.prepared.members;
        let typed = typed.trim().trim_end_matches([',', ':']);
        if let Some(user) = members.iter().find(|user| user.as_str().eq_ignore_ascii_case(typed)) {
            return Some(user.clone());
        }
        let local = typed.strip_prefix('@').unwrap_or(typed);
        let mut called = members.iter().filter(|user| user.localpart().eq_ignore_ascii_case(local));
        if let (Some(user), None) = (called.next(), called.next()) {
            return Some(user.clone());
        }
        let crate::domain::incoming::Happening::Message(message) = &self.event.what else { return None };
        let mut mentioned =
            message.mentions.iter().filter(|user| members.contains(*user) && !self.inbox.is_ours(user));
        match (mentioned.next(), mentioned.next()) {
            (Some(user), None) => Some(user.clone()),
            _ => None,
        }
    }
}

/// The schedule with this name, in any case; the only one if there is no name.
fn named(schedules: &[Arc<Schedule>], typed: Option<&str>) -> Option<Arc<Schedule>> {
    match (typed, schedules) {
        (Some(typed), _) => schedules.iter().find(|it| it.name.eq_ignore_ascii_case(typed)).cloned(),
        (None, [only]) => Some(only.clone()),
        (None, _) => None,
    }
}
