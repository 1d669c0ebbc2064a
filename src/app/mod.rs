//! Composition: builds, binds, spawns, drains and stops, in this order. The only module that spawns tasks.

pub(crate) mod alertmanagers;
mod certificates;
mod parts;
mod readiness;
mod workers;

pub use parts::Parts;
pub use workers::workers;

use crate::clock::SystemClock;
use crate::config::{Config, OwnHeartbeatConfig, Problem, Registration};
use crate::http::{Listening, bind};
use crate::store::{ENGINE_VERSION, Store};
use crate::worker::Registered;
use actix_web::dev::ServerHandle;
use anyhow::Context as _;
use certificates::Certificates;
use futures_util::future::join_all;
use secrecy::ExposeSecret as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long shutdown waits for in-flight work: longer than a request to the homeserver may take.
const DRAIN: Duration = Duration::from_secs(75);
/// The pause between attempts to reach the database at the start.
const DATABASE_PAUSE: Duration = Duration::from_secs(2);
/// How often the workers check whether a newer release runs on the database.
const VERSION_EVERY: Duration = Duration::from_secs(15);

/// Serves until SIGTERM or SIGINT, then accepts no more requests, finishes in-flight work and returns. On SIGHUP,
/// `read` reads the configuration again; a configuration with problems changes nothing.
pub async fn run(config: Config, read: impl Fn() -> Result<Config, Vec<Problem>>) -> anyhow::Result<()> {
    let shutdown = CancellationToken::new();
    let mut signals = Signals::new()?;
    for warning in &config.warnings {
        tracing::warn!(%warning, "{warning}");
    }
    let store = Store::new(&config.database.url, config.database.max_connections)?;
    let parts = Parts::build(&config, store.clone(), Arc::new(SystemClock))?;
    let listening = bind(parts.bindings(&config))?;
    let serving = Serving::begin(listening);
    let opened = tokio::select! {
        opened = open(&config, &store, &parts) => opened.map(|()| true),
        () = signals.stop() => Ok(false),
    };
    if !matches!(opened, Ok(true)) {
        serving.end().await;
        return opened.map(drop);
    }
    let workers = Workers::spawn(workers(&parts, &config, &shutdown), store.clone(), shutdown);
    tracing::info!(
        room_lists = parts.lists.load().iter().count(),
        "matrixbot {} is running",
        env!("CARGO_PKG_VERSION")
    );

    loop {
        tokio::select! {
            request = signals.next() => match request {
                Request::Reload => {
                    serving.renewal.notify_one();
                    reload(&parts, &config, read()).await;
                }
                Request::Stop => break,
            },
            () = workers.panicked.cancelled() => break,
        }
    }
    tracing::info!("shutting down: finishing in-flight work");
    serving.end().await;
    workers.finish().await;
    store.close().await;
    // Without one of its workers the program only seems to work. It exits, so its supervisor restarts it.
    anyhow::ensure!(!workers.panicked.is_cancelled(), "a worker panicked");
    tracing::info!("stopped");
    Ok(())
}

/// The listeners, and the worker that reloads their certificates.
struct Serving {
    tasks: TaskTracker,
    handles: Vec<ServerHandle>,
    /// Wakes the worker that reloads the certificates.
    renewal: Arc<Notify>,
    ended: CancellationToken,
}

impl Serving {
    fn begin(listening: Vec<Listening>) -> Self {
        let serving = Self {
            tasks: TaskTracker::new(),
            handles: listening.iter().map(Listening::handle).collect(),
            renewal: Arc::new(Notify::new()),
            ended: CancellationToken::new(),
        };
        let certificates = listening.iter().filter_map(|listener| listener.certificate.clone()).collect();
        let worker = Registered::woken_by(&serving.renewal, Certificates::new(certificates));
        let ended = serving.ended.clone();
        serving.tasks.spawn(async move { worker.run(&ended).await });
        for listener in listening {
            tracing::info!(address = %listener.address, "listening on {} for {}", listener.address, listener.name);
            serving.tasks.spawn(listener.server);
        }
        serving
    }

