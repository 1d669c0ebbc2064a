//! This release continues the database of an earlier one: `tests/fixtures/database/VERSION.sql` is its dump by
//! `pg_dump`, with rows of every kind, taken in the middle of work.
//!
//! [`rows_of_every_kind`] creates such a database. With `MATRIXBOT_DUMP_TO=FILE` it writes the dump with the `pg_dump`
//! in the `PATH`. A release adds its own file and test, and does not change the others.

use crate::database::TestDatabase;
use crate::homeserver::{Fault, Match, SERVER_NAME};
use crate::world::{Group, Rooms, Setup, TOKEN, World};
use matrixbot::clock::Clock as _;
use matrixbot::domain::time::between;
use matrixbot::store::Store;
use matrixbot::worker::Progress;
use ruma::{EventId, OwnedEventId, OwnedRoomId, RoomId, UserId};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

const ALICE: &str = "@alice:example.test";
const BOB: &str = "@bob:example.test";

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

/// The tables with only one kind of rows.
const OTHER_TABLES: [&str; 11] = [
    "policy_version",
    "incident_alert",
    "post",
    "room_gate",
    "ack_reaction",
    "redacted",
    "virtual_user",
    "room_alias",
    "room_trouble",
    "room_cursor",
    "engine_version",
];

/// A room that `storage` cannot join, because it does not exist.
const CLOSED_ROOM: &str = "!closed";

