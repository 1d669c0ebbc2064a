//! A row that cannot be read stops nobody else: its incident is set aside, people hear of it, and it goes on once it can
//! be read again.

use super::{ALICE, HOUR, MINUTE, SECOND, list};
use crate::homeserver::{Fault, Match, SERVER_NAME};
use crate::world::{Group, Setup, World, finance_list};
use matrixbot::store::Limits;
use matrixbot::worker::Progress;
use ruma::OwnedRoomId;
use std::time::Duration;

/// Makes the policy that incidents began with unreadable, and remembers it.
const SPOIL: &str = "CREATE TABLE kept AS SELECT id, policy FROM policy_version;
    UPDATE policy_version SET policy = '\"a form of tomorrow\"' WHERE id = (SELECT policy_version FROM incident WHERE id = 1)";
const REPAIR: &str =
    "UPDATE policy_version SET policy = kept.policy FROM kept WHERE kept.id = policy_version.id";

async fn execute(world: &World, sql: &'static str) {
    let mut connection = world.database.connect().await;
    sqlx::Executor::execute(&mut connection, sqlx::raw_sql(sql)).await.unwrap();
}

fn lists(time_to_answer: &str) -> String {
    let alias = |name: &str| format!("#{name}:{SERVER_NAME}");
    let finance = list("finance", &[&[&alias("ops")], &[&alias("managers")]]).replace("15m", time_to_answer);
    let lab = list("lab", &[&[&alias("lab")], &[&alias("lab-managers")]]);
    format!("{finance}{lab}")
}

/// Two lists with an incident each; the policy of the first one's incident cannot be read, and is not current.
async fn spoiled() -> (World, crate::world::Rooms, [OwnedRoomId; 2]) {
    let setup = Setup::prepare().await;
    let rooms = setup.rooms();
    let lab = ["#lab", "#lab-managers"]
        .map(|alias| setup.homeserver.public_room(ALICE, &format!("{alias}:{SERVER_NAME}")));
    let mut world = setup.start(&lists("15m")).await;
    assert_eq!(world.report(&Group::firing("DiskFull", world.now())).await, 1);
    let (status, _) = world.post_to("lab", &Group::firing("TooWarm", world.now()).payload()).await;
    assert_eq!(status, 200);
    world.settle().await;
    world.reload(&lists("20m")).await;
    execute(&world, SPOIL).await;
    world.restart_bot().await;
    (world, rooms, lab)
}

async fn readiness(world: &World) -> (u16, String) {
    let answer = reqwest::get(format!("{}/readyz", world.bot.admin)).await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test]
async fn an_incident_that_cannot_be_read_stops_no_other_ladder_and_goes_on_once_it_can() {
    let (world, rooms, [_, lab_managers]) = spoiled().await;
    world.pass(16 * MINUTE).await;
    assert_eq!(world.homeserver.messages(&lab_managers).len(), 1, "the other list escalates");
    assert!(world.posts(&rooms.managers).is_empty(), "its own ladder waits");
    let notice = world.only_post(&rooms.fallback);
    assert!(notice.body.starts_with("⚠️ NOT ESCALATING #1 DiskFull · finance"), "{}", notice.body);
    assert!(notice.body.contains("policy_version.policy"), "{}", notice.body);
    world.bot.step("gauges").await.unwrap();
    assert_eq!(world.bot.series("matrixbot_incidents_set_aside{room_list=\"finance\"}").await, Some(1.0));
    assert_eq!(world.bot.series("matrixbot_incidents_set_aside{room_list=\"lab\"}").await, Some(0.0));

    world.pass(HOUR).await;
    assert_eq!(world.posts(&rooms.fallback).len(), 1, "nobody hears of it twice");

    execute(&world, REPAIR).await;
    world.pass(5 * MINUTE).await;
    assert_eq!(world.posts(&rooms.managers).len(), 1, "it goes on by itself");
    world.bot.step("gauges").await.unwrap();
    assert_eq!(world.bot.series("matrixbot_incidents_set_aside{room_list=\"finance\"}").await, Some(0.0));
    world.nothing_is_left().await;
}