    /// Accepts no more requests, and finishes the requests in flight.
    async fn end(self) {
        self.ended.cancel();
        join_all(self.handles.iter().map(|handle| handle.stop(true))).await;
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Waits for the database, migrates the schema and applies the configuration. Until then the listeners answer 503.
async fn open(config: &Config, store: &Store, parts: &Parts) -> anyhow::Result<()> {
    loop {
        match store.ping().await {
            Ok(()) => break,
            Err(error) => {
                tracing::error!(%error, "waiting for the database: {error}");
                tokio::time::sleep(DATABASE_PAUSE).await;
            }
        }
    }
    if config.database.migrate {
        store.migrate().await.context("migrating the schema")?;
    }
    let missing = store.missing_migrations().await?;
    anyhow::ensure!(
        missing == 0,
        "the schema lacks {missing} migrations: run `matrixbot migrate`, or set database.migrate"
    );
    let version = store.engine_version().await?;
    anyhow::ensure!(
        version <= ENGINE_VERSION,
        "a newer release has run on this database (engine version {version}, this one has {ENGINE_VERSION}): use the newer release"
    );
    parts.clock_check().compare().await.context("comparing the clock with the database's")?;
    parts.configure(config).await
}

fn is_same_heartbeat(one: Option<&OwnHeartbeatConfig>, other: Option<&OwnHeartbeatConfig>) -> bool {
    let of = |own: &OwnHeartbeatConfig| (own.url.expose_secret().to_owned(), own.every);
    one.map(of) == other.map(of)
}

/// Applies the configuration that was read again, except for the keys that need a restart.
async fn reload(parts: &Parts, running: &Config, read: Result<Config, Vec<Problem>>) {
    let config = match read {
        Ok(config) => config,
        Err(problems) => {
            for problem in &problems {
                tracing::error!(%problem, "the configuration was not reloaded: {problem}");
            }
            return;
        }
    };
    let need_restart = [
        (
            "homeserver",
            config.homeserver.url != running.homeserver.url
                || config.homeserver.server_name != running.homeserver.server_name,
        ),
        ("registration", !is_same_registration(&config.registration, &running.registration)),
        ("user_prefix", config.user_prefix != running.user_prefix),
        ("database.url", config.database.url.expose_secret() != running.database.url.expose_secret()),
        ("database.max_connections", config.database.max_connections != running.database.max_connections),
        ("listen", config.listen != running.listen),
        ("retention", config.retention != running.retention),
        ("own_heartbeat", !is_same_heartbeat(config.own_heartbeat.as_ref(), running.own_heartbeat.as_ref())),
    ];
    for (key, _) in need_restart.iter().filter(|(_, differs)| *differs) {
        tracing::warn!(key, "{key} has changed; restart to apply it");
    }
    match parts.configure(&config).await {
        Ok(()) => tracing::info!(room_lists = config.room_lists.len(), "the configuration was reloaded"),
        Err(error) => tracing::error!(%error, "the configuration was not reloaded: {error:#}"),
    }
}

fn is_same_registration(one: &Registration, other: &Registration) -> bool {
    one.as_token.expose_secret() == other.as_token.expose_secret()
        && one.hs_token.expose_secret() == other.hs_token.expose_secret()
        && (&one.id, &one.sender_localpart) == (&other.id, &other.sender_localpart)
        && one.user_namespaces() == other.user_namespaces()
}

/// The running workers.
struct Workers {
    tasks: TaskTracker,
    shutdown: CancellationToken,
    /// Cancelled when a worker panics.
    panicked: CancellationToken,
}

impl Workers {
    fn spawn(registry: Vec<Registered>, store: Store, shutdown: CancellationToken) -> Self {
        let workers = Self { tasks: TaskTracker::new(), shutdown, panicked: CancellationToken::new() };
        for worker in registry {
            let shutdown = workers.shutdown.clone();
            workers.spawn_task(async move { worker.run(&shutdown).await });
        }
        let shutdown = workers.shutdown.clone();
        workers.spawn_task(async move { watch_version(&store, &shutdown).await });
        workers
    }

    fn spawn_task(&self, work: impl Future<Output = ()> + Send + 'static) {
        let alarm = Alarm(self.panicked.clone());
        self.tasks.spawn(async move {
            work.await;
            drop(alarm);
        });
    }

    /// Finishes in-flight work, within `DRAIN`.
    async fn finish(&self) {
        self.shutdown.cancel();
        self.tasks.close();
        if tokio::time::timeout(DRAIN, self.tasks.wait()).await.is_err() {
            tracing::warn!(
                "in-flight work was not finished in {} s; the next process continues with it",
                DRAIN.as_secs()
            );
        }
    }
}

/// Cancels the token if the task that owns it panics.
struct Alarm(CancellationToken);

impl Drop for Alarm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.cancel();
        }
    }
}

/// Stops the workers once a newer release has raised the engine version. The listeners keep accepting webhooks and
/// transactions.
async fn watch_version(store: &Store, shutdown: &CancellationToken) {
    while !shutdown.is_cancelled() {
        if let Ok(version) = store.engine_version().await
            && version > ENGINE_VERSION
        {
            tracing::error!(
                version,
                "a newer release runs on this database: stopping the workers of this one"
            );
            shutdown.cancel();
        }
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = tokio::time::sleep(VERSION_EVERY) => {}
        }
    }
}

/// The request of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Request {
    Stop,
    Reload,
}

/// The signals that request a stop or a reload.
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("listening for signals");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// Waits for a request.
    async fn next(&mut self) -> Request {
        tokio::select! {
            _ = self.terminate.recv() => Request::Stop,
            _ = self.interrupt.recv() => Request::Stop,
            _ = self.hangup.recv() => Request::Reload,
        }
    }

    /// Waits for a request to stop. Ignores reloads: before the start there is nothing to reload.
    async fn stop(&mut self) {
        while self.next().await != Request::Stop {}
    }
}