/// `finance` escalates, `network` has an `ack_timeout`, and `storage` cannot reach its first room.
fn room_lists() -> String {
    let list = |name: &str, first: &str, more: &str| {
        format!(
            "  - name: {name}
    webhook_token: {TOKEN}
    levels:
      - rooms: [\"{first}\"]
        escalate_after: 15m
        mention: [\"{ALICE}\"]
      - rooms: [\"#managers:{SERVER_NAME}\"]
        escalate_after: 30m
    fallback_rooms: [\"#fallback:{SERVER_NAME}\"]
    severities:
      critical: {{rank: 2}}
      warning: {{rank: 1}}
{more}"
        )
    };
    [
        list("finance", &format!("#ops:{SERVER_NAME}"), ""),
        list("network", &format!("#network:{SERVER_NAME}"), "    ack_timeout: 1h\n    remind_every: none\n"),
        list("storage", CLOSED_ROOM, ""),
    ]
    .concat()
}

async fn report(world: &World, list: &str, group: &Group) -> i64 {
    let (status, answer) = world.post_to(list, &group.payload()).await;
    assert_eq!(status, 200, "{answer}");
    world.settle().await;
    answer["incident"].as_i64().unwrap()
}

async fn phase(world: &World, incident: i64) -> String {
    sqlx::query_scalar("SELECT phase FROM incident WHERE id = $1")
        .bind(incident)
        .fetch_one(world.database.reader())
        .await
        .unwrap()
}

/// The event of an incident's page in a room.
async fn post(world: &World, incident: i64, room: &RoomId) -> OwnedEventId {
    let event: String = sqlx::query_scalar("SELECT event_id FROM post WHERE incident = $1 AND room = $2")
        .bind(incident)
        .bind(room.as_str())
        .fetch_one(world.database.reader())
        .await
        .unwrap();
    EventId::parse(event).unwrap()
}

/// The distinct values of an expression, in order.
async fn distinct(world: &World, expression: &str, table: &str) -> Vec<String> {
    let query = format!("SELECT DISTINCT {expression} AS value FROM {table} ORDER BY value");
    sqlx::query_scalar(sqlx::AssertSqlSafe(query)).fetch_all(world.database.reader()).await.unwrap()
}

#[tokio::test]
async fn rows_of_every_kind() {
    let setup = Setup::prepare().await;
    let rooms = setup.rooms();
    let network = setup.homeserver.public_room(ALICE, &format!("#network:{SERVER_NAME}"));
    setup.homeserver.person(BOB).joins(&rooms.ops).joins(&rooms.managers);
    let mut world = setup.start(&room_lists()).await;
    let homeserver = world.homeserver.clone();
    let bob = homeserver.person(BOB);
    let [stale, closed, by_hand, flapping, unreachable, unanswered] =
        long_ago(&world, &rooms, &network).await;
    let [resolved, acknowledged, snoozed, firing] = just_now(&world, &rooms).await;

    // In-flight work: an unread acknowledgement, a page that is being sent, and a page that waits for its room.
    bob.says(&rooms.ops, &format!("ack {firing}"));
    homeserver.deliver_all().await;
    homeserver.fail_until_cleared(Match::send().in_room(&network), Fault::Status(500, "M_UNKNOWN"));
    let waiting = report_only(&world, "network", &Group::firing("Waiting", world.now())).await;
    while matches!(world.bot.step("outbox").await, Ok(Progress::More)) {}
    let cancelled = Group::firing("Cancelled", world.now());
    report_only(&world, "network", &cancelled).await;
    report_only(&world, "network", &cancelled.resolved()).await;
    let held = homeserver.hold_before(Match::send().in_room(&rooms.ops).of_type("m.room.message"));
    let sending = report_only(&world, "finance", &Group::firing("Sending", world.now())).await;
    tokio::select! {
        () = held.reached() => {}
        _ = world.bot.step("outbox") => panic!("the page was not held"),
    }

    assert_eq!([stale, closed, by_hand, flapping, unreachable, unanswered], [1, 2, 3, 4, 5, 6]);
    assert_eq!([resolved, acknowledged, snoozed, firing, waiting, sending], [7, 8, 9, 10, 11, 13]);
    insta::assert_snapshot!(contents(&world).await);
    if let Ok(file) = std::env::var("MATRIXBOT_DUMP_TO") {
        dump(&world.database, &file);
    }
    world.restart_bot().await;
}

async fn long_ago(world: &World, rooms: &Rooms, network: &RoomId) -> [i64; 6] {
    let (alice, bob) = (world.homeserver.person(ALICE), world.homeserver.person(BOB));
    // One has no more updates, and is resolved as stale eight hours later.
    let stale = report(world, "network", &Group::firing("Forgotten", world.now())).await;
    alice.says(network, &format!("ack {stale}"));
    world.pass(SECOND).await;
    world.pass(HOUR * 9).await;

    // One resolves and is closed; somebody acknowledges too late.
    let group = Group::firing("Over", world.now());
    let closed = report(world, "finance", &group).await;
    report(world, "finance", &group.resolved()).await;
    bob.says(&rooms.ops, &format!("ack {closed}"));
    world.pass(MINUTE * 11).await;
    assert_eq!(phase(world, closed).await, "closed");

    // One is resolved by hand while its alert is firing, until that resolves.
    let group = Group::firing("ByHand", world.now());
    let by_hand = report(world, "finance", &group).await;
    alice.says(&rooms.ops, &format!("resolve {by_hand} known"));
    world.settle().await;
    report(world, "finance", &group.resolved()).await;
    world.pass(MINUTE * 11).await;

    // An acknowledgement that ends; then one that outlives a flap.
    let group = Group::firing("Flapping", world.now());
    let flapping = report(world, "network", &group).await;
    alice.reacts(&post(world, flapping, network).await, "✅");
    world.pass(HOUR * 2).await;
    alice.says(network, &format!("ack {flapping} on it"));
    world.settle().await;
    let cleared = Group::new("Flapping").alert("db-1", "critical", "resolved", world.now());
    report(world, "network", &cleared).await;
    world.pass(MINUTE * 2).await;
    report(world, "network", &Group::firing("Flapping", world.now())).await;

    // The first room of one is unreachable.
    let unreachable = report(world, "storage", &Group::firing("RaidLost", world.now())).await;
    world.pass(SECOND * 5).await;

    // Nobody acknowledges one: it escalates, becomes unanswered, and has one reminder.
    let unanswered = report(world, "finance", &Group::firing("Nobody", world.now())).await;
    world.pass(MINUTE * 46 + HOUR).await;
    assert_eq!(phase(world, unanswered).await, "unanswered");

    // The managers' room is upgraded.
    alice.says(&rooms.managers, "help");
    world.settle().await;
    alice.upgrades(&rooms.managers);
    world.pass(SECOND * 5).await;
    [stale, closed, by_hand, flapping, unreachable, unanswered]
}

async fn just_now(world: &World, rooms: &Rooms) -> [i64; 4] {
    let (alice, bob) = (world.homeserver.person(ALICE), world.homeserver.person(BOB));
    // One resolves and fires again; later it resolves.
    let group = Group::firing("Again", world.now());
    let resolved = report(world, "finance", &group).await;
    report(world, "finance", &group.clone().resolved()).await;
    world.pass(MINUTE * 2).await;
    let again = Group::firing("Again", world.now());
    report(world, "finance", &again).await;
    world.pass(MINUTE).await;

    // One is acknowledged by two people, fires again because of a new alert, gets worse, is withdrawn, escalated, and
    // acknowledged by a reaction.
    let began = world.now();
    let group = Group::new("DiskFull").alert("db-1", "warning", "firing", began);
    let acknowledged = report(world, "finance", &group).await;
    alice.reacts(&post(world, acknowledged, &rooms.ops).await, "✅");
    world.settle().await;
    bob.says(&rooms.ops, &format!("ack {acknowledged} me too"));
    world.settle().await;
    let joined = world.now();
    let group = group.alert("db-2", "warning", "firing", joined);
    report(world, "finance", &group).await;
    bob.says(&rooms.ops, &format!("ack {acknowledged}"));
    world.pass(MINUTE * 10).await;
    let worse = Group::new("DiskFull")
        .alert("db-1", "critical", "firing", began)
        .alert("db-2", "warning", "firing", joined);
    report(world, "finance", &worse).await;
    let reaction = alice.reacts(&post(world, acknowledged, &rooms.ops).await, "👀");
    world.settle().await;
    alice.redacts(&reaction);
    world.pass(MINUTE).await;
    bob.says(&rooms.ops, &format!("escalate {acknowledged}"));
    world.pass(SECOND * 5).await;
    for command in
        ["show 8", "timeline 8", "pending", "escalated", "ack 99", "silence 8 2h", "!nonsense", "help"]
    {
        bob.says(&rooms.ops, command);
        world.settle().await;
    }
    alice.reacts(&post(world, acknowledged, &rooms.ops).await, "👀");
    world.pass(SECOND * 5).await;

    // One was snoozed and fired again; it is snoozed again now.
    let snoozed = report(world, "finance", &Group::firing("Later", world.now())).await;
    alice.says(&rooms.ops, &format!("snooze {snoozed} 2m"));
    world.pass(MINUTE * 3).await;
    alice.says(&rooms.ops, &format!("snooze {snoozed} 1h"));
    world.pass(MINUTE).await;

    report(world, "finance", &again.resolved()).await;

    // One is on the first level.
    let firing = report(world, "finance", &Group::firing("Burning", world.now())).await;
    // Events that were never pushed are read back.
    world.bot.step("reconcile").await.unwrap();
    world.pass(MINUTE).await;
    bob.says(&rooms.ops, "show 1");
    world.homeserver.lose_unpushed_events();
    world.bot.step("reconcile").await.unwrap();
    world.settle().await;
    // A malformed event, and a redaction of an unknown event.
    let events = [
        json!({"type": "m.room.message"}),
        json!({"type": "m.room.redaction", "event_id": "$redaction",
        "room_id": rooms.ops, "sender": ALICE, "origin_server_ts": 1, "redacts": "$unknown", "content": {}}),
    ];
    world.homeserver.push_as_they_were("odd", &events).await.unwrap();
    world.settle().await;
    // A reply to a message that is not ours yet.
    bob.sends(
        &rooms.ops,
        "m.room.message",
        json!({"msgtype": "m.text", "body": "ack on it", "m.relates_to": {"m.in_reply_to": {"event_id": "$later"}}}),
    )
    .unwrap();
    world.settle().await;
    [resolved, acknowledged, snoozed, firing]
}

/// Reports a group without letting any worker run.
async fn report_only(world: &World, list: &str, group: &Group) -> i64 {
    let (status, answer) = world.post_to(list, &group.payload()).await;
    assert_eq!(status, 200, "{answer}");
    answer["incident"].as_i64().unwrap()
}

/// The existing kinds of rows.
async fn contents(world: &World) -> String {
    let kinds = [
        ("phase", "incident"),
        ("kind || coalesce(' ' || (entry ->> 'reason'), ' ' || (entry #>> '{why,reason}'), '')", "timeline"),
        ("kind || ' ' || state", "outbox"),
        ("payload ->> 'what'", "outbox"),
        ("state || ' ' || source || CASE WHEN target IS NULL THEN '' ELSE ' target' END", "inbox"),
        ("membership", "room_membership"),
    ];
    let mut lines = Vec::new();
    for (expression, table) in kinds {
        let found = distinct(world, expression, table).await;
        lines.extend(found.into_iter().map(|kind| format!("{table}: {kind}")));
    }
    for table in OTHER_TABLES {
        let some = world.count_of(&format!("SELECT count(*) FROM {table}")).await > 0;
        lines.push(format!("{table}: {}", if some { "rows" } else { "none" }));
    }
    lines.join("\n")
}

fn dump(database: &TestDatabase, file: &str) {
    let output = Command::new("pg_dump")
        .args([
            "--no-owner",
            "--no-privileges",
            "--no-comments",
            "--rows-per-insert=1000",
            "--dbname",
            &database.url(),
        ])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    // Drop psql's own commands, which are not SQL, blank lines and headings.
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with(['\\', '-']));
    std::fs::write(file, lines.map(|line| line.to_owned() + "\n").collect::<String>()).unwrap();
}

/// A world with the database of an earlier release, and a homeserver with the events that that release sent.
async fn continued(dump: &'static str) -> (World, BTreeMap<&'static str, OwnedRoomId>) {
    let database = TestDatabase::create_from_dump(dump).await;
    let store = Store::new(&database.url().into(), 1).unwrap();
    store.migrate().await.unwrap();
    store.close().await;
    let mut setup = Setup::prepare().await;
    let mut connection = database.connect().await;
    let room_of = "SELECT room_of($1)";
    let mut rooms = BTreeMap::new();
    for name in ["ops", "managers", "fallback", "network"] {
        let alias = format!("#{name}:{SERVER_NAME}");
        let room: String = sqlx::query_scalar(room_of).bind(&alias).fetch_one(&mut connection).await.unwrap();
        let room = OwnedRoomId::try_from(room).unwrap();
        setup.homeserver.restore_room(ALICE, &room, Some(&alias));
        setup.homeserver.person(BOB).joins(&room);
        rooms.insert(name, room);
    }
    let sent: Vec<(String, String, String, String, Value)> = sqlx::query_as(
        "SELECT outbox.event_id, room, user_id, event_type, content FROM outbox JOIN room_list ON name = room_list
         WHERE state = 'sent' ORDER BY settled_at, seq",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    for (event_id, room, sender, kind, content) in sent {
        let room = RoomId::parse(room).unwrap();
        // The room before the upgrade is not restored.
        if rooms.values().any(|known| *known == room) {
            let sender = UserId::parse(sender).unwrap();
            setup.homeserver.restore_event(&event_id, &room, &sender, &kind, content);
        }
    }
    let stopped: jiff_sqlx::Timestamp = sqlx::query_scalar(
        "SELECT greatest((SELECT max(created_at) FROM outbox), (SELECT max(received_at) FROM inbox))",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap();
    let started = setup.clock.now();
    setup.clock.advance(between(started, stopped.to_jiff()) + MINUTE);
    setup.database = database;
    (setup.start(&room_lists()).await, rooms)
}

/// How often an incident was paged in a room.
fn pages(world: &World, room: &RoomId, name: &str) -> usize {
    let messages = world.homeserver.messages(room);
    messages.iter().filter(|message| message.msgtype == "m.text" && message.body.contains(name)).count()
}

#[tokio::test]
async fn a_database_of_0_1_0_continues() {
    let (world, rooms) = continued(include_str!("../fixtures/database/0.1.0.sql")).await;
    let (alice, bob) = (world.homeserver.person(ALICE), world.homeserver.person(BOB));
    let [ops, managers, fallback, network] =
        ["ops", "managers", "fallback", "network"].map(|name| rooms[name].clone());
    world.pass(SECOND * 30).await;

    let forgotten = "SELECT count(*) FROM inbox WHERE result ~ '#[0-9]' AND incidents = '{}'";
    assert_eq!(world.count(forgotten).await, 0, "what acted before is known to have acted");
    // In-flight messages arrive once; cancelled ones never do.
    assert_eq!(pages(&world, &ops, "Sending"), 1, "{}", world.homeserver.rendered(&ops));
    assert_eq!(pages(&world, &network, "Waiting"), 1);
    assert_eq!(pages(&world, &network, "Cancelled"), 0);
    // The unread acknowledgement counts.
    assert_eq!(phase(&world, 10).await, "acknowledged");

    // Each incident has its phase, and continues from there.
    let phases = [
        (1, "closed"),
        (2, "closed"),
        (3, "closed"),
        (5, "unanswered"),
        (6, "unanswered"),
        (7, "resolved"),
        (8, "acknowledged"),
        (9, "snoozed"),
        (11, "firing"),
        (13, "firing"),
    ];
    for (incident, expected) in phases {
        assert_eq!(phase(&world, incident).await, expected, "#{incident}");
    }
    // A resolved one fires again as the same incident.
    let again = report(&world, "finance", &Group::firing("Again", world.now())).await;
    assert_eq!(again, 7);
    assert_eq!(phase(&world, 7).await, "firing");
    // Redacting the reaction withdraws the acknowledgement.
    let reaction = ack_reaction(&world, 8).await;
    let before = pages(&world, &ops, "DiskFull");
    world.homeserver.restore_event(
        reaction.as_str(),
        &ops,
        &UserId::parse(ALICE).unwrap(),
        "m.reaction",
        json!({"m.relates_to": {"rel_type": "m.annotation", "event_id": post(&world, 8, &ops).await, "key": "👀"}}),
    );
    alice.redacts(&reaction);
    world.pass(SECOND * 15).await;
    assert_eq!(phase(&world, 8).await, "firing");
    assert_eq!(pages(&world, &ops, "DiskFull"), before + 1);
    // The snooze ends.
    let before = pages(&world, &ops, "Later");
    world.pass(HOUR).await;
    assert_eq!(pages(&world, &ops, "Later"), before + 1);
    // Nobody acknowledges the incident that was being sent: it escalates to the replacement of the managers' room, and
    // further.
    assert_eq!(pages(&world, &managers, "Sending"), 1);
    assert_eq!(pages(&world, &fallback, "Sending"), 1);
    // The unanswered incident has another reminder.
    assert!(pages(&world, &fallback, "Nobody") > 1, "{}", world.homeserver.rendered(&fallback));
    // Every timeline can be read.
    for incident in 1..=13 {
        let command = bob.says(&ops, &format!("timeline {incident}"));
        let shown = bob.says(&ops, &format!("show {incident}"));
        world.settle().await;
        for asked in [command, shown] {
            assert_eq!(world.homeserver.replies_to(&asked).len(), 1, "#{incident}");
        }
    }

    // Everything resolves and is closed.
    let lists = [
        ("finance", "Nobody"),
        ("finance", "Again"),
        ("finance", "Later"),
        ("finance", "Burning"),
        ("finance", "Sending"),
        ("network", "Flapping"),
        ("network", "Waiting"),
        ("storage", "RaidLost"),
    ];
    for (list, name) in lists {
        report(&world, list, &Group::firing(name, world.now()).resolved()).await;
    }
    let both = Group::firing("DiskFull", world.now()).alert("db-2", "warning", "firing", world.now());
    report(&world, "finance", &both.resolved()).await;
    world.pass(MINUTE * 30).await;
    assert_eq!(distinct(&world, "phase", "incident").await, ["closed"]);
    world.nothing_is_left().await;
}

async fn ack_reaction(world: &World, incident: i64) -> OwnedEventId {
    let event: String =
        sqlx::query_scalar("SELECT event_id FROM ack_reaction WHERE incident = $1 ORDER BY run_no DESC")
            .bind(incident)
            .fetch_one(world.database.reader())
            .await
            .unwrap();
    EventId::parse(event).unwrap()
}
