//! Timers and commands with many open and many closed incidents: the library itself on a database that
//! has them, without HTTP around it.

use crate::database::Database;
use crate::figures::{Figure, head, median, ms, percentile};
use crate::neighbours::load_average;
use crate::{Settings, progress};
use anyhow::{Context as _, bail, ensure};
use jiff::Timestamp;
use matrixbot::clock::{Clock as _, SharedClock, SystemClock};
use matrixbot::domain::input::{Act, PersonAction, Via};
use matrixbot::domain::lists::ListSettings;
use matrixbot::domain::policy::{Level, Policy};
use matrixbot::domain::rights::Caller;
use matrixbot::domain::webhook::{AlertGroup, Webhook, WebhookAlert};
use matrixbot::engine::{CurrentLists, Engine, Source, Standing, Wakers};
use matrixbot::store::{Store, overview};
use matrixbot::telemetry::Metrics;
use ruma::user_id;
use secrecy::SecretString;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

const LIST: &str = "bench0";
const ROOM: &str = "!room1:example.test";

/// The costs with one number of incidents, in milliseconds.
struct Costs {
    tick: Vec<f64>,
    nothing_due: Vec<f64>,
    pending: Vec<f64>,
    acknowledge: Vec<f64>,
    report: Vec<f64>,
    gauges: Vec<f64>,
}

pub(crate) fn measure(settings: &Settings) -> anyhow::Result<()> {
    let url = settings.get("database")?;
    let mut database = Database::open(url)?;
    let times = settings.sized(60, 10);
    let many = settings.sized(100_000, 1_000);
    let steps = [(100, 0), (100, many), (many / 10, many), (many, many)];
    let mut over = 0;
    let mut all = vec![];
    for (to_open, to_over) in steps {
        progress(&format!("{to_open} incidents open, {to_over} over"));
        let bench = database.block_on(bench(url))?;
        let open = untouched(&mut database)?;
        fill(&mut database, "firing", to_open - open)?;
        fill(&mut database, "closed", to_over - over)?;
        over = to_over;
        database.execute("VACUUM ANALYZE")?;
        database.execute("CHECKPOINT")?;
        all.push(costs(&mut database, &bench, times)?);
        database.block_on(bench.store.close());
    }
    head(&format!("Many incidents, median and p95 in ms (load: {})", load_average()));
    let line = |what: &str, of: fn(&Costs) -> &Vec<f64>| {
        let values = all.iter().zip(steps).map(|(costs, (open, over))| {
            format!("{open} open, {over} over: {:.1}, {:.1}", median(of(costs)), percentile(of(costs), 0.95))
        });
        let growth = |later: usize, former: usize| -> anyhow::Result<f64> {
            let median_of = |step: usize| all.get(step).map(|costs| median(of(costs))).context("a step");
            Ok(median_of(later)? / median_of(former)?)
        };
        let (history, thousandfold) = (growth(1, 0)?, growth(3, 1)?);
        Figure::new(what, values.collect::<Vec<_>>().join("; "))
            .beside(format!(
                "× {history:.2} with history, × {thousandfold:.2} with {} times the open ones",
                many / 100
            ))
            .aim(
                "no growth with history, at most logarithmic with open ones (× 2.5)",
                history < 1.5 && thousandfold < 2.5,
            )
            .print();
        anyhow::Ok(())
    };
    line("one incident ticked", |costs| &costs.tick)?;
    line("nothing is due", |costs| &costs.nothing_due)?;
    line("`pending`", |costs| &costs.pending)?;
    line("`ack N`", |costs| &costs.acknowledge)?;
    line("one report of a group that is not known", |costs| &costs.report)?;
    let gauges =
        all.iter().map(|costs| format!("{:.1}", median(&costs.gauges))).collect::<Vec<_>>().join(", ");
    Figure::new("the gauges, sampled every 10 s (they count open incidents)", gauges).print();
    Ok(())
}

/// The library on a database.
struct Bench {
    engine: Engine,
    store: Store,
}

