//! What each command about silences does, in the Alertmanagers that it concerns.

use crate::alertmanager::api::{FullAlert, Matcher, Silence, SilenceEnd, SilenceState};
use crate::alertmanager::{CurrentAlertmanagers, NamedAlertmanager};
use crate::clock::SharedClock;
use crate::domain::incident::Fingerprint;
use crate::domain::silencing::{
    self, Failed, Listed, Request, SilenceLine, SilencingAnswer, UnsilenceResult,
};
use crate::domain::webhook::Labels;
use crate::engine::{Engine, EngineError};
use crate::store::Store;
use crate::store::silence::{Order, OwnSilence};
use crate::telemetry::logs::causes;
use futures_util::future::join_all;
use regex::RegexBuilder;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How many firing alerts are compared with silences.
const MOST_COMPARED: i64 = 5_000;
/// The largest compiled regular expression of others, in bytes.
const LARGEST_PATTERN: usize = 256 * 1024;

/// Carries out commands about silences.
#[derive(Debug, Clone)]
pub struct Silencer {
    pub(super) engine: Engine,
    pub(super) store: Store,
    pub(super) clock: SharedClock,
    pub(super) alertmanagers: CurrentAlertmanagers,
}

/// The result of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The answer.
    pub answer: SilencingAnswer,
    /// Whether another attempt may do more.
    pub again: bool,
}

impl Attempt {
    pub(super) fn last(answer: SilencingAnswer) -> Self {
        Self { answer, again: false }
    }
}

impl Silencer {
    /// One that asks these Alertmanagers.
    pub fn new(
        engine: Engine,
        store: Store,
        clock: SharedClock,
        alertmanagers: CurrentAlertmanagers,
    ) -> Self {
        Self { engine, store, clock, alertmanagers }
    }

    /// Tries to do what a command asks for. Trying it again makes no second silence.
    pub async fn carry_out(&self, order: &Order) -> Result<Attempt, EngineError> {
        if self.alertmanagers.load().is_empty() {
            return Ok(Attempt::last(SilencingAnswer::NotConfigured));
        }
        match &order.request {
            Request::Make { .. } => self.make(order).await,
            Request::List => {
                let (silences, failed) = self.visible(&order.room_lists).await?;
                let room_list = order.room_lists.join(", ");
                Ok(Attempt::last(SilencingAnswer::List { room_list, silences, failed }))
            }
            Request::End { id } => self.unsilence(order, id).await,
        }
    }

    /// The silences that room lists may see: active and pending ones that match firing alerts of their open incidents, or
    /// that were made for those.
    async fn visible(&self, room_lists: &[String]) -> Result<(Vec<SilenceLine>, Vec<Failed>), EngineError> {
        let alerts = self.store.open_labels(room_lists, MOST_COMPARED).await?;
        let own = self.store.own_silences(room_lists).await?;
        let all = self.alertmanagers.load();
        let now = self.clock.now();
        let answers =
            join_all(all.iter().map(|one| async move { (&one.name, one.api.silences(now).await) })).await;
        let (mut lines, mut failed) = (Vec::new(), Vec::new());
        for (name, answer) in answers {
            let silences = match answer {
                Ok(silences) => silences,
                Err(error) => {
                    failed.push(Failed { alertmanager: name.clone(), why: causes(&error) });
                    continue;
                }
            };
            for silence in silences.into_iter().filter(|silence| silence.state != SilenceState::Expired) {
                let made_for = own.iter().filter(|(id, _)| *id == silence.id).map(|(_, number)| *number);
                let matched = matched(&silence, &alerts);
                let incidents: BTreeSet<i64> = made_for.chain(matched).collect();
                if !incidents.is_empty() {
                    lines.push(line(name, silence, incidents));
                }
            }
        }
        lines.sort_by(|one, other| (one.until, &one.id).cmp(&(other.until, &other.id)));
        Ok((lines, failed))
    }

