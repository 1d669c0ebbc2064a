//! Why a request came to nothing, and who acts next.

use super::endpoint::Endpoint;
use serde::Deserialize;
use std::fmt;
use std::time::Duration;

/// What a failed request means for whoever made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// 429: the homeserver wants less. Nothing was done; ask again later.
    RateLimited {
        /// How long it wants to be left alone, if it said so.
        retry_after: Option<Duration>,
    },
    /// 5xx, no connection, timeout, a lost or unreadable reply: the same request again, later. Whether the
    /// homeserver acted is answered by [`ClientError::may_have_acted`].
    Temporary,
    /// 403: the virtual user may not, most often because it is not in the room.
    Forbidden,
    /// 404: no such room, alias, event or state.
    NotFound,
    /// 413: the event is larger than the homeserver takes.
    TooLarge,
    /// 401: the homeserver does not know our `as_token`. An operator has to act.
    UnknownToken,
    /// The homeserver has no account of this virtual user: register it, then ask again.
    UserNotRegistered,
    /// The homeserver does not know the asserted device: ensure it, then ask again.
    UnknownDevice,
    /// Any other 4xx: asking again will not help.
    BadRequest,
}

impl Failure {
    /// Whether the same request may well succeed later without anybody doing anything.
    pub fn is_temporary(self) -> bool {
        matches!(self, Self::RateLimited { .. } | Self::Temporary)
    }
}

/// A request that failed. Its text is fit for logs and rooms: it holds no token and no body.
#[derive(Debug)]
pub struct ClientError {
    endpoint: Endpoint,
    failure: Failure,
    may_have_acted: bool,
    errcode: Option<String>,
    shows_another_token: bool,
    ping_came_through: bool,
    detail: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl ClientError {
    /// Who acts next.
    pub fn failure(&self) -> Failure {
        self.failure
    }

    /// The homeserver's error code, such as `M_FORBIDDEN`, if it answered with one.
    pub fn errcode(&self) -> Option<&str> {
        self.errcode.as_deref()
    }

    /// Whether the homeserver's ping was refused for its token: its copy of the registration is not ours.
    pub fn shows_another_token(&self) -> bool {
        self.shows_another_token
    }

    /// Whether the homeserver's ping was answered well all the same.
    pub(super) fn ping_came_through(&self) -> bool {
        self.ping_came_through
    }

    /// Whether the homeserver may have done what was asked although the answer did not say so: the request reached
    /// it, or may have, and the reply was lost, unreadable or a 5xx.
    pub fn may_have_acted(&self) -> bool {
        self.may_have_acted
    }

    /// The request could not even be built: a fault of ours or of the configuration.
    pub fn unbuildable(endpoint: Endpoint, cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self {
            endpoint,
            failure: Failure::BadRequest,
            may_have_acted: false,
            errcode: None,
            shows_another_token: false,
            ping_came_through: false,
            detail: "the request cannot be built".to_owned(),
            source: Some(Box::new(cause)),
        }
    }

    /// No whole answer came.
    pub(super) fn unanswered(endpoint: Endpoint, cause: reqwest::Error) -> Self {
        let detail = if cause.is_connect() {
            "the homeserver cannot be reached"
        } else if cause.is_timeout() {
            "the homeserver did not answer in time"
        } else {
            "the homeserver's answer was lost"
        };
        Self {
            endpoint,
            failure: Failure::Temporary,
            may_have_acted: !cause.is_connect(),
            errcode: None,
            shows_another_token: false,
            ping_came_through: false,
            detail: detail.to_owned(),
            // The address is the operator's own configuration plus ids; it would only make the text long.
            source: Some(Box::new(cause.without_url())),
        }
    }

    /// A successful status came with a body that is not what the specification says.
    pub(super) fn unreadable(endpoint: Endpoint, cause: impl fmt::Display) -> Self {
        Self {
            endpoint,
            failure: Failure::Temporary,
            may_have_acted: true,
            errcode: None,
            shows_another_token: false,
            ping_came_through: false,
            detail: format!("the homeserver's answer cannot be read: {cause}"),
            source: None,
        }
    }

    /// An answer with a status other than 2xx came. `retry_after` is the header of that name.
    pub(super) fn refused(endpoint: Endpoint, status: u16, retry_after: Option<&str>, body: &[u8]) -> Self {
        let body = serde_json::from_slice::<ErrorBody>(body).ok();
        let errcode = body.as_ref().and_then(|body| body.errcode.clone());
        let said = body.as_ref().and_then(|body| body.error.as_deref()).unwrap_or_default();
        let shows_another_token = body.as_ref().is_some_and(ErrorBody::shows_another_token);
        let detail = match &errcode {
            _ if shows_another_token => {
                "the homeserver reaches matrixbot, but sends another hs_token than the one in the registration".to_owned()
            }
            Some(errcode) => match does_not_reach_us(errcode) {
                Some(why) => format!("{why} ({errcode}: {said})"),
                None => format!("the homeserver answered {status} {errcode}: {said}"),
            },
            None => format!("something answered {status} without a Matrix error"),
        };
        // Client-Server API §Rate limiting: the header wins over the deprecated field of the body.
        let retry_after = retry_after
            .and_then(|seconds| seconds.trim().parse().ok().map(Duration::from_secs))
            .or_else(|| body.as_ref().and_then(|body| body.retry_after_ms).map(Duration::from_millis));
        let failure = match classify(status, errcode.as_deref(), said) {
            Failure::RateLimited { .. } => Failure::RateLimited { retry_after },
            other => other,
        };
        Self {
            endpoint,
            failure,
            may_have_acted: failure == Failure::Temporary,
            errcode,
            shows_another_token,
            ping_came_through: body.as_ref().is_some_and(ErrorBody::ping_came_through),
            detail,
            source: None,
        }
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.endpoint, self.detail)
    }
}

