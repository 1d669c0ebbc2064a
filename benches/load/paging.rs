//! From an alert to the event in its room, on a real Synapse, beside what a bare `PUT /send` costs there.

use crate::alerts::webhook;
use crate::database::Database;
use crate::figures::{Figure, head, median, ms, percentile, runs};
use crate::http::{Connection, escaped};
use crate::intake::memory;
use crate::many::throughputs;
use crate::neighbours::{Matrixbot, load_average};
use crate::{Settings, progress};
use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The rooms, each of a room list of its own: `bench0` pages the first, and so on.
#[derive(Debug)]
pub(crate) struct Rooms {
    pub(crate) ids: Vec<String>,
    /// Who sends to each of them: a query.
    users: Vec<String>,
    reader: Connection,
}

pub(crate) fn measure(settings: &Settings) -> anyhow::Result<()> {
    let mut rooms = Rooms::create(settings)?;
    // The first start creates the virtual users and joins them.
    settings.start("/readyz")?.stop()?;
    let bot = settings.start("/readyz")?;
    std::thread::sleep(Duration::from_secs(settings.sized(10, 2)));
    let (idle, _) = bot.memory()?;
    let mut database = Database::open(settings.get("database")?)?;
    rooms.identify(settings, &mut database)?;
    let page = first_page(settings, &mut database)?;

    head(&format!("Alert → event on Synapse (load before: {})", load_average()));
    latency(settings, &mut database, &rooms, &page)?;
    for used in [1, rooms.ids.len()] {
        throughputs(settings, &mut database, &rooms, used, &page)?;
    }
    storm(settings, &mut database, &mut rooms)?;

    head(&format!("The rest (load before: {})", load_average()));
    let took = transactions(settings, &rooms, "bench", settings.sized(40, 5))?;
    Figure::new("homeserver transaction of 100 events answered, median and p95", two(&took))
        .aim("median ≤ 20 ms", median(&took) <= 20.0)
        .print();
    let (_, most) = bot.memory()?;
    memory("with a homeserver, nothing to do", "all of the above", idle, most);
    bot.stop()?;
    starts(settings)
}

impl Rooms {
    /// Creates them, as alice.
    pub(crate) fn create(settings: &Settings) -> anyhow::Result<Self> {
        let homeserver = settings.get("homeserver")?;
        let login = json!({
            "type": "m.login.password", "identifier": { "type": "m.id.user", "user": "alice" }, "password": "alice",
        });
        let answer =
            Connection::new(homeserver, "").ask("POST", "/_matrix/client/v3/login", &login.to_string())?;
        let mut reader = Connection::new(homeserver, answer["access_token"].as_str().context("no token")?);
        let mut create = |alias: &str| -> anyhow::Result<String> {
            let room = json!({ "preset": "public_chat", "room_alias_name": alias });
            let created = reader.ask("POST", "/_matrix/client/v3/createRoom", &room.to_string())?;
            Ok(created["room_id"].as_str().context("no room")?.to_owned())
        };
        let mut ids = vec![];
        for n in 0..settings.get("rooms")?.parse()? {
            ids.push(create(&format!("bench{n}"))?);
        }
        create("storm")?;
        Ok(Self { ids, users: vec![], reader })
    }

    /// Learns who sends to the rooms: the virtual users, and the devices that matrixbot asserts in every request.
    pub(crate) fn identify(&mut self, settings: &Settings, database: &mut Database) -> anyhow::Result<()> {
        self.users.clear();
        for list in 0..self.ids.len() {
            let user = format!("@_alerts_bench{list}:{}", settings.get("server-name")?);
            let device: Option<String> = database.run(async |connection| {
                sqlx::query_scalar("SELECT device_id FROM virtual_user WHERE user_id = $1")
                    .bind(&user)
                    .fetch_one(connection)
                    .await
            })?;
            let device = device.map(|device| format!("&device_id={}", escaped(&device))).unwrap_or_default();
            self.users.push(format!("user_id={}{device}", escaped(&user)));
        }
        Ok(())
    }

    /// The first of the rooms, each with who sends to it.
    pub(crate) fn first(&self, rooms: usize) -> Vec<(&str, &str)> {
        self.users.iter().map(String::as_str).zip(self.ids.iter().map(String::as_str)).take(rooms).collect()
    }
}

