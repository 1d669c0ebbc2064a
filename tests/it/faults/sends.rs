//! Several messages of one room are on their way at once, each of another incident: whatever happens to one of them, each
//! arrives once, and the messages of an incident keep their order.

use super::{ALICE, MINUTE, SECOND, list, messages_to};
use crate::homeserver::faults::Held;
use crate::homeserver::{Endpoint, Fault, Homeserver};
use crate::world::{Group, Rooms, Setup, World};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use ruma::RoomId;
use std::time::Duration;

/// A world without digests.
async fn finance() -> (World, Rooms) {
    World::finance("    digest: none\n").await
}

/// Alertmanager reports groups, and nothing is sent yet.
async fn report(world: &World, groups: usize) -> Vec<i64> {
    let mut numbers = Vec::new();
    for n in 0..groups {
        let (status, answer) = world.post(&Group::firing(&format!("G{n}"), world.now()).payload()).await;
        assert_eq!(status, 200, "{answer}");
        numbers.push(answer["incident"].as_i64().unwrap());
    }
    numbers
}

/// Waits until so many messages to a room are on their way at once, and the homeserver holds all of them.
async fn on_their_way(homeserver: &Homeserver, room: &RoomId, first: Held, count: usize) -> Vec<Held> {
    let mut held = vec![first];
    held[0].reached().await;
    while held.len() < count {
        let more = [(); 2].map(|()| homeserver.hold_before(messages_to(room)));
        held.remove(0).release();
        for more in more {
            more.reached().await;
            held.push(more);
        }
    }
    held
}

fn release(held: &[Held]) {
    held.iter().for_each(Held::release);
}

/// Every incident has one page in the room, with a reaction.
fn each_has_one_page(world: &World, room: &RoomId, incidents: &[i64]) {
    let posts = world.posts(room);
    for number in incidents {
        let pages: Vec<_> = posts.iter().filter(|post| post.body.contains(&format!("#{number} "))).collect();
        assert_eq!(pages.len(), 1, "#{number}: {posts:#?}");
        assert_eq!(pages[0].reactions.len(), 1, "it can be acknowledged");
    }
}

