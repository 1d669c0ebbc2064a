//! The part of Alertmanager's API v2 that matrixbot uses, for one Alertmanager with all its peers.
//!
//! Every request has a limit on its time and on the size of its answer. Lists are parsed while they arrive. What others
//! wrote is bounded and cleaned as the content of a webhook is.

mod elements;
mod error;
mod full;
mod listing;
mod peer;
mod silences;
mod status;

pub use error::ApiError;
pub use full::{FullAlert, Group};
pub use silences::{Matcher, NewSilence, Silence, SilenceEnd, SilenceState};
pub use status::Status;

use super::routing::Routes;
use crate::domain::watch::PeerAnswer;
use crate::domain::webhook::Labels;
use futures_util::future::join_all;
use jiff::Timestamp;
use peer::Peer;
use reqwest::Certificate;
use secrecy::SecretString;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use url::Url;

/// How long Alertmanager may take for a whole answer, and until it accepts a connection.
const TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// One Alertmanager: a single process, or the peers of a high-availability pair.
#[derive(Debug)]
pub struct Alertmanager {
    peers: Vec<Peer>,
    /// The routes of the configuration that was read last. Parsing it at every poll would take too long.
    routes: Mutex<Option<(String, Arc<Routes>)>>,
}

/// How matrixbot authenticates.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// Without credentials.
    None,
    /// HTTP Basic: a name and a password.
    Basic(String, SecretString),
    /// HTTP Bearer.
    Bearer(SecretString),
}

/// The result of a poll.
#[derive(Debug)]
pub struct Polled {
    /// What each peer answered, in the order of `Alertmanager::urls`.
    pub peers: Vec<Result<PeerAnswer, ApiError>>,
    /// The routes of the first peer that answered with a readable configuration.
    pub routes: Option<Arc<Routes>>,
}

impl Polled {
    /// The answers as `Watch::polled` takes them.
    pub fn answers(self) -> Vec<Option<PeerAnswer>> {
        self.peers.into_iter().map(Result::ok).collect()
    }
}

impl Alertmanager {
    /// The Alertmanager whose peers have these URLs. `ca`: CA certificates in PEM to trust in addition to the system's.
    pub fn new(urls: &[Url], credentials: &Credentials, ca: Option<&[u8]>) -> Result<Self, ApiError> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("matrixbot/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT);
        if let Some(ca) = ca {
            for authority in Certificate::from_pem_bundle(ca).map_err(ApiError::Setup)? {
                builder = builder.add_root_certificate(authority);
            }
        } else if urls.iter().all(|url| url.scheme() == "http") {
            // Without TLS no certificates are needed, so their absence must not matter.
            builder = builder.tls_certs_only([]);
        }
        let http = builder.build().map_err(ApiError::Setup)?;
        let peer =
            |url: &Url| Peer { http: http.clone(), url: url.clone(), credentials: credentials.clone() };
        Ok(Self { peers: urls.iter().map(peer).collect(), routes: Mutex::default() })
    }

    /// The URLs of its peers.
    pub fn urls(&self) -> impl Iterator<Item = &Url> {
        self.peers.iter().map(|peer| &peer.url)
    }

    /// Reads the status of each peer, in the order of `urls`.
    pub async fn statuses(&self) -> Vec<Result<Status, ApiError>> {
        join_all(self.peers.iter().map(Status::read)).await
    }

    /// Asks every peer for its status and then for its alerts. `now`: when this poll begins.
    pub async fn poll(&self, now: Timestamp) -> Polled {
        let answers = join_all(self.peers.iter().map(|peer| poll_peer(peer, now))).await;
        let mut polled = Polled { peers: Vec::new(), routes: None };
        for answer in answers {
            polled.peers.push(answer.map(|(answer, configuration)| {
                if polled.routes.is_none() {
                    polled.routes = configuration.and_then(|configuration| self.routes_of(configuration));
                }
                answer
            }));
        }
        polled
    }

    /// The groups of a receiver with all their alerts, from all peers that answer; fails if none does. Groups with the same
    /// labels are one. `receiver`: its name as in the configuration. `now`: when they are read.
    pub async fn groups(&self, receiver: &str, now: Timestamp) -> Result<Vec<Group>, ApiError> {
        full::groups(&self.peers, receiver, now).await
    }

    /// All listed alerts that have these labels, from all peers that answer; fails if none does. `now`: when they are read.
    pub async fn alerts_with(&self, labels: &Labels, now: Timestamp) -> Result<Vec<FullAlert>, ApiError> {
        full::alerts_with(&self.peers, labels, now).await
    }

    /// All silences of all peers that answer, active ones first and those that end first before the others; fails if none
    /// answers. Other people's texts are in them: they prove nothing. `now`: when they are read.
    pub async fn silences(&self, now: Timestamp) -> Result<Vec<Silence>, ApiError> {
        silences::list(&self.peers, now).await
    }

    /// The silence with this token that has not ended; `None`: there is none. Fails if no peer answers.
    pub async fn silence_with(&self, token: &str, now: Timestamp) -> Result<Option<Silence>, ApiError> {
        silences::with_token_of(&self.peers, token, now).await
    }

    /// Makes a silence that begins at once, on the first peer that can. The result is as Alertmanager lists it.
    pub async fn make_silence(&self, new: &NewSilence<'_>, now: Timestamp) -> Result<Silence, ApiError> {
        silences::make(&self.peers, new, now).await
    }

    /// Moves the end of a silence to `lasting` from now, by Alertmanager's clock. Its id may change. `None`: it has ended, or
    /// no peer that answers knows it.
    pub async fn prolong_silence(
        &self,
        id: &str,
        lasting: Duration,
        now: Timestamp,
    ) -> Result<Option<Silence>, ApiError> {
        silences::prolong(&self.peers, id, lasting, now).await
    }

    /// Ends a silence.
    pub async fn end_silence(&self, id: &str) -> Result<SilenceEnd, ApiError> {
        silences::end(&self.peers, id).await
    }

    /// `None`: the configuration is not readable.
    fn routes_of(&self, configuration: String) -> Option<Arc<Routes>> {
        let mut last = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, routes)) = last.as_ref().filter(|(known, _)| *known == configuration) {
            return Some(routes.clone());
        }
        let routes = Arc::new(Routes::read(&configuration).ok()?);
        *last = Some((configuration, routes.clone()));
        Some(routes)
    }
}

/// The answers of those peers that gave one; the first error if none did.
fn answers<T>(all: Vec<Result<T, ApiError>>) -> Result<Vec<T>, ApiError> {
    let (mut good, mut first) = (Vec::new(), None);
    for one in all {
        match one {
            Ok(one) => good.push(one),
            Err(error) => first = first.or(Some(error)),
        }
    }
    match first {
        Some(error) if good.is_empty() => Err(error),
        _ => Ok(good),
    }
}

async fn poll_peer(peer: &Peer, now: Timestamp) -> Result<(PeerAnswer, Option<String>), ApiError> {
    let status = Status::read(peer).await?;
    let started_at = status.started_at.ok_or_else(|| ApiError::unreadable("it has no uptime"))?;
    let alerts = listing::read(peer).await?;
    let clock = status.clock.unwrap_or(now);
    Ok((PeerAnswer { started_at, clock, cluster: status.name, alerts }, status.configuration))
}
