//! The world of a story: a fake homeserver with faults, a real Postgres, Alertmanager's webhook over HTTP, people in
//! rooms, and a clock that only the story advances.
//!
//! Nothing runs in the background: `settle` steps the registered workers, each when its loop would, until nothing is
//! due at the current time.

use crate::alertmanager::Alert;
use crate::database::TestDatabase;
use crate::homeserver::{Homeserver, SERVER_NAME};
use crate::proxy::Proxy;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use matrixbot::app::{self, Parts};
use matrixbot::clock::{Clock, ManualClock, SharedClock};
use matrixbot::config::{self, Config};
use matrixbot::domain::time::{between, later};
use matrixbot::http::{Listening, bind};
use matrixbot::store::{Limits, Store, StoreError};
use matrixbot::timers::DatabaseClock;
use matrixbot::worker::{Progress, Registered, StepError};
use ruma::{OwnedRoomId, OwnedUserId, UserId};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The webhook token of every list.
pub(crate) const TOKEN: &str = "t0ken-of-the-webhook";

/// Enough for the rooms that a story serves at once; with four, a hundred rooms wait for each other for minutes. More only
/// cost time, because each connection plans each statement anew.
const CONNECTIONS: u32 = 8;

/// A running matrixbot with its homeserver and database.
pub(crate) struct World {
    pub(crate) homeserver: Homeserver,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) database: TestDatabase,
    pub(crate) bot: Bot,
    configuration: Configuration,
}

/// One process of matrixbot, whose workers run only when the test steps them.
pub(crate) struct Bot {
    pub(crate) parts: Parts,
    pub(crate) webhook: String,
    pub(crate) appservice: String,
    pub(crate) admin: String,
    workers: Vec<Worker>,
    /// The story's clock.
    clock: SharedClock,
    machine: Arc<MachineClock>,
    store: Store,
    handles: Vec<actix_web::dev::ServerHandle>,
    shutdown: CancellationToken,
}

/// The operator's configuration.
struct Configuration {
    room_lists: String,
    homeserver: Homeserver,
    database_url: String,
    limits: Limits,
    directory: tempfile::TempDir,
}

impl Configuration {
    /// Writes the configuration and loads it as an operator's file.
    fn load(&self) -> Config {
        let appservice = self.homeserver.appservice();
        let registration = json!({
            "id": appservice.id,
            "url": "http://127.0.0.1:1",
            "as_token": appservice.as_token,
            "hs_token": appservice.hs_token,
            "sender_localpart": appservice.sender.localpart(),
            "rate_limited": false,
            "namespaces": { "users": [{ "exclusive": true, "regex": format!("@_alerts_.*:{}$", SERVER_NAME.replace('.', "\\.")) }] },
        });
        let directory = self.directory.path();
        std::fs::write(directory.join("registration.yaml"), registration.to_string()).unwrap();
        let text = format!(
            "homeserver:\n  url: {}\n  server_name: {SERVER_NAME}\nregistration: registration.yaml\ndatabase:\n  url: {}\n\
             listen:\n  appservice: 127.0.0.1:0\n  webhook: 127.0.0.1:0\n  admin: 127.0.0.1:0\nroom_lists:\n{}",
            self.homeserver.url(),
            self.database_url,
            self.room_lists
        );
        let file = directory.join("config.yaml");
        std::fs::write(&file, &text).unwrap();
        match config::load(&file, config::Outside { environment: &|_| None, template: &|_, _| Ok(()) }) {
            Ok(config) => config,
            Err(problems) => panic!("{problems:#?}\n{text}"),
        }
    }
}

/// The rooms of the default list.
#[derive(Debug, Clone)]
pub(crate) struct Rooms {
    /// The first level.
    pub(crate) ops: OwnedRoomId,
    /// The second level.
    pub(crate) managers: OwnedRoomId,
    /// The fallback.
    pub(crate) fallback: OwnedRoomId,
}

impl World {
    /// The default world: the list `finance` with two levels of 15 and 30 minutes and a fallback room; alice is in each
    /// room.
    /// `more` is additional YAML of the list, indented by four spaces.
    pub(crate) async fn finance(more: &str) -> (Self, Rooms) {
        let setup = Setup::prepare().await;
        let rooms = setup.rooms();
        (setup.start(&finance_list(more)).await, rooms)
    }
}

/// A world in which matrixbot is not running yet.
pub(crate) struct Setup {
    pub(crate) homeserver: Homeserver,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) database: TestDatabase,
    /// Where matrixbot reaches the database, and how long it waits, if not directly and as usual.
    reach: Option<(String, Limits)>,
}