#[tokio::test]
async fn a_room_has_up_to_eight_messages_of_different_incidents_on_their_way() {
    let (world, rooms) = finance().await;
    let numbers = report(&world, 20).await;
    let first = world.homeserver.hold_before(messages_to(&rooms.ops));
    tokio::join!(world.bot.work(), async {
        let held = on_their_way(&world.homeserver, &rooms.ops, first, 8).await;
        assert_eq!(world.count("SELECT count(*) FROM outbox WHERE state = 'sending'").await, 8);
        let pages = world.count("SELECT count(DISTINCT incident) FROM outbox WHERE state = 'sending'").await;
        assert_eq!(pages, 8, "of different incidents");
        release(&held);
    });
    world.settle().await;
    each_has_one_page(&world, &rooms.ops, &numbers);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn one_message_without_an_answer_stops_no_other_incident() {
    let (world, rooms) = finance().await;
    let mut numbers = report(&world, 6).await;
    let first = world.homeserver.hold_before(messages_to(&rooms.ops));
    tokio::join!(world.bot.work(), async {
        let held = on_their_way(&world.homeserver, &rooms.ops, first, 2).await;
        held[1].release();
        while world.posts(&rooms.ops).len() < 5 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let late = world.post(&Group::firing("Late", world.now()).payload()).await.1;
        numbers.push(late["incident"].as_i64().unwrap());
        while world.posts(&rooms.ops).len() < 6 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        held[0].release();
    });
    world.settle().await;
    each_has_one_page(&world, &rooms.ops, &numbers);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn the_messages_of_an_incident_keep_their_order_while_others_overtake() {
    let setup = Setup::prepare().await;
    let rooms = setup.rooms();
    let list = list("finance", &[&["#ops:example.test"], &["#ops:example.test"]]) + "    digest: none\n";
    let world = setup.start(&list).await;
    world.homeserver.person(ALICE).says(&rooms.ops, "hello");
    let numbers = report(&world, 3).await;
    let first = world.homeserver.hold_before(messages_to(&rooms.ops));
    tokio::join!(world.bot.work(), async {
        let held = on_their_way(&world.homeserver, &rooms.ops, first, 2).await;
        // The second page of the incident waits for the first one, which is not in the room yet.
        let said = format!("escalate {}", numbers[1]);
        world.homeserver.set_power(&rooms.ops, ALICE, 100);
        world.homeserver.person(ALICE).says(&rooms.ops, &said);
        world.homeserver.deliver_all().await;
        world.bot.step("inbox").await.unwrap();
        let second = format!(
            "SELECT count(*) FROM outbox WHERE incident = {} AND kind = 'page' AND level = 1 AND state = 'pending'",
            numbers[1]
        );
        assert_eq!(world.count_of(&second).await, 1);
        held[1].release();
        while world.posts(&rooms.ops).len() < 3 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        assert_eq!(world.count_of(&second).await, 1, "it still waits");
        held[0].release();
    });
    world.settle().await;
    let bodies: Vec<String> = world.posts(&rooms.ops).into_iter().map(|post| post.body).collect();
    let place = |wanted: &str, number: i64| {
        bodies.iter().position(|body| body.contains(wanted) && body.contains(&format!("#{number} ")))
    };
    let (other, own) = (place("", numbers[2]).unwrap(), place("", numbers[1]).unwrap());
    assert!(other < own, "another incident overtakes: {bodies:#?}");
    let escalated = bodies.iter().rposition(|body| body.contains(&format!("#{} ", numbers[1])));
    assert!(escalated.unwrap() > own, "{bodies:#?}");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_rate_limit_pauses_all_messages_of_its_room_and_no_other_room() {
    let setup = Setup::prepare().await;
    let rooms = setup.rooms();
    let both = list("finance", &[&["#ops:example.test", "#managers:example.test"]]) + "    digest: none\n";
    let world = setup.start(&both).await;
    let numbers = report(&world, 10).await;
    let first = world.homeserver.hold_before(messages_to(&rooms.ops));
    tokio::join!(world.bot.work(), async {
        let limit = Fault::RateLimit { retry_after: SECOND * 30 };
        let mut held = on_their_way(&world.homeserver, &rooms.ops, first, 3).await;
        let limited = world.homeserver.hold_then(messages_to(&rooms.ops), limit.clone());
        let also = world.homeserver.hold_then(messages_to(&rooms.ops), limit);
        held.remove(0).release();
        limited.reached().await;
        also.reached().await;
        limited.release();
        also.release();
        while world.count("SELECT count(*) FROM room_gate WHERE next_allowed_at > '2000-01-01'").await == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        release(&held);
    });
    let sent = world.attempts(&rooms.ops).1;
    assert_eq!(world.posts(&rooms.ops).len(), 5, "what was on its way arrives");
    assert_eq!(world.posts(&rooms.managers).len(), 10, "the other room does not wait");
    world.pass(SECOND * 29).await;
    assert_eq!(world.attempts(&rooms.ops).1, sent, "no request for 30 s");
    world.pass(SECOND * 2).await;
    each_has_one_page(&world, &rooms.ops, &numbers);
    let failures = world.count("SELECT sum(failures) FROM room_gate").await;
    assert_eq!(failures, 0, "a rate limit is no failure");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn failures_at_the_same_time_are_one_failure_in_a_row() {
    let (world, rooms) = finance().await;
    let numbers = report(&world, 6).await;
    let first = world.homeserver.hold_before(messages_to(&rooms.ops));
    tokio::join!(world.bot.work(), async {
        let held = on_their_way(&world.homeserver, &rooms.ops, first, 2).await;
        let bad = [(); 2]
            .map(|()| world.homeserver.hold_then(messages_to(&rooms.ops), Fault::Status(502, "M_UNKNOWN")));
        held[0].release();
        for bad in &bad {
            bad.reached().await;
        }
        for bad in &bad {
            bad.release();
        }
        while world.count("SELECT max(failures)::bigint FROM room_gate").await == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        held[1].release();
    });
    assert_eq!(world.count("SELECT max(failures)::bigint FROM room_gate").await, 1);
    world.pass(SECOND * 10).await;
    each_has_one_page(&world, &rooms.ops, &numbers);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn killed_with_several_messages_on_their_way_each_arrives_once() {
    let (mut world, rooms) = finance().await;
    let numbers = report(&world, 9).await;
    let first = world.homeserver.hold_before(messages_to(&rooms.ops));
    let held = tokio::select! {
        held = async {
            let mut held = on_their_way(&world.homeserver, &rooms.ops, first, 3).await;
            // Two more, which the homeserver accepts.
            let more = [(); 2].map(|()| world.homeserver.hold_after(messages_to(&rooms.ops)));
            held.remove(0).release();
            for more in &more {
                more.reached().await;
            }
            (held, more)
        } => held,
        _ = world.bot.work() => panic!("all work was done before the held requests"),
    };
    assert_eq!(world.count("SELECT count(*) FROM outbox WHERE state = 'sending'").await, 4);
    world.bot.kill().await;
    // The homeserver handles one of the requests after the process is gone, and another one never.
    held.0[0].release();
    world.homeserver.restart().await;
    world.restart_bot().await;
    world.settle().await;
    assert_eq!(world.count("SELECT count(*) FROM outbox WHERE state = 'sending'").await, 4, "its lease");
    world.pass(MINUTE).await;
    each_has_one_page(&world, &rooms.ops, &numbers);
    assert_eq!(world.attempts(&rooms.ops).0.len(), 9, "each page has one transaction id");
    assert_eq!(world.count("SELECT count(*) FROM timeline WHERE kind = 'told'").await, 9);
    assert!(world.homeserver.count(Endpoint::Messages) > 0, "matrixbot looks for them");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_process_that_lost_the_gate_settles_none_of_its_messages() {
    let (world, rooms) = finance().await;
    let other = world.another().await;
    let numbers = report(&world, 7).await;
    let first = world.homeserver.hold_before(messages_to(&rooms.ops));
    tokio::join!(world.bot.work(), async {
        let held = on_their_way(&world.homeserver, &rooms.ops, first, 3).await;
        world.clock.advance(MINUTE * 3);
        assert!(other.work().await, "the other process takes the room over");
        release(&held);
    });
    for _ in 0..3 {
        world.settle().await;
        other.work().await;
    }
    each_has_one_page(&world, &rooms.ops, &numbers);
    assert_eq!(world.count("SELECT count(*) FROM timeline WHERE kind = 'told'").await, 7);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn pages_during_a_digest_wait_for_it_and_those_on_their_way_count_for_the_storm() {
    let (world, rooms) = World::finance("").await;
    report(&world, 5).await;
    let first = world.homeserver.hold_before(messages_to(&rooms.ops));
    tokio::join!(world.bot.work(), async {
        let held = on_their_way(&world.homeserver, &rooms.ops, first, 3).await;
        // Three are on their way and two were posted: these four make a storm.
        let digest = world.homeserver.hold_before(messages_to(&rooms.ops));
        for n in 0..4 {
            world.post(&Group::firing(&format!("H{n}"), world.now()).payload()).await;
        }
        release(&held);
        digest.reached().await;
        for n in 0..4 {
            world.post(&Group::firing(&format!("I{n}"), world.now()).payload()).await;
        }
        assert_eq!(world.count("SELECT count(*) FROM outbox WHERE state = 'sending'").await, 1, "the digest");
        digest.release();
    });
    world.pass(SECOND * 10).await;
    let posts = world.posts(&rooms.ops);
    assert_eq!(posts.len(), 6, "five pages and one digest: {posts:#?}");
    let sent = "SELECT count(*) FROM outbox WHERE kind = 'page' AND state = 'sent'";
    assert_eq!(world.count(sent).await, 13);
    world.pass(MINUTE * 3).await;
    world.nothing_is_left().await;
}

#[tokio::test]
async fn each_page_arrives_once_whatever_happens_to_which_request() {
    for seed in 0..2 {
        let mut random = StdRng::seed_from_u64(seed);
        let (mut world, rooms) = finance().await;
        let faults = [
            Fault::DropReplyAfterAccepting,
            Fault::DropBeforeAccepting,
            Fault::Status(500, "M_UNKNOWN"),
            Fault::RateLimit { retry_after: SECOND * 2 },
            Fault::NonJson(502),
        ];
        let mut numbers = Vec::new();
        for round in 0..2 {
            for n in 0..7 {
                let group = Group::firing(&format!("R{round}G{n}"), world.now());
                numbers.push(world.post(&group.payload()).await.1["incident"].as_i64().unwrap());
            }
            let dies = random.random_bool(0.7);
            let first = world.homeserver.hold_before(messages_to(&rooms.ops));
            let several = async {
                let held =
                    on_their_way(&world.homeserver, &rooms.ops, first, random.random_range(2..5)).await;
                for _ in 0..random.random_range(1..4) {
                    let fault = faults.choose(&mut random).unwrap().clone();
                    world.homeserver.fail_next(messages_to(&rooms.ops), fault);
                }
                let released = held.iter().filter(|_| random.random_bool(0.6));
                released.for_each(Held::release);
                tokio::time::sleep(Duration::from_millis(random.random_range(0..20))).await;
                held
            };
            if dies {
                let held = tokio::select! {
                    held = several => held,
                    _ = world.bot.work() => panic!("all work was done before the held requests"),
                };
                world.bot.kill().await;
                held.iter().filter(|_| random.random_bool(0.5)).for_each(Held::release);
                world.restart_bot().await;
            } else {
                tokio::join!(world.bot.work(), async { release(&several.await) });
            }
            world.pass(SECOND * random.random_range(1..30)).await;
            world.homeserver.clear_faults();
            world.pass(MINUTE).await;
        }
        each_has_one_page(&world, &rooms.ops, &numbers);
        assert_eq!(world.count("SELECT count(*) FROM timeline WHERE kind = 'told'").await, 14, "seed {seed}");
        let ids = world.homeserver.requests().into_iter().filter(|request| {
            request.endpoint == Endpoint::Send && request.event_type.as_deref() == Some("m.reaction")
        });
        assert!(ids.count() >= 14, "seed {seed}");
        world.nothing_is_left().await;
    }
}
