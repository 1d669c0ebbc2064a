//! Acknowledgements are withdrawn.

use super::{
    ALICE, BOB, acknowledged, alice, bob, headlines, history, minutes, notified, page, phase, seconds,
    thread, with_mentions,
};
use crate::world::Group;

#[tokio::test]
async fn given_back_by_command_it_pages_again_after_a_moment() {
    let (world, rooms) = with_mentions("").await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    assert_eq!(
        alice(&world).says(&rooms.ops, "unack 1").await,
        "#1 DiskFull: nobody has acknowledged it, so there is nothing to withdraw."
    );
    alice(&world).says(&rooms.ops, "ack 1").await;
    let answer = alice(&world).says(&rooms.ops, "unack 1").await;
    assert_eq!(answer, "↩️ #1 DiskFull: acknowledgement withdrawn. It pages again in 10 s.");
    assert_eq!(notified(&world, &rooms.ops), ["alice"], "there is time to undo a mistake");
    world.pass(seconds(10)).await;
    assert_eq!(notified(&world, &rooms.ops), ["alice"; 2]);
    world.pass(minutes(15)).await;
    assert_eq!(notified(&world, &rooms.managers), ["bob"]);
    assert_eq!(
        history(&world, number).await,
        "run_started paged told acknowledged run_started paged told paged told"
    );
    insta::assert_snapshot!(world.homeserver.rendered(&rooms.ops));
    world.nothing_is_left().await;
}

#[tokio::test]
async fn redacting_the_reaction_withdraws_the_acknowledgement() {
    let (world, rooms) = with_mentions("").await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    let alice = world.homeserver.person(ALICE);
    let reaction = alice.reacts(&page(&world, &rooms.ops), "✅");
    world.settle().await;
    assert_eq!(phase(&world, number).await, "acknowledged");
    alice.redacts(&reaction);
    world.settle().await;
    assert_eq!(phase(&world, number).await, "firing");
    assert_eq!(
        thread(&world, &rooms.ops).last().unwrap(),
        "#1 🔁 @alice:example.test withdrew the acknowledgement."
    );
    world.pass(seconds(10)).await;
    assert_eq!(notified(&world, &rooms.ops), ["alice"; 2]);
    world.pass(seconds(5)).await;
    assert!(headlines(&world, &rooms.ops)[1].contains("FIRING #1"), "{:?}", headlines(&world, &rooms.ops));
    world.nothing_is_left().await;
}

#[tokio::test]
async fn another_person_s_redaction_of_the_reaction_withdraws_nothing() {
    let (world, rooms) = with_mentions("").await;
    world.homeserver.person(BOB).joins(&rooms.ops);
    world.homeserver.set_power(&rooms.ops, BOB, 100);
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    let reaction = world.homeserver.person(ALICE).reacts(&page(&world, &rooms.ops), "✅");
    world.settle().await;
    world.homeserver.person(BOB).redacts(&reaction);
    world.pass(minutes(60)).await;
    assert_eq!(phase(&world, number).await, "acknowledged");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_reaction_that_is_pushed_after_its_redaction_has_no_effect() {
    let (world, rooms) = with_mentions("").await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    let alice = world.homeserver.person(ALICE);
    let reaction = alice.reacts(&page(&world, &rooms.ops), "✅");
    let before = world.homeserver.event(&reaction);
    let redaction = alice.redacts(&reaction);
    // Synapse sends events out of order when it is restarted.
    world.homeserver.lose_unpushed_events();
    world.homeserver.push("t1", &[redaction]).await.unwrap();
    world.settle().await;
    world.homeserver.push_as_they_were("t2", &[before]).await.unwrap();
    world.settle().await;
    assert_eq!(phase(&world, number).await, "firing");
    assert_eq!(history(&world, number).await, "run_started paged told");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn after_two_reactions_redacting_one_withdraws_nothing() {
    let (world, rooms) = with_mentions("").await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    let alice = world.homeserver.person(ALICE);
    let page = page(&world, &rooms.ops);
    let (check, eyes) = (alice.reacts(&page, "✅"), alice.reacts(&page, "👀"));
    world.settle().await;
    alice.redacts(&check);
    world.settle().await;
    assert_eq!(phase(&world, number).await, "acknowledged", "👀 remains");
    alice.redacts(&eyes);
    world.settle().await;
    assert_eq!(phase(&world, number).await, "firing");
    world.pass(minutes(1)).await;
    world.nothing_is_left().await;
}

#[tokio::test]
async fn redacting_a_reaction_of_an_earlier_run_withdraws_nothing() {
    let (world, rooms) = with_mentions("").await;
    let group = Group::firing("DiskFull", world.now());
    let number = world.report(&group).await;
    let reaction = world.homeserver.person(ALICE).reacts(&page(&world, &rooms.ops), "✅");
    world.settle().await;
    world.report(&group.clone().alert("db-2", "critical", "firing", world.now())).await;
    alice(&world).says(&rooms.ops, "ack 1").await;
    assert_eq!(phase(&world, number).await, "acknowledged");
    world.homeserver.person(ALICE).redacts(&reaction);
    world.pass(minutes(30)).await;
    assert_eq!(phase(&world, number).await, "acknowledged", "the command has acknowledged since then");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn one_of_two_ackers_can_withdraw() {
    let (world, rooms) = with_mentions("").await;
    world.homeserver.person(BOB).joins(&rooms.ops);
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    bob(&world).says(&rooms.ops, "ack 1").await;
    let reaction = world.homeserver.person(ALICE).reacts(&page(&world, &rooms.ops), "✅");
    world.settle().await;
    world.homeserver.person(ALICE).redacts(&reaction);
    world.pass(seconds(10)).await;
    assert_eq!(phase(&world, number).await, "firing", "better one page too many than one too few");
    assert_eq!(notified(&world, &rooms.ops), ["alice"; 2]);
    assert_eq!(bob(&world).says(&rooms.ops, "ack 1").await, acknowledged(1, "DiskFull"));
    world.nothing_is_left().await;
}