impl Setup {
    /// An empty world.
    pub(crate) async fn prepare() -> Self {
        let start: Timestamp = "2026-11-24T12:00:00Z".parse().unwrap();
        let clock = Arc::new(ManualClock::new(start));
        let homeserver = Homeserver::start_on(Arc::clone(&clock) as SharedClock);
        let database = TestDatabase::create().await;
        Self { homeserver, clock, database, reach: None }
    }

    /// Puts a proxy between matrixbot, which waits for so long, and the database.
    pub(crate) async fn behind_a_proxy(&mut self, limits: Limits) -> Proxy {
        let mut url: url::Url = self.database.url().parse().unwrap();
        let host = url.host_str().unwrap().to_owned();
        let proxy = Proxy::start(host, url.port().unwrap_or(5432)).await;
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(proxy.port())).unwrap();
        self.reach = Some((url.to_string(), limits));
        proxy
    }

    /// Lets matrixbot wait for so long.
    pub(crate) fn waits(&mut self, limits: Limits) {
        self.reach = Some((self.database.url(), limits));
    }

    /// Creates the rooms of the list `finance`, with alice in each.
    pub(crate) fn rooms(&self) -> Rooms {
        let room = |name: &str| {
            self.homeserver.public_room("@alice:example.test", &format!("#{name}:{SERVER_NAME}"))
        };
        Rooms { ops: room("ops"), managers: room("managers"), fallback: room("fallback") }
    }

    /// Starts matrixbot with these room lists (YAML items of `room_lists`), and lets it settle.
    pub(crate) async fn start(self, room_lists: &str) -> World {
        let Self { homeserver, clock, database, reach } = self;
        let (database_url, limits) = reach.unwrap_or_else(|| (database.url(), Limits::default()));
        let configuration = Configuration {
            room_lists: room_lists.to_owned(),
            homeserver: homeserver.clone(),
            database_url,
            limits,
            directory: tempfile::tempdir().unwrap(),
        };
        let bot = Bot::start(&configuration, &clock, SignedDuration::ZERO).await;
        homeserver.set_appservice_url(&bot.appservice);
        let world = World { homeserver, clock, database, bot, configuration };
        world.settle().await;
        world
    }
}

impl World {
    /// Another process with the same configuration and database.
    pub(crate) async fn another(&self) -> Bot {
        Bot::start(&self.configuration, &self.clock, SignedDuration::ZERO).await
    }

    /// Another process, on a machine whose clock is so far ahead of everybody else's.
    pub(crate) async fn another_ahead(&self, ahead: SignedDuration) -> Bot {
        Bot::start(&self.configuration, &self.clock, ahead).await
    }

    /// Ends the process as if it had been killed, and starts another one.
    pub(crate) async fn restart_bot(&mut self) {
        self.bot.kill().await;
        self.bot = self.another().await;
        self.homeserver.set_appservice_url(&self.bot.appservice);
    }

    /// Changes the configuration's room lists for processes that start from now on; the running one keeps its own.
    pub(crate) fn configure_anew(&mut self, room_lists: &str) {
        room_lists.clone_into(&mut self.configuration.room_lists);
    }

    /// Reloads the configuration with these room lists (YAML items of `room_lists`).
    pub(crate) async fn reload(&mut self, room_lists: &str) {
        room_lists.clone_into(&mut self.configuration.room_lists);
        self.bot.parts.configure(&self.configuration.load()).await.unwrap();
    }

    /// The current time.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Does everything that is due at the current time.
    pub(crate) async fn settle(&self) {
        for _ in 0..200 {
            let delivered = self.homeserver.deliver().await;
            let worked = self.bot.work().await;
            // A worker may have changed a room although it is idle now, and a step may have failed on a busy machine.
            if !worked && delivered.events == 0 && self.homeserver.deliver().await.events == 0 {
                return;
            }
        }
        panic!("it does not settle");
    }

    /// Advances the clock, and stops at each due time to do what is due.
    pub(crate) async fn pass(&self, time: Duration) {
        let end = later(self.now(), time);
        loop {
            self.settle().await;
            if self.now() == end {
                return;
            }
            let next = self.next_due().await.map_or(end, |due| due.min(end));
            // If something due could not be done (a room fails, a lease is held), try again in a second.
            self.clock
                .advance(between(self.now(), next).max(Duration::from_secs(1)).min(between(self.now(), end)));
        }
    }

