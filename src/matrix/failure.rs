//! Why a request failed, and who acts next.

use super::endpoint::Endpoint;
use serde::Deserialize;
use std::fmt;
use std::time::Duration;

/// What a failed request means for the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// 429: the homeserver limits the rate. It did nothing; retry later.
    RateLimited {
        /// How long the homeserver requests to wait, if it does.
        retry_after: Option<Duration>,
    },
    /// 5xx, no connection, timeout, a lost or unreadable answer: retry the same request later.
    /// [`ClientError::may_have_acted`] returns whether the homeserver may have acted.
    Temporary,
    /// 403: the virtual user has no permission, most often because it is not in the room.
    Forbidden,
    /// The virtual user is in the room, but its power level is too low to send messages. Homeservers answer 403 as
    /// for [`Failure::Forbidden`]; the room's power levels tell them apart.
    Muted,
    /// 404: no such room, alias, event or state.
    NotFound,
    /// 413: the event is too large for the homeserver.
    TooLarge,
    /// 401: the homeserver does not know our `as_token`. An operator has to act.
    UnknownToken,
    /// The homeserver has no account of this virtual user: register it, then retry.
    UserNotRegistered,
    /// The homeserver does not know the asserted device: create it, then retry.
    UnknownDevice,
    /// The homeserver does not let the virtual user act anywhere: it is suspended, locked, deactivated, or outside of the
    /// registration's namespace. The homeserver's administrator has to act.
    UserBlocked,
    /// Any other 4xx: a retry will not help.
    BadRequest,
}

/// What a failure says something about, and so what waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Concern {
    /// The homeserver, or the way to it: every request of the moment fails.
    Homeserver,
    /// The virtual user: it cannot act in any room.
    User,
    /// The room, alias or event: other rooms are not affected.
    Room,
    /// This one request.
    Request,
}

impl Failure {
    /// Whether the same request may succeed later without anybody acting.
    pub fn is_temporary(self) -> bool {
        matches!(self, Self::RateLimited { .. } | Self::Temporary)
    }

    /// What the failure says something about.
    pub fn concerns(self) -> Concern {
        match self {
            Self::RateLimited { .. } | Self::Temporary | Self::UnknownToken => Concern::Homeserver,
            Self::UserNotRegistered | Self::UnknownDevice | Self::UserBlocked => Concern::User,
            Self::Forbidden | Self::Muted | Self::NotFound => Concern::Room,
            Self::TooLarge | Self::BadRequest => Concern::Request,
        }
    }
}

/// Why the homeserver's ping failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PingProblem {
    /// matrixbot refused its token.
    Token,
    /// It cannot reach the registration's `url`.
    Unreachable,
}

