//! Every way to acknowledge: escalation stops, and the room sees who acknowledged.

use super::{
    ALICE, BOB, acknowledged, alice, bob, headlines, history, member, minutes, page, pages, phase, seconds,
    thread, with_mentions,
};
use crate::world::{Group, World};
use std::time::Duration;

#[tokio::test]
async fn an_alert_is_paged_and_acknowledged_by_reaction() {
    let (world, rooms) = World::finance("").await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    let page = world.homeserver.messages(&rooms.ops).remove(0);
    assert!(page.body.contains(&format!("#{number}")), "{}", page.body);
    world.homeserver.person(ALICE).reacts(&page.event_id, "✅");
    world.pass(Duration::from_hours(2)).await;
    assert_eq!(world.homeserver.messages(&rooms.managers).len(), 0);
    insta::assert_snapshot!(world.homeserver.rendered(&rooms.ops));
    world.nothing_is_left().await;
}

#[tokio::test]
async fn every_form_of_the_reaction_that_clients_send_acknowledges() {
    for key in ["✅\u{fe0f}", "👀", "✅"] {
        let (world, rooms) = World::finance("").await;
        let number = world.report(&Group::firing("DiskFull", world.now())).await;
        assert_eq!(alice(&world).reacts(&page(&world, &rooms.ops), key).await, "", "the thread shows it");
        assert_eq!(phase(&world, number).await, "acknowledged", "{key:?}");
        world.nothing_is_left().await;
    }
}

