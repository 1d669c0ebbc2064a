//! Commands about silences: checks who gives them and for what, and leaves them to the worker that asks Alertmanager.

use super::InboxError;
use super::handler::{EventHandler, Handled};
use super::message::CommandMessage;
use crate::domain::answer::{ActResult, Acted, Answer, Hidden, Rest, in_log};
use crate::domain::command::{Verb, Which};
use crate::domain::incident::Phase;
use crate::domain::lists::ListSettings;
use crate::domain::rights::{missing_for, role};
use crate::domain::silencing::{DEFAULT_LENGTH, Request};
use crate::engine::{EngineError, Standing, Wake};
use crate::ids;
use crate::store::silence::{self, AnswerPlace, Order};
use crate::store::{About, StoreError, StoredIncident};
use ruma::OwnedEventId;
use std::sync::Arc;

/// How many incidents one command may silence.
const MAX_SILENCED: usize = 20;

impl EventHandler<'_> {
    /// Silences the alerts of incidents. Each gets an answer of its own, once Alertmanager has answered.
    pub(super) async fn silence(
        &mut self,
        message: &CommandMessage,
        which: &Which,
        request: Request,
    ) -> Result<Handled, InboxError> {
        let verb = Verb::Silence;
        let room = self.event.room.as_str();
        let (mut numbers, repeat) = if let Some(mut numbers) = message.named(which) {
            numbers.sort_unstable();
            (numbers, 0)
        } else {
            let all = self.change.all_in_room(&message.lists, verb, room, MAX_SILENCED).await?;
            (all.here, all.repeat)
        };
        numbers.truncate(MAX_SILENCED);
        if numbers.is_empty() {
            let room_list = message.list_names().join(", ");
            let answer = Answer::NothingOpen { room_list, elsewhere: Vec::new(), more: 0, snoozed: 0 };
            self.answer(message, answer).await?;
            return Ok(Handled::refused(format!("{}: nothing open", verb.word())));
        }
        let (mut refused, mut ordered) = (Vec::new(), Vec::new());
        for number in numbers {
            match self.may_silence(number).await? {
                Ok(stored) => {
                    let place = self.place(message.thread.clone());
                    self.order(vec![stored.room_list.clone()], Some(number), request.clone(), &place).await?;
                    ordered.push(format!("#{number}"));
                }
                Err(acted) => refused.push(acted),
            }
        }
        let why = format!("{}: {}", verb.word(), in_log(&refused));
        if !refused.is_empty() || repeat > 0 {
            let rest = Rest { repeat: repeat as u64, ..Rest::default() };
            self.answer(message, Answer::Acted { results: refused, rest }).await?;
        }
        Ok(if ordered.is_empty() {
            Handled::refused(why)
        } else {
            Handled::acted(format!("silence: ordered {}", ordered.join(" ")))
        })
    }

    /// A reaction that silences the incident of its page. The answer comes in the page's thread.
    pub(super) async fn silence_by_reaction(&mut self, about: &About) -> Result<Handled, InboxError> {
        let thread = about.root.as_deref().and_then(|root| OwnedEventId::try_from(root).ok());
        match self.may_silence(about.incident).await? {
            Ok(stored) => {
                let place = self.place(thread);
                let request = Request::Make { lasting: DEFAULT_LENGTH, comment: None, confirmed: false };
                self.order(vec![stored.room_list], Some(about.incident), request, &place).await?;
                Ok(Handled::acted(format!("silence by reaction: ordered #{}", about.incident)))
            }
            Err(acted) => {
                let why = format!("silence by reaction: {}", in_log(std::slice::from_ref(&acted)));
                let room_list = self.lists().await?.first().map(|list| list.name.clone()).unwrap_or_default();
                let answer = Answer::Acted { results: vec![acted], rest: Rest::default() };
                self.answer_as(&room_list, answer, thread).await?;
                Ok(Handled::refused(why))
            }
        }
    }

    /// Lists the silences that the room's lists may see.
    pub(super) async fn silences(&mut self, message: &CommandMessage) -> Result<Handled, InboxError> {
        let place = self.place(message.thread.clone());
        self.order(message.list_names(), None, Request::List, &place).await?;
        Ok(Handled::acted("silences"))
    }

    /// Ends a silence that one of the room's lists may see, if the sender has the right in that list.
    pub(super) async fn unsilence(
        &mut self,
        message: &CommandMessage,
        id: &str,
    ) -> Result<Handled, InboxError> {
        let lacks = |list: &Arc<ListSettings>| {
            let permissions = &list.policy.permissions;
            missing_for(Verb::Unsilence, None, role(self.caller(), &list.policy), permissions)
        };
        let permitted = message.lists.iter().filter(|list| lacks(list).is_none());
        let permitted: Vec<String> = permitted.map(|list| list.name.clone()).collect();
        if permitted.is_empty() {
            if let Some(needs) = message.lists.first().and_then(lacks) {
                self.answer(message, Answer::NotPermitted { needs }).await?;
            }
            return Ok(Handled::refused("unsilence: not permitted"));
        }
        let place = self.place(message.thread.clone());
        self.order(permitted, None, Request::End { id: id.to_owned() }, &place).await?;
        Ok(Handled::acted("unsilence: ordered"))
    }

    /// The incident, if the sender may silence it here; or why not.
    async fn may_silence(&mut self, number: i64) -> Result<Result<StoredIncident, Acted>, InboxError> {
        let refused = |name, why| Ok(Err(Acted { number, name, result: ActResult::Refused { why } }));
        let standing = match self.change.standing(number, self.event.room.as_str()).await {
            Err(EngineError::Unavailable(StoreError::Inconsistent { .. })) => {
                return refused(None, Hidden::Unreadable);
            }
            standing => standing?,
        };
        let stored = match standing {
            Standing::Here(stored) => *stored,
            Standing::NotPosted(stored) => return refused(Some(stored.name()), Hidden::NotPostedHere),
            Standing::Below(stored) => return refused(Some(stored.name()), Hidden::HigherLevel),
            Standing::Unknown => return refused(None, Hidden::Unknown),
        };
        self.touched.insert(number);
        let policy = self
            .inbox
            .engine
            .policy_or_current(&stored.room_list, stored.incident.run.policy_version)
            .await?;
        let role = role(self.caller(), &policy);
        let result =
            match (&stored.incident.phase, missing_for(Verb::Silence, None, role, &policy.permissions)) {
                (_, Some(needs)) => ActResult::NoRight { needs },
                (Phase::Resolved { .. } | Phase::Closed, _) => {
                    ActResult::TooLate { resolved_at: stored.resolved_at }
                }
                _ => return Ok(Ok(stored)),
            };
        Ok(Err(Acted { number, name: Some(stored.name()), result }))
    }

    fn place(&self, thread: Option<OwnedEventId>) -> AnswerPlace {
        AnswerPlace {
            room: self.event.room.to_string(),
            event_id: self.answered().to_string(),
            thread: thread.map(|thread| thread.to_string()),
        }
    }

    /// Leaves a command to the worker.
    async fn order(
        &mut self,
        room_lists: Vec<String>,
        incident: Option<i64>,
        request: Request,
        place: &AnswerPlace,
    ) -> Result<(), InboxError> {
        let who = self.event.sender.to_string();
        let order = Order { id: ids::unique(), room_lists, incident, who, request, attempts: 0 };
        let now = self.change.now();
        silence::order(self.change.tx(), &order, place, now).await?;
        self.change.wake(Wake::Silences);
        Ok(())
    }
}
