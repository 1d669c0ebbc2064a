//! The checks of `/readyz`. Each returns a short description of its result. A check fails only if pages do not arrive;
//! everything else that needs a person degrades it.

use crate::clock::{Clock as _, ComparedClock};
use crate::domain::on_call::Schedules;
use crate::domain::time::between;
use crate::engine::{CurrentLists, schedules_now};
use crate::health::{Health, RoomHealth};
use crate::http::{Check, Found, MainRuntime};
use crate::store::{Store, UserTrouble};
use crate::timers::difference;
use crate::worker::Beats;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// How long the database may take to answer. What is left of a check's time is for finding out why it does not.
const PING: Duration = Duration::from_secs(1);
/// If a due message waits longer than this, the outbox is stuck.
const MAX_WAIT: Duration = Duration::from_mins(5);

pub(super) fn checks(
    store: &Store,
    clock: &Arc<ComparedClock>,
    health: &Health,
    beats: &Beats,
    runtime: &MainRuntime,
    lists: &CurrentLists,
) -> Vec<Check> {
    let beats = beats.clone();
    let [one, two, three, four, five, six, seven, eight] = [(); 8].map(|()| store.clone());
    let (clock, compared, on_call_clock) = (clock.clone(), clock.clone(), clock.clone());
    let lists = lists.clone();
    let [homeserver, rooms, polled, audited] = [(); 4].map(|()| health.clone());
    vec![
        Check::new("database", on(runtime, move || database(one.clone()))),
        Check::new("migrations", on(runtime, move || migrations(two.clone()))),
        Check::new("homeserver", move || {
            let state = homeserver.homeserver();
            async move { state.map(|()| "answers, and reaches matrixbot".to_owned()) }
        }),
        Check::new("rooms", move || {
            let found = rooms_found(&rooms);
            async move { found }
        }),
        Check::new("clock", move || {
            let state = clock_is_right(&compared);
            async move { state }
        }),
        Check::new("users", on(runtime, move || users(five.clone()))),
        Check::new("workers", move || {
            let beats = beats.clone();
            async move { workers(&beats) }
        }),
        Check::new("outbox", on(runtime, move || outbox(three.clone(), clock.now()))),
        Check::degrading("alertmanagers", move || {
            let state = alertmanagers(&polled);
            async move { state }
        }),
        Check::degrading("incidents", on(runtime, move || incidents(four.clone()))),
        Check::degrading("audit", move || {
            let state = audit(&audited);
            async move { state }
        }),
        Check::degrading("mentions", on(runtime, move || mentions(seven.clone()))),
        Check::degrading("events", on(runtime, move || events(six.clone()))),
        Check::degrading(
            "on_call",
            on(runtime, move || {
                on_call(eight.clone(), lists.load().schedules().clone(), on_call_clock.now())
            }),
        ),
    ]
}

/// The checks of `/livez`: what only a restart repairs.
pub(super) fn live(beats: &Beats) -> Vec<Check> {
    let beats = beats.clone();
    vec![Check::new("workers", move || {
        let beats = beats.clone();
        async move { in_time(&beats) }
    })]
}

/// Whether each worker finishes its steps. A step that fails or reaches its limit is finished, so that an unavailable
/// database restarts no process.
fn in_time(beats: &Beats) -> Result<String, String> {
    let overdue = beats.overdue();
    if overdue.is_empty() {
        return Ok("finish their steps".to_owned());
    }
    let silent: Vec<String> =
        overdue.iter().map(|(name, age)| format!("{name} is stuck for {} s", age.as_secs())).collect();
    Err(silent.join(", "))
}

/// Whether the workers do their work.
fn workers(beats: &Beats) -> Result<String, String> {
    let (stopped, failing) = (beats.stopped(), beats.failing());
    if !stopped.is_empty() {
        return Err("stopped; the log names the reason".to_owned());
    }
    if !failing.is_empty() {
        return Err(format!("{} keep failing; the log names the reason", failing.join(", ")));
    }
    in_time(beats)
}

/// A room that is unreachable is for its people to repair; a list that can page nobody is not ready.
fn rooms_found(health: &Health) -> Found {
    let Some(RoomHealth { unreachable, wanting, silent_lists }) = health.rooms() else {
        // A slow room of one list must not keep the process from becoming ready for the others.
        return match health.unvisited() {
            None => Found::Failed("not checked yet".to_owned()),
            Some(lists) if lists.is_empty() => {
                Found::Degraded("the first visit to all rooms goes on".to_owned())
            }
            Some(lists) => {
                let lists: Vec<&str> = lists.iter().map(String::as_str).collect();
                Found::Failed(format!("not checked yet: {}", lists.join(", ")))
            }
        };
    };
    if unreachable.is_empty() && wanting.is_empty() {
        return Found::Ok("all joined".to_owned());
    }
    let rooms: Vec<String> =
        unreachable.iter().chain(&wanting).map(|(room, why)| format!("{room}: {why}")).collect();
    let detail = rooms.join("; ");
    if silent_lists.is_empty() {
        return Found::Degraded(detail);
    }
    let lists: Vec<&str> = silent_lists.iter().map(String::as_str).collect();
    Found::Failed(format!("no page of {} can arrive; {detail}", lists.join(", ")))
}

/// Alertmanager's webhooks page whether or not it answers polls.
fn alertmanagers(health: &Health) -> Result<String, String> {
    let (silent, polled) = health.alertmanagers();
    match (silent.len(), polled) {
        (0, 0) => Ok("none is polled".to_owned()),
        (0, _) => Ok("answer polls".to_owned()),
        _ => {
            let silent: Vec<String> = silent.iter().map(|(name, why)| format!("{name}: {why}")).collect();
            Err(format!("not all answer polls: {}", silent.join("; ")))
        }
    }
}