/// Lets one alert through, and returns the body of its page: what the bare requests send.
pub(crate) fn first_page(settings: &Settings, database: &mut Database) -> anyhow::Result<String> {
    post(settings, 0, "First")?;
    std::thread::sleep(Duration::from_secs(1));
    database.wait_until_sent()?;
    let content: Value = database.run(async |connection| {
        sqlx::query_scalar("SELECT content FROM outbox WHERE kind = 'page' LIMIT 1")
            .fetch_one(connection)
            .await
    })?;
    Ok(content.to_string())
}

fn post(settings: &Settings, list: usize, group: &str) -> anyhow::Result<()> {
    let mut connection = Connection::new(settings.get("webhook")?, settings.get("webhook-token")?);
    connection.ask("POST", &format!("/webhook/bench{list}"), &webhook(group, 1))?;
    Ok(())
}

/// Sends to a room as a virtual user, as the application service. Returns the event id.
pub(crate) fn put(
    connection: &mut Connection,
    (user, room): (&str, &str),
    event_type: &str,
    txn: &str,
    body: &str,
) -> anyhow::Result<String> {
    let path = format!("/_matrix/client/v3/rooms/{}/send/{event_type}/{txn}?{user}", escaped(room));
    let sent = connection.ask("PUT", &path, body)?;
    Ok(sent["event_id"].as_str().context("no event id")?.to_owned())
}