    /// The next due time of a timer, a message or the end of a lease.
    async fn next_due(&self) -> Option<Timestamp> {
        let due: Option<jiff_sqlx::Timestamp> = sqlx::query_scalar(
            "SELECT least(
                 (SELECT min(greatest(next_at, timer_not_before)) FROM incident WHERE next_at IS NOT NULL),
                 (SELECT min(greatest(stale_at, timer_not_before)) FROM incident WHERE stale_at IS NOT NULL),
                 (SELECT min(greatest(not_before, next_allowed_at, next_check)) FROM outbox JOIN room_gate USING (room)
                  LEFT JOIN user_trouble USING (room_list) WHERE state = 'pending'),
                 (SELECT min(not_before) FROM inbox WHERE state = 'waiting'),
                 (SELECT min(try_at) FROM silence_order),
                 (SELECT min(look_at) FROM digest WHERE ended_at IS NULL),
                 (SELECT min(next_at) FROM on_call_watch),
                 (SELECT min(due_at) FROM on_call_calendar),
                 (SELECT min(lease_until) + interval '1 microsecond' FROM room_gate))",
        )
        .fetch_one(self.database.reader())
        .await
        .unwrap();
        due.map(jiff_sqlx::Timestamp::to_jiff)
    }

    /// Alertmanager posts a webhook to the list `finance`. Returns status and body.
    pub(crate) async fn post(&self, body: &Value) -> (u16, Value) {
        self.post_to("finance", body).await
    }

    /// Alertmanager posts a webhook to a list.
    pub(crate) async fn post_to(&self, list: &str, body: &Value) -> (u16, Value) {
        post(&format!("{}/webhook/{list}", self.bot.webhook), TOKEN, body.to_string()).await
    }

    /// Alertmanager reports a group to the list `finance`, which must be accepted; then everything settles. Returns the
    /// incident's number.
    pub(crate) async fn report(&self, group: &Group) -> i64 {
        let (status, answer) = self.post(&group.payload()).await;
        assert_eq!(status, 200, "{answer}");
        self.settle().await;
        answer["incident"].as_i64().unwrap_or(0)
    }

    /// The virtual user of a list.
    pub(crate) fn virtual_user(list: &str) -> OwnedUserId {
        UserId::parse(format!("@_alerts_{list}:{SERVER_NAME}")).unwrap()
    }

    /// A number from the database.
    pub(crate) async fn count(&self, query: &'static str) -> i64 {
        sqlx::query_scalar(query).fetch_one(self.database.reader()).await.unwrap()
    }

    /// A number from the database, by a query that is built at run time.
    pub(crate) async fn count_of(&self, query: &str) -> i64 {
        sqlx::query_scalar(sqlx::AssertSqlSafe(query)).fetch_one(self.database.reader()).await.unwrap()
    }

    /// The end of every story: after a few seconds for delayed messages, all queues are empty, and the number of
    /// timeline entries matches each incident's version.
    pub(crate) async fn nothing_is_left(&self) {
        self.pass(Duration::from_secs(5)).await;
        let pending = "SELECT count(*) FROM outbox WHERE state IN ('pending', 'sending')";
        assert_eq!(self.count(pending).await, 0, "messages wait");
        assert_eq!(self.count("SELECT count(*) FROM inbox WHERE state = 'waiting'").await, 0, "events wait");
        assert_eq!(self.count("SELECT count(*) FROM silence_order").await, 0, "commands wait");
        assert_eq!(
            self.count("SELECT count(*) FROM room_gate WHERE message IS NOT NULL").await,
            0,
            "leases are held"
        );
        let gaps = "SELECT count(*) FROM incident WHERE version <>
                    (SELECT count(*) FROM timeline WHERE incident = incident.id AND kind <> 'late_ack')";
        assert_eq!(self.count(gaps).await, 0, "a version has no timeline entry (I8)");
        let found = "SELECT count(*) FROM audit_finding WHERE counted AND name <> 'list_without_room'";
        assert_eq!(self.count(found).await, 0, "the audit finds something");
    }
}

impl Bot {
    async fn start(configuration: &Configuration, clock: &Arc<ManualClock>, ahead: SignedDuration) -> Self {
        let config = &configuration.load();
        let machine = Arc::new(MachineClock {
            clock: Arc::clone(clock),
            ahead: Mutex::new(ahead),
            slept: Mutex::default(),
        });
        let store = Store::with_limits(&config.database.url, CONNECTIONS, configuration.limits).unwrap();
        let shutdown = CancellationToken::new();
        let mut parts = Parts::build(config, store.clone(), Arc::clone(&machine) as SharedClock).unwrap();
        parts.database_clock = Arc::new(StoryDatabaseClock(Arc::clone(clock)));
        parts.clock_check().compare().await.unwrap();
        parts.configure(config).await.unwrap();
        let listening = bind(parts.bindings(config)).unwrap();
        let addresses: Vec<_> =
            listening.iter().map(|listener| format!("http://{}", listener.address)).collect();
        let handles = listening.iter().map(Listening::handle).collect();
        let serving = TaskTracker::new();
        for listener in listening {
            serving.spawn(listener.server);
        }
        let [appservice, webhook, admin] = addresses.try_into().unwrap();
        let workers = app::workers(&parts, config, &shutdown);
        let workers = workers.into_iter().map(|worker| Worker { worker, due: Mutex::default() }).collect();
        let clock = Arc::clone(clock) as SharedClock;
        Self { parts, webhook, appservice, admin, workers, clock, machine, store, handles, shutdown }
    }

