//! The Application Service API v1, the appservice's side: <https://spec.matrix.org/v1.19/application-service-api/>.
//!
//! matrixbot answers a transaction within milliseconds, as soon as its events are committed: until then the homeserver
//! keeps the following events only in memory, and a restart loses them. No event makes a transaction fail, because the
//! homeserver would retry the same transaction forever. Every answer has a JSON body; Synapse counts a 200 without one
//! as a failure.

mod auth;
mod stand_in;

pub use stand_in::StandIn;

use crate::engine::{CurrentLists, Engine, EngineError};
use crate::http::MainRuntime;
use crate::http::answer::{matrix_error, wrong_method};
use crate::http::token::Token;
use crate::rooms::{RoomError, VirtualUsers};
use crate::telemetry::logs::causes;
use crate::telemetry::{EventResult, Metrics, TransactionResult};
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, Route, web};
use ruma::UserId;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::Duration;

/// The largest accepted transaction: 100 events of 64 KiB, as much other data, and a margin.
pub const LARGEST_BODY: usize = 32 * 1024 * 1024;
/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// The state that the handlers share. Everything that uses connections runs on the main runtime.
#[derive(Debug)]
pub struct AppserviceState {
    engine: Engine,
    lists: CurrentLists,
    users: VirtualUsers,
    runtime: MainRuntime,
    hs_token: Option<Token>,
    metrics: Arc<Metrics>,
}

impl AppserviceState {
    /// State for a homeserver that authenticates with `hs_token`.
    pub fn new(
        engine: Engine,
        lists: CurrentLists,
        users: VirtualUsers,
        runtime: MainRuntime,
        hs_token: &SecretString,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { engine, lists, users, runtime, hs_token: Token::new(hs_token), metrics }
    }

    /// Stores the events of a transaction, each event id once. When this returns `Ok`, they are committed; returns how
    /// many were new.
    async fn accept_events(&self, txn_id: &str, events: Vec<Box<RawValue>>) -> Result<u64, EngineError> {
        let (engine, txn_id) = (self.engine.clone(), txn_id.to_owned());
        self.runtime.run(async move { engine.accept_events(&txn_id, &events).await }).await
    }

    /// Registers the user if it is one of our virtual users. Returns whether it is.
    async fn ensure_user(&self, user_id: &UserId) -> Result<bool, RoomError> {
        if self.lists.load().of_user(user_id.as_str()).is_none() {
            return Ok(false);
        }
        // Our database may list the user as registered, but the homeserver does not know it.
        let (users, user_id) = (self.users.clone(), user_id.to_owned());
        self.runtime.run(async move { users.register(&user_id).await }).await?;
        Ok(true)
    }
}

/// Adds the paths of the Application Service API to a listener.
pub fn configure(config: &mut web::ServiceConfig, state: web::Data<AppserviceState>) {
    config.app_data(state);
    // Old homeservers use the paths without the prefix.
    for prefix in ["/_matrix/app/v1", ""] {
        serve(config, &format!("{prefix}/transactions/{{txn_id}}"), "PUT", web::put().to(transaction));
        serve(config, &format!("{prefix}/users/{{user_id}}"), "GET", web::get().to(user));
        serve(config, &format!("{prefix}/rooms/{{room_alias}}"), "GET", web::get().to(unsupported));
    }
    serve(config, "/_matrix/app/v1/ping", "POST", web::post().to(ping));
    for prefix in ["/_matrix/app/v1/thirdparty", "/_matrix/app/unstable/thirdparty"] {
        for path in ["protocol/{protocol}", "user", "user/{protocol}", "location", "location/{protocol}"] {
            serve(config, &format!("{prefix}/{path}"), "GET", web::get().to(unsupported));
        }
    }
}

fn serve(config: &mut web::ServiceConfig, path: &str, method: &'static str, route: Route) {
    let others = web::to(move |request: HttpRequest| async move { wrong_method(&request, method) });
    config.service(web::resource(path).route(route).default_service(others));
}

/// `PUT /transactions/{txnId}`
async fn transaction(
    state: web::Data<AppserviceState>,
    request: HttpRequest,
    txn_id: web::Path<String>,
    body: web::Payload,
) -> HttpResponse {
    let (result, answer) = match accept(&state, &request, &txn_id, body).await {
        Ok(()) => (TransactionResult::Accepted, done()),
        Err(refusal) => (refusal.result(), refusal.answer(&txn_id)),
    };
    state.metrics.transaction(result);
    answer
}

/// Accepts a transaction: checks its token, reads its body, commits its events. Its id does not identify it: the
/// homeserver may reuse one for other events.
async fn accept(
    state: &AppserviceState,
    request: &HttpRequest,
    txn_id: &str,
    body: web::Payload,
) -> Result<(), Refusal> {
    auth::check(request, state.hs_token.as_ref()).map_err(Refusal::Token)?;
    let body = match tokio::time::timeout(BODY_TIMEOUT, body.to_bytes_limited(LARGEST_BODY)).await {
        Ok(Ok(Ok(body))) => body,
        Ok(Err(_limit_exceeded)) => return Err(Refusal::TooLarge),
        Ok(Ok(Err(_))) | Err(_) => return Err(Refusal::Incomplete),
    };
    let events = read(&body)?;
    let sent = u64::try_from(events.len()).unwrap_or(u64::MAX);
    let kept = state.accept_events(txn_id, events).await?;
    state.metrics.events(EventResult::Accepted, kept);
    state.metrics.events(EventResult::Duplicate, sent.saturating_sub(kept));
    Ok(())
}

