//! What people do with a digest: it concerns the incidents that the digest showed at that moment.

use super::InboxError;
use super::handler::{EventHandler, Handled};
use super::message::CommandMessage;
use crate::domain::answer::{ActResult, Acted, Answer, Rest, in_log};
use crate::domain::command::{Command, Verb, Which};
use crate::domain::input::{Act, PersonAction, Via};
use crate::domain::reaction;
use crate::engine::{EngineError, Standing};
use crate::store::digest::{self, About};
use crate::store::reactions;
use jiff::Timestamp;
use ruma::OwnedEventId;

/// How many refusals one answer names.
const MAX_NAMED: usize = 5;

impl EventHandler<'_> {
    /// A reaction to a digest. Acknowledging concerns what the digest showed; anything else needs one incident.
    pub(super) async fn reaction_to_digest(
        &mut self,
        about: &About,
        key: &str,
    ) -> Result<Handled, InboxError> {
        let room = self.event.room.as_str();
        let (event_id, sender) = (self.event.event_id.as_str(), self.event.sender.as_str());
        if reactions::is_redacted(self.change.tx(), event_id, room, sender).await? {
            return Ok(Handled::ignored("taken back before it came"));
        }
        let lists = self.inbox.lists.load();
        let ack_reactions = lists.get(&about.room_list).map_or(&[][..], |list| &list.ack_reactions);
        let verb = if self.is_silence(key).await? {
            Verb::Silence
        } else {
            match reaction::act(key, ack_reactions) {
                Some(Act::Acknowledge) => return self.acknowledge_digest(about).await,
                Some(act) => act.verb(),
                None => return Ok(Handled::ignored("a reaction without a meaning")),
            }
        };
        self.refuse_digest(about, verb, Some(key)).await
    }

    /// Answers that a verb needs one incident.
    pub(super) async fn refuse_digest(
        &mut self,
        about: &About,
        verb: Verb,
        key: Option<&str>,
    ) -> Result<Handled, InboxError> {
        let what = key.map_or_else(|| format!("`{}`", verb.word()), str::to_owned);
        let answer = Answer::Mistake {
            problem: format!("{what} needs one incident, and this message shows many."),
            hint: format!("Type `{}`; `show storm` lists them.", verb.row().usage),
        };
        self.answer_as(&about.room_list, answer, root(about)).await?;
        Ok(Handled::refused(format!("{} on a digest", verb.word())))
    }

    /// When the sender acted on a digest, which nobody could before it was sent.
    fn acted_on_digest(&self, about: &About) -> Timestamp {
        self.event.at.max(about.sent_at)
    }

    /// The incidents that a digest showed when the event was sent.
    pub(super) async fn shown_by(&mut self, about: &About) -> Result<Vec<i64>, InboxError> {
        let at = self.acted_on_digest(about);
        Ok(digest::shown_at(self.change.tx(), about, at).await?)
    }

    /// Whether a command without a number in the thread of a digest needs one incident.
    pub(super) fn needs_one(command: &Command) -> Option<Verb> {
        match command {
            Command::Act { act, which: Which::This, .. } => {
                let verb = act.verb();
                matches!(act, Act::Snooze(_) | Act::Escalate(_) | Act::Resolve).then_some(verb)
            }
            Command::Silence { which: Which::This, .. } => Some(Verb::Silence),
            _ => None,
        }
    }

    async fn acknowledge_digest(&mut self, about: &About) -> Result<Handled, InboxError> {
        let acted_at = self.acted_on_digest(about);
        let (mut done, mut refused, mut late) = (Vec::new(), Vec::new(), Vec::new());
        for number in self.shown_by(about).await? {
            self.touched.insert(number);
            match self.acknowledge_shown(number, acted_at).await? {
                Some(acted) if acted.result.is_done() => done.push(acted),
                Some(acted) if matches!(acted.result, ActResult::TooLate { .. }) => late.push(acted),
                Some(acted) => refused.push(acted),
                None => {}
            }
        }
        // What has ended is not worth a line beside the others.
        if done.is_empty() && refused.is_empty() {
            refused = late;
        }
        if done.is_empty() && !refused.is_empty() {
            let why = format!("ack by reaction: {}", in_log(&refused));
            refused.truncate(MAX_NAMED);
            let answer = Answer::Acted { results: refused, rest: Rest::default() };
            self.answer_as(&about.room_list, answer, root(about)).await?;
            return Ok(Handled::refused(why));
        }
        if done.is_empty() {
            return Ok(Handled::ignored("nothing that it showed can be read"));
        }
        let result = format!("ack by reaction: {}", in_log(&done));
        let numbers = done.iter().map(|acted| acted.number).collect();
        let more = refused.len().saturating_sub(MAX_NAMED) as u64;
        refused.truncate(MAX_NAMED);
        self.answer_as(&about.room_list, Answer::DigestAcknowledged { numbers, refused, more }, root(about))
            .await?;
        Ok(Handled::acted(result))
    }

    /// Acknowledges an incident that a digest showed. `None`: the room may not, or the incident cannot be read.
    async fn acknowledge_shown(
        &mut self,
        number: i64,
        acted_at: Timestamp,
    ) -> Result<Option<Acted>, InboxError> {
        let room = self.event.room.as_str();
        let stored = match self.change.standing(number, room).await {
            Err(EngineError::Unavailable(error)) if error.is_unreadable() => {
                tracing::error!(incident = number, %error, "nobody can act on incident {number}: {error}");
                return Ok(None);
            }
            Ok(Standing::Here(stored)) => stored,
            Ok(_) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let act = Act::Acknowledge;
        let who = self.event.sender.clone();
        let action = PersonAction { who, via: Via::Reaction, act, comment: None, acted_at };
        let result = self.change.person(&stored, action, self.caller(), None).await?;
        if result.is_done() {
            let (event_id, user_id) = (self.event.event_id.as_str(), self.event.sender.as_str());
            let run_no = stored.incident.run.no;
            reactions::remember(self.change.tx(), event_id, room, number, run_no, user_id).await?;
        }
        Ok(Some(Acted { number, name: Some(stored.name()), result }))
    }

    /// The incidents of the room's storm.
    pub(super) async fn storm(&mut self, message: &CommandMessage) -> Result<Handled, InboxError> {
        let lists = message.list_names();
        let room = self.event.room.as_str();
        let incidents = digest::in_room(self.change.tx(), &lists, room).await?;
        let facts = digest::facts(self.change.tx(), &incidents).await?;
        let mut members = Vec::with_capacity(facts.len());
        for (number, facts) in &facts {
            let list = lists.first().map(String::as_str).unwrap_or_default();
            let policy = self.inbox.engine.policy_or_current(list, facts.policy_version).await?;
            members.push(facts.member(*number, &policy, 0));
        }
        self.answer(message, Answer::Storm { room_list: lists.join(", "), members }).await?;
        Ok(Handled::acted("show storm"))
    }
}

fn root(about: &About) -> Option<OwnedEventId> {
    OwnedEventId::try_from(about.event_id.as_str()).ok()
}
