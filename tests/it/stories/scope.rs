//! Which rooms and people may act on an incident. Every refusal has a reason.

use super::{
    ALICE, BOB, CAROL, acknowledged, alice, answers, bob, headlines, member, minutes, page, pages, phase,
    seconds, with_mentions,
};
use crate::homeserver::{Fault, Match};
use crate::world::{Group, Setup, TOKEN, World, finance_list};
use matrixbot::domain::command::Verb;
use matrixbot::domain::policy::Role;
use matrixbot::domain::rights::{Allowed, allowed};

#[tokio::test]
async fn an_unknown_number_is_reported() {
    let (world, rooms) = World::finance("").await;
    world.report(&Group::firing("DiskFull", world.now())).await;
    assert_eq!(alice(&world).says(&rooms.ops, "ack 99").await, "#99: there is no such incident.");
    let both = alice(&world).says(&rooms.ops, "ack 99 1").await;
    assert_eq!(both, format!("• {}\n• #99: there is no such incident.", acknowledged(1, "DiskFull")));
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
async fn a_room_that_is_not_paged_yet_cannot_acknowledge() {
    let (world, rooms) = with_mentions("").await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    let answer = bob(&world).says(&rooms.managers, "ack 1").await;
    assert_eq!(answer, "#1 DiskFull: it has not been posted in this room yet, so you cannot act on it here.");
    assert_eq!(
        bob(&world).says(&rooms.managers, "ack all").await,
        "finance has no open incidents that this room can act on.\n\n• #1 DiskFull: it has not been posted in this room yet, so you cannot act on it here."
    );
    assert_eq!(phase(&world, number).await, "firing");
    world.pass(minutes(16)).await;
    assert_eq!(bob(&world).says(&rooms.managers, "ack 1").await, acknowledged(1, "DiskFull"));
    world.nothing_is_left().await;
}

#[tokio::test]
async fn before_the_page_is_sent_ack_all_lists_incidents_that_cannot_be_acknowledged_yet() {
    let (world, rooms) = with_mentions("").await;
    let limited = Fault::RateLimit { retry_after: minutes(5) };
    world.homeserver.fail_next(Match::send().in_room(&rooms.ops), limited);
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    assert!(pages(&world, &rooms.ops).is_empty(), "the homeserver rate limits it");
    let command = world.homeserver.person(ALICE).says(&rooms.ops, "ack all");
    world.pass(minutes(6)).await;
    let [answer] = <[_; 1]>::try_from(answers(&world, &command)).unwrap();
    assert!(answer.starts_with("finance has no open incidents that this room can act on."), "{answer}");
    assert!(answer.contains("• #1 DiskFull: it has not been posted in this room yet"), "{answer}");
    assert_eq!(phase(&world, number).await, "firing");
    assert_eq!(alice(&world).says(&rooms.ops, "ack all").await, acknowledged(1, "DiskFull"));
    world.nothing_is_left().await;
}

#[tokio::test]
async fn every_paged_room_can_acknowledge_even_after_an_escalation() {
    let (world, rooms) = with_mentions("").await;
    world.report(&Group::firing("DiskFull", world.now())).await;
    world.pass(minutes(16)).await;
    assert_eq!(alice(&world).says(&rooms.ops, "ack 1").await, acknowledged(1, "DiskFull"));
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_fallback_room_notified_of_an_unreachable_room_can_acknowledge() {
    let (world, rooms) = with_mentions("").await;
    world.homeserver.person(ALICE).bans(&rooms.ops, &World::virtual_user("finance"));
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    let [notice] = <[_; 1]>::try_from(pages(&world, &rooms.fallback)).unwrap();
    assert!(notice.body.contains("UNREACHABLE"), "{}", notice.body);
    let answer = member(&world, CAROL).replies(&notice.event_id, "ack").await;
    assert_eq!(answer, acknowledged(number, "DiskFull"));
    world.pass(seconds(5)).await;
    for room in [&rooms.fallback, &rooms.managers] {
        assert!(headlines(&world, room)[0].starts_with("👀 ACKNOWLEDGED"), "{:?}", headlines(&world, room));
    }
    world.nothing_is_left().await;
}

#[tokio::test]
async fn with_scope_current_level_a_lower_room_cannot_acknowledge() {
    let (world, rooms) = with_mentions("    ack_scope: current_level").await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    world.pass(minutes(16)).await;
    let higher = "#1 DiskFull: it was escalated. Only the rooms of its level and above can act on it.";
    assert_eq!(alice(&world).says(&rooms.ops, "ack 1").await, higher);
    assert_eq!(alice(&world).replies(&page(&world, &rooms.ops), "ack").await, higher);
    assert_eq!(alice(&world).reacts(&page(&world, &rooms.ops), "✅").await, higher);
    assert_eq!(phase(&world, number).await, "firing");
    assert_eq!(bob(&world).says(&rooms.managers, "ack 1").await, acknowledged(1, "DiskFull"));
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_user_without_rights_is_refused_and_may_view_incidents() {
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
async fn help_the_answers_and_the_rules_agree_on_permissions() {
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
            let command = usage.replace("42", "1").replace(" [comment]", "").replace("ID", "5f0b1d5c");
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
async fn a_user_who_left_the_room_cannot_act() {
    let (world, rooms) = World::finance("").await;
    world.homeserver.person(BOB).joins(&rooms.ops);
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    world.homeserver.person(BOB).leaves(&rooms.ops);
    let refused = world.homeserver.person(BOB).sends(
        &rooms.ops,
        "m.room.message",
        serde_json::json!({"msgtype": "m.text", "body": "ack 1"}),
    );
    assert!(refused.is_err(), "the homeserver rejects it");
    world.settle().await;
    assert_eq!(phase(&world, number).await, "firing");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn ack_all_acknowledges_everything_that_is_posted_in_the_room_and_names_some_of_the_rest() {
    const BELOW: i64 = 104;
    let (world, rooms) = with_mentions("").await;
    for n in 1..=BELOW {
        let (status, answer) = world.post(&Group::firing(&format!("Below{n}"), world.now()).payload()).await;
        assert_eq!(status, 200, "{answer}");
    }
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    alice(&world).says(&rooms.ops, &format!("escalate {number}")).await;

    let answer = bob(&world).says(&rooms.managers, "ack all").await;
    assert_eq!(phase(&world, number).await, "acknowledged", "{answer}");
    assert_eq!(
        answer,
        format!(
            "• {}\n\nNot changed, because this room cannot act on it:\n\n{}\n\n… and 99 more",
            acknowledged(number, "DiskFull"),
            (1..=5)
                .map(|n| format!(
                    "• #{n} Below{n}: it has not been posted in this room yet, so you cannot act on it here."
                ))
                .collect::<Vec<_>>()
                .join("\n")
        )
    );
    assert_eq!(world.count("SELECT count(*) FROM incident WHERE phase = 'firing'").await, BELOW);

    let answer = alice(&world).says(&rooms.ops, "ack all").await;
    assert_eq!(world.count("SELECT count(*) FROM incident WHERE phase = 'firing'").await, 0, "{answer}");
    assert!(answer.ends_with("more") && !answer.contains("Not changed"), "{answer}");
    world.pass(minutes(3)).await;
    world.nothing_is_left().await;
}

#[tokio::test]
async fn what_is_too_much_for_one_ack_all_is_counted_for_the_next() {
    let (world, rooms) = with_mentions("").await;
    for name in ["DiskFull", "HostDown", "TooWarm"] {
        world.report(&Group::firing(name, world.now())).await;
    }
    alice(&world).says(&rooms.ops, "escalate 3").await;
    let lists: Vec<_> = world.bot.parts.lists.load().iter().cloned().collect();
    let mut change = world.bot.parts.engine.begin().await.unwrap();
    let mut all = async |room, most| {
        let all = change.all_in_room(&lists, Verb::Acknowledge, room, most).await.unwrap();
        (all.here, all.repeat, all.elsewhere)
    };
    assert_eq!(all(rooms.ops.as_str(), 2).await, (vec![1, 2], 1, vec![]));
    assert_eq!(all(rooms.managers.as_str(), 2).await, (vec![3], 0, vec![1, 2]));
}