/// The library with one room list of two levels, on a schema that is made if it is not there.
async fn bench(url: &str) -> anyhow::Result<Bench> {
    let store = Store::new(&SecretString::from(url.to_owned()), 2)?;
    store.migrate().await?;
    let level = |room: &str| Level {
        rooms: vec![room.to_owned()],
        escalate_after: Duration::from_mins(15),
        mention: vec![],
    };
    let policy = Policy::with_levels(vec![level(ROOM), level("!room2:example.test")]);
    let user_id = user_id!("@_alerts_bench0:example.test").to_owned();
    let clock: SharedClock = Arc::new(SystemClock);
    let lists =
        store.configure(vec![ListSettings::new(LIST.to_owned(), user_id, policy)], clock.now()).await?;
    let metrics = Arc::new(Metrics::new()?);
    let engine = Engine::new(store.clone(), clock, metrics, CurrentLists::new(lists), Wakers::default());
    Ok(Bench { engine, store })
}

/// Closes what was measured with, and says how many open incidents are as they were filled in.
fn untouched(database: &mut Database) -> anyhow::Result<i32> {
    database.execute(
        "UPDATE incident SET phase = 'closed', next_at = NULL, stale_at = NULL, resolved_at = now(), version = version + 1
         WHERE phase <> 'closed' AND version <> 3",
    )?;
    let open: i64 = database.run(async |connection| {
        sqlx::query_scalar("SELECT count(*) FROM incident WHERE phase <> 'closed'")
            .fetch_one(connection)
            .await
    })?;
    Ok(i32::try_from(open)?)
}

/// More incidents of one phase, each with an alert, a timeline and a page that was sent.
fn fill(database: &mut Database, phase: &str, count: i32) -> anyhow::Result<()> {
    let closed = phase == "closed";
    let over = if closed { "now() - interval '1 day'" } else { "NULL" };
    let next = if closed { "NULL" } else { "now() + interval '1 day' + n * interval '1 second'" };
    // Foreign keys are checked with plans that were made while the tables were small.
    database.execute("SET enable_seqscan = off")?;
    database.execute(&format!(
        "WITH filled AS (
             INSERT INTO incident (room_list, key, receiver, group_key, group_labels, common_labels, truncated, phase,
                    next_at, stale_at, run_no, level, loop_no, told, policy_version, ackers, flap_count, version, opened_at,
                    resolved_at)
             SELECT '{LIST}', sha256(convert_to(gen_random_uuid()::text, 'UTF8')), 'bench', n::text,
                    jsonb_build_object('alertname', 'Filled' || n), jsonb_build_object('severity', 'critical'), 0, '{phase}',
                    {next}, {next}, 1, 0, 0, true, (SELECT max(id) FROM policy_version), '{{}}', 0, 3,
                    now() - interval '2 days', {over}
             FROM generate_series(1, {count}) AS n RETURNING *
         ), alerts AS (
             INSERT INTO incident_alert (incident, fingerprint, firing, severity, rank, escalate, starts_at, last_seen,
                    cleared_starts_at, cleared_at, labels, annotations)
             SELECT id, 'f' || id, NOT {closed}, 'critical', 0, true, opened_at, opened_at,
                    CASE WHEN {closed} THEN opened_at END, resolved_at, '{{}}', '{{}}' FROM filled
         ), told AS (
             INSERT INTO timeline (incident, version, at, kind, entry)
             SELECT id, 1, opened_at, 'run_started',
                    '{{\"kind\": \"run_started\", \"at\": \"2026-11-24T12:00:00Z\", \"version\": 1,
                      \"why\": {{\"reason\": \"fired\"}}, \"policy_version\": 1, \"suppressed\": false}}' FROM filled
         ), posts AS (
             INSERT INTO post (id, incident, room, event_id, shown, created_at)
             SELECT gen_random_uuid(), id, '{ROOM}', '$page' || id, 3, opened_at FROM filled RETURNING *
         )
         INSERT INTO outbox (id, room_list, room, kind, priority, incident, run_no, loop_no, level, post, payload, state,
                not_before, event_type, content, event_id, created_at, settled_at)
         SELECT gen_random_uuid(), '{LIST}', room, 'page', 0, incident, 1, 0, 0, id, '{{\"what\": \"page\"}}', 'sent',
                created_at, 'm.room.message', '{{}}', event_id, created_at, created_at FROM posts"
    ))
}

