//! From which room and by whom an incident can be acted on. Every refusal says why.

use super::{
    ALICE, BOB, CAROL, alice, answers, bob, calling, headlines, member, minutes, page, pages, phase, seconds,
    taken,
};
use crate::homeserver::{Fault, Match};
use crate::world::{Group, Setup, TOKEN, World, finance_list};
use matrixbot::domain::command::Verb;
use matrixbot::domain::policy::Role;
use matrixbot::domain::rights::{Allowed, allowed};

#[tokio::test]
async fn a_number_that_there_is_not_is_said_to_be_none() {
    let (world, rooms) = World::finance("").await;
    world.report(&Group::firing("DiskFull", world.now())).await;
    assert_eq!(alice(&world).says(&rooms.ops, "ack 99").await, "#99: there is no such incident.");
    let both = alice(&world).says(&rooms.ops, "ack 99 1").await;
    assert_eq!(both, format!("• {}\n• #99: there is no such incident.", taken(1, "DiskFull")));
    assert_eq!(alice(&world).says(&rooms.ops, "show 99").await, "#99: there is no such incident.");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn the_room_of_another_list_learns_nothing_of_an_incident() {
    let setup = Setup::prepare().await;
    let rooms = setup.rooms();
    let lab = setup.homeserver.public_room("@alice:example.test", "#lab:example.test");
    let lists = format!(
        "{}\n  - name: lab\n    webhook_token: {TOKEN}\n    levels: [{{rooms: [\"#lab:example.test\"]}}]",
        finance_list("")
    );
    let world = setup.start(&lists).await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    for command in ["ack 1", "unack 1", "escalate 1", "show 1", "timeline 1"] {
        let answer = alice(&world).says(&lab, command).await;
        assert_eq!(answer, "#1: there is no such incident.", "{command}");
    }
    assert_eq!(alice(&world).says(&lab, "pending").await, "🟢 lab has no pending incidents.");
    assert_eq!(alice(&world).says(&lab, "ack all").await, "lab has no open incidents this applies to.");
    assert_eq!(phase(&world, number).await, "firing");
    assert_eq!(pages(&world, &rooms.ops).len(), 1);
    assert_eq!(pages(&world, &lab).len(), 0);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_room_that_was_not_told_yet_cannot_take_it() {
    let (world, rooms) = calling("").await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    let answer = bob(&world).says(&rooms.managers, "ack 1").await;
    assert_eq!(answer, "#1 DiskFull: it has not been posted in this room yet, so you cannot act on it here.");
    assert_eq!(
        bob(&world).says(&rooms.managers, "ack all").await,
        "finance has no open incidents that this room can act on.\n\n• #1 DiskFull: it has not been posted in this room yet, so you cannot act on it here."
    );
    assert_eq!(phase(&world, number).await, "firing");
    world.pass(minutes(16)).await;
    assert_eq!(bob(&world).says(&rooms.managers, "ack 1").await, taken(1, "DiskFull"));
    world.nothing_is_left().await;
}

#[tokio::test]
async fn before_its_page_is_in_the_room_ack_all_says_what_is_open_and_cannot_be_taken_yet() {
    let (world, rooms) = calling("").await;
    let limited = Fault::RateLimit { retry_after: minutes(5) };
    world.homeserver.fail_next(Match::send().in_room(&rooms.ops), limited);
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    assert!(pages(&world, &rooms.ops).is_empty(), "the homeserver holds it back");
    let asked = world.homeserver.person(ALICE).says(&rooms.ops, "ack all");
    world.pass(minutes(6)).await;
    let [answer] = <[_; 1]>::try_from(answers(&world, &asked)).unwrap();
    assert!(answer.starts_with("finance has no open incidents that this room can act on."), "{answer}");
    assert!(answer.contains("• #1 DiskFull: it has not been posted in this room yet"), "{answer}");
    assert_eq!(phase(&world, number).await, "firing");
    assert_eq!(alice(&world).says(&rooms.ops, "ack all").await, taken(1, "DiskFull"));
    world.nothing_is_left().await;
}

#[tokio::test]
async fn every_room_that_was_told_can_take_it_also_after_it_went_higher() {
    let (world, rooms) = calling("").await;
    world.report(&Group::firing("DiskFull", world.now())).await;
    world.pass(minutes(16)).await;
    assert_eq!(alice(&world).says(&rooms.ops, "ack 1").await, taken(1, "DiskFull"));
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_fallback_room_that_is_told_of_an_unreachable_one_can_take_it() {
    let (world, rooms) = calling("").await;
    world.homeserver.person(ALICE).bans(&rooms.ops, &World::virtual_user("finance"));
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    let [told] = <[_; 1]>::try_from(pages(&world, &rooms.fallback)).unwrap();
    assert!(told.body.contains("UNREACHABLE"), "{}", told.body);
    let answer = member(&world, CAROL).replies(&told.event_id, "ack").await;
    assert_eq!(answer, taken(number, "DiskFull"));
    world.pass(seconds(5)).await;
    for room in [&rooms.fallback, &rooms.managers] {
        assert!(headlines(&world, room)[0].starts_with("👀 ACKNOWLEDGED"), "{:?}", headlines(&world, room));
    }
    world.nothing_is_left().await;
}

#[tokio::test]
async fn with_the_current_level_s_scope_a_lower_room_is_told_who_has_it_now() {
    let (world, rooms) = calling("    ack_scope: current_level").await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    world.pass(minutes(16)).await;
    let higher = "#1 DiskFull: it was escalated. Only the rooms of its level and above can act on it.";
    assert_eq!(alice(&world).says(&rooms.ops, "ack 1").await, higher);
    assert_eq!(alice(&world).replies(&page(&world, &rooms.ops), "ack").await, higher);
    assert_eq!(alice(&world).reacts(&page(&world, &rooms.ops), "✅").await, higher);
    assert_eq!(phase(&world, number).await, "firing");
    assert_eq!(bob(&world).says(&rooms.managers, "ack 1").await, taken(1, "DiskFull"));
    world.nothing_is_left().await;
}

#[tokio::test]
async fn whom_the_operator_gave_no_right_is_told_so_and_may_look() {
    let (world, rooms) = World::finance("    permissions: {users: {\"@bob:example.test\": none}}").await;
    world.homeserver.person(BOB).joins(&rooms.ops);
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    let why = "the operator does not allow you to do this.";
    for command in ["ack 1", "ack all", "escalate 1", "snooze 1 10m", "resolve 1"] {
        let answer = bob(&world).says(&rooms.ops, command).await;
        assert!(answer.ends_with(why), "{command}: {answer}");
    }
    let answer = bob(&world).reacts(&page(&world, &rooms.ops), "✅").await;
    assert!(answer.ends_with(why), "{answer}");
    assert_eq!(phase(&world, number).await, "firing");
    assert!(bob(&world).says(&rooms.ops, "pending").await.contains("#1 DiskFull"));
    assert!(bob(&world).says(&rooms.ops, "help").await.contains("You may only view incidents."));
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_single_user_may_be_given_every_right() {
    let (world, rooms) = World::finance("    permissions: {users: {\"@bob:example.test\": moderate}}").await;
    world.homeserver.person(BOB).joins(&rooms.ops);
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    let answer = bob(&world).says(&rooms.ops, "resolve 1").await;
    assert!(answer.contains("resolved by hand"), "{answer}");
    assert_eq!(phase(&world, number).await, "resolved");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn help_the_answers_and_the_rules_agree_on_who_may_do_what() {
    let members = "    permissions: {moderate_power_level: 60}";
    for (permissions, power_level, expected) in [
        (members, 59, Role::Respond),
        (members, 60, Role::Moderate),
        ("    permissions: {users: {\"@bob:example.test\": none}}", 100, Role::None),
        ("    permissions: {users: {\"@bob:example.test\": respond}}", 100, Role::Respond),
        ("    permissions: {users: {\"@bob:example.test\": moderate}}", 0, Role::Moderate),
    ] {
        let (world, rooms) = World::finance(permissions).await;
        world.homeserver.person(BOB).joins(&rooms.ops);
        world.homeserver.set_power(&rooms.ops, BOB, power_level);
        world.report(&Group::firing("DiskFull", world.now())).await;
        let help = bob(&world).says(&rooms.ops, "help").await;
        for verb in Verb::ALL.iter().filter(|verb| verb.is_available()) {
            let usage = verb.row().usage;
            let line = help.lines().find(|line| line.starts_with(&format!("• {usage}: "))).unwrap();
            let command = usage.replace("42", "1").replace(" [comment]", "");
            let lengths = match allowed(*verb, expected) {
                Allowed::No => {
                    assert!(line.ends_with(" (not allowed for you)"), "{expected:?}: {line}");
                    vec![(command, true)]
                }
                Allowed::UpTo(longest) => {
                    assert!(line.ends_with(" (up to 1 h)"), "{expected:?}: {line}");
                    let (word, longest) = (verb.word(), longest.as_secs());
                    vec![
                        (format!("{word} 1 {}s", longest + 1), true),
                        (format!("{word} 1 {longest}s"), false),
                    ]
                }
                Allowed::Yes => {
                    assert!(!line.ends_with(')'), "{expected:?}: {line}");
                    vec![(command, false)]
                }
            };
            for (command, refused) in lengths {
                let answer = bob(&world).says(&rooms.ops, &command).await;
                assert_eq!(answer.starts_with('⛔'), refused, "{expected:?}: {command}: {answer}");
            }
        }
        world.nothing_is_left().await;
    }
}

#[tokio::test]
async fn whoever_left_the_room_has_no_say_there() {
    let (world, rooms) = World::finance("").await;
    world.homeserver.person(BOB).joins(&rooms.ops);
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    world.homeserver.person(BOB).leaves(&rooms.ops);
    let refused = world.homeserver.person(BOB).sends(
        &rooms.ops,
        "m.room.message",
        serde_json::json!({"msgtype": "m.text", "body": "ack 1"}),
    );
    assert!(refused.is_err(), "the homeserver sees to it");
    world.settle().await;
    assert_eq!(phase(&world, number).await, "firing");
    world.nothing_is_left().await;
}