    async fn unsilence(&self, order: &Order, typed: &str) -> Result<Attempt, EngineError> {
        let (lines, mut failed) = self.visible(&order.room_lists).await?;
        let answer =
            |id: &str, result, failed| SilencingAnswer::Unsilence { id: id.to_owned(), result, failed };
        let line = match silencing::find(&lines, typed) {
            Ok(line) => line,
            Err(result) => {
                let again = result == UnsilenceResult::Unknown && !failed.is_empty();
                return Ok(Attempt { answer: answer(typed, result, failed), again });
            }
        };
        let all = self.alertmanagers.load();
        let Some(one) = all.iter().find(|one| one.name == line.alertmanager) else {
            return Ok(Attempt { answer: answer(typed, UnsilenceResult::Unknown, failed), again: true });
        };
        match one.api.end_silence(&line.id).await {
            // One that is gone has ended.
            Ok(SilenceEnd::Ended | SilenceEnd::Gone) => {
                self.store.silence_ended_by_id(&one.name, &line.id).await?;
                let (alertmanager, incidents) = (line.alertmanager.clone(), line.incidents.clone());
                let result = UnsilenceResult::Ended { alertmanager, incidents };
                Ok(Attempt::last(answer(&line.id, result, Vec::new())))
            }
            Err(error) => {
                failed.push(Failed { alertmanager: one.name.clone(), why: causes(&error) });
                Ok(Attempt { answer: answer(&line.id, UnsilenceResult::Failed, failed), again: true })
            }
        }
    }

    /// Ends a silence of ours. One that nobody knows the id of is looked for by its token. Returns whether it has ended;
    /// `None`: its Alertmanager is not configured any more.
    pub async fn end(&self, silence: &OwnSilence) -> Result<Option<bool>, EngineError> {
        let Some(one) = self.named(&silence.alertmanager) else { return Ok(None) };
        let ended = match &silence.silence_id {
            Some(id) => one.api.end_silence(id).await.map(drop),
            None => match one.api.silence_with(&silence.token.to_string(), self.clock.now()).await {
                Ok(Some(found)) => one.api.end_silence(&found.id).await.map(drop),
                Ok(None) => Ok(()),
                Err(error) => Err(error),
            },
        };
        match ended {
            Ok(()) => {
                self.store.silence_ended(silence.token).await?;
                Ok(Some(true))
            }
            Err(error) => {
                let why = causes(&error);
                tracing::warn!(
                    alertmanager = silence.alertmanager,
                    why,
                    "a silence in Alertmanager {} cannot be ended yet: {why}",
                    silence.alertmanager
                );
                Ok(Some(false))
            }
        }
    }

    pub(super) fn named(&self, name: &str) -> Option<Arc<NamedAlertmanager>> {
        self.alertmanagers.load().iter().find(|one| one.name == name).cloned()
    }
}

fn line(alertmanager: &str, silence: Silence, incidents: BTreeSet<i64>) -> SilenceLine {
    SilenceLine {
        comment: silence.comment_for_people().to_owned(),
        id: silence.id,
        alertmanager: alertmanager.to_owned(),
        incidents,
        created_by: silence.created_by,
        from: (silence.state == SilenceState::Pending).then_some(silence.starts_at),
        until: silence.ends_at,
    }
}

/// The incidents with alerts that a silence matches.
fn matched(silence: &Silence, alerts: &[(i64, Labels)]) -> BTreeSet<i64> {
    // A regular expression that cannot be read matches nothing.
    let conditions: Option<Vec<_>> = silence.matchers.iter().map(condition).collect();
    let Some(conditions) = conditions.filter(|conditions| !conditions.is_empty()) else {
        return BTreeSet::new();
    };
    let matches = |labels: &Labels| conditions.iter().all(|holds| holds(labels));
    alerts.iter().filter(|(_, labels)| matches(labels)).map(|(number, _)| *number).collect()
}

type Condition<'a> = Box<dyn Fn(&Labels) -> bool + Send + 'a>;

fn condition(matcher: &Matcher) -> Option<Condition<'_>> {
    let value = |labels: &Labels| labels.get(&matcher.name).cloned().unwrap_or_default();
    if !matcher.is_regex {
        return Some(Box::new(move |labels| (value(labels) == matcher.value) == matcher.is_equal));
    }
    let pattern = format!("^(?:{})$", matcher.value);
    let pattern = RegexBuilder::new(&pattern).size_limit(LARGEST_PATTERN).build().ok()?;
    Some(Box::new(move |labels| pattern.is_match(&value(labels)) == matcher.is_equal))
}

/// Listed alerts by their fingerprints.
pub(super) fn by_fingerprint(alerts: Vec<FullAlert>) -> BTreeMap<Fingerprint, Listed> {
    let listed =
        |one: FullAlert| (one.alert.fingerprint, Listed { labels: one.alert.labels, exact: one.exact });
    alerts.into_iter().map(listed).collect()
}
