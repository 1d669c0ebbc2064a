//! Why matrixbot rejects a report, and the answer: the one place that knows the status codes.

use super::admission::Busy;
use super::auth::Refused;
use super::payload::{LARGEST_BODY, Unreadable};
use crate::engine::EngineError;
use crate::telemetry::logs::causes;
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use serde_json::json;

/// Value of the `Retry-After` header, in seconds.
const RETRY_AFTER: &str = "5";

/// Why a report is rejected.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// The caller has no token, or a wrong one.
    #[error("send the room list's webhook token as a Bearer token or as the Basic password")]
    Unauthorized,
    /// The path names a room list that does not exist.
    #[error("there is no such room list")]
    UnknownRoomList,
    /// Neither the receiver nor a label names a room list.
    #[error("no room list has the receiver {receiver:?}, and no label room_list names one")]
    NotRouted {
        /// The receiver.
        receiver: String,
    },
    /// The headers announce another type, or compression.
    #[error("the body must be application/json, not compressed")]
    NotJson,
    /// The body is too large.
    #[error("the body is larger than {LARGEST_BODY} bytes; set max_alerts in Alertmanager")]
    TooLarge,
    /// The body did not arrive in time.
    #[error("the body did not arrive in time")]
    TooSlow,
    /// The body ended early.
    #[error("the request body ended early")]
    BrokenOff,
    /// The body cannot be parsed.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// Too many reports, or too large ones, wait.
    #[error("too many reports, or too large ones, are waiting; try again")]
    Busy,
    /// Nothing was committed: try again.
    #[error("the report could not be kept; try again")]
    Unavailable(#[source] EngineError),
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Unauthorized => Self::Unauthorized,
            Refused::UnknownRoomList => Self::UnknownRoomList,
        }
    }
}

impl From<Busy> for Refusal {
    fn from(Busy: Busy) -> Self {
        Self::Busy
    }
}

impl From<EngineError> for Refusal {
    // If the webhook knows a list and the engine does not, the list is just being added or removed: a retry of the same
    // report is accepted, or rejected for good.
    fn from(error: EngineError) -> Self {
        Self::Unavailable(error)
    }
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::UnknownRoomList | Self::NotRouted { .. } => StatusCode::NOT_FOUND,
            Self::NotJson => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::BrokenOff | Self::Unreadable(_) => StatusCode::BAD_REQUEST,
            Self::Busy | Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The answer. Of the request, it contains only the receiver's name and the path and position of a problem.
    pub(super) fn answer(&self) -> HttpResponse {
        let mut body = json!({ "error": self.to_string() });
        if let (Self::Unreadable(unreadable), Some(body)) = (self, body.as_object_mut()) {
            body.insert("path".to_owned(), json!(unreadable.path));
            if let Some((line, column)) = unreadable.position {
                body.insert("line".to_owned(), json!(line));
                body.insert("column".to_owned(), json!(column));
            }
        }
        let mut answer = HttpResponse::build(self.status()).json(body);
        let mut add = |name: HeaderName, value: &'static str| {
            answer.headers_mut().append(name, HeaderValue::from_static(value));
        };
        match self {
            Self::Unauthorized => {
                add(header::WWW_AUTHENTICATE, "Bearer realm=\"matrixbot\"");
                add(header::WWW_AUTHENTICATE, "Basic realm=\"matrixbot\", charset=\"UTF-8\"");
            }
            Self::Busy | Self::Unavailable(_) => add(header::RETRY_AFTER, RETRY_AFTER),
            Self::UnknownRoomList
            | Self::NotRouted { .. }
            | Self::NotJson
            | Self::TooLarge
            | Self::TooSlow
            | Self::BrokenOff
            | Self::Unreadable(_) => {}
        }
        answer
    }

    /// Logs the rejection. `room_list`: the target, if known.
    pub(super) fn log(&self, room_list: Option<&str>, path: &str) {
        let status = self.status().as_u16();
        if let Self::Unavailable(error) = self {
            let cause = causes(error);
            tracing::error!(room_list, path, status, cause, "a webhook at {path} could not be kept: {cause}");
        } else {
            tracing::warn!(room_list, path, status, "a webhook at {path} was answered {status}: {self}");
        }
    }
}