    /// Sets the machine's clock: so far ahead of everybody else's.
    pub(crate) fn set_clock(&self, ahead: SignedDuration) {
        *self.machine.ahead.lock().unwrap() = ahead;
    }

    /// The machine was suspended for so long, which everybody else's clock has counted.
    pub(crate) fn slept(&self, time: Duration) {
        *self.machine.slept.lock().unwrap() += time;
    }

    /// The value of an exported series; `None`: the process does not export it.
    pub(crate) async fn series(&self, series: &str) -> Option<f64> {
        series_of(&self.admin, series).await
    }

    /// Shuts the workers down in order.
    pub(crate) async fn shut_down(&self) {
        self.shutdown.cancel();
        for worker in &self.workers {
            worker.worker.run(&self.shutdown).await;
        }
    }

    /// Kills the process: its leases and rows stay as they are.
    pub(crate) async fn kill(&self) {
        self.shutdown.cancel();
        for handle in &self.handles {
            handle.stop(false).await;
        }
        self.store.close().await;
    }

    /// Steps every worker as its loop would at the current time: until it is idle, then when it is notified or its
    /// deadline has passed on the story's clock. Returns whether anything was done. A failed step is retried the next
    /// time.
    pub(crate) async fn work(&self) -> bool {
        let mut worked = false;
        loop {
            let mut stepped = false;
            for worker in &self.workers {
                while worker.is_due(self.clock.now()) {
                    match worker.step(&self.clock).await {
                        Ok(Progress::More) => (stepped, worked) = (true, true),
                        Ok(Progress::Idle(wait)) => {
                            // It may have notified an earlier worker.
                            stepped |= wait > POLL;
                            break;
                        }
                        Err(_) => break,
                    }
                }
            }
            if !stepped {
                return worked;
            }
        }
    }

    /// Steps one worker once, even if it is not due.
    pub(crate) async fn step(&self, name: &str) -> Result<Progress, StepError> {
        let worker = self.workers.iter().find(|worker| worker.worker.name() == name);
        worker.unwrap_or_else(|| panic!("no worker is called {name}")).step(&self.clock).await
    }
}

/// The clock of a process's machine: the story's, or ahead of it.
#[derive(Debug)]
struct MachineClock {
    clock: Arc<ManualClock>,
    ahead: Mutex<SignedDuration>,
    slept: Mutex<Duration>,
}

impl Clock for MachineClock {
    fn now(&self) -> Timestamp {
        self.clock.now() + *self.ahead.lock().unwrap()
    }

    fn running(&self) -> Duration {
        self.clock.running().saturating_sub(*self.slept.lock().unwrap())
    }
}

/// The database's clock is the story's.
#[derive(Debug)]
struct StoryDatabaseClock(Arc<ManualClock>);

impl DatabaseClock for StoryDatabaseClock {
    fn read(&self) -> BoxFuture<'_, Result<Timestamp, StoreError>> {
        Box::pin(std::future::ready(Ok(self.0.now())))
    }
}

/// Workers that poll at least this often are always due, because the story's clock does not advance on its own.
const POLL: Duration = Duration::from_secs(1);

/// A worker of the registry, and when its next step is due.
struct Worker {
    worker: Registered,
    due: Mutex<Timestamp>,
}

impl Worker {
    fn is_due(&self, now: Timestamp) -> bool {
        let is_notified = self.worker.wake().notified().now_or_never().is_some();
        is_notified || *self.due.lock().unwrap() <= now
    }

    async fn step(&self, clock: &SharedClock) -> Result<Progress, StepError> {
        let progress = self.worker.step().await;
        let wait = match progress {
            Ok(Progress::Idle(wait)) if wait > POLL => wait,
            _ => Duration::ZERO,
        };
        *self.due.lock().unwrap() = later(clock.now(), wait);
        progress
    }
}

/// An alert group, for Alertmanager's reports.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    name: String,
    route: String,
    alerts: Vec<Value>,
}

