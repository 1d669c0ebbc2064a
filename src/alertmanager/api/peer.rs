//! Requests to one peer, with limits on their time and size.

use super::Credentials;
use super::elements::{Elements, NotSplit};
use super::error::ApiError;
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use reqwest::{Method, RequestBuilder, Response, header};
use secrecy::ExposeSecret as _;
use std::fmt;
use url::Url;

/// The most bytes of an answer that is a list, and of any other one.
pub(super) const LARGEST_LIST: usize = 64 * 1024 * 1024;
const LARGEST_ANSWER: usize = 8 * 1024 * 1024;
/// The most bytes of one element of a list.
const LARGEST_ELEMENT: usize = 16 * 1024 * 1024;
/// The most bytes of an error that are read.
const LARGEST_ERROR: usize = 64 * 1024;

/// One process of Alertmanager, by its URL.
pub(super) struct Peer {
    pub(super) http: reqwest::Client,
    pub(super) url: Url,
    pub(super) credentials: Credentials,
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer").field("url", &self.url.as_str()).finish_non_exhaustive()
    }
}

/// A whole answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) body: Vec<u8>,
    /// Alertmanager's clock, with a precision of one second.
    pub(super) clock: Option<Timestamp>,
}

impl From<NotSplit> for ApiError {
    fn from(why: NotSplit) -> Self {
        match why {
            NotSplit::Malformed => Self::unreadable("it is not a list of objects"),
            NotSplit::TooLarge => Self::TooLarge(LARGEST_ELEMENT),
        }
    }
}

impl Peer {
    /// Reads `path`, such as `/api/v2/status`.
    pub(super) async fn get(&self, path: &str) -> Result<Answer, ApiError> {
        let answer = self.send(self.request(Method::GET, path)).await?;
        let clock = clock(&answer);
        Ok(Answer { body: body(answer, LARGEST_ANSWER).await?, clock })
    }

    /// Reads a list, and passes each element to `found` as soon as it has arrived. `query`: the parameters. Returns
    /// Alertmanager's clock, as `Answer::clock`.
    pub(super) async fn list(
        &self,
        path: &str,
        query: &[(&str, String)],
        mut found: impl FnMut(&[u8]) -> Result<(), ApiError>,
    ) -> Result<Option<Timestamp>, ApiError> {
        let request = self.request_with(Method::GET, path, query);
        let mut answer = self.send(request).await?;
        let clock = clock(&answer);
        let (mut elements, mut length) = (Elements::new(LARGEST_ELEMENT), 0_usize);
        while let Some(piece) = answer.chunk().await.map_err(unanswered)? {
            length = length.saturating_add(piece.len());
            if length > LARGEST_LIST {
                return Err(ApiError::TooLarge(LARGEST_LIST));
            }
            elements.add(&piece, &mut found)?;
        }
        elements.end().map_err(ApiError::from)?;
        Ok(clock)
    }

    pub(super) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.request_with(method, path, &[])
    }

    fn request_with(&self, method: Method, path: &str, query: &[(&str, String)]) -> RequestBuilder {
        let mut url = self.url.clone();
        url.set_path(&format!("{}{path}", self.url.path().trim_end_matches('/')));
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.credentials.add_to(self.http.request(method, url))
    }

    /// Sends a request; an answer other than 200 is an error.
    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Response, ApiError> {
        let answer = request.send().await.map_err(unanswered)?;
        let status = answer.status().as_u16();
        if status == 200 {
            return Ok(answer);
        }
        let body = body(answer, LARGEST_ERROR).await.unwrap_or_default();
        Err(ApiError::of_answer(status, &body))
    }
}

/// The body of an answer, at most so many bytes.
pub(super) async fn body(mut answer: Response, most: usize) -> Result<Vec<u8>, ApiError> {
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(unanswered)? {
        if body.len().saturating_add(piece.len()) > most {
            return Err(ApiError::TooLarge(most));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

fn clock(answer: &Response) -> Option<Timestamp> {
    let date = answer.headers().get(header::DATE)?.to_str().ok()?;
    rfc2822::DateTimeParser::new().parse_timestamp(date).ok()
}

fn unanswered(error: reqwest::Error) -> ApiError {
    ApiError::Unanswered(error.without_url())
}

impl Credentials {
    fn add_to(&self, request: RequestBuilder) -> RequestBuilder {
        match self {
            Self::None => request,
            Self::Basic(name, password) => request.basic_auth(name, Some(password.expose_secret())),
            Self::Bearer(token) => request.bearer_auth(token.expose_secret()),
        }
    }
}
