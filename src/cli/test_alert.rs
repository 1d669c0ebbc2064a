//! `matrixbot test-alert`

use super::local::{self, Machine};
use super::shell::{self, Shell};
use super::{ConfigFile, MISUSED, block_on, eprint, failed, print};
use crate::clock::{Clock as _, SystemClock};
use crate::config::{Config, RoomListConfig};
use crate::domain::duration;
use crate::domain::input::{Act, PersonAction, Via};
use crate::domain::rights::Caller;
use crate::domain::time::between;
use crate::engine::Engine;
use crate::store::{PageRow, Store, incident};
use anyhow::Context as _;
use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use url::Url;

pub(super) const EXAMPLES: &str = "\
Posts an alert to the webhook as Alertmanager does, waits until its page is in every room
of the level, and resolves it. The page says that it is a test, and mentions the people
whom a page of that level mentions. --level 2 pages the first level too, and then escalates.

Exit code 0 if every page arrived in time, 1 if not.

Examples:
  matrixbot test-alert --config config.yaml --room-list finance
  matrixbot test-alert --room-list finance --level 2 --severity critical --keep
  matrixbot test-alert --room-list finance --url https://alerts.example.org";

/// Polling interval for arrived pages.
const POLL: Duration = Duration::from_millis(50);
/// How long the webhook may take to answer.
const WEBHOOK_TIMEOUT: Duration = Duration::from_secs(15);
/// The alertname of every test.
const NAME: &str = "MatrixbotTest";

#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    file: ConfigFile,
    /// Whose rooms are tried
    #[arg(long, value_name = "NAME")]
    room_list: String,
    /// Up to which level; the first one is 1
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    level: u32,
    /// The test's severity; otherwise it has none
    #[arg(long, value_name = "NAME")]
    severity: Option<String>,
    /// How long to wait for the pages of each level
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration::parse)]
    timeout: Duration,
    /// Where the webhook listener is reached; otherwise on this machine, as the configuration says
    #[arg(long)]
    url: Option<Url>,
    /// Leave the incident open: it escalates until someone acknowledges it
    #[arg(long)]
    keep: bool,
    /// Report as one JSON object
    #[arg(long)]
    json: bool,
}

