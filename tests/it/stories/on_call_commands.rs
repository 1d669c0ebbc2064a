//! People change who is on call from rooms.

use super::on_call::{PAIR, world_with};
use super::{ALICE, BOB, CAROL, alice, answers, bob, member, notified, pages, seconds};
use crate::world::{Group, World};
use ruma::RoomId;
use serde_json::json;

/// bob is on call all day: the hand-off was in the morning.
fn bobs_day() -> String {
    PAIR.replace("hand_off: 13:02", "hand_off: 09:00")
}

fn last(world: &World, room: &RoomId) -> String {
    pages(world, room).last().unwrap().body.clone()
}

#[tokio::test]
async fn everybody_may_ask_who_is_on_call() {
    let (world, rooms) = world_with(&bobs_day(), "").await;
    world.homeserver.person(CAROL).joins(&rooms.ops);
    let answer = member(&world, CAROL).says(&rooms.ops, "oncall").await;
    assert_eq!(answer, "📟 primary: @bob:example.test\nFrom Wed 25 Nov 09:00 CET @alice:example.test.");
    let answer = member(&world, CAROL).says(&rooms.ops, "oncall next").await;
    assert!(answer.starts_with("primary (Europe/Berlin)\n\n• Tue 24 Nov 13:00 – Wed 25 Nov 09:00: @bob:example.test\n• Wed 25 Nov 09:00 – Thu 26 Nov 09:00: @alice:example.test\n"), "{answer}");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn one_gives_one_s_own_shifts_and_undoes_it() {
    let (world, rooms) = world_with(&bobs_day(), "").await;
    let answer = bob(&world).says(&rooms.ops, "oncall give @alice 4h").await;
    assert_eq!(
        answer,
        "🔁 Changed who is on call in primary:\n\n• Tue 24 Nov 13:00 – Tue 24 Nov 17:00: @alice:example.test instead of @bob:example.test\n\nTo undo this, type \"oncall undo\"."
    );
    assert_eq!(notified(&world, &rooms.managers), ["alice"], "the other room learns of it");
    world.report(&Group::firing("DiskFull", world.now())).await;
    assert_eq!(notified(&world, &rooms.ops), ["alice"]);
    world.pass(seconds(6)).await;
    assert!(
        last(&world, &rooms.ops)
            .starts_with("📟 On call in primary: @alice:example.test until Tue 24 Nov 17:00 CET."),
        "{}",
        last(&world, &rooms.ops)
    );
    let answer = alice(&world).says(&rooms.ops, "oncall undo").await;
    assert!(answer.starts_with("You have made no change that still counts."), "{answer}");
    let answer = bob(&world).says(&rooms.ops, "oncall undo").await;
    assert!(answer.starts_with("🔁 Undone in primary:"), "{answer}");
    let answer = bob(&world).says(&rooms.ops, "oncall").await;
    assert!(answer.starts_with("📟 primary: @bob:example.test"), "{answer}");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn the_shifts_of_others_require_the_right_to_moderate() {
    let (world, rooms) = world_with(&bobs_day(), "").await;
    world.homeserver.person(CAROL).joins(&rooms.ops);
    let carol = member(&world, CAROL);
    let answer = carol.says(&rooms.ops, "oncall take 4h").await;
    assert_eq!(
        answer,
        "⛔ to change the shifts of others, you need power level 50 in this room or the operator's permission. Or ask @bob:example.test to type \"oncall give\"."
    );
    let answer = carol.says(&rooms.ops, "oncall give @alice 4h").await;
    assert!(answer.starts_with("@carol:example.test has no shift in primary from"), "{answer}");
    world.homeserver.set_power(&rooms.ops, CAROL, 50);
    let answer = carol.says(&rooms.ops, "oncall take 4h").await;
    assert!(
        answer.contains(
            "• Tue 24 Nov 13:00 – Tue 24 Nov 17:00: @carol:example.test instead of @bob:example.test"
        ),
        "{answer}"
    );
    let answer = carol.says(&rooms.ops, "oncall take 1h").await;
    assert!(answer.starts_with("You are on call in primary for all of that time already."), "{answer}");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn when_nobody_is_on_call_anybody_may_take_over() {
    let empty = PAIR.replace("starting: 2026-11-23", "starting: 2027-11-23");
    let (world, rooms) = world_with(&empty, "").await;
    let answer = bob(&world).says(&rooms.ops, "oncall take 2h primary").await;
    assert!(answer.contains("• Tue 24 Nov 13:00 – Tue 24 Nov 15:00: @bob:example.test"), "{answer}");
    world.report(&Group::firing("DiskFull", world.now())).await;
    assert_eq!(notified(&world, &rooms.ops), ["bob"]);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn shifts_are_swapped() {
    let (world, rooms) = world_with(&bobs_day(), "").await;
    let answer = bob(&world).says(&rooms.ops, &format!("oncall swap {ALICE} Thu")).await;
    assert!(
        answer.contains(
            "• Thu 26 Nov 09:00 – Fri 27 Nov 00:00: @alice:example.test instead of @bob:example.test"
        ),
        "{answer}"
    );
    assert!(answer.contains("instead of @alice:example.test"), "{answer}");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn what_cannot_be_meant_is_answered_with_an_example() {
    let two = format!("{}{}", bobs_day(), bobs_day().replace("name: primary", "name: backup"));
    let (world, rooms) = world_with(&two, "").await;
    let answer = bob(&world).says(&rooms.ops, "oncall take 4h").await;
    assert_eq!(
        answer,
        "This room has several schedules: name one at the end. Schedules: backup, primary. Type for example \"oncall take 4h backup\"."
    );
    let answer = bob(&world).says(&rooms.ops, "oncall take 4h nights").await;
    assert!(answer.starts_with("This room has no schedule \"nights\"."), "{answer}");
    let answer = bob(&world).says(&rooms.ops, "oncall give @zoe 4h primary").await;
    assert!(answer.starts_with("Nobody in this room is called \"@zoe\", or several are."), "{answer}");
    let answer = bob(&world).says(&rooms.ops, "oncall give @alice").await;
    assert!(
        answer.starts_with("\"oncall give\" needs a person and then a time such as \"2d\". Type"),
        "{answer}"
    );
    // A client writes a mention as the person's display name.
    let content = json!({
        "msgtype": "m.text", "body": "oncall give Alice A 4h primary", "m.mentions": {"user_ids": [ALICE]},
    });
    let event = world.homeserver.person(BOB).sends(&rooms.ops, "m.room.message", content).unwrap();
    world.settle().await;
    let answer = answers(&world, &event).concat();
    assert!(answer.contains("@alice:example.test instead of @bob:example.test"), "{answer}");
    world.nothing_is_left().await;
}
