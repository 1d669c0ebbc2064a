//! What people write who believe that it is a command: what is clear counts, what is not is answered, chatter is not.

use super::{ALICE, BOB, acknowledged, alice, answers, minutes, page, pages, phase, seconds};
use crate::world::{Group, World};
use ruma::RoomId;
use serde_json::json;

/// Writes a message that mentions the virtual user only in `m.mentions`. Returns the answer.
async fn mentioning(world: &World, room: &RoomId, text: &str) -> String {
    let mentions = json!({"user_ids": [World::virtual_user("finance")]});
    let content = json!({"msgtype": "m.text", "body": text, "m.mentions": mentions});
    let event = world.homeserver.person(ALICE).sends(room, "m.room.message", content).unwrap();
    world.settle().await;
    answers(world, &event).join("\n---\n")
}

#[tokio::test]
async fn other_words_for_a_command_count_if_they_are_clear() {
    let (world, rooms) = World::finance("").await;
    for name in ["DiskFull", "NetDown", "CpuHot", "FanStuck"] {
        world.report(&Group::firing(name, world.now())).await;
    }
    let alice = alice(&world);
    let [disk, net, ..] = &pages(&world, &rooms.ops)[..] else { panic!("two pages") };
    assert_eq!(alice.says_in_thread(&disk.event_id, "acked").await, acknowledged(1, "DiskFull"));
    assert_eq!(alice.says(&rooms.ops, "Acknowledged 2").await, acknowledged(2, "NetDown"));
    assert_eq!(alice.says(&rooms.ops, "ack incident 3").await, acknowledged(3, "CpuHot"));
    let resolved = alice.says(&rooms.ops, "close 3").await;
    assert!(resolved.starts_with("🟢 #3 CpuHot: resolved"), "{resolved}");
    let unclear = alice.says(&rooms.ops, "acked 4 alerts since Monday").await;
    assert_eq!(unclear, "If this is meant as a command, it is not understood. Type \"ack 4\".");
    assert_eq!(phase(&world, 4).await, "firing");
    assert_eq!(alice.says_in_thread(&net.event_id, "acknowledged by Bob, I think").await, "");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_tick_as_the_text_of_a_reply_acknowledges() {
    let (world, rooms) = World::finance("    ack_reactions: [\"👍\", \"✅\"]").await;
    world.homeserver.person(BOB).joins(&rooms.ops);
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    let page = page(&world, &rooms.ops);
    let asked = world.homeserver.person(BOB).says_in_thread(&page, "can you look after the disk?");
    world.settle().await;
    // A client with threads replies to Bob within the thread.
    let to_bob = json!({
        "msgtype": "m.text", "body": "✅", "m.mentions": {"user_ids": [BOB]},
        "m.relates_to": {
            "rel_type": "m.thread", "event_id": page, "is_falling_back": false, "m.in_reply_to": {"event_id": asked},
        },
    });
    world.homeserver.person(ALICE).sends(&rooms.ops, "m.room.message", to_bob).unwrap();
    world.settle().await;
    assert_eq!(phase(&world, number).await, "firing", "it answers Bob");
    assert_eq!(alice(&world).says(&rooms.ops, "✅").await, "");
    assert_eq!(alice(&world).replies(&page, "👀").await, "", "this list has other reactions");
    assert_eq!(phase(&world, number).await, "firing");
    assert_eq!(alice(&world).replies(&page, "✅").await, acknowledged(1, "DiskFull"));
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_mention_without_a_link_addresses_the_virtual_user() {
    let (world, rooms) = World::finance("    display_name: Finance alerts").await;
    world.report(&Group::firing("DiskFull", world.now())).await;
    world.report(&Group::firing("NetDown", world.now())).await;
    assert_eq!(mentioning(&world, &rooms.ops, "Finance alerts: ack 1").await, acknowledged(1, "DiskFull"));
    let unclear = "If this is meant as a command, it is not understood. Type \"ack 2\".";
    assert_eq!(mentioning(&world, &rooms.ops, "could you ack 2, please?").await, unclear);
    assert_eq!(mentioning(&world, &rooms.ops, "I like Finance alerts").await, "");
    let answer = mentioning(&world, &rooms.ops, "@Finance alerts what is up?").await;
    assert_eq!(answer, "Unknown command \"what\". Type \"help\" for the list of commands.");
    assert_eq!(phase(&world, 2).await, "firing");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn an_edit_is_a_command_only_if_the_original_was_none() {
    let (world, rooms) = World::finance("").await;
    for name in ["DiskFull", "NetDown", "CpuHot"] {
        world.report(&Group::firing(name, world.now())).await;
    }
    let alice = world.homeserver.person(ALICE);
    let typo = alice.says(&rooms.ops, "akc 1");
    world.settle().await;
    alice.edits(&typo, "ack 1");
    world.settle().await;
    assert_eq!(answers(&world, &typo), [acknowledged(1, "DiskFull")], "the answer refers to the original");
    alice.edits(&typo, "ack 2");
    world.settle().await;
    assert_eq!(phase(&world, 2).await, "firing", "it has been a command");

    let mistake = alice.says(&rooms.ops, "!akc 2");
    world.settle().await;
    alice.edits(&mistake, "ack 2");
    world.settle().await;
    assert_eq!(phase(&world, 2).await, "acknowledged", "a mistake did nothing");

    let command = alice.says(&rooms.ops, "ack 2");
    alice.edits(&command, "ack 3");
    world.settle().await;
    assert_eq!(phase(&world, 3).await, "firing", "it was a command");
    let page = pages(&world, &rooms.ops)[2].event_id.clone();
    let reply = alice.replies(&page, "akc");
    world.settle().await;
    world.homeserver.person(BOB).joins(&rooms.ops);
    world.homeserver.person(BOB).edits(&reply, "ack");
    world.settle().await;
    assert_eq!(phase(&world, 3).await, "firing", "nobody edits for somebody else");
    alice.edits(&reply, "ack");
    world.settle().await;
    assert_eq!(phase(&world, 3).await, "acknowledged", "it is still a reply to the page");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn numbers_that_nobody_can_read_are_answered() {
    let (world, rooms) = World::finance("").await;
    for name in ["A", "B", "C"] {
        world.report(&Group::firing(name, world.now())).await;
    }
    for (text, word) in [
        ("ack 3-1", "3-1"),
        ("ack -3", "-3"),
        ("ack 1-999999x", "1-999999x"),
        ("ack 3-", "3-"),
        ("ack 1 - 3", "1 - 3"),
    ] {
        let expected =
            format!("\"{word}\" is not an incident number. Type for example \"ack 42 43\" or \"ack 40-95\".");
        assert_eq!(alice(&world).says(&rooms.ops, text).await, expected, "{text}");
    }
    assert_eq!(phase(&world, 3).await, "firing");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_snooze_ends_at_a_time_of_day() {
    let (world, rooms) = World::finance("").await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    let answer = alice(&world).says(&rooms.ops, "snooze 1 until 12:30").await;
    assert!(answer.contains("snoozed until 12:30"), "{answer}");
    world.pass(minutes(29)).await;
    assert_eq!(phase(&world, number).await, "snoozed");
    world.pass(minutes(2)).await;
    assert_eq!(phase(&world, number).await, "firing");
    alice(&world).says(&rooms.ops, "ack 1").await;
    world.nothing_is_left().await;
}

#[tokio::test]
async fn times_of_day_are_those_of_the_list_s_zone() {
    let (world, rooms) = World::finance("    time_zone: Europe/Berlin").await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    let answer = alice(&world).says(&rooms.ops, "snooze 1 until 13:30").await;
    assert!(answer.contains("snoozed until 13:30 CET"), "{answer}");
    world.pass(seconds(5)).await;
    let body = &pages(&world, &rooms.ops)[0].body;
    assert!(body.contains("until 13:30 CET") && body.contains("firing since 13:00 CET"), "{body}");
    let timeline = alice(&world).says(&rooms.ops, "timeline 1").await;
    assert!(
        timeline.contains("2026-11-24 13:00:00") && timeline.contains("Times are Europe/Berlin."),
        "{timeline}"
    );
    world.pass(minutes(31)).await;
    assert_eq!(phase(&world, number).await, "firing");
    alice(&world).says(&rooms.ops, "ack 1").await;
    world.nothing_is_left().await;
}
