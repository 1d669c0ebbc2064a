//! Reactions and their redaction.

use super::InboxError;
use super::handler::{EventHandler, Handled};
use crate::domain::answer::{ActResult, Acted, Answer, Hidden, Rest};
use crate::domain::incident::Rung;
use crate::domain::input::{Act, PersonAction, Via};
use crate::domain::reaction;
use crate::domain::rights::Caller;
use crate::engine::{EngineError, Standing};
use crate::store::reactions::AckReaction;
use crate::store::{About, StoredIncident, digest, inbox, post, reactions};
use ruma::{EventId, OwnedEventId};

impl EventHandler<'_> {
    /// A reaction: acts on the incident. The incident's threads show the change; only a refusal gets an answer.
    pub(super) async fn reaction(&mut self, target: &EventId, key: &str) -> Result<Handled, InboxError> {
        let room = self.event.room.as_str();
        let mut about = post::about(self.change.tx(), room, target.as_str()).await?;
        if about.is_none() {
            inbox::lock_targets(self.change.tx(), &[target.to_string()]).await?;
            if let Some(digest) = digest::about(self.change.tx(), room, target.as_str()).await? {
                return self.reaction_to_digest(&digest, key).await;
            }
            about = post::about(self.change.tx(), room, target.as_str()).await?;
        }
        let Some(about) = about else {
            return Ok(Handled::ignored_for_now(target.to_owned(), "a reaction to something else"));
        };
        self.touched.insert(about.incident);
        let (event_id, sender) = (self.event.event_id.as_str(), self.event.sender.as_str());
        if reactions::is_redacted(self.change.tx(), event_id, room, sender).await? {
            return Ok(Handled::ignored("taken back before it came"));
        }
        self.load_on_call().await?;
        if self.is_silence(key).await? {
            return self.silence_by_reaction(&about).await;
        }
        let standing = match self.change.standing(about.incident, room).await {
            // It counts once the incident can be read: `reopen_answers`.
            Err(EngineError::Unavailable(error)) if error.is_unreadable() => {
                inbox::lock_targets(self.change.tx(), &[target.to_string()]).await?;
                return Ok(Handled::ignored_for_now(target.to_owned(), "its incident cannot be read yet"));
            }
            standing => standing?,
        };
        let (stored, above) = match standing {
            Standing::Here(stored) => (stored, false),
            Standing::Below(stored) | Standing::NotPosted(stored) => (stored, true),
            Standing::Unknown => return Ok(Handled::ignored("the incident is forgotten")),
        };
        let Some(act) = self.meaning(&stored.room_list, key, &about) else {
            return Ok(Handled::ignored("a reaction without a meaning"));
        };
        if above {
            let result = ActResult::Refused { why: Hidden::HigherLevel };
            return self.refuse(&about, &stored, act, result).await;
        }
        let who = self.event.sender.clone();
        let acted_at = self.acted_at(Some(&about));
        let action = PersonAction { who, via: Via::Reaction, act, comment: None, acted_at };
        let result = self.change.person(&stored, action, self.caller(), None).await?;
        if !result.is_done() {
            return self.refuse(&about, &stored, act, result).await;
        }
        if act == Act::Acknowledge {
            let (event_id, user_id) = (self.event.event_id.as_str(), self.event.sender.as_str());
            let run_no = stored.incident.run.no;
            reactions::remember(self.change.tx(), event_id, room, about.incident, run_no, user_id).await?;
        }
        Ok(Handled::acted(by_reaction(act, about.incident, &result)))
    }

    /// A redaction: if the person who reacted removes the reaction that acknowledged, in its room, the acknowledgement is
    /// withdrawn. If a person with the power to redact in that room removes it, the reaction no longer counts. Redactions by
    /// anyone else change nothing: homeservers pass on redactions that they have not checked.
    pub(super) async fn redaction(&mut self, redacts: &EventId) -> Result<Handled, InboxError> {
        let (now, room, sender) = (self.change.now(), self.event.room.as_str(), self.event.sender.as_str());
        let found = reactions::find(self.change.tx(), redacts.as_str()).await?;
        let Some(reaction) = found.first().cloned() else {
            // The reaction may come after its redaction.
            reactions::remember_redacted(self.change.tx(), redacts.as_str(), room, sender, now).await?;
            return Ok(Handled::ignored("a redaction of something else"));
        };
        self.touched.extend(found.iter().map(|reaction| reaction.incident));
        if reaction.room.as_deref().is_some_and(|reacted_in| reacted_in != room) {
            return Ok(Handled::ignored("a redaction in another room than the reaction"));
        }
        if sender != reaction.user_id {
            if self.prepared.may_redact {
                reactions::forget(self.change.tx(), redacts.as_str()).await?;
            }
            return Ok(Handled::ignored("somebody else redacted the reaction"));
        }
        reactions::forget(self.change.tx(), redacts.as_str()).await?;
        let (mut acted, mut why) = (Vec::new(), "");
        for reaction in &found {
            match self.give_back(reaction).await? {
                Ok(given_back) => acted.push(given_back),
                Err(not) => why = not,
            }
        }
        let result = acted.join(", ");
        Ok(if acted.is_empty() { Handled::ignored(why) } else { Handled::acted(result) })
    }

    /// Withdraws the acknowledgement of a reaction that its sender removed. `Err`: why it does not end.
    async fn give_back(
        &mut self,
        reaction: &AckReaction,
    ) -> Result<Result<String, &'static str>, InboxError> {
        let room = self.event.room.as_str();
        let Standing::Here(stored) = self.change.standing(reaction.incident, room).await? else {
            return Ok(Err("not for this room any more"));
        };
        let current = i32::try_from(stored.incident.run.no).is_ok_and(|current| current == reaction.run_no);
        if !current || !stored.incident.ackers.contains(&self.event.sender) {
            return Ok(Err("the acknowledgement has ended"));
        }
        if reaction.others > 0 {
            return Ok(Err("another reaction of theirs stands"));
        }
        let who = self.event.sender.clone();
        let act = Act::Unacknowledge;
        let acted_at = self.event.at;
        let action = PersonAction { who, via: Via::Reaction, act, comment: None, acted_at };
        let result = self.change.person(&stored, action, Caller::Acker, None).await?;
        Ok(Ok(by_reaction(act, reaction.incident, &result)))
    }

    /// Whether a reaction silences, in the lists of this room.
    pub(super) async fn is_silence(&mut self, key: &str) -> Result<bool, InboxError> {
        if !reaction::silences(key, &[]) {
            return Ok(false);
        }
        let lists = self.lists().await?;
        Ok(lists.iter().all(|list| reaction::silences(key, &list.ack_reactions)))
    }

    fn meaning(&self, room_list: &str, key: &str, about: &About) -> Option<Act> {
        let lists = self.inbox.lists.load();
        let ack_reactions = lists.get(room_list).map_or(&[][..], |list| &list.ack_reactions);
        match reaction::act(key, ack_reactions)? {
            Act::Escalate(_) => Some(Act::Escalate(rung_of(about))),
            act => Some(act),
        }
    }

    /// Answers in the page's thread why a reaction had no effect.
    async fn refuse(
        &mut self,
        about: &About,
        stored: &StoredIncident,
        act: Act,
        result: ActResult,
    ) -> Result<Handled, InboxError> {
        let why = by_reaction(act, about.incident, &result);
        let name = Some(stored.name());
        let answer = Answer::Acted {
            results: vec![Acted { number: about.incident, name, result }],
            rest: Rest::default(),
        };
        let thread = about.root.as_deref().and_then(|root| OwnedEventId::try_from(root).ok());
        self.answer_as(&stored.room_list, answer, thread).await?;
        Ok(Handled::refused(why))
    }
}

/// The result of a reaction, for the log.
fn by_reaction(act: Act, number: i64, result: &ActResult) -> String {
    format!("{} by reaction: {} #{number}", act.verb().word(), result.in_log())
}

/// The rung of the page that has the reaction: a reaction to an older page escalates nothing.
fn rung_of(about: &About) -> Option<Rung> {
    let number = |value: Option<i32>| value.and_then(|value| u32::try_from(value).ok());
    Some(Rung { run_no: number(about.run_no)?, loop_no: number(about.loop_no)?, level: number(about.level)? })
}