#[tokio::test]
async fn while_an_incident_is_set_aside_reports_and_people_still_count() {
    let (world, rooms, _) = spoiled().await;
    world.pass(16 * MINUTE).await;
    assert!(world.count("SELECT timer_failures::bigint FROM incident WHERE id = 1").await > 0);
    let (status, answer) = world.post(&Group::firing("DiskFull", world.now()).payload()).await;
    assert_eq!(status, 200, "{answer}");
    let command = world.homeserver.person(ALICE).says(&rooms.ops, "ack 1");
    world.settle().await;
    let answers = world.homeserver.replies_to(&command);
    assert_eq!(answers.len(), 1);
    assert!(answers[0].body.starts_with("👀 #1 DiskFull: acknowledged."), "{}", answers[0].body);
    world.pass(5 * SECOND).await;
    assert!(world.posts(&rooms.ops)[0].body.starts_with("👀 ACKNOWLEDGED"), "its post shows that");
    let (status, answer) = world.post(&Group::firing("DiskFull", world.now()).resolved().payload()).await;
    assert_eq!(status, 200, "{answer}");
    world.pass(11 * MINUTE).await;
    assert_eq!(world.count("SELECT count(*) FROM incident WHERE id = 1 AND phase = 'closed'").await, 1);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_stale_incident_that_cannot_be_read_keeps_no_other_one_from_being_resolved() {
    let (world, _, _) = spoiled().await;
    let overdue = "UPDATE incident SET stale_at = next_at - (3 - id) * interval '1 day', next_at = next_at + interval '1 day'";
    execute(&world, overdue).await;
    world.bot.step("staleness").await.unwrap();
    assert!(matches!(world.bot.step("staleness").await.unwrap(), Progress::More));
    assert!(matches!(world.bot.step("staleness").await.unwrap(), Progress::Idle(_)));
    assert_eq!(world.count("SELECT timer_failures::bigint FROM incident WHERE id = 1").await, 1);
    assert_eq!(world.count("SELECT count(*) FROM incident WHERE id = 2 AND phase = 'resolved'").await, 1);
}

#[tokio::test]
async fn readiness_names_what_is_set_aside_and_stays_green() {
    let (world, _, _) = spoiled().await;
    world.pass(16 * MINUTE).await;
    let (status, body) = readiness(&world).await;
    assert_eq!(status, 200, "{body}");
    assert!(body.contains("\"degraded\"") && body.contains("#1"), "{body}");
}

/// What a later release might have written: keys, variants and kinds that this one does not know.
const OF_TOMORROW: &str = r#"
    UPDATE policy_version SET policy = jsonb_set(policy, '{levels,0,mention}', '[{"group": "on-call"}]')
        || '{"quiet_hours": ["22:00"], "ack_scope": "same_floor", "send_cap": "10m", "severities": {"critical": {"rank": "top"}}}';
    UPDATE incident SET group_labels = group_labels || '{"weight": 3}', common_labels = common_labels || '{"tags": ["a"]}';
    UPDATE incident_alert SET labels = labels || '{"weight": 3}', annotations = annotations || '{"links": {"a": "b"}}';
    UPDATE timeline SET kind = 'called', entry = entry || '{"kind": "called", "number": "+49"}' WHERE kind = 'told';
    UPDATE timeline SET entry = entry || '{"mood": "calm"}' WHERE kind <> 'called';
    UPDATE outbox SET payload = payload || '{"what": "page", "voice": true}' WHERE kind = 'page' AND incident = 1;
    UPDATE outbox SET payload = '{"what": "page_by_phone"}' WHERE kind = 'page' AND incident = 2;
"#;

#[tokio::test]
async fn rows_of_a_later_release_continue() {
    let (mut world, rooms) = World::finance("").await;
    assert_eq!(world.report(&Group::firing("DiskFull", world.now())).await, 1);
    world.homeserver.fail_next(Match::send().in_room(&rooms.ops), Fault::RateLimit { retry_after: MINUTE });
    assert_eq!(world.report(&Group::firing("HostDown", world.now())).await, 2);
    assert_eq!(world.posts(&rooms.ops).len(), 1, "the second page waits");
    world.bot.kill().await;
    execute(&world, OF_TOMORROW).await;
    world.restart_bot().await;

    world.pass(2 * MINUTE).await;
    assert_eq!(world.posts(&rooms.ops).len(), 2, "it is a page, whatever else it is");
    world.pass(15 * MINUTE).await;
    assert_eq!(world.posts(&rooms.managers).len(), 2, "both escalate");
    for number in [1, 2] {
        let command = world.homeserver.person(ALICE).says(&rooms.ops, &format!("ack {number}"));
        world.settle().await;
        assert!(world.homeserver.replies_to(&command)[0].body.contains("acknowledged."));
        let command = world.homeserver.person(ALICE).says(&rooms.ops, &format!("timeline {number}"));
        world.settle().await;
        assert!(world.homeserver.replies_to(&command)[0].body.contains("acknowledged"));
    }
    assert_eq!(world.count("SELECT count(*) FROM incident WHERE timer_failures > 0").await, 0);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn an_incident_whose_history_conflicts_stops_no_other_ladder() {
    let (world, rooms) = World::finance("").await;
    world.report(&Group::firing("DiskFull", world.now())).await;
    world.report(&Group::firing("HostDown", world.now())).await;
    // The next entry of the first one's timeline is there already.
    let conflict = "INSERT INTO timeline (incident, version, at, kind, entry)
        SELECT id, version + 1, now(), 'unanswered', '{\"kind\": \"unanswered\"}' FROM incident WHERE id = 1";
    execute(&world, conflict).await;
    world.pass(16 * MINUTE).await;
    assert_eq!(world.posts(&rooms.managers).len(), 1, "the other one escalates");
    assert!(world.only_post(&rooms.fallback).body.starts_with("⚠️ NOT ESCALATING #1 DiskFull"));
    execute(&world, "DELETE FROM timeline WHERE incident = 1 AND entry = '{\"kind\": \"unanswered\"}'").await;
    world.pass(5 * MINUTE).await;
    assert_eq!(world.posts(&rooms.managers).len(), 2);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn ack_all_passes_over_an_incident_that_cannot_be_read_and_says_so() {
    let (world, rooms) = World::finance("").await;
    world.report(&Group::firing("DiskFull", world.now())).await;
    let other = world.report(&Group::firing("HostDown", world.now())).await;
    execute(&world, "UPDATE incident SET version = version + 1, ackers = '{nobody}' WHERE id = 1").await;
    let command = world.homeserver.person(ALICE).says(&rooms.ops, "ack all");
    world.settle().await;
    let answer = world.homeserver.replies_to(&command)[0].body.clone();
    assert!(answer.contains("#2 HostDown: acknowledged."), "{answer}");
    assert!(answer.contains("#1: matrixbot cannot read what it has stored about it."), "{answer}");
    assert_eq!(world.phase(other).await, "acknowledged");
}

/// Makes everything that the first incident's history gets take longer than a statement may.
const SLOW: &str = "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql
        AS $$ BEGIN PERFORM pg_sleep(0.6); RETURN NEW; END $$;
    CREATE TRIGGER slow BEFORE INSERT ON timeline FOR EACH ROW WHEN (NEW.incident = 1) EXECUTE FUNCTION slow()";

#[tokio::test]
async fn an_incident_that_always_takes_too_long_stops_no_other_ladder() {
    let mut setup = Setup::prepare().await;
    let rooms = setup.rooms();
    setup.waits(Limits { statement: Duration::from_millis(500), ..Limits::default() });
    let world = setup.start(&finance_list("")).await;
    world.report(&Group::firing("DiskFull", world.now())).await;
    world.report(&Group::firing("HostDown", world.now())).await;
    execute(&world, SLOW).await;
    world.clock.advance(16 * MINUTE);
    // Late timers wait for what people did, but not for long.
    world.bot.step("ladder").await.unwrap();
    world.clock.advance(16 * SECOND);
    for _ in 0..3 {
        // The worker's loop retries a step that fails after a pause, in which the server gives up as well.
        drop(world.bot.step("ladder").await);
        while world.count("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'").await > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    let escalated = "SELECT count(*) FROM outbox WHERE incident = 2 AND level = 1";
    assert_eq!(world.count(escalated).await, 1, "the other one escalates");
    world.settle().await;
    assert_eq!(world.posts(&rooms.managers).len(), 1);
    assert!(world.count("SELECT timer_failures::bigint FROM incident WHERE id = 1").await > 0);
    world.pass(MINUTE).await;
    assert!(world.only_post(&rooms.fallback).body.starts_with("⚠️ NOT ESCALATING #1 DiskFull"));
    execute(&world, "DROP TRIGGER slow ON timeline").await;
    world.pass(5 * MINUTE).await;
    assert_eq!(world.posts(&rooms.managers).len(), 2, "it goes on by itself");
    world.nothing_is_left().await;
}
