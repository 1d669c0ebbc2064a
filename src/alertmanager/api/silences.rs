//! Silences: listing, making, prolonging and ending them.
//!
//! Alertmanager makes another silence for each POST, so a POST without an answer is repeated only if no silence has its
//! token. Peers of a cluster learn of each other's silences within a second; until then they do not know them.

use super::error::ApiError;
use super::peer::{Peer, body};
use crate::alertmanager::payload;
use crate::domain::clocks::Ahead;
use crate::domain::time;
use crate::domain::webhook::Labels;
use futures_util::future::join_all;
use jiff::Timestamp;
use reqwest::{Method, header};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::sleep;
use uuid::Uuid;

/// The most silences of one list, with expired ones.
const MOST_SILENCES: usize = 20_000;
/// The most bytes of the answer to a POST.
const LARGEST_ANSWER: usize = 64 * 1024;
/// How far in the past a silence starts: a start in Alertmanager's future would hold nothing yet.
const START_BEFORE: Duration = Duration::from_mins(5);
/// How often, and after how long, a peer that does not know a silence is asked again.
const ATTEMPTS: u32 = 4;
const PAUSE: Duration = Duration::from_millis(250);
/// The annotation with the token. Releases before 0.32 keep no annotations, so the comment has it, too.
const ANNOTATION: &str = "matrixbot";

/// A silence that is to be made. It begins at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSilence<'a> {
    /// It holds the alerts with exactly these labels, which must be uncut.
    pub labels: &'a Labels,
    /// How long it lasts, by Alertmanager's clock. Releases up to 0.28 refuse ends in the year 9999.
    pub lasting: Duration,
    /// The Matrix id of the person.
    pub created_by: &'a str,
    /// For people; the token is added at its end.
    pub comment: &'a str,
    /// Unique, so that the silence is found if the answer is lost.
    pub token: &'a str,
}

/// A silence as Alertmanager lists it, with its times by our clock; texts are cleaned and bounded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Silence {
    /// Its id; many edits change it.
    pub id: String,
    /// An alert is held if all of them match it. An edit must keep their order.
    pub matchers: Vec<Matcher>,
    /// When it starts.
    pub starts_at: Timestamp,
    /// When it ends or ended.
    pub ends_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Whether it holds alerts now, later or no longer.
    pub state: SilenceState,
    /// Free text: anybody may name anybody.
    pub created_by: String,
    /// Free text.
    pub comment: String,
}

/// The state of a silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SilenceState {
    /// It holds alerts.
    Active,
    /// It has not started.
    Pending,
    /// It has ended; listed for five days by default.
    Expired,
}

/// A condition on one label. A label that an alert lacks has the value `""`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Matcher {
    /// The label.
    pub name: String,
    /// The value, or an anchored regular expression.
    pub value: String,
    /// Whether `value` is a regular expression.
    pub is_regex: bool,
    /// Whether the label has to match; `false`: it must not.
    #[serde(default = "yes")]
    pub is_equal: bool,
}

fn yes() -> bool {
    true
}

/// How a silence ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SilenceEnd {
    /// It has ended now, or had ended before.
    Ended,
    /// No peer that answers knows it.
    Gone,
}

impl Silence {
    /// Whether somebody ended it, or an edit replaced it; otherwise it ran out.
    pub fn was_ended(&self) -> bool {
        self.state == SilenceState::Expired
            && self.updated_at.as_millisecond() == self.ends_at.as_millisecond()
    }

    fn on_our_clock(self, ahead: Ahead) -> Self {
        Self {
            starts_at: ahead.on_our_clock(self.starts_at),
            ends_at: ahead.on_our_clock(self.ends_at),
            updated_at: ahead.on_our_clock(self.updated_at),
            ..self
        }
    }

    /// The comment without the token that one of ours ends with.
    pub fn comment_for_people(&self) -> &str {
        let token = self.comment.rsplit_once('[').and_then(|(before, token)| {
            let is_token = |token: &str| token.len() == 36 && Uuid::try_parse(token).is_ok();
            token.strip_suffix(']').filter(|token| is_token(token)).map(|_| before.trim_end())
        });
        token.unwrap_or(&self.comment)
    }
}

/// All silences of all peers that answer; active ones first, those that end first before the others.
pub(super) async fn list(peers: &[Peer], now: Timestamp) -> Result<Vec<Silence>, ApiError> {
    let mut union = BTreeMap::<String, Silence>::new();
    let lists = peers.iter().map(|peer| list_of(peer, now));
    for silence in super::answers(join_all(lists).await)?.into_iter().flatten() {
        let newer = union.get(&silence.id).is_none_or(|known| known.updated_at < silence.updated_at);
        if newer {
            union.insert(silence.id.clone(), silence);
        }
    }
    let mut all: Vec<Silence> = union.into_values().collect();
    all.sort_by(|one, other| (one.state, one.ends_at, &one.id).cmp(&(other.state, other.ends_at, &other.id)));
    Ok(all)
}