fn costs(database: &mut Database, bench: &Bench, times: i64) -> anyhow::Result<Costs> {
    let Bench { engine, store } = bench;
    let mut nothing_due = vec![];
    for _ in 0..times {
        nothing_due.push(timed(database, async {
            ensure!(!engine.tick_one().await?, "one was due");
            Ok(())
        })?);
    }
    // Due are some from all over the table, and what was measured before is not due again.
    database.execute(&format!(
        "UPDATE incident SET next_at = now() - interval '1 minute' WHERE id IN (
             SELECT id FROM incident WHERE phase = 'firing' AND level = 0 AND version = 3 ORDER BY md5(id::text) LIMIT {times})"
    ))?;
    let mut tick = vec![];
    for _ in 0..times {
        tick.push(timed(database, async {
            ensure!(engine.tick_one().await?, "none was due");
            Ok(())
        })?);
    }
    let mut pending = vec![];
    for _ in 0..times {
        pending.push(timed(database, pending_of(store))?);
    }
    let untouched: Vec<i64> = database.run(async |connection| {
        sqlx::query_scalar("SELECT id FROM incident WHERE phase = 'firing' AND version = 3 ORDER BY md5(id::text) DESC LIMIT $1")
            .bind(times / 2)
            .fetch_all(connection)
            .await
    })?;
    let mut acknowledge = vec![];
    for number in untouched {
        acknowledge.push(timed(database, acknowledged(engine, number))?);
    }
    let mut report = vec![];
    for n in 0..times {
        let webhook = webhook(&format!("{n} {}", SystemClock.now()), SystemClock.now());
        report.push(timed(database, async {
            engine.report(LIST, &webhook, SystemClock.now(), Source::Webhook).await?;
            Ok(())
        })?);
    }
    let mut gauges = vec![];
    for _ in 0..5 {
        gauges.push(timed(database, async {
            store.phase_counts().await?;
            store.backlog(SystemClock.now()).await?;
            Ok(())
        })?);
    }
    Ok(Costs { tick, nothing_due, pending, acknowledge, report, gauges })
}

fn timed(database: &Database, work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<f64> {
    let began = Instant::now();
    database.block_on(work)?;
    Ok(ms(began.elapsed()))
}

async fn pending_of(store: &Store) -> anyhow::Result<()> {
    let phases = ["firing".to_owned(), "unanswered".to_owned()];
    let mut tx = store.begin().await?;
    let (lines, _) = overview::open_from_level(&mut tx, &[LIST.to_owned()], &phases, -1, 30).await?;
    ensure!(lines.len() == 30, "{} lines", lines.len());
    Ok(())
}

async fn acknowledged(engine: &Engine, number: i64) -> anyhow::Result<()> {
    let mut change = engine.begin().await?;
    let action = PersonAction {
        who: user_id!("@alice:example.test").to_owned(),
        via: Via::Command,
        act: Act::Acknowledge,
        comment: None,
        acted_at: change.now(),
    };
    let standing = change.standing(number, ROOM).await?;
    let Standing::Here(stored) = standing else { bail!("{standing:?}") };
    change.person(&stored, action, Caller::Shell, None).await?;
    Ok(change.commit().await?)
}

fn webhook(group: &str, now: Timestamp) -> Webhook {
    let labels = BTreeMap::from([("alertname".to_owned(), group.to_owned())]);
    Webhook {
        group: AlertGroup {
            receiver: "bench".to_owned(),
            group_key: format!("{{}}:{{alertname=\"{group}\"}}"),
            group_labels: labels.clone(),
            common_labels: labels.clone(),
            external_url: None,
            truncated: 0,
        },
        alerts: vec![WebhookAlert {
            fingerprint: group.to_owned(),
            firing: true,
            labels,
            annotations: BTreeMap::new(),
            starts_at: now,
            start_known: true,
            ends_at: None,
            generator_url: None,
            defect: None,
        }],
    }
}