async fn database(store: Store) -> Result<String, String> {
    store.ping_within(PING).await.map(|()| "answers".to_owned()).map_err(|error| error.to_string())
}

async fn migrations(store: Store) -> Result<String, String> {
    match store.missing_migrations().await {
        Ok(0) => Ok("up to date".to_owned()),
        Ok(missing) => Err(format!("{missing} are missing")),
        Err(error) => Err(error.to_string()),
    }
}

/// A list whose virtual user cannot send reaches nobody.
async fn users(store: Store) -> Result<String, String> {
    let troubles = store.user_troubles().await.map_err(|error| error.to_string())?;
    if troubles.is_empty() {
        return Ok("can send".to_owned());
    }
    let troubles = troubles.iter().map(|trouble| {
        let UserTrouble { room_list, user_id, why, since } = trouble;
        format!("{user_id} cannot send since {since:.0}, so that the messages of {room_list} wait: {why}")
    });
    Err(troubles.collect::<Vec<_>>().join("; "))
}

async fn outbox(store: Store, now: Timestamp) -> Result<String, String> {
    let backlog = store.backlog(now).await.map_err(|error| error.to_string())?;
    let age = backlog.oldest.map_or(Duration::ZERO, |oldest| between(oldest, now));
    let detail = format!("{} pending, the oldest for {} s", backlog.pending, age.as_secs());
    if age > MAX_WAIT { Err(detail) } else { Ok(detail) }
}

/// The most incidents that are named.
const MAX_NAMED: usize = 10;

async fn incidents(store: Store) -> Result<String, String> {
    let limit = i64::try_from(MAX_NAMED).unwrap_or(i64::MAX).saturating_add(1);
    let set_aside = store.set_aside(limit).await.map_err(|error| error.to_string())?;
    if set_aside.is_empty() {
        return Ok("none is set aside".to_owned());
    }
    let mut named: Vec<String> = set_aside.iter().map(|number| format!("#{number}")).collect();
    if named.len() > MAX_NAMED {
        named.truncate(MAX_NAMED);
        named.push("more".to_owned());
    }
    Err(format!("set aside, because they cannot be read: {}", named.join(", ")))
}

fn clock_is_right(clock: &ComparedClock) -> Result<String, String> {
    let Some(ahead) = clock.ahead() else { return Err("not compared with the database's yet".to_owned()) };
    if let Some(jump) = clock.jump() {
        let seconds = jump.as_secs();
        return Err(format!(
            "it jumped by {seconds} s: the workers pause until it is compared with the database's"
        ));
    }
    let found = format!("{} the database's", difference(ahead));
    if clock.is_right() { Ok(found) } else { Err(format!("{found}: the workers pause until it is right")) }
}

async fn events(store: Store) -> Result<String, String> {
    match store.set_aside_events().await.map_err(|error| error.to_string())? {
        (0, _) => Ok("none set aside".to_owned()),
        (count, failure) => {
            Err(format!("{count} set aside; the first because: {}", failure.unwrap_or_default()))
        }
    }
}

/// Whether pages reach the people whom they mention.
async fn mentions(store: Store) -> Result<String, String> {
    let absent = store.absent_mentions().await.map_err(|error| error.to_string())?;
    if absent.is_empty() {
        return Ok("reach everybody whom pages mention".to_owned());
    }
    let more = absent.len().saturating_sub(MAX_NAMED);
    let named = absent.into_iter().take(MAX_NAMED);
    let mut named: Vec<String> = named.map(|(list, user, why)| format!("{user} of {list}: {why}")).collect();
    if more > 0 {
        named.push(format!("{more} more"));
    }
    Err(named.join("; "))
}

/// What the audit has found, once two audits in a row have.
fn audit(health: &Health) -> Result<String, String> {
    let Some((_, found)) = health.audit() else { return Ok("has not run yet".to_owned()) };
    let more = found.len().saturating_sub(MAX_NAMED);
    let mut named: Vec<String> = found.into_iter().take(MAX_NAMED).collect();
    if more > 0 {
        named.push(format!("{more} more"));
    }
    if named.is_empty() { Ok("finds nothing".to_owned()) } else { Err(named.join("; ")) }
}

/// Who is on call is known as long as calendars can be read.
async fn on_call(store: Store, schedules: Arc<Schedules>, now: Timestamp) -> Result<String, String> {
    let schedules = schedules_now(&store, &schedules, now).await.map_err(|error| error.to_string())?;
    let troubles: Vec<String> = schedules.iter().filter_map(|schedule| schedule.trouble(now)).collect();
    if !troubles.is_empty() {
        return Err(troubles.join("; "));
    }
    let nobody = schedules.iter().filter(|schedule| schedule.serving.is_nobody());
    let nobody: Vec<&str> = nobody.map(|schedule| schedule.schedule.name.as_str()).collect();
    Ok(match (schedules.len(), nobody.is_empty()) {
        (0, _) => "no schedules".to_owned(),
        (_, true) => "somebody is on call in each schedule".to_owned(),
        (_, false) => format!("nobody is on call in {}", nobody.join(", ")),
    })
}

/// A check that queries the database, on the runtime that owns the connections.
fn on<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    runtime: &MainRuntime,
    query: impl Fn() -> F + Send + Sync + 'static,
) -> impl Fn() -> BoxFuture<'static, T> + Send + Sync + 'static {
    let runtime = runtime.clone();
    move || {
        let (runtime, check) = (runtime.clone(), query());
        Box::pin(async move { runtime.run(check).await })
    }
}
