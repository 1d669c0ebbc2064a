//! Snooze, escalate and resolve by hand.

use super::{
    BOB, alice, bob, headlines, history, just_before, minutes, notified, page, pages, phase, seconds,
    with_mentions,
};
use crate::world::{Group, World};

#[tokio::test]
async fn an_hour_s_snooze_takes_no_power_and_comes_back_unacknowledged() {
    let (world, rooms) = with_mentions("").await;
    world.homeserver.person(BOB).joins(&rooms.ops);
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    let answer = bob(&world).says(&rooms.ops, "snooze 1 1h after lunch").await;
    assert_eq!(answer, "💤 #1 DiskFull: snoozed until 13:00 UTC. Then it pages again.");
    assert!(
        headlines(&world, &rooms.ops)[0].starts_with("💤 SNOOZED #1"),
        "{:?}",
        headlines(&world, &rooms.ops)
    );
    assert!(
        pages(&world, &rooms.ops)[0]
            .body
            .contains("Snoozed by @bob:example.test until 13:00 UTC: “after lunch”")
    );
    world.pass(just_before(minutes(60))).await;
    assert_eq!(notified(&world, &rooms.ops), ["alice"]);
    world.pass(seconds(1)).await;
    assert_eq!(phase(&world, number).await, "firing");
    assert_eq!(notified(&world, &rooms.ops), ["alice"; 2]);
    world.pass(minutes(15)).await;
    assert_eq!(notified(&world, &rooms.managers), ["bob"]);
    assert_eq!(
        history(&world, number).await,
        "run_started paged told snoozed run_started paged told paged told"
    );
    insta::assert_snapshot!(world.homeserver.rendered(&rooms.ops));
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_longer_snooze_needs_power_and_has_a_maximum() {
    let (world, rooms) = with_mentions("").await;
    world.homeserver.person(BOB).joins(&rooms.ops);
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    assert_eq!(
        bob(&world).says(&rooms.ops, "snooze 1 2h").await,
        "⛔ #1 DiskFull: to snooze for more than 1 h, you need power level 50 in this room or the operator's permission."
    );
    assert_eq!(phase(&world, number).await, "firing");
    world.homeserver.set_power(&rooms.ops, BOB, 50);
    assert_eq!(
        bob(&world).says(&rooms.ops, "snooze 1 2h").await,
        "💤 #1 DiskFull: snoozed until 14:00 UTC. Then it pages again."
    );
    // The creator of the room is above every power level, and not in the list of levels.
    let answer = alice(&world).says(&rooms.ops, "snooze 1 3d").await;
    assert!(answer.contains("the maximum"), "{answer}");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn acknowledging_all_leaves_snoozed_ones_out_and_says_how_many() {
    let (world, rooms) = World::finance("").await;
    let snoozed = world.report(&Group::firing("DiskFull", world.now())).await;
    let other = world.report(&Group::firing("NetDown", world.now())).await;
    alice(&world).says(&rooms.ops, &format!("snooze {snoozed} 1h")).await;
    let answer = alice(&world).says(&rooms.ops, "ack all").await;
    assert!(answer.contains(&format!("#{other} NetDown: acknowledged")), "{answer}");
    assert!(
        answer.contains("1 snoozed incident of this room stays snoozed: name it to acknowledge it."),
        "{answer}"
    );
    assert_eq!(
        (phase(&world, snoozed).await, phase(&world, other).await),
        ("snoozed".into(), "acknowledged".into())
    );
    let answer = alice(&world).says(&rooms.ops, "ack all").await;
    assert!(answer.contains("finance has no open incidents this applies to."), "{answer}");
    assert!(answer.contains("1 snoozed incident of this room stays snoozed"), "{answer}");
    alice(&world).says(&rooms.ops, &format!("ack {snoozed}")).await;
    assert_eq!(phase(&world, snoozed).await, "acknowledged", "it was named");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_snooze_is_ended_by_command_and_by_a_new_alert() {
    let (world, rooms) = with_mentions("").await;
    let group = Group::firing("DiskFull", world.now());
    let number = world.report(&group).await;
    assert_eq!(alice(&world).says(&rooms.ops, "unsnooze 1").await, "#1 DiskFull: it is not snoozed.");
    let page = page(&world, &rooms.ops);
    assert_eq!(alice(&world).reacts(&page, "💤").await, "");
    assert_eq!(phase(&world, number).await, "snoozed");
    let answer = alice(&world).says(&rooms.ops, "unsnooze 1").await;
    assert_eq!(answer, "🔁 #1 DiskFull: snooze ended. It pages again.");
    assert_eq!(notified(&world, &rooms.ops), ["alice"; 2]);

    alice(&world).replies(&page, "snooze 30m").await;
    assert_eq!(phase(&world, number).await, "snoozed");
    world.report(&group.clone().alert("db-2", "critical", "firing", world.now())).await;
    assert_eq!(phase(&world, number).await, "firing");
    assert_eq!(notified(&world, &rooms.ops), ["alice"; 3]);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn escalating_by_command_pages_the_next_level_at_once() {
    let (world, rooms) = with_mentions("").await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    assert_eq!(
        alice(&world).says(&rooms.ops, "escalate 1").await,
        "⏫ #1 DiskFull: escalated. Now paging level 2 of 2."
    );
    assert_eq!(notified(&world, &rooms.managers), ["bob"]);
    let body = &pages(&world, &rooms.managers)[0].body;
    assert!(body.contains("@alice:example.test escalated it. Now paging level 2 of 2."), "{body}");
    let answer = bob(&world).says(&rooms.managers, "escalate 1").await;
    assert_eq!(answer, "🚨 #1 DiskFull: there is no next level. The fallback rooms are notified.");
    assert_eq!(phase(&world, number).await, "unanswered");
    assert_eq!(notified(&world, &rooms.fallback).len(), 1);
    world.pass(seconds(5)).await;
    insta::assert_snapshot!(world.homeserver.rendered(&rooms.ops));
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_reaction_to_the_newest_page_escalates_and_to_an_older_one_is_refused() {
    let (world, rooms) = with_mentions("").await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    let first = page(&world, &rooms.ops);
    assert_eq!(alice(&world).reacts(&first, "⏫").await, "");
    assert_eq!(notified(&world, &rooms.managers), ["bob"]);
    world.homeserver.person(BOB).joins(&rooms.ops);
    let answer = bob(&world).reacts(&first, "⏫").await;
    assert_eq!(answer, "#1 DiskFull: that page is no longer current; nothing was escalated.");
    assert_eq!(history(&world, number).await, "run_started paged told escalation_asked paged told");
    assert_eq!(phase(&world, number).await, "firing");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_reaction_to_the_page_of_a_later_round_counts_for_that_round() {
    let (world, rooms) = with_mentions("    repeat: 1").await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    world.pass(minutes(46)).await;
    let [first, again] = <[_; 2]>::try_from(pages(&world, &rooms.ops)).unwrap();
    let answer = alice(&world).reacts(&first.event_id, "⏫").await;
    assert_eq!(answer, "#1 DiskFull: that page is no longer current; nothing was escalated.");
    assert_eq!(notified(&world, &rooms.managers), ["bob"]);
    assert_eq!(alice(&world).reacts(&again.event_id, "⏫").await, "");
    assert_eq!(notified(&world, &rooms.managers), ["bob"; 2]);
    assert_eq!(phase(&world, number).await, "firing");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn an_acknowledged_incident_is_escalated_from_the_first_level() {
    let (world, rooms) = with_mentions("").await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    alice(&world).says(&rooms.ops, "ack 1").await;
    let answer = alice(&world).says(&rooms.ops, "escalate 1").await;
    assert_eq!(answer, "⏫ #1 DiskFull: escalated. Now paging level 1 of 2.");
    assert_eq!(phase(&world, number).await, "firing");
    assert_eq!(notified(&world, &rooms.ops), ["alice"; 2]);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn resolving_by_hand_takes_power_and_holds_while_the_same_alerts_fire() {
    let (world, rooms) = with_mentions("").await;
    world.homeserver.person(BOB).joins(&rooms.ops);
    let group = Group::firing("DiskFull", world.now());
    let number = world.report(&group).await;
    assert_eq!(
        bob(&world).says(&rooms.ops, "resolve 1").await,
        "⛔ #1 DiskFull: to resolve, you need power level 50 in this room or the operator's permission."
    );
    let answer = alice(&world).says(&rooms.ops, "resolve 1 known, disk is ordered").await;
    assert_eq!(
        answer,
        "🟢 #1 DiskFull: resolved by hand. 1 alert is still firing. It pages again if an alert is new or gets worse."
    );
    for _ in 0..4 {
        world.pass(minutes(30)).await;
        world.report(&group).await;
        assert_eq!(phase(&world, number).await, "resolved", "held");
    }
    assert_eq!(notified(&world, &rooms.ops), ["alice"]);
    assert_eq!(notified(&world, &rooms.managers), Vec::<String>::new());
    insta::assert_snapshot!(world.homeserver.rendered(&rooms.ops));

    world.report(&group.clone().alert("db-2", "critical", "firing", world.now())).await;
    assert_eq!(phase(&world, number).await, "firing", "a new alert pages");
    assert_eq!(notified(&world, &rooms.ops), ["alice"; 2]);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn an_incident_resolved_by_hand_closes_once_its_alerts_are_resolved() {
    let (world, rooms) = with_mentions("").await;
    let group = Group::firing("DiskFull", world.now());
    let number = world.report(&group).await;
    alice(&world).replies(&page(&world, &rooms.ops), "resolve").await;
    world.pass(minutes(60)).await;
    assert_eq!(phase(&world, number).await, "resolved");
    world.report(&group.resolved()).await;
    world.pass(minutes(10)).await;
    assert_eq!(history(&world, number).await, "run_started paged told resolved hold_ended closed");
    let body = &pages(&world, &rooms.ops)[0].body;
    assert!(!body.contains("still fire"), "{body}");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn without_an_alertmanager_the_answer_says_what_to_configure() {
    let (world, rooms) = World::finance("").await;
    world.report(&Group::firing("DiskFull", world.now())).await;
    let answer = alice(&world).says(&rooms.ops, "silence 1 2h").await;
    assert_eq!(
        answer,
        "matrixbot knows no Alertmanager, so it cannot silence anything. The operator has to add \"alertmanagers:\" \
         to its configuration."
    );
    world.nothing_is_left().await;
}
