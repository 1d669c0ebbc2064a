//! Queries and their answers, mistakes, and chatter.

use super::{ALICE, BOB, alice, answers, bob, minutes, page, pages, phase, seconds, with_mentions};
use crate::world::{Group, World};
use serde_json::json;

#[tokio::test]
async fn the_answer_to_one_person_does_not_wait_for_those_to_a_flood_of_another() {
    let (world, rooms) = World::finance("").await;
    world.homeserver.person(BOB).joins(&rooms.ops);
    world.report(&Group::firing("DiskFull", world.now())).await;
    for _ in 0..30 {
        world.homeserver.person(BOB).says(&rooms.ops, "show 1");
    }
    let asked = world.homeserver.person(ALICE).says(&rooms.ops, "pending");
    let before = world.homeserver.messages(&rooms.ops).len();
    world.settle().await;
    let answers: Vec<_> = world.homeserver.messages(&rooms.ops).split_off(before);
    assert_eq!(answers.len(), 31, "each command gets its answer");
    let place = answers
        .iter()
        .position(|answer| answer.body.starts_with("1 pending") || answer.body.contains("pending"));
    assert!(place.is_some_and(|place| place <= 5), "{place:?} after {asked}");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn pending_lists_unacknowledged_incidents_and_escalated_lists_escalated_ones() {
    let (world, rooms) = with_mentions("").await;
    assert_eq!(alice(&world).says(&rooms.ops, "pending").await, "🟢 finance has no pending incidents.");
    assert_eq!(alice(&world).says(&rooms.ops, "escalated").await, "🟢 finance has no escalated incidents.");
    world.report(&Group::firing("DiskFull", world.now())).await;
    world.pass(minutes(16)).await;
    world.report(&Group::new("NetDown").alert("sw-1", "warning", "firing", world.now())).await;
    world.report(&Group::firing("CpuHot", world.now())).await;
    alice(&world).says(&rooms.ops, "ack 3").await;
    insta::assert_snapshot!("pending", alice(&world).says(&rooms.ops, "pending").await);
    insta::assert_snapshot!("escalated", alice(&world).says(&rooms.ops, "!escalated").await);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn show_and_timeline_contain_everything_about_an_incident() {
    let (world, rooms) = with_mentions("").await;
    let group = Group::firing("DiskFull", world.now());
    world.report(&group).await;
    world.pass(minutes(16)).await;
    bob(&world).says(&rooms.managers, "ack 1 on it").await;
    world.report(&group.clone().alert("db-2", "critical", "firing", world.now())).await;
    world.pass(minutes(2)).await;
    insta::assert_snapshot!("show", alice(&world).says(&rooms.ops, "show 1").await);
    insta::assert_snapshot!("timeline", alice(&world).says(&rooms.ops, "timeline 1").await);
    let page = page(&world, &rooms.ops);
    let replied = alice(&world).replies(&page, "timeline").await;
    assert!(replied.starts_with("Timeline of #1 DiskFull"), "{replied}");
    let in_thread = alice(&world).says_in_thread(&page, "show").await;
    assert!(in_thread.contains("#1 DiskFull"), "{in_thread}");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn help_lists_what_the_reader_may_do() {
    let (world, rooms) = with_mentions("").await;
    world.homeserver.person(BOB).joins(&rooms.ops);
    insta::assert_snapshot!("help_for_a_member", bob(&world).says(&rooms.ops, "help").await);
    let mine = alice(&world).says(&rooms.ops, "!help").await;
    assert!(mine.contains("You may use all commands."), "{mine}");
    let user = World::virtual_user("finance");
    assert!(alice(&world).says_to(&rooms.ops, &user, "").await.contains("Commands in this room"));
    world.nothing_is_left().await;
}

#[tokio::test]
async fn chatter_gets_no_answer() {
    let (world, rooms) = World::finance("").await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    let page = page(&world, &rooms.ops);
    let alice = alice(&world);
    for text in [
        "has anybody seen this?",
        "ack that we are late",
        "acknowledge 12 monkeys was a good film?",
        "show me the money",
        "resolve this please",
        "42",
        "#42",
        "!",
        "!!!",
        "+1",
        "helpful",
        "pending review since yesterday",
    ] {
        if text.starts_with("acknowledge 12") {
            // An unknown number with a comment is a command, and gets an answer.
            assert_eq!(alice.says(&rooms.ops, text).await, "#12: there is no such incident.");
            continue;
        }
        assert_eq!(alice.says(&rooms.ops, text).await, "", "{text}");
    }
    for text in ["looking", "thanks!", "who is on call?", "resolved itself I think", "show me"] {
        assert_eq!(alice.replies(&page, text).await, "", "{text}");
        assert_eq!(alice.says_in_thread(&page, text).await, "", "{text}");
    }
    assert_eq!(phase(&world, number).await, "firing");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn notices_and_emotes_are_no_commands() {
    let (world, rooms) = World::finance("").await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    let alice = world.homeserver.person(ALICE);
    let notice =
        alice.sends(&rooms.ops, "m.room.message", json!({"msgtype": "m.notice", "body": "ack 1"})).unwrap();
    let emote =
        alice.sends(&rooms.ops, "m.room.message", json!({"msgtype": "m.emote", "body": "ack 1"})).unwrap();
    world.settle().await;
    alice.edits(&notice, "ack 1");
    world.settle().await;
    for event in [&notice, &emote] {
        assert_eq!(answers(&world, event), Vec::<String>::new());
    }
    assert_eq!(phase(&world, number).await, "firing");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_mistake_that_addresses_matrixbot_gets_a_hint() {
    let (world, rooms) = World::finance("").await;
    world.report(&Group::firing("DiskFull", world.now())).await;
    let alice = alice(&world);
    let mistakes = [
        (
            "!akc 1",
            "Unknown command \"akc\". Did you mean \"ack 42 [comment]\"? Type \"help\" for the list of commands.",
        ),
        ("!frobnicate", "Unknown command \"frobnicate\". Type \"help\" for the list of commands."),
        ("ack", "\"ack\" needs an incident number. Type \"ack 42 [comment]\", or reply to the page."),
        (
            "snooze 1",
            "\"snooze\" needs a duration. Type for example \"snooze 42 2h\" or \"snooze 42 until 09:00\". Durations are \"90s\", \"15m\", \"1h30m\", \"2d\".",
        ),
        (
            "acknowledge 0f8fad5b-d9cb-469f-a165-70867728950e",
            "\"0f8fad5b-d9cb-469f-a165-70867728950e\" is an id of another bot. Incidents have numbers here. Type \"pending\" for the numbers.",
        ),
    ];
    for (text, answer) in mistakes {
        assert_eq!(alice.says(&rooms.ops, text).await, answer, "{text}");
    }
    let user = World::virtual_user("finance");
    let answer = alice.says_to(&rooms.ops, &user, "what is up?").await;
    assert_eq!(answer, "Unknown command \"what\". Type \"help\" for the list of commands.");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn an_answer_notifies_nobody_and_is_in_the_thread_of_its_command() {
    let (world, rooms) = World::finance("").await;
    world.report(&Group::firing("DiskFull", world.now())).await;
    let command = world.homeserver.person(ALICE).says(&rooms.ops, "pending");
    world.settle().await;
    let [answer] = <[_; 1]>::try_from(world.homeserver.replies_to(&command)).unwrap();
    assert_eq!(answer.msgtype, "m.notice");
    assert!(answer.notifies.is_empty());
    assert_eq!(answer.content["m.mentions"], json!({}));
    assert_eq!(answer.relation.unwrap().1, "m.in_reply_to");
    let page = page(&world, &rooms.ops);
    let command = world.homeserver.person(ALICE).says_in_thread(&page, "show");
    world.settle().await;
    let [answer] = <[_; 1]>::try_from(world.homeserver.replies_to(&command)).unwrap();
    assert_eq!(answer.relation, Some((page, "m.thread".to_owned())));
    world.pass(seconds(5)).await;
    assert_eq!(pages(&world, &rooms.ops).len(), 1);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn the_inbox_records_the_result_of_each_command() {
    let (world, rooms) = with_mentions("").await;
    world.report(&Group::firing("DiskFull", world.now())).await;
    world.report(&Group::firing("HostDown", world.now())).await;
    let alice = alice(&world);
    let first = page(&world, &rooms.ops);
    alice.says(&rooms.ops, "ack 99 1 2").await;
    alice.says(&rooms.ops, "ack all").await;
    alice.says(&rooms.ops, "!akc 1").await;
    alice.says(&rooms.ops, "unack 1").await;
    world.pass(minutes(16)).await;
    alice.reacts(&first, "⏫").await;
    let reaction = world.homeserver.person(ALICE).reacts(&first, "✅");
    world.settle().await;
    world.homeserver.person(ALICE).redacts(&reaction);
    world.settle().await;
    let results: Vec<String> = sqlx::query_scalar(
        "SELECT result FROM inbox WHERE state = 'handled' AND result NOT LIKE 'ignored%' ORDER BY seq",
    )
    .fetch_all(world.database.reader())
    .await
    .unwrap();
    assert_eq!(
        results,
        [
            "ack: acknowledged #1 #2, no such incident #99",
            "ack: nothing open",
            "not understood",
            "unack: acknowledgement withdrawn #1",
            "escalate by reaction: page not current #1",
            "ack by reaction: acknowledged #1",
            "unack by reaction: acknowledgement withdrawn #1",
        ]
    );
}
