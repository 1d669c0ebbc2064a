//! Nobody acknowledges: the incident escalates level by level, until the end of the ladder.

use super::{
    ALICE, CAROL, acknowledged, alice, headlines, history, just_before, member, minutes, notified, page,
    pages, phase, seconds, with_mentions,
};
use crate::homeserver::{Fault, Match};
use crate::world::{Group, Setup, World, finance_list};
use matrixbot::worker::Progress;

#[tokio::test]
async fn if_nobody_acknowledges_every_level_is_paged_in_turn() {
    let (world, rooms) = with_mentions("").await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    assert_eq!(notified(&world, &rooms.ops), ["alice"]);

    world.pass(just_before(minutes(15))).await;
    assert!(pages(&world, &rooms.managers).is_empty(), "the first level has 15 minutes");
    world.pass(seconds(1)).await;
    assert_eq!(notified(&world, &rooms.managers), ["bob"]);

    world.pass(minutes(30)).await;
    assert_eq!(phase(&world, number).await, "unanswered");
    assert_eq!(
        notified(&world, &rooms.fallback),
        ["alice, carol"],
        "the fallback notice notifies the whole room"
    );
    world.pass(seconds(5)).await;
    assert!(headlines(&world, &rooms.ops)[0].contains("UNANSWERED #1 DiskFull"));

    // Three reminders, an hour apart, and no more.
    world.pass(minutes(6 * 60)).await;
    assert_eq!(notified(&world, &rooms.managers), ["bob"; 4]);
    assert_eq!(notified(&world, &rooms.fallback).len(), 4);
    assert_eq!(notified(&world, &rooms.ops), ["alice"], "the first level is not notified again");
    let answer = member(&world, CAROL).says(&rooms.fallback, &format!("ack {number}")).await;
    assert_eq!(answer, acknowledged(1, "DiskFull"));
    world.pass(seconds(5)).await;
    assert_eq!(
        history(&world, number).await,
        "run_started paged told paged told unanswered reminded reminded reminded acknowledged"
    );
    insta::assert_snapshot!("nobody_acknowledges_the_managers", world.homeserver.rendered(&rooms.managers));
    insta::assert_snapshot!("nobody_acknowledges_the_fallback", world.homeserver.rendered(&rooms.fallback));
    world.nothing_is_left().await;
}