/// Sends a test alert through the whole path.
pub(super) fn test_alert(options: &Options) -> ExitCode {
    let config = match options.file.load() {
        Ok(config) => config,
        Err(code) => return code,
    };
    let Some(list) = config.room_lists.iter().find(|list| list.name == options.room_list) else {
        let names: Vec<&str> = config.room_lists.iter().map(|list| list.name.as_str()).collect();
        eprint(&format!(
            "error: there is no room list {}; there are: {}",
            options.room_list,
            names.join(", ")
        ));
        return ExitCode::from(MISUSED);
    };
    let levels = list.policy.levels.len();
    if usize::try_from(options.level).is_ok_and(|level| level > levels) {
        eprint(&format!("error: --level {}: {} has {levels}", options.level, list.name));
        return ExitCode::from(MISUSED);
    }
    match block_on(send(&config, list, options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

/// A running test.
struct Test<'a> {
    config: &'a Config,
    list: &'a RoomListConfig,
    options: &'a Options,
    engine: Engine,
    store: Store,
    webhook: String,
    firing: Value,
}

/// A page that arrived.
#[derive(Debug, Serialize)]
struct Arrived {
    level: u32,
    room: String,
    event_id: String,
    /// From the webhook's commit to the homeserver's answer.
    seconds: f64,
}

async fn send(config: &Config, list: &RoomListConfig, options: &Options) -> anyhow::Result<()> {
    let base = if let Some(url) = &options.url {
        url.as_str().trim_end_matches('/').to_owned()
    } else {
        let port = config.listen.webhook.address.port();
        anyhow::ensure!(port != 0, "`listen.webhook` has no port of its own: say where it is by --url");
        local::url(&config.listen.webhook)
    };
    let Shell { engine, store, .. } = Shell::open(config).await?;
    let who = shell::user(&config.homeserver.server_name);
    let firing = alert(list, options.severity.as_deref(), who.as_str());
    let webhook = format!("{base}/webhook/{}", list.name);
    let test = Test { config, list, options, engine, store, webhook, firing };
    let began = Instant::now();
    let number = test.post(false).await?;
    let took = began.elapsed().as_secs_f64();
    if !options.json {
        let line = format!("{} accepted it as incident {number}, in {took:.3} s\n", test.webhook);
        print(line.as_bytes());
    }
    // After Ctrl-C, resolve the test alert as well.
    let arrived = tokio::select! {
        arrived = test.page_levels(number) => arrived,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    if !options.keep {
        let resolved =
            test.post(true).await.with_context(|| format!("incident {number} could not be resolved"));
        if arrived.is_ok() {
            resolved?;
        }
    }
    let arrived = arrived?;
    test.store.close().await;
    if options.json {
        let report = json!({
            "incident": number, "room_list": list.name, "webhook_seconds": took, "pages": arrived,
            "resolved": !options.keep,
        });
        print(format!("{report:#}\n").as_bytes());
    } else {
        let end = if options.keep { "It stays open." } else { "It is resolved." };
        print(format!("{end}\n").as_bytes());
    }
    Ok(())
}

impl Test<'_> {
    /// Posts the alert. Returns the incident's number.
    async fn post(&self, resolved: bool) -> anyhow::Result<i64> {
        let mut body = self.firing.clone();
        if resolved {
            let now = SystemClock.now().to_string();
            for place in ["/status", "/alerts/0/status"] {
                if let Some(status) = body.pointer_mut(place) {
                    *status = json!("resolved");
                }
            }
            if let Some(ends_at) = body.pointer_mut("/alerts/0/endsAt") {
                *ends_at = json!(now);
            }
        }
        let (url, name) = (&self.webhook, &self.list.name);
        let machine = if self.options.url.is_some() { Machine::Another } else { Machine::This };
        let token = self.list.webhook_token.as_ref();
        let posted = local::post(url, machine, token, body.to_string(), WEBHOOK_TIMEOUT).await;
        let (code, answer) = match posted {
            Ok(answered) => answered,
            Err(error) => anyhow::bail!(
                "{error:#}; start `matrixbot run`, or say by --url where it listens instead of {url}"
            ),
        };
        match code {
            200 => {
                let answer: Value = serde_json::from_str(&answer).unwrap_or_default();
                let number = answer.get("incident").and_then(Value::as_i64);
                number.with_context(|| format!("{url} answered 200, but not as matrixbot does: {answer}"))
            }
            401 => anyhow::bail!(
                "{url} answered 401: the process there has another webhook token for {name}; it takes this \
                 configuration's at SIGHUP"
            ),
            404 => anyhow::bail!(
                "{url} answered 404: the process there has no room list {name}; it takes this configuration's at SIGHUP"
            ),
            503 => anyhow::bail!(
                "{url} answered 503: the process there cannot use its database; `matrixbot doctor` says more"
            ),
            code => anyhow::bail!("{url} answered {code}: {}", answer.trim()),
        }
    }

    /// Waits for the pages of each level, and escalates up to the wanted level.
    async fn page_levels(&self, number: i64) -> anyhow::Result<Vec<Arrived>> {
        let mut arrived = Vec::new();
        for level in 1..=self.options.level {
            if level > 1 {
                self.escalate(number).await?;
            }
            for page in self.wait(number, level).await? {
                if !self.options.json {
                    let Arrived { room, event_id, seconds, .. } = &page;
                    print(format!("level {level}: {room} {event_id} after {seconds:.3} s\n").as_bytes());
                }
                arrived.push(page);
            }
        }
        Ok(arrived)
    }

    /// Escalates to the next level, as a person does.
    async fn escalate(&self, number: i64) -> anyhow::Result<()> {
        let mut change = self.engine.begin().await?;
        let stored = incident::lock(change.tx(), number).await?.context("the incident is gone")?;
        let who = shell::user(&self.config.homeserver.server_name);
        let acted_at = change.now();
        let action = PersonAction { who, via: Via::Api, act: Act::Escalate(None), comment: None, acted_at };
        change.person(&stored, action, Caller::Shell, None).await?;
        Ok(change.commit().await?)
    }

    /// Waits until the pages of a level have arrived. Fails if one is given up or the timeout ends.
    async fn wait(&self, number: i64, level: u32) -> anyhow::Result<Vec<Arrived>> {
        let deadline = Instant::now() + self.options.timeout;
        loop {
            let mut pages = self.store.pages(number).await?;
            pages.retain(|page| u32::try_from(page.level).is_ok_and(|index| index + 1 == level));
            if !pages.is_empty() && pages.iter().all(|page| page.event_id.is_some()) {
                return self.arrived(level, &pages).await;
            }
            let given_up =
                pages.iter().any(|page| matches!(page.state.as_str(), "undeliverable" | "cancelled"));
            if given_up || Instant::now() >= deadline {
                let why = why(&pages, self.list, self.options.timeout);
                anyhow::bail!("incident {number}, level {level}: {why}");
            }
            tokio::time::sleep(POLL).await;
        }
    }

    async fn arrived(&self, level: u32, pages: &[PageRow]) -> anyhow::Result<Vec<Arrived>> {
        let mut arrived = Vec::with_capacity(pages.len());
        let index = usize::try_from(level - 1).unwrap_or_default();
        let rooms =
            self.list.policy.levels.get(index).map(|level| level.rooms.as_slice()).unwrap_or_default();
        for page in pages {
            let references = self.store.references_to(&page.room).await?;
            let alias = rooms.iter().rfind(|named| named.starts_with('#') && references.contains(named));
            let room = alias.unwrap_or(&page.room).clone();
            let settled = page.settled_at.unwrap_or(page.created_at);
            let seconds = between(page.created_at, settled).as_secs_f64();
            let event_id = page.event_id.clone().unwrap_or_default();
            arrived.push(Arrived { level, room, event_id, seconds });
        }
        Ok(arrived)
    }
}

/// Why a page has not arrived, and how to fix it.
fn why(pages: &[PageRow], list: &RoomListConfig, timeout: Duration) -> String {
    let Some(page) = pages.iter().find(|page| page.event_id.is_none()) else {
        let delay = list.policy.initial_delay;
        return if delay > timeout {
            format!(
                "nothing is paged before `initial_delay` has passed; wait for longer than {delay:?} by --timeout"
            )
        } else {
            "nothing was paged; does a matrixbot work on this database? See its log.".to_owned()
        };
    };
    let error = page.error.as_deref().map(|error| error.trim_end_matches('.'));
    let cause = error.map(|error| format!(": {error}")).unwrap_or_default();
    match page.state.as_str() {
        "undeliverable" => {
            format!(
                "the page cannot be delivered to {}{cause}. `matrixbot doctor` says what to do.",
                page.room
            )
        }
        "cancelled" => {
            format!("the page to {} was cancelled: someone acknowledged the incident first.", page.room)
        }
        _ if page.attempts > 0 => format!(
            "the page is not in {} after {timeout:?}{cause}. It is tried again; `matrixbot doctor` says more.",
            page.room
        ),
        _ => format!(
            "the page to {} was not tried within {timeout:?}: no matrixbot sends from this database, or others come \
             first. See its log, and `outbox` in /readyz.",
            page.room
        ),
    }
}

/// The test alert in Alertmanager's format.
fn alert(list: &RoomListConfig, severity: Option<&str>, who: &str) -> Value {
    let now = SystemClock.now().to_string();
    let id = format!("{:016x}", rand::random::<u64>());
    let mut labels = json!({ "alertname": NAME, "test": id });
    if let (Some(severity), Some(labels)) = (severity, labels.as_object_mut()) {
        labels.insert(list.policy.severity_label.clone(), json!(severity));
    }
    let summary = format!("This is a test, nothing is wrong. {who} tries the room list {}.", list.name);
    json!({
        "version": "4",
        "groupKey": format!("{{}}:{{alertname=\"{NAME}\", test=\"{id}\"}}"),
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": list.name,
        "groupLabels": { "alertname": NAME },
        "commonLabels": labels,
        "commonAnnotations": {},
        "externalURL": "",
        "alerts": [{
            "status": "firing",
            "labels": labels,
            "annotations": { "summary": summary },
            "startsAt": now,
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "",
            "fingerprint": id,
        }],
    })
}