impl std::error::Error for ClientError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn std::error::Error + 'static))
    }
}

/// The fields of a Matrix error that matter here.
#[derive(Deserialize)]
struct ErrorBody {
    errcode: Option<String>,
    error: Option<String>,
    retry_after_ms: Option<u64>,
    /// What its ping was answered by the application service.
    status: Option<u16>,
    /// With this body, if it says so.
    body: Option<String>,
}

impl ErrorBody {
    /// Client-Server API §Pinging: `M_BAD_STATUS` comes with the status and the body of the application service's
    /// answer. Ours is 401 or 403 for one reason only; a proxy's has no Matrix error.
    fn shows_another_token(&self) -> bool {
        let by_us = |body: &String| body.contains("M_FORBIDDEN") || body.contains("M_UNAUTHORIZED");
        self.errcode.as_deref() == Some("M_BAD_STATUS")
            && matches!(self.status, Some(401 | 403))
            && self.body.as_ref().is_none_or(by_us)
    }

    /// After a ping that was answered, Synapse tries at once what it could not deliver before, and stumbles over its own
    /// timer if that has fired or was stopped by the ping before (`_Recoverer.force_retry`, 1.163): the error is
    /// Twisted's, and nothing of the connection.
    fn ping_came_through(&self) -> bool {
        let stumbled =
            |error: &String| error.starts_with("AlreadyCancelled:") || error.starts_with("AlreadyCalled:");
        self.errcode.as_deref() == Some("M_CONNECTION_FAILED") && self.error.as_ref().is_some_and(stumbled)
    }
}

/// What the homeserver's ping came to, by its error code, in words.
fn does_not_reach_us(errcode: &str) -> Option<&'static str> {
    Some(match errcode {
        "M_BAD_STATUS" => {
            "another program answers the homeserver at the registration's url, or it rejects the ping"
        }
        "M_CONNECTION_FAILED" => "the homeserver cannot connect to the registration's url",
        "M_CONNECTION_TIMEOUT" => "the registration's url does not answer the homeserver in time",
        "M_URL_NOT_SET" => "the homeserver's copy of the registration has no url",
        _ => return None,
    })
}

/// The one place where status and error code become a [`Failure`].
fn classify(status: u16, errcode: Option<&str>, said: &str) -> Failure {
    match (status, errcode) {
        (429, _) | (_, Some("M_LIMIT_EXCEEDED")) => Failure::RateLimited { retry_after: None },
        (413, _) | (_, Some("M_TOO_LARGE")) => Failure::TooLarge,
        // Without an error code it is not the homeserver that spoke, but something on the way to it.
        (408 | 500.., _) | (_, None) => Failure::Temporary,
        (401, _) | (_, Some("M_UNKNOWN_TOKEN" | "M_MISSING_TOKEN")) => Failure::UnknownToken,
        (_, Some("M_UNKNOWN_DEVICE")) => Failure::UnknownDevice,
        // Tuwunel has no code of its own for it.
        (400, Some("M_INVALID_PARAM")) if said.contains("Unknown device") => Failure::UnknownDevice,
        // Synapse has no code of its own for it.
        (403, _) if said.contains("has not registered this user") => Failure::UserNotRegistered,
        (403, _) => Failure::Forbidden,
        (404, _) => Failure::NotFound,
        (_, Some(_)) => Failure::BadRequest,
    }
}

#[cfg(test)]
mod tests {
    use super::{ClientError, Endpoint, Failure};
    use std::time::Duration;

    fn refused(status: u16, retry_after: Option<&str>, body: &str) -> ClientError {
        ClientError::refused(Endpoint::Send, status, retry_after, body.as_bytes())
    }

