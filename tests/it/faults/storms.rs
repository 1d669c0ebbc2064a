//! A storm is posted once, whatever fails while its digest is sent, and nothing of it is lost.

use super::{ALICE, MINUTE, SECOND, messages_to};
use crate::homeserver::Fault;
use crate::homeserver::view::SeenMessage;
use crate::world::{Group, Rooms, World};

const GROUPS: usize = 12;

/// Alertmanager reports groups, and nothing is sent yet.
async fn report(world: &World, name: &str, groups: usize) -> Vec<i64> {
    let mut numbers = Vec::new();
    for n in 0..groups {
        let (status, answer) = world.post(&Group::firing(&format!("{name}{n}"), world.now()).payload()).await;
        assert_eq!(status, 200, "{answer}");
        numbers.push(answer["incident"].as_i64().unwrap());
    }
    numbers
}

fn digests(world: &World, rooms: &Rooms) -> Vec<SeenMessage> {
    let mut posts = world.posts(&rooms.ops);
    posts.retain(|post| post.body.contains("Numbers: "));
    posts
}

/// Each incident was notified once, its time runs, and after the storm it has a page of its own.
async fn everything_was_told_once(world: &World, rooms: &Rooms, incidents: &[i64]) {
    let sent = "SELECT count(*) FROM outbox WHERE kind = 'page' AND state = 'sent' AND level = 0";
    assert_eq!(world.count(sent).await, i64::try_from(incidents.len()).unwrap());
    assert_eq!(
        world.count("SELECT count(*) FROM timeline WHERE kind = 'told'").await,
        i64::try_from(incidents.len()).unwrap()
    );
    world.pass(MINUTE * 3).await;
    let posts = world.posts(&rooms.ops);
    for number in incidents {
        let own = posts.iter().filter(|post| post.body.contains(&format!("#{number} "))).count();
        assert_eq!(own, 1, "#{number}: {posts:#?}");
    }
    let events = "SELECT count(*) FROM post WHERE event_id IS NOT NULL";
    assert_eq!(world.count(events).await, i64::try_from(incidents.len()).unwrap());
    assert_eq!(world.homeserver.faults_left(), 0);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_process_that_dies_with_a_digest_loses_and_repeats_nothing() {
    for (accepted, in_time) in [(false, true), (true, true), (true, false)] {
        let (mut world, rooms) = World::finance("").await;
        let page = messages_to(&rooms.ops);
        let held = if in_time && accepted {
            world.homeserver.hold_after(page)
        } else {
            world.homeserver.hold_before(page)
        };
        let numbers = report(&world, "DiskFull", GROUPS).await;
        world.dies_at(&held).await;
        if accepted && !in_time {
            held.release();
        }
        world.restart_bot().await;
        // Somebody is quicker than matrixbot.
        world.pass(SECOND * 30).await;
        assert_eq!(digests(&world, &rooms).len(), 1, "accepted: {accepted}");
        assert_eq!(world.posts(&rooms.ops).len(), 1, "nothing is posted by itself");
        everything_was_told_once(&world, &rooms, &numbers).await;
    }
}

#[tokio::test]
async fn a_lost_answer_to_a_digest_repeats_nothing() {
    for fault in [Fault::DropReplyAfterAccepting, Fault::DropBeforeAccepting, Fault::Status(502, "M_UNKNOWN")]
    {
        let (world, rooms) = World::finance("").await;
        world.homeserver.fail_next(messages_to(&rooms.ops), fault.clone());
        let numbers = report(&world, "DiskFull", GROUPS).await;
        world.settle().await;
        // What comes meanwhile is posted as well.
        let more = report(&world, "LinkDown", 2).await;
        world.pass(SECOND * 30).await;
        assert!(digests(&world, &rooms).len() <= 2, "{fault:?}");
        everything_was_told_once(&world, &rooms, &[numbers, more].concat()).await;
    }
}

#[tokio::test]
async fn an_edit_that_carries_pages_and_fails_loses_none() {
    for fault in [
        Fault::DropReplyAfterAccepting,
        Fault::Status(500, "M_UNKNOWN"),
        Fault::RateLimit { retry_after: SECOND * 5 },
    ] {
        let (world, rooms) = World::finance("").await;
        let numbers = report(&world, "DiskFull", GROUPS).await;
        world.pass(SECOND * 4).await;
        assert_eq!(world.posts(&rooms.ops).len(), 1);
        world.homeserver.fail_next(messages_to(&rooms.ops), fault);
        let more = report(&world, "LinkDown", 3).await;
        world.pass(SECOND * 20).await;
        assert_eq!(world.posts(&rooms.ops).len(), 1, "an edit carries them");
        everything_was_told_once(&world, &rooms, &[numbers, more].concat()).await;
    }
}

#[tokio::test]
async fn what_a_digest_cannot_tell_is_told_by_itself() {
    let (world, rooms) = World::finance("").await;
    world.homeserver.fail_next(messages_to(&rooms.ops), Fault::Status(400, "M_BAD_JSON"));
    let numbers = report(&world, "DiskFull", GROUPS).await;
    world.settle().await;
    assert_eq!(world.posts(&rooms.ops).len(), GROUPS);
    everything_was_told_once(&world, &rooms, &numbers).await;
}

#[tokio::test]
async fn a_room_that_refuses_a_storm_is_undeliverable_for_each_incident() {
    let (world, rooms) = World::finance("").await;
    world.homeserver.set_power(&rooms.ops, World::virtual_user("finance").as_str(), -1);
    let numbers = report(&world, "DiskFull", GROUPS).await;
    world.pass(SECOND * 30).await;
    let undeliverable = "SELECT count(*) FROM outbox WHERE kind = 'page' AND state = 'undeliverable'";
    assert_eq!(world.count(undeliverable).await, i64::try_from(numbers.len()).unwrap());
    let managers = world.posts(&rooms.managers);
    assert!(
        !managers.is_empty() && managers.len() < 10,
        "the next level hears of all of them: {managers:#?}"
    );
    let paged = "SELECT count(*) FROM outbox WHERE kind = 'page' AND state = 'sent' AND level = 1";
    assert_eq!(world.count(paged).await, i64::try_from(numbers.len()).unwrap());
}

#[tokio::test]
async fn a_reaction_that_comes_before_the_digest_is_settled_counts() {
    let (mut world, rooms) = World::finance("").await;
    let held = world.homeserver.hold_after(messages_to(&rooms.ops));
    let numbers = report(&world, "DiskFull", GROUPS).await;
    world.dies_at(&held).await;
    let digest = digests(&world, &rooms).remove(0).event_id;
    world.homeserver.person(ALICE).reacts(&digest, "✅");
    world.restart_bot().await;
    world.pass(SECOND * 30).await;
    for number in numbers {
        assert_eq!(world.phase(number).await, "acknowledged");
    }
    world.pass(MINUTE * 3).await;
    world.nothing_is_left().await;
}