pub(crate) fn now() -> f64 {
    #[expect(clippy::disallowed_methods, reason = "compared with what the database noted")]
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// One at a time: the bare request, and from the webhook's first byte to the event id.
fn latency(settings: &Settings, database: &mut Database, rooms: &Rooms, page: &str) -> anyhow::Result<()> {
    let to = *rooms.first(1).first().context("no room")?;
    let each = settings.sized(40, 5);
    let (mut bare, mut whole, mut accepted, mut added) = (vec![], vec![], vec![], vec![]);
    let mut connection = Connection::new(settings.get("homeserver")?, settings.get("as-token")?);
    for round in 0..settings.sized(5, 2) {
        progress(&format!("latency, round {round}"));
        let mut of_round = vec![];
        for n in 0..each {
            std::thread::sleep(Duration::from_millis(100));
            let began = Instant::now();
            put(&mut connection, to, "m.room.message", &format!("l{round}n{n}"), page)?;
            of_round.push(ms(began.elapsed()));
        }
        let path = path(settings, database, &format!("Latency{round}n"), each)?;
        added.push(median(&path.event) - median(&of_round));
        bare.extend(of_round);
        accepted.extend(path.accepted);
        whole.extend(path.event);
    }
    Figure::new("bare PUT /send, median and p95", two(&bare)).print();
    Figure::new("webhook → its 200, median and p95", two(&accepted)).print();
    Figure::new("webhook → event id, median and p95", two(&whole))
        .beside(format!("added to the bare request: **{} ms**", runs(&added, 1)))
        .aim("added ≤ 15 ms", median(&added) <= 15.0)
        .print();
    Ok(())
}

/// What single alerts took, in milliseconds.
pub(crate) struct Path {
    /// Until the webhook was answered.
    pub(crate) accepted: Vec<f64>,
    /// Until the event id of the page was known.
    pub(crate) event: Vec<f64>,
}

/// So many alerts, one at a time.
pub(crate) fn path(
    settings: &Settings,
    database: &mut Database,
    prefix: &str,
    alerts: usize,
) -> anyhow::Result<Path> {
    let mut accepted = vec![];
    let mut began = BTreeMap::new();
    for n in 0..alerts {
        let group = format!("{prefix}{n}");
        began.insert(group.clone(), now());
        let posted = Instant::now();
        post(settings, 0, &group)?;
        accepted.push(ms(posted.elapsed()));
        std::thread::sleep(Duration::from_millis(250));
    }
    database.wait_until_sent()?;
    let sent = database.sent(prefix)?;
    ensure!(sent.pages.len() == alerts, "{} pages of {alerts}", sent.pages.len());
    let event = sent
        .pages
        .iter()
        .filter_map(|(group, at)| began.get(group).map(|began| (at - began) * 1000.0))
        .collect();
    Ok(Path { accepted, event })
}

fn two(values: &[f64]) -> String {
    format!("{:.1} ms, {:.1} ms", median(values), percentile(values, 0.95))
}

/// Groups that Alertmanager learns of all at once. Each must be in the room once.
fn storm(settings: &Settings, database: &mut Database, rooms: &mut Rooms) -> anyhow::Result<()> {
    let groups: usize = 200;
    progress(&format!("{groups} groups through Alertmanager"));
    let names: Vec<String> = (0..groups).map(|n| format!("Storm{n:04}")).collect();
    let alerts: Vec<Value> = names
        .iter()
        .map(|name| json!({ "labels": { "alertname": name, "severity": "critical" }, "annotations": { "summary": name } }))
        .collect();
    let began = now();
    let mut alertmanager = Connection::new(settings.get("alertmanager")?, "");
    alertmanager.ask("POST", "/api/v2/alerts", &Value::from(alerts).to_string())?;
    let deadline = Instant::now() + Duration::from_mins(3);
    let sent = loop {
        std::thread::sleep(Duration::from_millis(500));
        let sent = database.sent("Storm")?;
        if sent.pages.len() >= groups || Instant::now() > deadline {
            break sent;
        }
    };
    // What comes again comes within a group interval.
    std::thread::sleep(Duration::from_secs(10));
    database.wait_until_sent()?;
    let seen = seen(rooms)?;
    let of = |name: &String| seen.iter().filter(|body| body.contains(name.as_str())).count();
    let (missing, doubled) =
        (names.iter().filter(|name| of(name) == 0).count(), names.iter().filter(|name| of(name) > 1).count());
    let last = sent.pages.iter().map(|(_, at)| *at).fold(0.0, f64::max);
    Figure::new(
        format!("{groups} groups at once through Alertmanager, as read in the room"),
        format!("{missing} missing, {doubled} doubled; the last page after {:.1} s", last - began),
    )
    .aim("none missing, none doubled", missing == 0 && doubled == 0)
    .print();
    Ok(())
}

/// The text of every message in the first room that is no edit, as a member reads it.
fn seen(rooms: &mut Rooms) -> anyhow::Result<Vec<String>> {
    let room = rooms.ids.first().context("no room")?;
    let mut bodies = vec![];
    let mut from = String::new();
    loop {
        let path = format!("/_matrix/client/v3/rooms/{}/messages?dir=b&limit=500{from}", escaped(room));
        let answer = rooms.reader.ask("GET", &path, "")?;
        let events = answer["chunk"].as_array().context("no chunk")?;
        bodies.extend(
            events
                .iter()
                .filter(|event| event["type"] == "m.room.message")
                .filter(|event| event["content"]["m.relates_to"]["rel_type"] != "m.replace")
                .filter_map(|event| event["content"]["body"].as_str().map(str::to_owned)),
        );
        match answer["end"].as_str() {
            Some(end) if !events.is_empty() => from = format!("&from={}", escaped(end)),
            _ => return Ok(bodies),
        }
    }
}

/// What the homeserver pushes: 100 events of chatter in one transaction. Returns how long each was answered, in ms.
pub(crate) fn transactions(
    settings: &Settings,
    rooms: &Rooms,
    name: &str,
    times: usize,
) -> anyhow::Result<Vec<f64>> {
    let room = rooms.ids.first().context("no room")?;
    let sender = format!("@alice:{}", settings.get("server-name")?);
    let mut connection = Connection::new(settings.get("appservice")?, settings.get("hs-token")?);
    let mut took = vec![];
    for n in 0..times {
        let events: Vec<Value> = (0..100)
            .map(|event| {
                json!({
                    "type": "m.room.message", "event_id": format!("${name}{n}x{event}"), "room_id": room,
                    "sender": sender, "origin_server_ts": 1_764_000_000_000_u64, "unsigned": { "age": 12 },
                    "content": { "msgtype": "m.text", "body": "Has anybody looked at the disk of db-1 yet?" },
                })
            })
            .collect();
        let body = json!({ "events": events }).to_string();
        let began = Instant::now();
        connection.ask("PUT", &format!("/_matrix/app/v1/transactions/{name}{n}"), &body)?;
        took.push(ms(began.elapsed()));
        std::thread::sleep(Duration::from_millis(500));
    }
    Ok(took)
}

/// From the start of the process to the first 200 of `/readyz`.
fn starts(settings: &Settings) -> anyhow::Result<()> {
    let mut took = vec![];
    for _ in 0..settings.sized(7, 2) {
        let bot: Matrixbot = settings.start("/readyz")?;
        took.push(bot.start.as_secs_f64());
        bot.stop()?;
    }
    Figure::new("start to ready, schema up to date", format!("{} s", runs(&took, 2)))
        .aim("≤ 0.5 s", median(&took) <= 0.5)
        .print();
    Ok(())
}
