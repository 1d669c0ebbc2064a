//! An incident whose own row cannot be read: the alerts of its group arrive all the same, nobody is paged twice for one, and
//! it heals once it can be read.

use super::{ALICE, MINUTE, messages_to};
use crate::world::{Group, World};

/// As a later release could have written it.
const SPOIL: &str = "CREATE TABLE kept AS SELECT id, common_labels FROM incident;
    UPDATE incident SET common_labels = '\"a form of tomorrow\"' WHERE id = 1";
const REPAIR: &str =
    "UPDATE incident SET common_labels = kept.common_labels FROM kept WHERE kept.id = incident.id";

async fn execute(world: &World, sql: &'static str) {
    let mut connection = world.database.connect().await;
    sqlx::Executor::execute(&mut connection, sqlx::raw_sql(sql)).await.unwrap();
}

async fn set_aside(world: &World) -> i64 {
    world.count("SELECT count(*) FROM incident WHERE timer_failures > 0").await
}

#[tokio::test]
async fn a_new_alert_of_its_group_is_paged_in_an_incident_of_its_own() {
    let (world, rooms) = World::finance("").await;
    let group = Group::firing("DiskFull", world.now());
    assert_eq!(world.report(&group).await, 1);
    execute(&world, SPOIL).await;
    let both = group.clone().alert("db-2", "critical", "firing", world.now());
    assert_eq!(world.report(&both).await, 2, "the new alert does not wait for #1");
    assert_eq!(world.report(&both).await, 2, "what is reported again pages nobody");
    let posts = world.posts(&rooms.ops);
    assert_eq!(posts.len(), 2, "{posts:?}");
    assert!(posts[1].body.contains("#2") && posts[1].body.contains("db-2"), "{}", posts[1].body);
    let notice = world.only_post(&rooms.fallback);
    assert!(notice.body.starts_with("⚠️ NOT ESCALATING #1 DiskFull · finance"), "{}", notice.body);

    execute(&world, REPAIR).await;
    world.pass(MINUTE).await;
    assert_eq!(world.phase(1).await, "resolved", "it heals: the other one has its alerts");
    assert!(
        world.posts(&rooms.ops)[0].body.contains("continues as #2"),
        "{}",
        world.posts(&rooms.ops)[0].body
    );
    world.pass(15 * MINUTE).await;
    assert_eq!(world.posts(&rooms.managers).len(), 1, "the alerts escalate once");
    assert_eq!(world.posts(&rooms.ops).len(), 2);
    assert_eq!(set_aside(&world).await, 0);
    world.report(&both.resolved()).await;
    assert_eq!(world.phase(2).await, "resolved");
    world.pass(11 * MINUTE).await;
    assert_eq!(world.count("SELECT count(*) FROM incident WHERE phase = 'closed'").await, 2);
    world.only_post(&rooms.fallback);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn what_is_reported_again_pages_nobody_and_its_end_counts() {
    let (world, rooms) = World::finance("").await;
    let group = Group::firing("DiskFull", world.now()).alert("db-2", "critical", "firing", world.now());
    assert_eq!(world.report(&group).await, 1);
    world.homeserver.person(ALICE).says(&rooms.ops, "ack 1");
    world.settle().await;
    execute(&world, SPOIL).await;
    assert_eq!(world.report(&group).await, 1);
    assert_eq!(set_aside(&world).await, 1);
    assert_eq!(world.posts(&rooms.ops).len(), 2, "the page and the answer");
    assert_eq!(world.report(&group.clone().resolved()).await, 1);
    world.pass(MINUTE).await;
    assert_eq!(world.phase(1).await, "acknowledged", "it waits until it can be read");

    execute(&world, REPAIR).await;
    world.pass(5 * MINUTE).await;
    assert!(world.posts(&rooms.ops)[0].body.contains("RESOLVED"), "{}", world.posts(&rooms.ops)[0].body);
    assert_eq!(world.posts(&rooms.managers), []);
    world.only_post(&rooms.fallback);
    world.pass(11 * MINUTE).await;
    assert_eq!(world.count("SELECT count(*) FROM incident WHERE phase = 'closed'").await, 1);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn an_alert_that_ends_and_fires_again_meanwhile_is_paged() {
    let (world, rooms) = World::finance("").await;
    let group = Group::firing("DiskFull", world.now());
    assert_eq!(world.report(&group).await, 1);
    execute(&world, SPOIL).await;
    assert_eq!(world.report(&group.clone().resolved()).await, 1);
    world.pass(30 * MINUTE).await;
    assert_eq!(world.report(&Group::firing("DiskFull", world.now())).await, 2);
    assert_eq!(world.posts(&rooms.ops).len(), 2);
    execute(&world, REPAIR).await;
    world.pass(5 * MINUTE).await;
    assert_eq!(world.phase(1).await, "resolved");
    assert_eq!(world.phase(2).await, "firing");
    assert_eq!(world.posts(&rooms.ops).len(), 2, "nobody is paged twice");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn it_continues_as_before_if_nothing_has_changed() {
    let (world, rooms) = World::finance("    stale_after: 40m\n").await;
    let group = Group::firing("DiskFull", world.now());
    world.report(&group).await;
    execute(&world, SPOIL).await;
    world.pass(30 * MINUTE).await;
    world.report(&group).await;
    world.pass(15 * MINUTE).await;
    assert_eq!(world.posts(&rooms.managers), []);
    execute(&world, REPAIR).await;
    world.pass(6 * MINUTE).await;
    assert_eq!(world.posts(&rooms.managers).len(), 1, "the ladder goes on");
    assert_eq!(set_aside(&world).await, 0);
    assert_eq!(world.phase(1).await, "firing", "it is not stale: it was reported meanwhile");
    world.only_post(&rooms.fallback);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn its_page_on_the_way_stops_no_other_page_of_the_room() {
    let (world, rooms) = World::finance("").await;
    let held = world.homeserver.hold_after(messages_to(&rooms.ops));
    let (status, _) = world.post(&Group::firing("DiskFull", world.now()).payload()).await;
    assert_eq!(status, 200);
    tokio::join!(world.bot.work(), async {
        held.reached().await;
        execute(&world, SPOIL).await;
        held.release();
    });
    assert_eq!(world.report(&Group::firing("HostDown", world.now())).await, 2);
    assert_eq!(world.posts(&rooms.ops).len(), 2, "both are in the room");
    execute(&world, REPAIR).await;
    // Nobody recorded when its page was sent.
    world.pass(29 * MINUTE).await;
    assert_eq!(world.posts(&rooms.ops).len(), 2);
    assert_eq!(world.posts(&rooms.managers).len(), 2, "both escalate");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn lists_are_answered_beside_it_and_a_reaction_to_its_page_counts_once_it_can_be_read() {
    let (world, rooms) = World::finance("").await;
    world.report(&Group::firing("DiskFull", world.now())).await;
    world.report(&Group::firing("HostDown", world.now())).await;
    execute(&world, SPOIL).await;
    world.homeserver.person(ALICE).reacts(&world.posts(&rooms.ops)[0].event_id, "✅");
    let [list, show] =
        ["pending", "show 1"].map(|text| world.homeserver.person(ALICE).says(&rooms.ops, text));
    world.settle().await;
    let listed = world.homeserver.replies_to(&list)[0].body.clone();
    assert!(listed.contains("#2 HostDown") && listed.contains("1 more"), "{listed}");
    let shown = world.homeserver.replies_to(&show)[0].body.clone();
    assert!(shown.contains("matrixbot cannot read what it has stored about it."), "{shown}");
    world.pass(16 * MINUTE).await;
    execute(&world, REPAIR).await;
    world.pass(5 * MINUTE).await;
    assert_eq!(world.phase(1).await, "acknowledged", "the reaction counts");
    assert!(world.posts(&rooms.ops)[0].body.starts_with("👀 ACKNOWLEDGED"));
    world.nothing_is_left().await;
}

#[tokio::test]
async fn one_that_no_release_can_read_may_be_deleted() {
    let (world, rooms) = World::finance("").await;
    let group = Group::firing("DiskFull", world.now());
    world.report(&group).await;
    execute(&world, SPOIL).await;
    execute(&world, "DELETE FROM incident WHERE id = 1").await;
    assert_eq!(world.report(&group).await, 2);
    assert_eq!(world.posts(&rooms.ops).len(), 2);
    world.nothing_is_left().await;
}
