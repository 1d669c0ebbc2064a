//! `POST /webhook…`: accepts Alertmanager's reports.
//!
//! matrixbot answers 200 only after the report is committed. Alertmanager retries after a 5xx and never after a 4xx, so
//! matrixbot answers 4xx only where a retry would fail again: a wrong token, an unknown path, an unreadable body. It
//! checks the token before it reads the body.

use super::admission::Admission;
use super::auth::{Access, Caller, Refused};
use super::payload::{self, LARGEST_BODY, Report};
use super::refusal::Refusal;
use crate::clock::SharedClock;
use crate::domain::input::Outcome;
use crate::domain::time;
use crate::domain::webhook::{PREDECESSORS_ROUTES, Webhook};
use crate::engine::{Accepted, CurrentLists, Engine, EngineError, Source};
use crate::http::{MainRuntime, answer};
use crate::telemetry::Metrics;
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::StreamExt as _;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// The state that the handlers share. Reports are handled on the main runtime, which owns the connections.
#[derive(Debug)]
pub struct WebhookState {
    engine: Engine,
    lists: CurrentLists,
    runtime: MainRuntime,
    clock: SharedClock,
    metrics: Arc<Metrics>,
    admission: Admission,
}

impl WebhookState {
    /// A webhook that reports to `engine`, whose pool has so many connections.
    pub fn new(
        engine: Engine,
        lists: CurrentLists,
        runtime: MainRuntime,
        clock: SharedClock,
        metrics: Arc<Metrics>,
        pool: u32,
    ) -> Self {
        Self { engine, lists, runtime, clock, metrics, admission: Admission::new(pool) }
    }

    /// Passes a report that arrived at `now` to the engine. When this returns `Ok`, its effects are committed.
    async fn report(
        &self,
        room_list: &str,
        webhook: Webhook,
        now: Timestamp,
    ) -> Result<Accepted, EngineError> {
        let (engine, room_list) = (self.engine.clone(), room_list.to_owned());
        self.runtime.run(async move { engine.report(&room_list, &webhook, now, Source::Webhook).await }).await
    }
}

/// Adds the webhook's paths to a listener.
pub fn configure(config: &mut web::ServiceConfig, state: web::Data<WebhookState>) {
    let only_post = || web::to(|request: HttpRequest| async move { answer::wrong_method(&request, "POST") });
    config.app_data(state);
    config.service(
        web::resource(["/webhook/{room_list}", "/webhook/{room_list}/"])
            .route(web::post().to(by_path))
            .default_service(only_post()),
    );
    config.service(
        web::resource(["/webhook", "/webhook/"])
            .route(web::post().to(by_content))
            .default_service(only_post()),
    );
    for path in PREDECESSORS_ROUTES {
        // opsdroid also serves each path with a slash at its end.
        config.service(
            web::resource([path.to_owned(), format!("{path}/")])
                .route(web::post().to(by_predecessors_path))
                .default_service(only_post()),
        );
    }
}

async fn by_path(
    state: web::Data<WebhookState>,
    request: HttpRequest,
    room_list: web::Path<String>,
    body: web::Payload,
) -> HttpResponse {
    handle(&state, &request, body, AddressedBy::RoomList(&room_list)).await
}

async fn by_predecessors_path(
    state: web::Data<WebhookState>,
    request: HttpRequest,
    body: web::Payload,
) -> HttpResponse {
    handle(&state, &request, body, AddressedBy::PredecessorsPath(request.path().trim_end_matches('/'))).await
}

async fn by_content(
    state: web::Data<WebhookState>,
    request: HttpRequest,
    body: web::Payload,
) -> HttpResponse {
    handle(&state, &request, body, AddressedBy::Content).await
}

