//! Our own heartbeat: calls a URL as long as matrixbot works, so that an outside service notices when it stops.

use crate::clock::SharedClock;
use crate::domain::time::between;
use crate::health::Health;
use crate::telemetry::logs::causes;
use crate::telemetry::{Metrics, OwnBeat};
use crate::worker::{Progress, Worker};
use secrecy::{ExposeSecret as _, SecretString};
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// How long a call may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How old the last audit may be: three of them.
const AUDITED_WITHIN: Duration = Duration::from_mins(3);
/// The pause after a call that failed.
const AGAIN: Duration = Duration::from_secs(10);

/// The worker that calls the URL.
#[derive(Debug)]
pub struct OwnHeartbeat {
    url: SecretString,
    every: Duration,
    /// Made at the first call, because it reads the CAs of the system.
    http: OnceLock<reqwest::Client>,
    clock: SharedClock,
    metrics: Arc<Metrics>,
    health: Health,
    /// Whether the last call failed, to log changes only.
    fails: AtomicBool,
}

impl OwnHeartbeat {
    /// A worker that calls `url` that often. The URL is a secret: everybody who knows it can call it.
    pub fn new(
        (url, every): (SecretString, Duration),
        clock: SharedClock,
        metrics: Arc<Metrics>,
        health: Health,
    ) -> Self {
        Self { url, every, http: OnceLock::new(), clock, metrics, health, fails: AtomicBool::new(false) }
    }

    /// Why the heartbeat is withheld; `None`: matrixbot works.
    fn withheld(&self) -> Option<String> {
        match self.health.audit() {
            None => return Some("the audit has not run yet".to_owned()),
            Some((at, _)) if between(at, self.clock.now()) > AUDITED_WITHIN => {
                return Some("the audit does not run".to_owned());
            }
            Some((_, found)) if !found.is_empty() => {
                return Some(format!("the audit finds: {}", found.join("; ")));
            }
            Some(_) => {}
        }
        self.health.homeserver().err().map(|why| format!("the homeserver fails: {why}"))
    }

    /// Calls the URL. The error does not contain it.
    async fn call(&self) -> Result<(), String> {
        let explain = |error: reqwest::Error| causes(&error.without_url());
        let http = if let Some(http) = self.http.get() {
            http
        } else {
            let builder = reqwest::Client::builder().timeout(TIMEOUT);
            let http = builder.redirect(reqwest::redirect::Policy::none()).build().map_err(explain)?;
            self.http.get_or_init(|| http)
        };
        let answer = http.get(self.url.expose_secret()).send().await.map_err(explain)?;
        match answer.status() {
            status if status.is_success() => Ok(()),
            status => Err(format!("it answered {}", status.as_u16())),
        }
    }
}

impl Worker for OwnHeartbeat {
    type Error = Infallible;

    fn name(&self) -> &'static str {
        "own_heartbeat"
    }

    async fn step(&self) -> Result<Progress, Infallible> {
        if self.withheld().is_some() {
            self.metrics.own_beat(OwnBeat::Withheld);
            return Ok(Progress::Idle(AGAIN));
        }
        let called = self.call().await;
        let failed_before = self.fails.swap(called.is_err(), Ordering::Relaxed);
        match called {
            Ok(()) => {
                self.metrics.own_beat(OwnBeat::Sent);
                if failed_before {
                    tracing::info!("the own heartbeat is sent again");
                }
                Ok(Progress::Idle(self.every))
            }
            Err(why) => {
                self.metrics.own_beat(OwnBeat::Failed);
                if !failed_before {
                    tracing::warn!(why, "the own heartbeat cannot be sent: {why}");
                }
                Ok(Progress::Idle(AGAIN))
            }
        }
    }
}
