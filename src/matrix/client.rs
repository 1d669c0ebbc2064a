//! One request to the homeserver: build, send, read, classify, observe.

use super::endpoint::Endpoint;
use super::failure::ClientError;
use ruma::api::auth_scheme::{AuthScheme, SendAccessToken};
use ruma::api::path_builder::VersionHistory;
use ruma::api::{
    AppserviceUserIdentity, IncomingResponse, IncomingResponseExt as _, MatrixVersion, Metadata,
    OutgoingRequest, OutgoingRequestAppserviceExt as _, SupportedVersions,
};
use ruma::{OwnedDeviceId, OwnedUserId};
use secrecy::{ExposeSecret as _, SecretString};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use url::Url;

/// How long an idle connection stays open: 30 s. Synapse closes it after 60 s, nginx after 75 s, and a request at that
/// moment is lost.
const IDLE_CONNECTION: Duration = Duration::from_secs(30);

/// The virtual user that a request acts as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The virtual user.
    pub user_id: OwnedUserId,
    /// Its device, if the homeserver supports devices of virtual users. With a device, a resend is safe across restarts
    /// of the homeserver.
    pub device_id: Option<OwnedDeviceId>,
}

impl Identity {
    /// A virtual user without a device.
    pub fn new(user_id: OwnedUserId) -> Self {
        Self { user_id, device_id: None }
    }
}

/// Timeouts of requests to the homeserver.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// To connect.
    pub connect: Duration,
    /// For the whole request. An outbox lease lasts longer than this.
    pub request: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(10), request: Duration::from_mins(1) }
    }
}

/// Observes every request, for metrics.
pub trait RequestObserver: Send + Sync + 'static {
    /// A request to `endpoint` ended after `elapsed`, with the status `code` or without an answer (`None`).
    fn on_request(&self, endpoint: &'static str, code: Option<u16>, elapsed: Duration);
}

/// How long a request may take whose answer is only for display.
const SHORT: Duration = Duration::from_secs(3);

/// Ignores every request.
#[derive(Debug, Clone, Copy)]
pub struct Unobserved;

impl RequestObserver for Unobserved {
    fn on_request(&self, _endpoint: &'static str, _code: Option<u16>, _elapsed: Duration) {}
}

/// Why a client could not be created.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The HTTP client cannot be set up.
    #[error(
        "the HTTP client cannot be set up; if this machine has no CA certificates, install ca-certificates"
    )]
    Http(#[source] reqwest::Error),
    /// The `as_token` cannot be sent in a header.
    #[error("the as_token holds characters that an HTTP header cannot carry")]
    Token,
}

/// The homeserver's Client-Server API. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    homeserver: Arc<str>,
    as_token: SecretString,
    supported: Arc<SupportedVersions>,
    observer: Arc<dyn RequestObserver>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("homeserver", &self.homeserver).finish_non_exhaustive()
    }
}