/// What in a request names the room list.
#[derive(Debug, Clone, Copy)]
enum AddressedBy<'a> {
    /// Its path.
    RoomList(&'a str),
    /// A predecessor's path, which the configuration maps.
    PredecessorsPath(&'a str),
    /// Its body.
    Content,
}

async fn handle(
    state: &WebhookState,
    request: &HttpRequest,
    body: web::Payload,
    addressed_by: AddressedBy<'_>,
) -> HttpResponse {
    let began = state.clock.now();
    let lists = state.lists.load();
    let access = Access::new(lists.webhooks());
    let mut concerned = None;
    let answer = match accept(state, access, request, body, addressed_by, &mut concerned).await {
        Ok(accepted) => HttpResponse::Ok().json(accepted),
        Err(refusal) => {
            refusal.log(concerned, request.path());
            refusal.answer()
        }
    };
    let took = time::between(began, state.clock.now());
    state.metrics.webhook(concerned, answer.status().as_u16(), took);
    answer
}

/// Accepts a report: checks its token, parses it, commits it. `concerned`: the room list, as soon as it is known.
async fn accept<'a>(
    state: &WebhookState,
    access: Access<'a>,
    request: &HttpRequest,
    body: web::Payload,
    addressed_by: AddressedBy<'_>,
    concerned: &mut Option<&'a str>,
) -> Result<Value, Refusal> {
    let caller = access.caller(authorization(request));
    let named = match addressed_by {
        AddressedBy::RoomList(name) => Some(access.known(name)),
        AddressedBy::PredecessorsPath(path) => Some(access.of_path(path).and_then(|name| access.known(name))),
        AddressedBy::Content => None,
    };
    if let Some(named) = named {
        *concerned = named;
        access.admit(&caller, named)?;
    } else {
        access.admit_to_any(&caller)?;
    }
    let length = announced(request)?;
    let share = caller.share(named.flatten());
    let place = state.admission.place(share, length).await?;
    let body = read(body, length).await?;
    let _turn = state.admission.turn(&place, share).await?;
    let now = state.clock.now();
    let Report { webhook, remarks } = payload::parse(&body, now)?;
    // It may be large, and is of no use any more.
    drop(body);
    let room_list = match named.flatten() {
        Some(name) => name,
        None => routed(access, &caller, &webhook, concerned)?,
    };
    let count = |firing: bool| webhook.alerts.iter().filter(|alert| alert.firing == firing).count();
    let (firing, resolved) = (count(true), count(false));
    let connection = state.admission.connection(room_list).await?;
    let accepted = state.report(room_list, webhook, now).await?;
    drop(connection);
    for remark in &remarks {
        tracing::warn!(room_list, "a webhook for {room_list} has a problem: {remark}");
    }
    state
        .metrics
        .alerts(u64::try_from(firing).unwrap_or(u64::MAX), u64::try_from(resolved).unwrap_or(u64::MAX));
    let mut answer = json!({
        "incident": accepted.incident,
        "room_list": room_list,
        "outcome": outcome(accepted.outcome),
        "firing": firing,
        "resolved": resolved,
        "remarks": remarks,
    });
    if let (Some(answer), true) = (answer.as_object_mut(), accepted.incidents.len() > 1) {
        answer.insert("incidents".to_owned(), json!(accepted.incidents));
    }
    if let (Some(answer), not_paged @ 1..) = (answer.as_object_mut(), accepted.not_paged) {
        answer.insert("not_paged".to_owned(), json!(not_paged));
    }
    Ok(answer)
}

fn routed<'a>(
    access: Access<'a>,
    caller: &Caller,
    webhook: &Webhook,
    concerned: &mut Option<&'a str>,
) -> Result<&'a str, Refusal> {
    *concerned = access.of_webhook(webhook);
    match access.admit(caller, *concerned) {
        Ok(name) => Ok(name),
        Err(Refused::Unauthorized) => Err(Refusal::Unauthorized),
        Err(Refused::UnknownRoomList) => Err(Refusal::NotRouted { receiver: webhook.group.receiver.clone() }),
    }
}

/// The `Authorization` header. `None` if there are several, which is ambiguous.
fn authorization(request: &HttpRequest) -> Option<&str> {
    let mut headers = request.headers().get_all(header::AUTHORIZATION);
    headers.next().filter(|_| headers.next().is_none())?.to_str().ok()
}

/// The announced length of a body that may be read; `None`: it is not announced.
fn announced(request: &HttpRequest) -> Result<Option<usize>, Refusal> {
    if !is_json(request) {
        return Err(Refusal::NotJson);
    }
    let length =
        request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if length.is_some_and(|length| length > LARGEST_BODY) {
        return Err(Refusal::TooLarge);
    }
    Ok(length)
}

/// Receives a body. One whose length is announced takes no more memory than that.
async fn read(body: web::Payload, length: Option<usize>) -> Result<Vec<u8>, Refusal> {
    let receiving = async {
        let (mut body, mut received) = (body, Vec::with_capacity(length.unwrap_or_default()));
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|_ended_early| Refusal::BrokenOff)?;
            if received.len().saturating_add(chunk.len()) > LARGEST_BODY {
                return Err(Refusal::TooLarge);
            }
            received.extend_from_slice(&chunk);
        }
        Ok(received)
    };
    tokio::time::timeout(BODY_TIMEOUT, receiving).await.unwrap_or(Err(Refusal::TooSlow))
}

/// `application/json` or `application/…+json`, with any parameters, and not compressed. A body without a type counts as
/// JSON: the parser finds out.
fn is_json(request: &HttpRequest) -> bool {
    let header =
        |name: header::HeaderName| request.headers().get(name).map(|value| value.to_str().unwrap_or("?"));
    let plain =
        header(header::CONTENT_ENCODING).is_none_or(|encoding| encoding.eq_ignore_ascii_case("identity"));
    plain
        && header(header::CONTENT_TYPE).is_none_or(|content_type| {
            let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
            essence == "application/json"
                || (essence.starts_with("application/") && essence.ends_with("+json"))
        })
}

fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Done => "done",
        Outcome::Repeated => "repeated",
        Outcome::Doubted => "doubted",
        Outcome::OrphanClear => "orphan_clear",
        Outcome::UnderMaintenance => "under_maintenance",
        Outcome::Nothing
        | Outcome::JoinedAck
        | Outcome::AlreadyYours
        | Outcome::TooLate
        | Outcome::CoversNothing
        | Outcome::NotAcknowledged
        | Outcome::NotSnoozed
        | Outcome::StaleRung => "nothing",
    }
}