/// The events of a transaction, unparsed. Its other data (typing, receipts, messages to devices) is not used.
fn read(body: &[u8]) -> Result<Vec<Box<RawValue>>, Refusal> {
    #[derive(Deserialize)]
    struct Transaction {
        events: Vec<Box<RawValue>>,
    }
    let text = String::from_utf8_lossy(body);
    let transaction: Transaction = serde_json::from_str(&text).map_err(|error| {
        // The error's text may quote the body; the position does not.
        let place = format!("line {}, column {}", error.line(), error.column());
        if error.is_data() { Refusal::BadJson(place) } else { Refusal::NotJson(place) }
    })?;
    Ok(transaction.events)
}

/// `GET /users/{userId}`: the homeserver asks whether a user of our namespace exists. The answer is 200 only after the
/// user was registered.
async fn user(
    state: web::Data<AppserviceState>,
    request: HttpRequest,
    user_id: web::Path<String>,
) -> HttpResponse {
    if let Err(refused) = auth::check(&request, state.hs_token.as_ref()) {
        return refused.answer();
    }
    let Ok(user_id) = UserId::parse(user_id.as_str()) else { return not_found() };
    match state.ensure_user(&user_id).await {
        Ok(true) => done(),
        Ok(false) => not_found(),
        Err(error) => {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(user = %user_id, error, "the virtual user {user_id} could not be registered: {error}");
            unavailable("the user could not be registered; try again")
        }
    }
}

/// `GET /rooms/{roomAlias}` and the third-party networks: we have neither aliases nor networks.
async fn unsupported(state: web::Data<AppserviceState>, request: HttpRequest) -> HttpResponse {
    match auth::check(&request, state.hs_token.as_ref()) {
        Ok(()) => not_found(),
        Err(refused) => refused.answer(),
    }
}

/// `POST /ping`
async fn ping(state: web::Data<AppserviceState>, request: HttpRequest) -> HttpResponse {
    match auth::check(&request, state.hs_token.as_ref()) {
        Ok(()) => done(),
        Err(refused) => refused.answer(),
    }
}

fn done() -> HttpResponse {
    HttpResponse::Ok().json(json!({}))
}

fn not_found() -> HttpResponse {
    matrix_error(StatusCode::NOT_FOUND, "M_NOT_FOUND", "not found")
}

fn unavailable(why: &str) -> HttpResponse {
    let mut answer = matrix_error(StatusCode::SERVICE_UNAVAILABLE, "M_UNKNOWN", why);
    answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    answer
}

/// Why matrixbot rejects a transaction.
#[derive(Debug)]
enum Refusal {
    Token(auth::Refused),
    TooLarge,
    Incomplete,
    NotJson(String),
    BadJson(String),
    Unavailable(EngineError),
}

impl From<EngineError> for Refusal {
    fn from(error: EngineError) -> Self {
        Self::Unavailable(error)
    }
}

impl Refusal {
    fn result(&self) -> TransactionResult {
        match self {
            Self::Token(_) => TransactionResult::Unauthorized,
            Self::TooLarge | Self::Incomplete | Self::NotJson(_) | Self::BadJson(_) => {
                TransactionResult::Unreadable
            }
            Self::Unavailable(_) => TransactionResult::Unavailable,
        }
    }

    /// Returns the answer, and logs the reason: the homeserver retries the same transaction until it is accepted.
    fn answer(&self, txn_id: &str) -> HttpResponse {
        let (why, answer) = match self {
            Self::Token(refused) => (refused.to_string(), refused.answer()),
            Self::TooLarge => {
                let why = format!("the body is larger than {LARGEST_BODY} bytes");
                (why.clone(), matrix_error(StatusCode::PAYLOAD_TOO_LARGE, "M_TOO_LARGE", &why))
            }
            Self::Incomplete => {
                let why = "the request body ended early";
                (why.to_owned(), matrix_error(StatusCode::BAD_REQUEST, "M_NOT_JSON", why))
            }
            Self::NotJson(place) => {
                let why = format!("the body is not JSON ({place})");
                (why.clone(), matrix_error(StatusCode::BAD_REQUEST, "M_NOT_JSON", &why))
            }
            Self::BadJson(place) => {
                let why = format!("the body is not an object with a list of events ({place})");
                (why.clone(), matrix_error(StatusCode::BAD_REQUEST, "M_BAD_JSON", &why))
            }
            Self::Unavailable(error) => {
                (causes(error), unavailable("the events could not be stored; try again"))
            }
        };
        let status = answer.status().as_u16();
        tracing::error!(txn_id, status, "transaction {txn_id} was answered {status}: {why}");
        answer
    }
}
