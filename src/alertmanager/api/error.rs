//! Why a request to Alertmanager failed.

use crate::alertmanager::payload;
use serde::Deserialize;

/// The most characters of an error's text.
const LONGEST_TEXT: usize = 300;

/// Why a request to Alertmanager failed.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The configured CA certificate is invalid, or the system has no CA certificates.
    #[error("cannot create the HTTP client")]
    Setup(#[source] reqwest::Error),
    /// It did not answer, or its answer ended early or took too long.
    #[error("it does not answer")]
    Unanswered(#[source] reqwest::Error),
    /// It rejected the credentials.
    #[error("it answered {0}: it rejects the credentials")]
    Unauthorized(u16),
    /// It answered another error.
    #[error("it answered {status}{}", colon(text))]
    Refused {
        /// The status.
        status: u16,
        /// Its own words, at most 300 characters; may be empty.
        text: String,
    },
    /// It is not Alertmanager, or has another API version.
    #[error("its answer is not Alertmanager's")]
    Unreadable(#[source] serde_json::Error),
    /// Its answer has more than this many bytes.
    #[error("its answer is larger than {} MiB", .0 / (1024 * 1024))]
    TooLarge(usize),
}

fn colon(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}

impl ApiError {
    /// The error that an answer with another status than 200 means. Bodies have several formats: a JSON string, an object
    /// with a `message`, plain text, or nothing.
    pub(super) fn of_answer(status: u16, body: &[u8]) -> Self {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Body {
            Text(String),
            Object { message: String },
        }
        if matches!(status, 401 | 403) {
            return Self::Unauthorized(status);
        }
        let plain = || String::from_utf8_lossy(body).into_owned();
        let text = match serde_json::from_slice(body) {
            Ok(Body::Text(text) | Body::Object { message: text }) => text,
            Err(_not_json) => plain(),
        };
        // The error page of a proxy helps nobody.
        let text = if text.trim_start().starts_with('<') { "" } else { text.trim() };
        let line: Vec<&str> = text.split(char::is_control).filter(|part| !part.is_empty()).collect();
        let line: String = line.join(" ").chars().take(LONGEST_TEXT).collect();
        Self::Refused { status, text: payload::clean(line) }
    }

    /// The answer is not what Alertmanager answers, for this reason.
    pub(super) fn unreadable(why: &str) -> Self {
        Self::Unreadable(serde::de::Error::custom(why))
    }
}

#[cfg(test)]
mod tests {
    use super::ApiError;

    #[test]
    fn every_format_of_an_error_has_its_words() {
        let words = |status, body: &str| ApiError::of_answer(status, body.as_bytes()).to_string();
        assert_eq!(words(400, r#""bad matcher format: {""#), "it answered 400: bad matcher format: {");
        assert_eq!(
            words(422, r#"{"code":602,"message":"matchers in body is required"}"#),
            "it answered 422: matchers in body is required"
        );
        assert_eq!(
            words(503, "Limit of concurrent GET requests reached (8), try again later.\n\n"),
            "it answered 503: Limit of concurrent GET requests reached (8), try again later."
        );
        assert_eq!(words(404, ""), "it answered 404");
        assert_eq!(words(502, "<html><body>nginx</body></html>"), "it answered 502");
        assert_eq!(words(401, "Unauthorized"), "it answered 401: it rejects the credentials");
        assert_eq!(words(400, "a\n\u{1}b"), "it answered 400: a b");
        assert_eq!(words(500, &"x".repeat(1000)).len(), "it answered 500: ".len() + 300);
    }
}
