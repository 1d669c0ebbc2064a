//! Commands in rooms: recognises, executes and answers them.

use super::InboxError;
use super::handler::{EventHandler, Handled};
use super::reading::Reading;
use crate::domain::answer::{ActResult, Acted, Answer, Hidden, Rest, in_log};
use crate::domain::command::{Command, Parsed, Query, Verb, View, Which};
use crate::domain::incoming::Message;
use crate::domain::input::{Act, PersonAction, Via};
use crate::domain::lists::ListSettings;
use crate::domain::silencing::Request;
use crate::engine::{AllInRoom, EngineError, Standing};
use crate::store::{About, StoreError, digest, inbox, incident, post};
use ruma::OwnedEventId;
use std::sync::Arc;

/// How many incidents one `all` may change: its locks are held for a few seconds at most.
const MAX_CHANGED: usize = 500;
/// How many of the incidents that `all` left as they are get named.
const MAX_NAMED: usize = 5;

/// A message that is a command, or a mistyped one.
#[derive(Debug)]
pub(super) struct CommandMessage {
    /// The incident that the reply or thread is about.
    about: Option<About>,
    /// The incidents that the digest showed which the reply or thread is about.
    shown: Option<Vec<i64>>,
    /// The thread it is in.
    pub(super) thread: Option<OwnedEventId>,
    /// The room lists that it applies to; the first one answers.
    pub(super) lists: Vec<Arc<ListSettings>>,
    /// Whether these lists have left the room: then it concerns only what was posted there.
    has_left: bool,
    /// Whether it is a reply or stands alone.
    via: Via,
}

impl CommandMessage {
    /// The incidents that a command names explicitly; `None`: all.
    pub(super) fn named(&self, which: &Which) -> Option<Vec<i64>> {
        match which {
            Which::Numbers(numbers) => Some(numbers.clone()),
            Which::This => Some(match &self.shown {
                Some(shown) => shown.clone(),
                None => self.about.iter().map(|about| about.incident).collect(),
            }),
            // Those that the room knows; `act` finds them.
            Which::Ranges(_) => Some(Vec::new()),
            Which::All => None,
        }
    }

    pub(super) fn list_names(&self) -> Vec<String> {
        self.lists.iter().map(|list| list.name.clone()).collect()
    }
}

