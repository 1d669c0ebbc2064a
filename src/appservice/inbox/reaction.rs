//! Reactions, and their being taken back.

use super::InboxError;
use super::act::result_of;
use super::rights::{lacks, role};
use super::scene::{Handled, Scene};
use crate::domain::answer::{ActResult, Acted, Answer, Hidden};
use crate::domain::incident::Rung;
use crate::domain::input::{Act, Outcome, PersonAction, Via};
use crate::domain::reaction::{ReactionMeaning, normalize};
use crate::engine::{PersonInput, PersonResult};
use crate::store::{About, inbox, incident, post};
use ruma::{EventId, OwnedEventId};

impl Scene<'_> {
    /// Somebody reacted. What is done is told in the incident's threads; only a refusal is answered.
    pub(super) async fn reaction(&mut self, target: &EventId, key: &str) -> Result<Handled, InboxError> {
        let room = self.event.room.as_str();
        let mut about = post::about(self.tx, room, target.as_str()).await?;
        if about.is_none() {
            inbox::lock_target(self.tx, target.as_str()).await?;
            about = post::about(self.tx, room, target.as_str()).await?;
        }
        let Some(about) = about else {
            return Ok(Handled::hanging_on(target.to_owned(), "a reaction to something else"));
        };
        if inbox::is_redacted(self.tx, self.event.event_id.as_str()).await? {
            return Ok(Handled::ignored("taken back before it came"));
        }
        let Some(stored) = incident::lock(self.tx, about.incident).await? else {
            return Ok(Handled::ignored("the incident is forgotten"));
        };
        let Some(act) = self.meaning(&stored.room_list, key, &about) else {
            return Ok(Handled::ignored("a reaction without a meaning"));
        };
        let policy = self.inbox.engine.policy(stored.incident.run.policy_version).await?;
        let who = self.event.sender.clone();
        let sender_role = role(&policy.permissions, &who, self.prepared.power_level);
        if let Some(needs) = lacks(act, sender_role, &policy.permissions) {
            let result = ActResult::NoRight { needs };
            return self.refuse(&about, &stored.room_list, None, result).await;
        }
        let action = PersonAction { who, via: Via::Reaction, act, comment: None };
        let input = PersonInput { number: about.incident, action, room: room.to_owned(), answered: false };
        let (before, decision) = match self.inbox.engine.person(self.tx, &input).await? {
            PersonResult::Decided(before, decision) => (*before, *decision),
            PersonResult::Unknown | PersonResult::NotHere(_) => {
                let result = ActResult::Refused { why: Hidden::HigherLevel };
                return self.refuse(&about, &stored.room_list, None, result).await;
            }
        };
        match decision.outcome {
            Outcome::Done | Outcome::JoinedAck | Outcome::AlreadyYours => {
                if act == Act::Acknowledge
                    && let Some(after) = &decision.incident
                {
                    inbox::remember_reaction(
                        self.tx,
                        self.event.event_id.as_str(),
                        about.incident,
                        after.run.no,
                        self.event.sender.as_str(),
                    )
                    .await?;
                }
                Ok(Handled::acted(
                    format!("{act:?} of {} by reaction", about.incident),
                    vec![(before, decision)],
                ))
            }
            _ => {
                let name = before.view(0).name();
                let result = result_of(&before, &decision, act, &policy);
                let mut refused = self.refuse(&about, &before.room_list, Some(name), result).await?;
                refused.decided.push((before, decision));
                Ok(refused)
            }
        }
    }

    /// Somebody took an event back: if it was the reaction that acknowledged, they give the incident back.
    pub(super) async fn redaction(&mut self, redacts: &EventId) -> Result<Handled, InboxError> {
        let now = self.now();
        inbox::remember_redacted(self.tx, redacts.as_str(), now).await?;
        let Some((number, run_no, user_id)) = inbox::reaction(self.tx, redacts.as_str()).await? else {
            return Ok(Handled::ignored("a redaction of something else"));
        };
        if self.event.sender != user_id {
            return Ok(Handled::ignored("somebody else took the reaction away"));
        }
        let Some(stored) = incident::lock(self.tx, number).await? else {
            return Ok(Handled::ignored("the incident is forgotten"));
        };
        let current = i32::try_from(stored.incident.run.no).is_ok_and(|current| current == run_no);
        if !current || !stored.incident.ackers.contains(&self.event.sender) {
            return Ok(Handled::ignored("the acknowledgement is over"));
        }
        let who = self.event.sender.clone();
        let action = PersonAction { who, via: Via::Reaction, act: Act::Unacknowledge, comment: None };
        let room = self.event.room.to_string();
        match self
            .inbox
            .engine
            .person(self.tx, &PersonInput { number, action, room, answered: false })
            .await?
        {
            PersonResult::Decided(before, decision) => {
                Ok(Handled::acted(format!("gave back {number}"), vec![(*before, *decision)]))
            }
            PersonResult::Unknown | PersonResult::NotHere(_) => {
                Ok(Handled::ignored("not for this room any more"))
            }
        }
    }

    fn meaning(&self, room_list: &str, key: &str, about: &About) -> Option<Act> {
        let lists = self.inbox.engine.lists();
        let acks = |key: &str| {
            lists
                .get(room_list)
                .is_some_and(|list| list.ack_reactions.iter().any(|own| normalize(own) == normalize(key)))
        };
        if acks(key) {
            return Some(Act::Acknowledge);
        }
        match self.inbox.reactions.meaning(key)? {
            // Which reactions acknowledge is the operator's setting, asked above.
            ReactionMeaning::Acknowledge => None,
            ReactionMeaning::Snooze(how_long) => Some(Act::Snooze(how_long)),
            ReactionMeaning::Escalate => Some(Act::Escalate(rung_of(about))),
        }
    }

    /// Says why a reaction did nothing, in the thread of what was reacted to.
    async fn refuse(
        &mut self,
        about: &About,
        room_list: &str,
        name: Option<String>,
        result: ActResult,
    ) -> Result<Handled, InboxError> {
        let why = format!("{result:?}");
        let answer = Answer::Acted { results: vec![Acted { number: about.incident, name, result }] };
        let thread = about.root.as_deref().and_then(|root| OwnedEventId::try_from(root).ok());
        self.answer(room_list, answer, thread).await?;
        Ok(Handled::refused(why))
    }
}

/// The rung of the page that was reacted to, so that a stale tap escalates nothing.
fn rung_of(about: &About) -> Option<Rung> {
    let number = |value: Option<i32>| value.and_then(|value| u32::try_from(value).ok());
    Some(Rung { run_no: number(about.run_no)?, loop_no: number(about.loop_no)?, level: number(about.level)? })
}
