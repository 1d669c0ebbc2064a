//! A fake Alertmanager over HTTP, for tests: its API v2 as measured on 0.25.0 and 0.33.1, and planned faults.
//!
//! ```text
//! state     alerts, silences, settings     silences  their rules: ids, states, errors
//! routes    requests and answers
//! ```
//!
//! A test sets what it lists; nothing happens on its own. Two fakes with the same cluster share nothing: like real peers
//! they have their own alerts, and a test that needs the same silence on both makes it twice.

#![allow(dead_code, reason = "it implements what Alertmanager does; each story uses some of it")]

mod client;
mod client_of_silences;
mod real;
mod routes;
mod silences;
pub(crate) mod state;

pub(crate) use state::{Alert, Fault, Silence};

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpServer, web};
use matrixbot::clock::{SharedClock, SystemClock};
use state::{Request, State};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

/// Larger than any silence of a test.
const LARGEST_BODY: usize = 8 * 1024 * 1024;

type Shared = Mutex<State>;

/// A running fake Alertmanager. It stops when it is dropped.
pub(crate) struct Alertmanager {
    address: SocketAddr,
    state: Arc<Shared>,
    running: Option<(ServerHandle, JoinHandle<()>)>,
}

impl Alertmanager {
    /// Starts one on the machine's clock.
    pub(crate) fn start() -> Self {
        Self::start_on(Arc::new(SystemClock))
    }

    /// Starts one on the test's clock.
    pub(crate) fn start_on(clock: SharedClock) -> Self {
        matrixbot::matrix::install_tls_provider();
        let state = Arc::new(Mutex::new(State::new(clock)));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (send_handle, handle) = mpsc::channel();
        let shared = Arc::clone(&state);
        let thread = std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let server = HttpServer::new(move || {
                    App::new()
                        .app_data(web::Data::from(Arc::clone(&shared)))
                        .app_data(web::PayloadConfig::new(LARGEST_BODY))
                        .default_service(web::to(routes::answer))
                })
                .workers(1)
                .disable_signals()
                .shutdown_timeout(0)
                .listen(listener)
                .unwrap()
                .run();
                send_handle.send(server.handle()).unwrap();
                server.await.unwrap();
            });
        });
        Self { address, state, running: Some((handle.recv().unwrap(), thread)) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The URL of its page, with its prefix.
    pub(crate) fn url(&self) -> url::Url {
        format!("http://{}{}", self.address, self.state().prefix).parse().unwrap()
    }

    /// Changes what it lists and how it answers.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state())
    }

    /// It lists this alert from now on, as its source has just reported it.
    pub(crate) fn fire(&self, alert: Alert) {
        self.state().report(alert);
    }

    /// The source reports the alert with this name as resolved.
    pub(crate) fn resolve(&self, alertname: &str) {
        self.state().alerts.retain(|alert| alert.labels["alertname"] != alertname);
    }

    /// Every source reports again what it has reported.
    pub(crate) fn report_again(&self) {
        self.state().report_again();
    }

    /// Another process takes its place: it has the silences, and no alerts.
    pub(crate) fn restart(&self) {
        self.state().restart();
    }

    /// Answers all requests like this, until `None`.
    pub(crate) fn fail(&self, fault: Option<Fault>) {
        self.state().fault = fault;
    }

    /// The silences, in the order in which they were made.
    pub(crate) fn silences(&self) -> Vec<Silence> {
        let mut state = self.state();
        state.settle_silences();
        state.silences.clone()
    }

    /// The requests since the last call: method and path with query, decoded.
    pub(crate) fn requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.state().requests)
    }

    /// Makes both peers of one cluster. They learn each other's name, and share nothing.
    pub(crate) fn join(&self, other: &Self) {
        let names = [self, other].map(|one| one.state().name.clone());
        for one in [self, other] {
            one.state().members = names.to_vec();
        }
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        if let Some((handle, thread)) = self.running.take() {
            // Slow answers must not hold up the test.
            self.fail(None);
            drop(handle.stop(false));
            let _ended = thread.join();
        }
    }
}

/// How long a slow answer takes at most.
const SLOWEST: Duration = Duration::from_mins(1);