impl EventHandler<'_> {
    /// A message: acts on it if it is a command.
    pub(super) async fn message(&mut self, message: &Message) -> Result<Handled, InboxError> {
        if !message.may_command() {
            return Ok(Handled::ignored("not a command"));
        }
        let reading = self.inbox.reading(message, self.event.at);
        let ours = reading.addressed.user;
        let related = message.reply_to.as_ref().or(message.thread_root.as_ref());
        // Most messages are chatter even if their target is one of our messages; those need no query.
        let at_most = reading.at_most(message);
        if at_most == Parsed::Chatter {
            return Ok(Handled::ignored("chatter"));
        }
        if let Some((digest, direct)) = self.about_digest(message).await? {
            return self.message_about_digest(message, &reading, &digest, direct).await;
        }
        let (mut about, mut direct) = self.about(message).await?.unzip();
        let mut parsed = reading.meaning(about.is_some(), true, None);
        if let Some(target) = related.filter(|_| parsed != at_most) {
            inbox::lock_targets(self.change.tx(), &[target.to_string()]).await?;
            if let Some((digest, direct)) = self.about_digest(message).await? {
                return self.message_about_digest(message, &reading, &digest, direct).await;
            }
            (about, direct) = self.about(message).await?.unzip();
            parsed = reading.meaning(about.is_some(), true, None);
            // The target may be a page whose event id is not stored yet: then handle this again once it is.
            let wait = parsed == Parsed::Chatter
                || post::is_on_its_way(self.change.tx(), self.event.room.as_str()).await?;
            if about.is_none() && wait {
                return Ok(Handled::ignored_for_now(target.clone(), "chatter"));
            }
        }
        let mut lists = self.concerned_lists(ours.map(ToString::to_string), about.as_ref()).await?;
        let has_left = lists.is_empty();
        if has_left {
            lists = self.lists_of_posts(&parsed).await?;
        }
        let Some(first) = lists.first() else {
            return match parsed {
                Parsed::Chatter => Ok(Handled::ignored("a room of no list")),
                _ => self.answer_in_left_room(ours.map(ToOwned::to_owned), message.thread_root.clone()).await,
            };
        };
        let parsed = reading.meaning(about.is_some(), direct.unwrap_or(true), Some(first));
        if let Some(handled) = self.before_obeying(message, &parsed, &first.name).await? {
            return Ok(handled);
        }
        let via = if related.is_some() && about.is_some() { Via::Reply } else { Via::Command };
        let thread = message.thread_root.clone();
        let message = CommandMessage { about, shown: None, thread, lists, has_left, via };
        self.obey(&message, parsed).await
    }

    /// What becomes of a message without carrying it out: chatter, an edit of a command, or one command of a flood.
    async fn before_obeying(
        &mut self,
        message: &Message,
        parsed: &Parsed,
        room_list: &str,
    ) -> Result<Option<Handled>, InboxError> {
        if *parsed == Parsed::Chatter {
            return Ok(Some(Handled::ignored("chatter")));
        }
        if let Some(original) = &message.edits {
            let room = self.event.room.as_str();
            if !inbox::edited_into_command(self.change.tx(), original.as_str(), room).await? {
                return Ok(Some(Handled::ignored("an edit of a command")));
            }
        }
        let admitted = self.admit_command(room_list, message.thread_root.clone()).await?;
        Ok((!admitted).then(Handled::dropped))
    }

    /// Does what a message means.
    async fn obey(&mut self, message: &CommandMessage, parsed: Parsed) -> Result<Handled, InboxError> {
        match parsed {
            Parsed::Chatter => Ok(Handled::ignored("chatter")),
            Parsed::Mistake(mistake) => {
                self.answer(message, Answer::Mistake { problem: mistake.problem, hint: mistake.hint })
                    .await?;
                Ok(Handled::refused("not understood"))
            }
            Parsed::Command(command) => self.command(message, command).await,
        }
    }

    /// A reply to a digest, or a message in its thread. `direct`: not a reply to a person there.
    async fn message_about_digest(
        &mut self,
        message: &Message,
        reading: &Reading<'_>,
        digest: &digest::About,
        direct: bool,
    ) -> Result<Handled, InboxError> {
        let mut lists = self.lists().await?;
        if let Some(list) = self.inbox.lists.load().get(&digest.room_list).cloned() {
            lists.retain(|other| other.name != list.name);
            lists.insert(0, list);
        }
        let Some(first) = lists.first() else { return Ok(Handled::ignored("a room of no list")) };
        let parsed = reading.meaning(true, direct, Some(first));
        if let Some(handled) = self.before_obeying(message, &parsed, &first.name).await? {
            return Ok(handled);
        }
        let needs_one = match &parsed {
            Parsed::Command(command) => Self::needs_one(command),
            Parsed::Chatter | Parsed::Mistake(_) => None,
        };
        if let Some(verb) = needs_one {
            return self.refuse_digest(digest, verb, None).await;
        }
        let parsed = match parsed {
            Parsed::Command(Command::Show { view: View::Incident, which: Which::This }) => {
                Parsed::Command(Command::Query(Query::Storm))
            }
            parsed => parsed,
        };
        let shown = self.shown_by(digest).await?;
        self.touched.extend(&shown);
        let thread = message.thread_root.clone();
        let (about, has_left, via) = (None, false, Via::Reply);
        let command = CommandMessage { about, shown: Some(shown), thread, lists, has_left, via };
        self.obey(&command, parsed).await
    }

    /// The digest that a message replies to, or else that of its thread; and whether it does not reply to anything else there.
    async fn about_digest(&mut self, message: &Message) -> Result<Option<(digest::About, bool)>, InboxError> {
        let room = self.event.room.as_str();
        for event_id in [message.reply_to.as_ref(), message.thread_root.as_ref()].into_iter().flatten() {
            if let Some(about) = digest::about(self.change.tx(), room, event_id.as_str()).await? {
                return Ok(Some((about, message.is_directly_about(event_id))));
            }
        }
        Ok(None)
    }

    async fn command(&mut self, message: &CommandMessage, command: Command) -> Result<Handled, InboxError> {
        self.load_on_call().await?;
        match command {
            Command::Act { act, which, comment } => self.act(message, &which, act, comment).await,
            Command::Show { view: View::Incident, which } => self.show(message, &which).await,
            Command::Show { view: View::Timeline, which } => self.timeline(message, &which).await,
            Command::Query(Query::Pending) => self.pending(message).await,
            Command::Query(Query::Escalated) => self.escalated(message).await,
            Command::Query(Query::Storm) => self.storm(message).await,
            Command::Query(Query::Help) => self.help(message).await,
            Command::Query(Query::Silences) => self.silences(message).await,
            Command::OnCall(command) => self.oncall(message, command).await,
            Command::Silence { which, lasting, comment, confirmed } => {
                self.silence(message, &which, Request::Make { lasting, comment, confirmed }).await
            }
            Command::Unsilence { id } => self.unsilence(message, &id).await,
            Command::NotAvailable(verb) => {
                self.answer(message, Answer::NotAvailable { command: verb.word().to_owned() }).await?;
                Ok(Handled::refused(format!("{}: not in this release", verb.word())))
            }
        }
    }

    /// Answers a command as the first of the lists that it applies to.
    pub(super) async fn answer(
        &mut self,
        message: &CommandMessage,
        answer: Answer,
    ) -> Result<(), InboxError> {
        let Some(list) = message.lists.first().cloned() else { return Ok(()) };
        self.answer_as(&list.name, answer, message.thread.clone()).await
    }

    /// The incident of the message that this one replies to, or else of its thread; and whether it does not reply to anything
    /// else there.
    async fn about(&mut self, message: &Message) -> Result<Option<(About, bool)>, InboxError> {
        let room = self.event.room.as_str();
        for event_id in [message.reply_to.as_ref(), message.thread_root.as_ref()].into_iter().flatten() {
            if let Some(about) = post::about(self.change.tx(), room, event_id.as_str()).await? {
                self.touched.insert(about.incident);
                return Ok(Some((about, message.is_directly_about(event_id))));
            }
        }
        Ok(None)
    }

    /// The lists that a message applies to: only the mentioned list, or else all lists of the room by name. The list of
    /// the incident that the message is about comes first. If several lists share a room, the room gets one answer.
    async fn concerned_lists(
        &mut self,
        mentioned: Option<String>,
        about: Option<&About>,
    ) -> Result<Vec<Arc<ListSettings>>, InboxError> {
        let mut lists = self.lists().await?;
        let all = self.inbox.lists.load();
        if let Some(about) = about {
            let stored = incident::load_readable(self.change.tx(), about.incident).await?;
            if let Some(first) = stored.and_then(|stored| all.get(&stored.room_list).cloned()) {
                lists.retain(|list| list.name != first.name);
                lists.insert(0, first);
            }
        } else if let Some(mentioned) = mentioned.and_then(|user| all.of_user(&user).cloned())
            && lists.iter().any(|list| list.name == mentioned.name)
        {
            lists = vec![mentioned];
        }
        Ok(lists)
    }

    /// Applies the command to each incident, and answers once.
    async fn act(
        &mut self,
        message: &CommandMessage,
        which: &Which,
        act: Act,
        comment: Option<String>,
    ) -> Result<Handled, InboxError> {
        let (verb, all) = (act.verb(), *which == Which::All);
        let room = self.event.room.as_str();
        let mut skipped = 0;
        let AllInRoom { here: numbers, repeat, snoozed, elsewhere: others } =
            if let Which::Ranges(ranges) = which {
                let (among, others) = self.change.posted_among(ranges, verb, room, MAX_CHANGED).await?;
                skipped = others;
                among
            } else if let Some(mut numbers) = message.named(which) {
                // Lock in ascending order, so two commands cannot deadlock.
                numbers.sort_unstable();
                AllInRoom { here: numbers, ..AllInRoom::default() }
            } else {
                self.change.all_in_room(&message.lists, verb, room, MAX_CHANGED).await?
            };
        let (mut results, mut elsewhere, mut answering) = (Vec::new(), Vec::new(), None);
        for number in numbers {
            let (acted, room_list) = self.act_on(message, number, act, comment.clone()).await?;
            if all && matches!(acted.result, ActResult::Refused { .. }) {
                elsewhere.extend((!message.has_left).then_some(acted));
                continue;
            }
            answering = answering.or(room_list);
            results.push(acted);
        }
        let others = if message.has_left { Vec::new() } else { others };
        let left = elsewhere.len().saturating_add(others.len());
        elsewhere.truncate(MAX_NAMED);
        for number in others.into_iter().take(MAX_NAMED.saturating_sub(elsewhere.len())) {
            elsewhere.extend(self.not_posted_here(number).await?);
        }
        let (more, snoozed) = (left.saturating_sub(elsewhere.len()) as u64, snoozed as u64);
        if results.is_empty() && skipped == 0 {
            let handled = if elsewhere.is_empty() {
                Handled::refused(format!("{}: nothing open", verb.word()))
            } else {
                Handled::refused(summary(verb, &elsewhere))
            };
            let room_list = message.list_names().join(", ");
            self.answer(message, Answer::NothingOpen { room_list, elsewhere, more, snoozed }).await?;
            return Ok(handled);
        }
        let rest = Rest { elsewhere, more, repeat: repeat as u64, snoozed, skipped };
        let changed = results.iter().any(|acted| acted.result.changed());
        let summary = summary(verb, &results);
        match answering {
            Some(room_list) => {
                self.answer_as(&room_list, Answer::Acted { results, rest }, message.thread.clone()).await?;
            }
            None => self.answer(message, Answer::Acted { results, rest }).await?,
        }
        Ok(if changed { Handled::acted(summary) } else { Handled::refused(summary) })
    }

    /// An open incident of the room's lists that was not posted in the room.
    async fn not_posted_here(&mut self, number: i64) -> Result<Option<Acted>, InboxError> {
        let stored = incident::load_readable(self.change.tx(), number).await?;
        let result = ActResult::Refused { why: Hidden::NotPostedHere };
        Ok(stored.map(|stored| Acted { number, name: Some(stored.name()), result }))
    }

    /// Applies the command to one incident. Also returns its room list if the person had the right.
    async fn act_on(
        &mut self,
        message: &CommandMessage,
        number: i64,
        act: Act,
        comment: Option<String>,
    ) -> Result<(Acted, Option<String>), InboxError> {
        let room = self.event.room.as_str();
        let standing = match self.change.standing(number, room).await {
            // One row that cannot be read stops no other one.
            Err(EngineError::Unavailable(error @ StoreError::Inconsistent { .. })) => {
                tracing::error!(incident = number, %error, "nobody can act on incident {number}: {error}");
                let posted = post::was_notified(self.change.tx(), number, room).await?;
                let why = if posted { Hidden::Unreadable } else { Hidden::Unknown };
                return Ok((Acted { number, name: None, result: ActResult::Refused { why } }, None));
            }
            standing => standing?,
        };
        let (stored, refused) = match standing {
            Standing::Here(stored) => (stored, None),
            Standing::NotPosted(stored) => (stored, Some(Hidden::NotPostedHere)),
            Standing::Below(stored) => (stored, Some(Hidden::HigherLevel)),
            Standing::Unknown => {
                let result = ActResult::Refused { why: Hidden::Unknown };
                return Ok((Acted { number, name: None, result }, None));
            }
        };
        self.touched.insert(number);
        let name = Some(stored.name());
        if let Some(why) = refused {
            return Ok((Acted { number, name, result: ActResult::Refused { why } }, None));
        }
        let who = self.event.sender.clone();
        let about = message.about.as_ref().filter(|about| about.incident == number);
        let acted_at = self.acted_at(about);
        let action = PersonAction { who, via: message.via, act, comment, acted_at };
        let result = self.change.person(&stored, action, self.caller(), Some(room)).await?;
        let permitted = !matches!(result, ActResult::NoRight { .. });
        Ok((Acted { number, name, result }, permitted.then_some(stored.room_list)))
    }
}

/// The results of a command, for the log.
fn summary(verb: Verb, results: &[Acted]) -> String {
    format!("{}: {}", verb.word(), in_log(results))
}