async fn list_of(peer: &Peer, now: Timestamp) -> Result<Vec<Silence>, ApiError> {
    let mut all = Vec::new();
    let clock = peer.list("/api/v2/silences", &[], |element| {
        if all.len() >= MOST_SILENCES {
            return Err(ApiError::unreadable("it lists more than 20000 silences"));
        }
        all.push(read(element)?);
        Ok(())
    });
    let ahead = Ahead::of(clock.await?.unwrap_or(now), now);
    Ok(all.into_iter().map(|silence| silence.on_our_clock(ahead)).collect())
}

/// The silence with a token that has not ended.
pub(super) async fn with_token_of(
    peers: &[Peer],
    token: &str,
    now: Timestamp,
) -> Result<Option<Silence>, ApiError> {
    let is_it = |one: &Silence| one.state != SilenceState::Expired && has_token(one, token);
    Ok(list(peers, now).await?.into_iter().find(is_it))
}

/// Makes a silence on the first peer that can.
pub(super) async fn make(peers: &[Peer], new: &NewSilence<'_>, now: Timestamp) -> Result<Silence, ApiError> {
    let mut failure = ApiError::unreadable("it has no peers");
    for peer in peers {
        match make_on(peer, new, now).await {
            Ok(silence) => return Ok(silence),
            Err(Failed::Refused(error)) => return Err(error),
            Err(Failed::NotPosted(error)) => failure = error,
            Err(Failed::Unsure(error)) => {
                // Only a list without it proves that it was not made.
                if let Some(made) = list(peers, now).await?.into_iter().find(|one| has_token(one, new.token))
                {
                    return Ok(made);
                }
                failure = error;
            }
        }
    }
    Err(failure)
}

/// Why a silence was not made, as far as is known.
enum Failed {
    /// Another peer would refuse it as well.
    Refused(ApiError),
    NotPosted(ApiError),
    Unsure(ApiError),
}

async fn make_on(peer: &Peer, new: &NewSilence<'_>, now: Timestamp) -> Result<Silence, Failed> {
    let there = clock(peer).await.map_err(Failed::NotPosted)?;
    // Names in their order: an edit with another order would make another silence.
    let matchers: Vec<Matcher> = new.labels.iter().map(|(name, value)| exact(name, value)).collect();
    let (starts_at, ends_at) = (time::earlier(there, START_BEFORE), time::later(there, new.lasting));
    let comment = with_token(new.comment, new.token);
    let posted = json!({
        "matchers": matchers,
        "startsAt": starts_at,
        "endsAt": ends_at,
        "createdBy": new.created_by,
        "comment": comment,
        "annotations": {ANNOTATION: new.token},
    });
    let id = post(peer, &posted).await.map_err(|error| match error {
        ApiError::Refused { status, .. } if status < 500 => Failed::Refused(error),
        ApiError::Unauthorized(_) => Failed::Refused(error),
        error => Failed::Unsure(error),
    })?;
    Ok(get(peer, &id, now).await.ok().flatten().unwrap_or_else(|| Silence {
        id,
        matchers,
        starts_at: now,
        ends_at: Ahead::of(there, now).on_our_clock(ends_at),
        updated_at: now,
        state: SilenceState::Active,
        created_by: new.created_by.to_owned(),
        comment,
    }))
}