#[tokio::test]
async fn the_time_before_the_first_page_does_not_count_as_unanswered() {
    let (world, rooms) = with_mentions("").await;
    let long_ago = world.now().checked_sub(minutes(90)).unwrap();
    world.report(&Group::firing("DiskFull", long_ago)).await;
    world.pass(minutes(45)).await;
    let body = &pages(&world, &rooms.fallback)[0].body;
    assert!(body.contains("Nobody acknowledged in the 45 min since the first page. "), "{body}");
    assert!(body.contains("since 10:30 UTC"), "it is firing for longer: {body}");
    world.pass(minutes(60)).await;
    let reminder = &pages(&world, &rooms.managers)[1].body;
    let expected = "Nobody acknowledged in the 1 h 45 min since the first page. Reminder 1 of 3.";
    assert!(reminder.contains(expected), "{reminder}");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn the_whole_ladder_is_gone_through_as_often_as_the_operator_says() {
    let (world, rooms) = with_mentions("    repeat: 1\n    remind_every: none").await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    world.pass(minutes(3 * 60)).await;
    assert_eq!(notified(&world, &rooms.ops), ["alice"; 2]);
    assert_eq!(notified(&world, &rooms.managers), ["bob"; 2]);
    assert_eq!(notified(&world, &rooms.fallback).len(), 1, "one fallback notice for the run");
    assert_eq!(
        history(&world, number).await,
        "run_started paged told paged told paged told paged told unanswered"
    );
    insta::assert_snapshot!(world.homeserver.rendered(&rooms.ops));
    world.nothing_is_left().await;
}

#[tokio::test]
async fn an_acknowledgement_cancels_the_page_that_is_not_sent_yet() {
    let (world, rooms) = with_mentions("").await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    let limited = Fault::RateLimit { retry_after: minutes(5) };
    world.homeserver.fail_next(Match::send().in_room(&rooms.managers), limited);
    world.pass(minutes(16)).await;
    assert!(pages(&world, &rooms.managers).is_empty(), "the homeserver rate limits it");
    alice(&world).reacts(&page(&world, &rooms.ops), "✅").await;
    world.pass(minutes(60)).await;
    assert!(pages(&world, &rooms.managers).is_empty());
    assert_eq!(phase(&world, number).await, "acknowledged");
    let cancelled = "SELECT count(*) FROM outbox WHERE kind = 'page' AND state = 'cancelled'";
    assert_eq!(world.count(cancelled).await, 1);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn an_acknowledgement_while_a_page_is_in_flight_is_shown_once_the_page_is_sent() {
    let (world, rooms) = with_mentions("").await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    let held = world.homeserver.hold_before(Match::send().in_room(&rooms.managers));
    world.clock.advance(minutes(15));
    let (_, ()) = tokio::join!(world.bot.work(), async {
        held.reached().await;
        // The page of the second level can no longer be cancelled.
        world.homeserver.person(ALICE).says(&rooms.ops, &format!("ack {number}"));
        world.homeserver.deliver().await;
        while matches!(world.bot.step("inbox").await.unwrap(), Progress::More) {}
        assert_eq!(phase(&world, number).await, "acknowledged");
        held.release();
    });
    world.pass(seconds(5)).await;
    assert_eq!(pages(&world, &rooms.managers).len(), 1);
    assert!(headlines(&world, &rooms.managers)[0].contains("ACKNOWLEDGED"));
    world.nothing_is_left().await;
}

#[tokio::test]
async fn the_ladder_waits_for_a_slow_homeserver_and_not_for_longer_than_the_cap() {
    let (world, rooms) = with_mentions("").await;
    world.homeserver.fail_until_cleared(Match::send().in_room(&rooms.ops), Fault::Status(502, "M_UNKNOWN"));
    world.report(&Group::firing("DiskFull", world.now())).await;
    world.pass(minutes(8)).await;
    world.homeserver.clear_faults();
    world.pass(minutes(12)).await;
    assert_eq!(pages(&world, &rooms.ops).len(), 1, "paged late");
    assert!(pages(&world, &rooms.managers).is_empty(), "the first level has its 15 minutes from then on");
    world.pass(minutes(5)).await;
    assert_eq!(pages(&world, &rooms.managers).len(), 1);

    // A room that fails for the cap and its own time is skipped.
    world.homeserver.fail_until_cleared(Match::send().in_room(&rooms.ops), Fault::Status(502, "M_UNKNOWN"));
    world.report(&Group::firing("NetDown", world.now())).await;
    world.pass(minutes(25)).await;
    assert_eq!(pages(&world, &rooms.managers).len(), 2);
    world.homeserver.clear_faults();
    world.pass(minutes(10)).await;
    world.nothing_is_left().await;
}

#[tokio::test]
async fn an_incident_that_does_not_escalate_stays_at_its_first_level_until_a_worse_alert_joins() {
    let (world, rooms) = World::finance("").await;
    let fired = world.now();
    let harmless = Group::new("Disk").alert("db-1", "info", "firing", fired);
    let number = world.report(&harmless).await;
    world.pass(minutes(5 * 60)).await;
    assert_eq!(history(&world, number).await, "run_started paged told");
    assert!(pages(&world, &rooms.managers).is_empty());

    world.report(&harmless.clone().alert("db-2", "critical", "firing", world.now())).await;
    world.pass(minutes(15)).await;
    assert_eq!(pages(&world, &rooms.managers).len(), 1);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn after_an_outage_there_is_one_page_and_no_burst() {
    let (world, rooms) = with_mentions("").await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    // No process of matrixbot runs for two hours.
    world.clock.advance(minutes(120));
    world.settle().await;
    assert_eq!(notified(&world, &rooms.managers), ["bob"]);
    assert_eq!(phase(&world, number).await, "firing", "the time of the second level starts now");
    world.pass(just_before(minutes(30))).await;
    assert_eq!(phase(&world, number).await, "firing");
    world.pass(seconds(1)).await;
    assert_eq!(phase(&world, number).await, "unanswered");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_level_of_several_rooms_pages_all_of_them_and_escalates_once() {
    let setup = Setup::prepare().await;
    let rooms = setup.rooms();
    let list = finance_list("")
        .replace("[\"#ops:example.test\"]", "[\"#ops:example.test\", \"#fallback:example.test\"]");
    let world = setup.start(&list).await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    assert_eq!(pages(&world, &rooms.ops).len(), 1);
    assert_eq!(pages(&world, &rooms.fallback).len(), 1);
    world.pass(minutes(15)).await;
    assert_eq!(pages(&world, &rooms.managers).len(), 1);
    assert_eq!(history(&world, number).await, "run_started paged told paged told");
    world.nothing_is_left().await;
}