/// A failed request. Logs and rooms may show its text: it contains no token and no body.
#[derive(Debug)]
pub struct ClientError {
    endpoint: Endpoint,
    failure: Failure,
    may_have_acted: bool,
    errcode: Option<String>,
    ping: Option<PingProblem>,
    ping_succeeded: bool,
    detail: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl ClientError {
    /// The request that failed.
    pub fn endpoint(&self) -> Endpoint {
        self.endpoint
    }

    /// Who acts next.
    pub fn failure(&self) -> Failure {
        self.failure
    }

    /// The homeserver's error code, such as `M_FORBIDDEN`, if it answered with one.
    pub fn errcode(&self) -> Option<&str> {
        self.errcode.as_deref()
    }

    /// Whether matrixbot rejected the homeserver's ping for its `hs_token`: the homeserver has another copy of the
    /// registration.
    pub fn is_hs_token_mismatch(&self) -> bool {
        self.ping == Some(PingProblem::Token)
    }

    /// Whether the homeserver cannot reach the registration's `url` with its ping.
    pub fn is_url_unreachable(&self) -> bool {
        self.ping == Some(PingProblem::Unreachable)
    }

    /// Whether matrixbot received and answered the homeserver's ping despite the error.
    pub(super) fn ping_succeeded(&self) -> bool {
        self.ping_succeeded
    }

    /// Whether the homeserver may have carried out the request despite the error: the request may have reached it, and
    /// the answer was lost, unreadable or a 5xx.
    pub fn may_have_acted(&self) -> bool {
        self.may_have_acted
    }

    /// The same failure of a request that concerns the virtual user alone: a refusal is one of the user.
    pub(super) fn of_the_user(mut self) -> Self {
        let is_refusal = matches!(self.failure, Failure::Forbidden | Failure::NotFound | Failure::BadRequest);
        if is_refusal && self.errcode() != Some("M_UNRECOGNIZED") {
            self.failure = Failure::UserBlocked;
        }
        self
    }

    /// The request cannot be built: matrixbot has a defect, or the configuration is wrong.
    pub fn unbuildable(endpoint: Endpoint, cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self {
            endpoint,
            failure: Failure::BadRequest,
            may_have_acted: false,
            errcode: None,
            ping: None,
            ping_succeeded: false,
            detail: "the request cannot be built".to_owned(),
            source: Some(Box::new(cause)),
        }
    }

    /// No complete answer arrived.
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
            ping: None,
            ping_succeeded: false,
            detail: detail.to_owned(),
            // Without the URL: the operator knows the homeserver, and the URL only makes the text long.
            source: Some(Box::new(cause.without_url())),
        }
    }

    /// The status was a success, but the body violates the specification.
    pub(super) fn unreadable(endpoint: Endpoint, cause: impl fmt::Display) -> Self {
        Self {
            endpoint,
            failure: Failure::Temporary,
            may_have_acted: true,
            errcode: None,
            ping: None,
            ping_succeeded: false,
            detail: format!("the homeserver's answer cannot be read: {cause}"),
            source: None,
        }
    }

    /// The answer had a status other than 2xx. `retry_after` is the header `Retry-After`.
    pub(super) fn refused(endpoint: Endpoint, status: u16, retry_after: Option<&str>, body: &[u8]) -> Self {
        let body = serde_json::from_slice::<ErrorBody>(body).ok();
        let errcode = body.as_ref().and_then(|body| body.errcode.clone());
        let message = body.as_ref().and_then(|body| body.error.as_deref()).unwrap_or_default();
        let ping = body.as_ref().filter(|_| endpoint == Endpoint::Ping).and_then(ErrorBody::ping_problem);
        let detail = match &errcode {
            _ if ping == Some(PingProblem::Token) => {
                "the homeserver reaches matrixbot, but sends another hs_token than the one in the registration".to_owned()
            }
            Some(errcode) if errcode == "M_UNKNOWN" && ping == Some(PingProblem::Unreachable) => {
                format!("the homeserver cannot connect to the registration's url ({errcode}: {message})")
            }
            Some(errcode) => match ping_problem(errcode) {
                Some(why) => format!("{why} ({errcode}: {message})"),
                None => format!("the homeserver answered {status} {errcode}: {message}"),
            },
            None => format!("something answered {status} without a Matrix error"),
        };
        // Client-Server API §Rate limiting: the header has priority over the deprecated field of the body.
        let retry_after = retry_after
            .and_then(|seconds| seconds.trim().parse().ok().map(Duration::from_secs))
            .or_else(|| body.as_ref().and_then(|body| body.retry_after_ms).map(Duration::from_millis));
        let failure = match classify(status, errcode.as_deref(), message) {
            Failure::RateLimited { .. } => Failure::RateLimited { retry_after },
            other => other,
        };
        Self {
            endpoint,
            failure,
            may_have_acted: failure == Failure::Temporary,
            errcode,
            ping,
            ping_succeeded: body.as_ref().is_some_and(ErrorBody::ping_succeeded),
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

/// The fields of a Matrix error that this file reads.
#[derive(Deserialize)]
struct ErrorBody {
    errcode: Option<String>,
    error: Option<String>,
    retry_after_ms: Option<u64>,
    /// The status that the application service answered to the homeserver's ping.
    status: Option<u16>,
    /// The body of that answer, if the homeserver reports it.
    body: Option<String>,
}

impl ErrorBody {
    /// Client-Server API §Pinging: `M_BAD_STATUS` contains the status and the body of the application service's answer.
    /// matrixbot answers 401 or 403 only to a wrong token; the answer of a proxy has no Matrix error. Continuwuity and
    /// Tuwunel put both problems into the words of an `M_UNKNOWN` (26.8).
    fn ping_problem(&self) -> Option<PingProblem> {
        let is_ours = |body: &String| body.contains("M_FORBIDDEN") || body.contains("M_UNAUTHORIZED");
        let error = self.error.as_deref().unwrap_or_default();
        let says = |texts: &[&str]| texts.iter().any(|text| error.contains(text));
        let is_refused = matches!(self.status, Some(401 | 403)) && self.body.as_ref().is_none_or(is_ours);
        match self.errcode.as_deref() {
            Some("M_BAD_STATUS") if is_refused => Some(PingProblem::Token),
            Some("M_CONNECTION_FAILED" | "M_CONNECTION_TIMEOUT") => Some(PingProblem::Unreachable),
            Some("M_UNKNOWN")
                if says(&["unsuccessful HTTP response 401", "unsuccessful HTTP response 403"]) =>
            {
                Some(PingProblem::Token)
            }
            Some("M_UNKNOWN") if says(&["connect error", "dns error", "error sending request"]) => {
                Some(PingProblem::Unreachable)
            }
            _ => None,
        }
    }

    /// After a successful ping, Synapse immediately retries undelivered transactions. This fails with an error of
    /// Twisted if Synapse's own retry timer has fired or the previous ping cancelled it (`_Recoverer.force_retry`,
    /// 1.163). The connection works.
    fn ping_succeeded(&self) -> bool {
        let is_timer_error =
            |error: &String| error.starts_with("AlreadyCancelled:") || error.starts_with("AlreadyCalled:");
        self.errcode.as_deref() == Some("M_CONNECTION_FAILED")
            && self.error.as_ref().is_some_and(is_timer_error)
    }
}

/// Explains the error code of a failed ping.
fn ping_problem(errcode: &str) -> Option<&'static str> {
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

/// Maps status, error code and error message to a [`Failure`]. No other code does.
fn classify(status: u16, errcode: Option<&str>, message: &str) -> Failure {
    match (status, errcode) {
        (429, _) | (_, Some("M_LIMIT_EXCEEDED")) => Failure::RateLimited { retry_after: None },
        (413, _) | (_, Some("M_TOO_LARGE")) => Failure::TooLarge,
        // Client-Server API §Account suspension, Client-Server API §Account locking (a 401): the account exists, but may not act.
        // Application Service API: M_EXCLUSIVE, the user is outside of the namespace.
        (_, Some(errcode)) if BLOCKED.contains(&errcode) => Failure::UserBlocked,
        // Continuwuity knows no such room: it answers 500 without an error code of its own.
        (500, Some(_)) if NO_SUCH_ROOM.iter().any(|words| message.contains(words)) => Failure::NotFound,
        // Without an error code the answer is not from the homeserver, but from a proxy in front of it.
        (408 | 500.., _) | (_, None) => Failure::Temporary,
        (401, _) | (_, Some("M_UNKNOWN_TOKEN" | "M_MISSING_TOKEN")) => Failure::UnknownToken,
        (_, Some("M_UNKNOWN_DEVICE")) => Failure::UnknownDevice,
        // Tuwunel has no error code for this.
        (400, Some("M_INVALID_PARAM")) if message.contains("Unknown device") => Failure::UnknownDevice,
        // Continuwuity has no error code for these; the first also names a user that has no account any more.
        (403, _) if message.contains("Device does not exist for user") => Failure::UnknownDevice,
        (404, _) if message.contains("This account does not exist") => Failure::UserNotRegistered,
        // Synapse has no error code for these.
        (403, _) if message.contains("has not registered this user") => Failure::UserNotRegistered,
        (403, _) if message.contains("cannot masquerade as this user") => Failure::UserBlocked,
        (403, _) => Failure::Forbidden,
        (404, _) => Failure::NotFound,
        (_, Some(_)) => Failure::BadRequest,
    }
}

/// The error codes of an account that may not act, with the one of Synapse before 1.118.
const BLOCKED: [&str; 5] = [
    "M_USER_SUSPENDED",
    "ORG.MATRIX.MSC3823.USER_ACCOUNT_SUSPENDED",
    "M_USER_LOCKED",
    "M_USER_DEACTIVATED",
    "M_EXCLUSIVE",
];

/// The words of continuwuity about a room that it cannot find: at a join, and at a send.
const NO_SUCH_ROOM: [&str; 2] =
    ["No server available to assist in joining", "non-create event for room of unknown version"];

#[cfg(test)]
mod tests {
    use super::{ClientError, Concern, Endpoint, Failure};
    use std::time::Duration;

    fn refused(status: u16, retry_after: Option<&str>, body: &str) -> ClientError {
        ClientError::refused(Endpoint::Send, status, retry_after, body.as_bytes())
    }

    #[test]
    fn status_and_error_code_decide_the_failure() {
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
    fn trouble_of_the_user_is_told_from_trouble_of_the_room() {
        let (user, device) = (Failure::UserBlocked, Failure::UnknownDevice);
        let (account, room) = (Failure::UserNotRegistered, Failure::NotFound);
        let of = |status, errcode: &str, error: &str| {
            refused(status, None, &format!(r#"{{"errcode": "{errcode}", "error": "{error}"}}"#)).failure()
        };
        for (status, errcode, error, failure) in [
            (403, "M_USER_SUSPENDED", "Sending messages while account is suspended is not allowed.", user),
            (403, "ORG.MATRIX.MSC3823.USER_ACCOUNT_SUSPENDED", "", user),
            (401, "M_USER_LOCKED", "User account has been locked", user),
            (403, "M_USER_DEACTIVATED", "This user has been deactivated", user),
            (400, "M_EXCLUSIVE", "User is not in namespace.", user),
            (403, "M_FORBIDDEN", "Application service cannot masquerade as this user (@a:b).", user),
            (
                403,
                "M_FORBIDDEN",
                "Device does not exist for user or appservice cannot masquerade as this device.",
                device,
            ),
            (404, "M_NOT_FOUND", "This account does not exist.", account),
            (500, "M_UNKNOWN", "No server available to assist in joining.", room),
            (500, "M_UNKNOWN", "non-create event for room of unknown version in !nosuch:b", room),
        ] {
            assert_eq!(of(status, errcode, error), failure, "{error}");
        }
    }

    #[test]
    fn a_refusal_of_a_request_about_the_user_alone_concerns_the_user() {
        let error = refused(403, None, r#"{"errcode": "M_FORBIDDEN", "error": "no"}"#);
        assert_eq!(error.failure().concerns(), Concern::Room);
        assert_eq!(error.of_the_user().failure().concerns(), Concern::User);
        let error = refused(502, None, "");
        assert_eq!(error.of_the_user().failure().concerns(), Concern::Homeserver);
    }

    #[test]
    fn a_proxys_answer_is_temporary_except_413_and_429() {
        assert_eq!(refused(404, None, "<html>").failure(), Failure::Temporary);
        assert_eq!(refused(403, None, "{}").failure(), Failure::Temporary);
        assert_eq!(refused(413, None, "<html>").failure(), Failure::TooLarge);
        assert_eq!(refused(429, Some("7"), "").failure(), limited(Some(7_000)));
    }

    #[test]
    fn the_header_has_priority_over_the_body_and_a_date_is_ignored() {
        let body = r#"{"errcode": "M_LIMIT_EXCEEDED", "error": "", "retry_after_ms": 4053}"#;
        assert_eq!(refused(429, Some("5"), body).failure(), limited(Some(5_000)));
        assert_eq!(refused(429, None, body).failure(), limited(Some(4_053)));
        assert_eq!(refused(429, Some("Wed, 21 Oct 2026 07:28:00 GMT"), "{}").failure(), limited(None));
    }

    fn limited(after_ms: Option<u64>) -> Failure {
        Failure::RateLimited { retry_after: after_ms.map(Duration::from_millis) }
    }

    #[test]
    fn the_homeserver_may_have_acted_only_after_a_temporary_failure() {
        assert!(refused(503, None, "").may_have_acted());
        assert!(!refused(429, None, "").may_have_acted());
        assert!(!refused(403, None, r#"{"errcode": "M_FORBIDDEN"}"#).may_have_acted());
    }

    fn failed_ping(body: &str) -> ClientError {
        ClientError::refused(Endpoint::Ping, 502, None, body.as_bytes())
    }

    #[test]
    fn a_failed_ping_explains_its_reason() {
        let refused_by_us = [
            r#"{"errcode": "M_BAD_STATUS", "error": "HTTP 403 Forbidden", "status": 403}"#,
            r#"{"errcode": "M_BAD_STATUS", "error": "", "status": 401, "body": "{\"errcode\": \"M_UNAUTHORIZED\"}"}"#,
        ];
        for body in refused_by_us {
            let error = failed_ping(body);
            let words = "ping: the homeserver reaches matrixbot, but sends another hs_token than the one in the registration";
            assert_eq!((error.to_string().as_str(), error.is_hs_token_mismatch()), (words, true));
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
            let error = failed_ping(body);
            assert!(error.to_string().contains(words) && !error.is_hs_token_mismatch(), "{error}");
        }
    }

    #[test]
    fn synapses_timer_errors_do_not_make_a_ping_fail() {
        for (message, succeeded) in [
            ("AlreadyCancelled: Tried to cancel an already-cancelled event.", true),
            ("AlreadyCalled: Tried to cancel an already-called event.", true),
            ("ConnectionRefusedError: Connection was refused by other side", false),
        ] {
            let body = format!(r#"{{"errcode": "M_CONNECTION_FAILED", "error": "{message}"}}"#);
            assert_eq!(failed_ping(&body).ping_succeeded(), succeeded, "{message}");
        }
    }

    #[test]
    fn an_error_names_endpoint_status_and_message() {
        let body = r#"{"errcode": "M_FORBIDDEN", "error": "User not in room"}"#;
        let error = refused(403, None, body);
        assert_eq!(error.to_string(), "send: the homeserver answered 403 M_FORBIDDEN: User not in room");
        let error = refused(502, None, "<html>");
        assert_eq!(error.to_string(), "send: something answered 502 without a Matrix error");
    }
}