impl Group {
    /// A group without alerts, by its alertname.
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), route: "{}".to_owned(), alerts: Vec::new() }
    }

    /// A group with one critical alert, firing since `starts_at`.
    pub(crate) fn firing(name: &str, starts_at: Timestamp) -> Self {
        Self::new(name).alert("db-1", "critical", "firing", starts_at)
    }

    /// The group of an alert of the fake Alertmanager, firing since `starts_at`.
    pub(crate) fn of(alert: &Alert, starts_at: Timestamp) -> Self {
        let mut group = Self::new(&alert.labels["alertname"]);
        group.alerts.push(json!({
            "status": "firing",
            "labels": alert.labels,
            "annotations": alert.annotations,
            "startsAt": starts_at.to_string(),
            "endsAt": "0001-01-01T00:00:00Z",
            "fingerprint": alert.fingerprint(),
        }));
        group
    }

    /// The same with the alerts of another group.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.alerts.extend(other.alerts);
        self
    }

    /// The same with one more alert, identified by `instance`.
    pub(crate) fn alert(
        mut self,
        instance: &str,
        severity: &str,
        status: &str,
        starts_at: Timestamp,
    ) -> Self {
        let ends_at =
            if status == "firing" { "0001-01-01T00:00:00Z".to_owned() } else { starts_at.to_string() };
        self.alerts.push(json!({
            "status": status,
            "labels": { "alertname": self.name, "instance": instance, "severity": severity },
            "annotations": { "summary": format!("{} on {instance}", self.name) },
            "startsAt": starts_at.to_string(),
            "endsAt": ends_at,
            "generatorURL": "http://prometheus.example.test/graph",
            "fingerprint": format!("{:016x}", fingerprint(&self.name, instance)),
        }));
        self
    }

    /// The same with every alert resolved, and ended at this time.
    pub(crate) fn ended(mut self, ends_at: Timestamp) -> Self {
        self = self.resolved();
        for alert in &mut self.alerts {
            alert["endsAt"] = json!(ends_at.to_string());
        }
        self
    }

    /// The same as another group: after an edit of its route, or from another route.
    pub(crate) fn of_route(mut self, route: &str) -> Self {
        route.clone_into(&mut self.route);
        self
    }

    /// The same with every alert resolved.
    pub(crate) fn resolved(mut self) -> Self {
        for alert in &mut self.alerts {
            alert["status"] = json!("resolved");
        }
        self
    }

    /// The webhook's body.
    pub(crate) fn payload(&self) -> Value {
        let firing = self.alerts.iter().any(|alert| alert["status"] == "firing");
        json!({
            "receiver": "finance",
            "status": if firing { "firing" } else { "resolved" },
            "alerts": self.alerts,
            "groupLabels": { "alertname": self.name },
            "commonLabels": { "alertname": self.name },
            "commonAnnotations": {},
            "externalURL": "http://alertmanager.example.test",
            "version": "4",
            "groupKey": format!("{}:{{alertname=\"{}\"}}", self.route, self.name),
            "truncatedAlerts": 0,
        })
    }
}

fn fingerprint(name: &str, instance: &str) -> u64 {
    name.bytes()
        .chain([0xff])
        .chain(instance.bytes())
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The value of a series at an admin listener.
pub(crate) async fn series_of(admin: &str, series: &str) -> Option<f64> {
    let metrics = reqwest::get(format!("{admin}/metrics")).await.unwrap().text().await.unwrap();
    let value = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
    Some(value.parse().unwrap())
}

/// The default list.
pub(crate) fn finance_list(more: &str) -> String {
    format!(
        "  - name: finance
    webhook_token: {TOKEN}
    levels:
      - rooms: [\"#ops:{SERVER_NAME}\"]
        escalate_after: 15m
      - rooms: [\"#managers:{SERVER_NAME}\"]
        escalate_after: 30m
    fallback_rooms: [\"#fallback:{SERVER_NAME}\"]
    severities:
      critical: {{rank: 2}}
      warning: {{rank: 1}}
      info: {{rank: 0, escalate: false}}
{more}"
    )
}

/// A client without trusted certificates, because reading them takes so long that listeners time out.
pub(crate) fn http_client() -> reqwest::Client {
    reqwest::Client::builder().tls_certs_only([]).build().unwrap()
}

/// Posts JSON with a bearer token. Returns status and answer.
pub(crate) async fn post(url: &str, token: &str, body: String) -> (u16, Value) {
    let answer = http_client()
        .post(url)
        .header("Content-Type", "application/json")
        .header("Authorization", format!("Bearer {token}"))
        .body(body)
        .send()
        .await
        .unwrap();
    let status = answer.status().as_u16();
    let text = answer.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}