impl Client {
    /// A client of the homeserver at `homeserver`, which authenticates with `as_token`. Sends nothing yet.
    pub fn new(homeserver: &Url, as_token: SecretString, timeouts: Timeouts) -> Result<Self, SetupError> {
        if reqwest::header::HeaderValue::from_str(as_token.expose_secret()).is_err() {
            return Err(SetupError::Token);
        }
        super::tls::install_tls_provider();
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("matrixbot/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(timeouts.connect)
            .timeout(timeouts.request)
            .pool_idle_timeout(IDLE_CONNECTION)
            // Following a redirect would turn PUT into GET. Without it, a redirect is an unexpected answer.
            .redirect(reqwest::redirect::Policy::none());
        if homeserver.scheme() == "http" {
            // Without TLS the client needs no CA certificates, so it must not fail if there are none.
            builder = builder.tls_certs_only([]);
        }
        Ok(Self {
            http: builder.build().map_err(SetupError::Http)?,
            homeserver: homeserver.as_str().into(),
            as_token,
            supported: Arc::new(SupportedVersions {
                // Not read from `/versions`: every homeserver supports the paths of these versions, even some that do
                // not list them.
                versions: [MatrixVersion::V1_1, MatrixVersion::V1_3, MatrixVersion::V1_7].into(),
                features: BTreeSet::new(),
            }),
            observer: Arc::new(Unobserved),
        })
    }

    /// The same client, with an observer of every request.
    #[must_use]
    pub fn observed_by(self, observer: Arc<dyn RequestObserver>) -> Self {
        Self { observer, ..self }
    }

    /// Makes one request as `identity`, or as the registration's own user if there is none.
    pub(super) async fn call<R>(
        &self,
        endpoint: Endpoint,
        identity: Option<&Identity>,
        request: R,
    ) -> Result<R::IncomingResponse, ClientError>
    where
        R: OutgoingRequest + Metadata<PathBuilder = VersionHistory>,
        for<'a> R::Authentication: AuthScheme<Input<'a> = SendAccessToken<'a>>,
    {
        let mut assertion = AppserviceUserIdentity::default();
        if let Some(identity) = identity {
            assertion.user_id = Some(&identity.user_id);
            assertion.device_id = identity.device_id.as_deref();
        }
        let request = request
            .try_into_http_request_with_identity::<Vec<u8>>(
                &self.homeserver,
                self.token(),
                assertion,
                Cow::Borrowed(&*self.supported),
            )
            .map_err(|error| ClientError::unbuildable(endpoint, error))?;
        self.exchange(endpoint, request).await
    }

    /// The `as_token`, always in the header: the specification deprecates tokens in the query.
    fn token(&self) -> SendAccessToken<'_> {
        SendAccessToken::Always(self.as_token.expose_secret())
    }

    /// The versions of the specification whose paths are used.
    pub(super) fn supported(&self) -> Cow<'_, SupportedVersions> {
        Cow::Borrowed(&*self.supported)
    }

    /// The homeserver's URL.
    pub(super) fn homeserver(&self) -> &str {
        &self.homeserver
    }

    /// Sends a request and parses the answer.
    pub(super) async fn exchange<A: IncomingResponse>(
        &self,
        endpoint: Endpoint,
        mut request: http::Request<Vec<u8>>,
    ) -> Result<A, ClientError> {
        if let Some(token) = request.headers_mut().get_mut(http::header::AUTHORIZATION) {
            token.set_sensitive(true);
        }
        let request = request
            .try_into()
            .map_err(|error| ClientError::unbuildable(endpoint, reqwest::Error::without_url(error)))?;
        let started = Instant::now();
        let answer = self.fetch(request).await;
        let code = answer.as_ref().ok().map(|answer| answer.status().as_u16());
        self.observer.on_request(endpoint.as_str(), code, started.elapsed());
        let answer = answer.map_err(|error| ClientError::unanswered(endpoint, error))?;
        if !answer.status().is_success() {
            let retry_after =
                answer.headers().get(http::header::RETRY_AFTER).and_then(|value| value.to_str().ok());
            return Err(ClientError::refused(endpoint, answer.status().as_u16(), retry_after, answer.body()));
        }
        let (head, body) = answer.into_parts();
        A::try_from_http_response(http::Response::from_parts(head, body.as_slice()))
            .map_err(|error| ClientError::unreadable(endpoint, error))
    }

    /// The JSON at a path that needs no token, if the homeserver has it.
    pub(super) async fn get_json(&self, path: &str) -> Option<serde_json::Value> {
        let url = format!("{}/{path}", self.homeserver.trim_end_matches('/'));
        let answer = self.http.get(url).timeout(SHORT).send().await.ok()?;
        let body = answer.error_for_status().ok()?.bytes().await.ok()?;
        serde_json::from_slice(&body).ok()
    }

    async fn fetch(&self, request: reqwest::Request) -> Result<http::Response<Vec<u8>>, reqwest::Error> {
        let answer = self.http.execute(request).await?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let mut complete = http::Response::new(answer.bytes().await?.into());
        *complete.status_mut() = status;
        *complete.headers_mut() = headers;
        Ok(complete)
    }
}
