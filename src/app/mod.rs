//! Composition root: build, bind, spawn, drain and stop in order. The only place that spawns.

mod certificates;
mod parts;
mod readiness;

pub use parts::Parts;

use crate::clock::SystemClock;
use crate::config::{Config, Problem, Registration};
use crate::http::{Listening, bind};
use crate::store::{ENGINE_VERSION, Store};
use crate::worker::{self, Worker};
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

/// How long a stop waits for what is held: longer than a request to the homeserver may take.
const DRAIN: Duration = Duration::from_secs(75);
/// How often the database is tried while it is away at the start.
const DATABASE_PAUSE: Duration = Duration::from_secs(2);
/// How often it is looked whether a newer release runs on the database.
const VERSION_EVERY: Duration = Duration::from_secs(15);

/// Serves until SIGTERM or SIGINT: then stops accepting, finishes what is held, and returns. At SIGHUP `read` reads the
/// configuration again; one with problems changes nothing.
pub async fn run(config: Config, read: impl Fn() -> Result<Config, Vec<Problem>>) -> anyhow::Result<()> {
    let shutdown = CancellationToken::new();
    let mut signals = Signals::new()?;
    for warning in &config.warnings {
        tracing::warn!(%warning, "{warning}");
    }
    let store = Store::new(&config.database.url, config.database.max_connections)?;
    let parts = Arc::new(Parts::build(&config, store.clone(), Arc::new(SystemClock), shutdown.clone())?);
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
    let workers = Workers {
        parts: Arc::clone(&parts),
        working: TaskTracker::new(),
        shutdown,
        panicked: CancellationToken::new(),
    };
    workers.spawn_all();
    tracing::info!(
        room_lists = parts.engine.lists().iter().count(),
        "matrixbot {} is running",
        env!("CARGO_PKG_VERSION")
    );

    loop {
        tokio::select! {
            asked = signals.next() => match asked {
                Asked::Reload => {
                    serving.renewal.notify_one();
                    reload(&parts, &config, read()).await;
                }
                Asked::Stop => break,
            },
            () = workers.panicked.cancelled() => break,
        }
    }
    tracing::info!("stopping: no more is accepted, what is held is finished");
    serving.end().await;
    workers.finish().await;
    store.close().await;
    // Without one of its workers the program only seems to work; whoever runs it starts it again.
    anyhow::ensure!(!workers.panicked.is_cancelled(), "a worker panicked");
    tracing::info!("stopped");
    Ok(())
}

/// What listens, and keeps its certificates up to date for as long.
struct Serving {
    tasks: TaskTracker,
    handles: Vec<ServerHandle>,
    /// Makes the certificates be looked at now.
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
        let shown = listening.iter().filter_map(|one| one.certificate.clone()).collect();
        let (certificates, wake, ended) =
            (Certificates::new(shown), Arc::clone(&serving.renewal), serving.ended.clone());
        serving.tasks.spawn(async move { worker::run(&certificates, &wake, &ended).await });
        for listener in listening {
            tracing::info!(address = %listener.address, "listening on {} for {}", listener.address, listener.name);
            serving.tasks.spawn(listener.server);
        }
        serving
    }

    /// Accepts no more, and finishes what is being answered.
    async fn end(self) {
        self.ended.cancel();
        join_all(self.handles.iter().map(|handle| handle.stop(true))).await;
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Brings the schema up to date and writes the configuration. Waits for the database; whoever asks meanwhile is answered
/// that it is away.
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
        store.migrate().await.context("bringing the schema up to date")?;
    }
    let missing = store.missing_migrations().await?;
    anyhow::ensure!(
        missing == 0,
        "the schema lacks {missing} migrations: run `matrixbot migrate`, or set database.migrate"
    );
    let version = store.engine_version().await?;
    anyhow::ensure!(
        version <= ENGINE_VERSION,
        "a newer release has run on this database (engine version {version}, ours is {ENGINE_VERSION}): use that one"
    );
    parts.configure(config).await
}

/// Lets a configuration that was read again hold, as far as that goes without a restart.
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
    let kept = [
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
    ];
    for (key, _) in kept.iter().filter(|(_, differs)| *differs) {
        tracing::warn!(key, "{key} has changed; it takes a restart to follow");
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
        && one.user_namespaces == other.user_namespaces
}

/// Everything that works until shutdown.
struct Workers {
    parts: Arc<Parts>,
    working: TaskTracker,
    shutdown: CancellationToken,
    /// Cancelled when one of them panicked.
    panicked: CancellationToken,
}

impl Workers {
    fn spawn_all(&self) {
        let wakers = self.parts.engine.wakers().clone();
        let alone = || Arc::new(Notify::new());
        let outbox = Arc::clone(&self.parts);
        self.spawn(async move { outbox.outbox.run().await });
        self.spawn_worker(|parts| &parts.inbox, wakers.inbox);
        self.spawn_worker(|parts| &parts.ladder, wakers.timers);
        self.spawn_worker(|parts| &parts.staleness, alone());
        self.spawn_worker(|parts| &parts.retention, alone());
        self.spawn_worker(|parts| &parts.gauges, alone());
        self.spawn_worker(|parts| &parts.attendance, wakers.attendance);
        self.spawn_worker(|parts| &parts.liveness, wakers.liveness);
        self.spawn_worker(|parts| &parts.reconcile, self.parts.reconcile_wake.clone());
        let store = self.parts.engine.store().clone();
        let shutdown = self.shutdown.clone();
        self.spawn(async move { watch_version(&store, &shutdown).await });
    }

    fn spawn_worker<W: Worker + 'static>(&self, which: fn(&Parts) -> &W, wake: Arc<Notify>) {
        let (parts, shutdown) = (Arc::clone(&self.parts), self.shutdown.clone());
        self.spawn(async move { worker::run(which(&parts), &wake, &shutdown).await });
    }

    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let alarm = Alarm(self.panicked.clone());
        self.working.spawn(async move {
            work.await;
            drop(alarm);
        });
    }

    /// Finishes what is held, as long as that may take.
    async fn finish(&self) {
        self.shutdown.cancel();
        self.working.close();
        if tokio::time::timeout(DRAIN, self.working.wait()).await.is_err() {
            tracing::warn!(
                "not everything was finished in {} s; another start goes on with it",
                DRAIN.as_secs()
            );
        }
    }
}

/// Tells that the task that holds it panicked.
struct Alarm(CancellationToken);

impl Drop for Alarm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.cancel();
        }
    }
}

/// Stops the workers once a release runs that they must not run beside. Webhooks and transactions are still taken.
async fn watch_version(store: &Store, shutdown: &CancellationToken) {
    while !shutdown.is_cancelled() {
        if let Ok(version) = store.engine_version().await
            && version > ENGINE_VERSION
        {
            tracing::error!(version, "a newer release runs on this database: the workers of this one stop");
            shutdown.cancel();
        }
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = tokio::time::sleep(VERSION_EVERY) => {}
        }
    }
}

/// What a signal asks of us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Stop,
    Reload,
}

/// What asks us to stop or to reload.
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

    /// Waits until something is asked.
    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.hangup.recv() => Asked::Reload,
        }
    }

    /// Waits until a stop is asked. What is not running yet has nothing to reload.
    async fn stop(&mut self) {
        while self.next().await != Asked::Stop {}
    }
}