/// Moves the end of a silence to `lasting` from now, later or earlier. `None`: it has ended, or no peer that answers knows it.
pub(super) async fn prolong(
    peers: &[Peer],
    id: &str,
    lasting: Duration,
    now: Timestamp,
) -> Result<Option<Silence>, ApiError> {
    let (mut failure, mut is_gone) = (None, !is_id(id));
    for peer in peers.iter().filter(|_| is_id(id)) {
        match patiently(|| prolong_on(peer, id, lasting, now)).await {
            Ok(silence) => return Ok(silence),
            Err(error) if is_unknown(&error) => is_gone = true,
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    failure.filter(|_| !is_gone).map_or(Ok(None), Err)
}

async fn prolong_on(
    peer: &Peer,
    id: &str,
    lasting: Duration,
    now: Timestamp,
) -> Result<Option<Silence>, ApiError> {
    let answer = peer.get(&path(id)).await?;
    // The whole object goes back, so everything else in it stays.
    let mut silence: Value = serde_json::from_slice(&answer.body).map_err(ApiError::Unreadable)?;
    let (Some(there), Some(fields)) = (answer.clock, silence.as_object_mut()) else {
        return Err(ApiError::unreadable("it has no date, or is no silence"));
    };
    let is_expired = fields.get("status").and_then(|status| status.get("state")) == Some(&json!("expired"));
    if is_expired {
        return Ok(None);
    }
    fields.insert("endsAt".to_owned(), json!(time::later(there, lasting)));
    let id = post(peer, &silence).await?;
    get(peer, &id, now).await
}

/// Ends a silence on the first peer that knows it.
pub(super) async fn end(peers: &[Peer], id: &str) -> Result<SilenceEnd, ApiError> {
    let (mut failure, mut is_gone) = (None, !is_id(id));
    for peer in peers.iter().filter(|_| is_id(id)) {
        let end = || async { peer.send(peer.request(Method::DELETE, &path(id))).await.map(drop) };
        match patiently(end).await {
            Ok(()) => return Ok(SilenceEnd::Ended),
            Err(error) if is_unknown(&error) => is_gone = true,
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    failure.filter(|_| !is_gone).map_or(Ok(SilenceEnd::Gone), Err)
}

/// Repeats a request for some time if the peer does not know the silence: another peer's arrives within a second.
async fn patiently<T, F: Future<Output = Result<T, ApiError>>>(
    request: impl Fn() -> F,
) -> Result<T, ApiError> {
    for _ in 1..ATTEMPTS {
        match request().await {
            Err(error) if is_unknown(&error) => sleep(PAUSE).await,
            result => return result,
        }
    }
    request().await
}

/// The silence is unknown. Release 0.25 answers 500 to its DELETE.
fn is_unknown(error: &ApiError) -> bool {
    match error {
        ApiError::Refused { status: 404, .. } => true,
        ApiError::Refused { status: 500, text } => text.contains("silence not found"),
        _ => false,
    }
}

async fn get(peer: &Peer, id: &str, now: Timestamp) -> Result<Option<Silence>, ApiError> {
    if !is_id(id) {
        return Err(ApiError::unreadable("it has an invalid id"));
    }
    let path = path(id);
    match patiently(|| peer.get(&path)).await {
        Ok(answer) => {
            let ahead = Ahead::of(answer.clock.unwrap_or(now), now);
            read(&answer.body).map(|silence| Some(silence.on_our_clock(ahead)))
        }
        Err(error) if is_unknown(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn post(peer: &Peer, silence: &Value) -> Result<String, ApiError> {
    #[derive(Deserialize)]
    struct Made {
        #[serde(rename = "silenceID")]
        id: String,
    }
    let request = peer.request(Method::POST, "/api/v2/silences");
    let request = request.header(header::CONTENT_TYPE, "application/json").body(silence.to_string());
    let answer = body(peer.send(request).await?, LARGEST_ANSWER).await?;
    let made: Made = serde_json::from_slice(&answer).map_err(ApiError::Unreadable)?;
    Ok(made.id)
}

/// Alertmanager's clock.
async fn clock(peer: &Peer) -> Result<Timestamp, ApiError> {
    let answer = peer.get("/api/v2/status").await?;
    answer.clock.ok_or_else(|| ApiError::unreadable("it has no date"))
}

/// Ids are UUIDs. Another text could be another path.
fn is_id(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn path(id: &str) -> String {
    format!("/api/v2/silence/{id}")
}

fn exact(name: &str, value: &str) -> Matcher {
    Matcher { name: name.to_owned(), value: value.to_owned(), is_regex: false, is_equal: true }
}

fn with_token(comment: &str, token: &str) -> String {
    format!("{comment} [{token}]").trim_start().to_owned()
}

fn has_token(silence: &Silence, token: &str) -> bool {
    silence.comment.ends_with(&format!("[{token}]"))
}

/// Reads a silence, with its times by Alertmanager's clock.
fn read(text: &[u8]) -> Result<Silence, ApiError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Listed {
        id: String,
        matchers: Vec<Matcher>,
        starts_at: Timestamp,
        ends_at: Timestamp,
        updated_at: Timestamp,
        status: Status,
        #[serde(default)]
        created_by: String,
        #[serde(default)]
        comment: String,
    }
    #[derive(Deserialize)]
    struct Status {
        state: SilenceState,
    }
    let listed: Listed = serde_json::from_slice(text).map_err(ApiError::Unreadable)?;
    let clean = |matcher: Matcher| Matcher {
        name: payload::clean(matcher.name),
        value: payload::clean(matcher.value),
        ..matcher
    };
    Ok(Silence {
        id: payload::clean(listed.id),
        matchers: listed.matchers.into_iter().map(clean).collect(),
        starts_at: listed.starts_at,
        ends_at: listed.ends_at,
        updated_at: listed.updated_at,
        state: listed.status.state,
        created_by: payload::clean(listed.created_by),
        comment: payload::clean(listed.comment),
    })
}