    #[test]
    fn every_answer_says_who_acts() {
        let of = |status, errcode: &str, error: &str| {
            refused(status, None, &format!(r#"{{"errcode": "{errcode}", "error": "{error}"}}"#)).failure()
        };
        assert_eq!(of(500, "M_UNKNOWN", ""), Failure::Temporary);
        assert_eq!(of(502, "M_BAD_STATUS", ""), Failure::Temporary);
        assert_eq!(of(403, "M_FORBIDDEN", "User not in room"), Failure::Forbidden);
        assert_eq!(
            of(403, "M_FORBIDDEN", "Application service has not registered this user"),
            Failure::UserNotRegistered
        );
        assert_eq!(of(404, "M_NOT_FOUND", ""), Failure::NotFound);
        assert_eq!(of(404, "M_UNKNOWN", ""), Failure::NotFound);
        assert_eq!(of(413, "M_TOO_LARGE", ""), Failure::TooLarge);
        assert_eq!(of(400, "M_TOO_LARGE", ""), Failure::TooLarge);
        assert_eq!(of(401, "M_UNKNOWN_TOKEN", ""), Failure::UnknownToken);
        assert_eq!(of(403, "M_UNKNOWN_TOKEN", ""), Failure::UnknownToken);
        assert_eq!(of(400, "M_UNKNOWN_DEVICE", ""), Failure::UnknownDevice);
        assert_eq!(of(400, "M_INVALID_PARAM", "Unknown device for user"), Failure::UnknownDevice);
        assert_eq!(of(400, "M_INVALID_PARAM", "what"), Failure::BadRequest);
        assert_eq!(of(409, "M_CONFLICT", ""), Failure::BadRequest);
    }

    #[test]
    fn what_a_proxy_says_is_temporary_unless_its_status_is_plain() {
        assert_eq!(refused(404, None, "<html>").failure(), Failure::Temporary);
        assert_eq!(refused(403, None, "{}").failure(), Failure::Temporary);
        assert_eq!(refused(413, None, "<html>").failure(), Failure::TooLarge);
        assert_eq!(refused(429, Some("7"), "").failure(), limited(Some(7_000)));
    }

    #[test]
    fn the_header_wins_over_the_body_and_a_date_says_nothing() {
        let body = r#"{"errcode": "M_LIMIT_EXCEEDED", "error": "", "retry_after_ms": 4053}"#;
        assert_eq!(refused(429, Some("5"), body).failure(), limited(Some(5_000)));
        assert_eq!(refused(429, None, body).failure(), limited(Some(4_053)));
        assert_eq!(refused(429, Some("Wed, 21 Oct 2026 07:28:00 GMT"), "{}").failure(), limited(None));
    }

    fn limited(after_ms: Option<u64>) -> Failure {
        Failure::RateLimited { retry_after: after_ms.map(Duration::from_millis) }
    }

    #[test]
    fn only_temporary_failures_leave_in_doubt_whether_something_was_done() {
        assert!(refused(503, None, "").may_have_acted());
        assert!(!refused(429, None, "").may_have_acted());
        assert!(!refused(403, None, r#"{"errcode": "M_FORBIDDEN"}"#).may_have_acted());
    }

    fn pinged(body: &str) -> ClientError {
        ClientError::refused(Endpoint::Ping, 502, None, body.as_bytes())
    }

    #[test]
    fn a_ping_that_came_to_nothing_says_why_in_words() {
        let refused_by_us = [
            r#"{"errcode": "M_BAD_STATUS", "error": "HTTP 403 Forbidden", "status": 403}"#,
            r#"{"errcode": "M_BAD_STATUS", "error": "", "status": 401, "body": "{\"errcode\": \"M_UNAUTHORIZED\"}"}"#,
        ];
        for body in refused_by_us {
            let error = pinged(body);
            let words = "ping: the homeserver reaches matrixbot, but sends another hs_token than the one in the registration";
            assert_eq!((error.to_string().as_str(), error.shows_another_token()), (words, true));
            assert_eq!(error.failure(), Failure::Temporary);
        }
        for (body, words) in [
            (
                r#"{"errcode": "M_BAD_STATUS", "error": "HTTP 403", "status": 403, "body": "<html>"}"#,
                "another program answers",
            ),
            (
                r#"{"errcode": "M_BAD_STATUS", "error": "HTTP 404", "status": 404}"#,
                "(M_BAD_STATUS: HTTP 404)",
            ),
            (
                r#"{"errcode": "M_CONNECTION_FAILED", "error": "refused"}"#,
                "cannot connect to the registration's url",
            ),
            (r#"{"errcode": "M_CONNECTION_TIMEOUT", "error": ""}"#, "does not answer the homeserver in time"),
        ] {
            let error = pinged(body);
            assert!(error.to_string().contains(words) && !error.shows_another_token(), "{error}");
        }
    }

    #[test]
    fn a_ping_that_was_answered_has_come_through() {
        for (said, came_through) in [
            ("AlreadyCancelled: Tried to cancel an already-cancelled event.", true),
            ("AlreadyCalled: Tried to cancel an already-called event.", true),
            ("ConnectionRefusedError: Connection was refused by other side", false),
        ] {
            let body = format!(r#"{{"errcode": "M_CONNECTION_FAILED", "error": "{said}"}}"#);
            assert_eq!(pinged(&body).ping_came_through(), came_through, "{said}");
        }
    }

    #[test]
    fn an_error_reads_aloud() {
        let body = r#"{"errcode": "M_FORBIDDEN", "error": "User not in room"}"#;
        let error = refused(403, None, body);
        assert_eq!(error.to_string(), "send: the homeserver answered 403 M_FORBIDDEN: User not in room");
        let error = refused(502, None, "<html>");
        assert_eq!(error.to_string(), "send: something answered 502 without a Matrix error");
    }
}