#[tokio::test]
async fn other_reactions_and_reactions_to_other_messages_have_no_effect() {
    let (world, rooms) = World::finance("").await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    assert_eq!(alice(&world).reacts(&page(&world, &rooms.ops), "🎉").await, "");
    let chatter = world.homeserver.person(ALICE).says(&rooms.ops, "what is this?");
    assert_eq!(alice(&world).reacts(&chatter, "✅").await, "");
    assert_eq!(phase(&world, number).await, "firing");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_reply_or_a_word_in_the_thread_needs_no_number() {
    let (world, rooms) = World::finance("").await;
    let first = world.report(&Group::firing("DiskFull", world.now())).await;
    let second = world.report(&Group::firing("NetDown", world.now())).await;
    let [disk, net] = <[_; 2]>::try_from(pages(&world, &rooms.ops)).unwrap();

    assert_eq!(alice(&world).replies(&disk.event_id, "ack on it").await, acknowledged(1, "DiskFull"));
    assert_eq!(phase(&world, first).await, "acknowledged");
    assert_eq!(phase(&world, second).await, "firing");
    let answer = alice(&world).says_in_thread(&net.event_id, "Acknowledge").await;
    assert_eq!(answer, acknowledged(2, "NetDown"));
    assert_eq!(phase(&world, second).await, "acknowledged");

    world.pass(seconds(5)).await;
    assert_eq!(
        thread(&world, &rooms.ops),
        Vec::<String>::new(),
        "an answered command has no notice in the thread"
    );
    let body = &pages(&world, &rooms.ops)[0].body;
    assert!(body.contains("Acknowledged by @alice:example.test at 12:00 UTC: “on it”."), "{body}");
    let answered_in_thread = &pages(&world, &rooms.ops)[1].thread;
    assert_eq!(answered_in_thread.len(), 2, "the answer is in the thread of the command");
    insta::assert_snapshot!(world.homeserver.rendered(&rooms.ops));
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_reply_to_a_page_of_the_second_level_is_about_the_same_incident() {
    let (world, rooms) = with_mentions("").await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    world.pass(minutes(16)).await;
    assert_eq!(bob(&world).replies(&page(&world, &rooms.managers), "ack").await, acknowledged(1, "DiskFull"));
    assert_eq!(phase(&world, number).await, "acknowledged");
    world.pass(seconds(5)).await;
    let notices = thread(&world, &rooms.ops);
    assert_eq!(notices.last().unwrap(), "#1 👀 @bob:example.test acknowledged. Escalation stopped.");
    insta::assert_snapshot!(world.homeserver.rendered(&rooms.ops));
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_repeated_page_can_be_acknowledged_and_is_edited() {
    let (world, rooms) = with_mentions("    repeat: 1").await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    world.pass(minutes(46)).await;
    let [first, again] = <[_; 2]>::try_from(pages(&world, &rooms.ops)).unwrap();
    let offered: Vec<_> = again.reactions.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(offered, ["✅"], "it has the reaction, as the first page");
    assert_eq!(alice(&world).reacts(&again.event_id, "✅").await, "");
    assert_eq!(phase(&world, number).await, "acknowledged");
    world.pass(seconds(5)).await;
    let [continued, newest] = <[_; 2]>::try_from(headlines(&world, &rooms.ops)).unwrap();
    assert!(continued.starts_with("↪️ CONTINUED #1 DiskFull"), "{continued}");
    assert!(newest.starts_with("👀 ACKNOWLEDGED #1 DiskFull"), "{newest}");
    let events = world.homeserver.timeline(&rooms.ops).len();
    world.pass(minutes(60)).await;
    assert_eq!(world.homeserver.timeline(&rooms.ops).len(), events, "each once");
    assert_ne!(first.event_id, again.event_id);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn numbers_all_and_a_mention_select_incidents() {
    let (world, rooms) = World::finance("").await;
    let mut numbers = Vec::new();
    for name in ["DiskFull", "NetDown", "CpuHot", "FanStuck", "DoorOpen"] {
        numbers.push(world.report(&Group::firing(name, world.now())).await);
    }
    let alice = alice(&world);
    assert_eq!(alice.says(&rooms.ops, "ACK 3").await, acknowledged(3, "CpuHot"));
    let answer = alice.says(&rooms.ops, "ack #1 2 the switch is being replaced").await;
    assert_eq!(answer, format!("• {}\n• {}", acknowledged(1, "DiskFull"), acknowledged(2, "NetDown")));
    let virtual_user = World::virtual_user("finance");
    assert_eq!(alice.says_to(&rooms.ops, &virtual_user, "ack 4").await, acknowledged(4, "FanStuck"));
    assert_eq!(alice.says(&rooms.ops, "ack all").await, acknowledged(5, "DoorOpen"));
    assert_eq!(alice.says(&rooms.ops, "ack all").await, "finance has no open incidents this applies to.");
    for number in numbers {
        assert_eq!(history(&world, number).await, "run_started paged told acknowledged");
    }
    world.pass(seconds(5)).await;
    let body = &pages(&world, &rooms.ops)[1].body;
    assert!(body.contains("“the switch is being replaced”"), "{body}");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_second_person_joins_and_a_second_ack_of_the_first_changes_nothing() {
    let (world, rooms) = World::finance("").await;
    world.homeserver.person(BOB).joins(&rooms.ops);
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    alice(&world).says(&rooms.ops, "ack 1").await;
    assert_eq!(
        alice(&world).says(&rooms.ops, "ack 1").await,
        "👀 #1 DiskFull: you have already acknowledged it."
    );
    let answer = bob(&world).says(&rooms.ops, "ack 1").await;
    assert_eq!(answer, "👀 #1 DiskFull: acknowledged. @alice:example.test acknowledged before you.");
    world.pass(seconds(5)).await;
    let body = &pages(&world, &rooms.ops)[0].body;
    assert!(
        body.contains("Acknowledged by @alice:example.test and @bob:example.test at 12:00 UTC."),
        "{body}"
    );
    assert_eq!(history(&world, number).await, "run_started paged told acknowledged joined_ack");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn an_ack_after_the_resolution_is_too_late() {
    let (world, rooms) = World::finance("").await;
    let group = Group::firing("DiskFull", world.now());
    let number = world.report(&group).await;
    world.pass(minutes(3)).await;
    world.report(&group.resolved()).await;
    let late = "#1 DiskFull: too late: it was resolved at 12:03 UTC.";
    assert_eq!(alice(&world).says(&rooms.ops, "ack 1").await, late);
    assert_eq!(alice(&world).reacts(&page(&world, &rooms.ops), "✅").await, late);
    assert_eq!(alice(&world).says(&rooms.ops, "unack 1").await, late);
    assert_eq!(phase(&world, number).await, "resolved");
    world.pass(minutes(30)).await;
    assert_eq!(phase(&world, number).await, "closed");
    assert_eq!(alice(&world).replies(&page(&world, &rooms.ops), "ack").await, late);
    assert_eq!(
        history(&world, number).await,
        "run_started paged told resolved late_ack late_ack closed late_ack"
    );
    assert!(headlines(&world, &rooms.ops)[0].starts_with("🟢 RESOLVED #1 DiskFull"));
    world.nothing_is_left().await;
}

#[tokio::test]
async fn nobody_outside_of_the_room_can_acknowledge() {
    let (world, _) = World::finance("").await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    let elsewhere = world.homeserver.public_room("@mallory:example.test", "#elsewhere:example.test");
    let answer = member(&world, "@mallory:example.test").says(&elsewhere, &format!("!ack {number}")).await;
    assert_eq!(answer, "", "matrixbot is not in the room");
    assert_eq!(phase(&world, number).await, "firing");
    world.nothing_is_left().await;
}
