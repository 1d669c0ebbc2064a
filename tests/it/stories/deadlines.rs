//! Time passes: acknowledgements end, incidents are resolved as stale, history is deleted.

use super::{
    alice, history, just_before, minutes, notified, page, pages, phase, seconds, thread, with_mentions,
};
use crate::world::{Group, Setup, finance_list};
use matrixbot::worker::Progress;
use std::time::Duration;

#[tokio::test]
async fn an_acknowledgement_ends_after_a_reminder_and_pages_again() {
    let (world, rooms) = with_mentions("    ack_timeout: 1h").await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    let answer = alice(&world).says(&rooms.ops, "ack 1").await;
    assert_eq!(answer, "👀 #1 DiskFull: acknowledged until 13:00 UTC. Escalation stops until then.");
    world.pass(just_before(minutes(50))).await;
    assert_eq!(notified(&world, &rooms.ops), ["alice"]);
    world.pass(seconds(1)).await;
    assert_eq!(notified(&world, &rooms.ops), ["alice"; 2], "the acker is reminded ten minutes before");
    assert!(thread(&world, &rooms.ops).last().unwrap().contains("the acknowledgement ends at 13:00 UTC"));
    world.pass(minutes(10)).await;
    assert_eq!(phase(&world, number).await, "firing");
    assert_eq!(notified(&world, &rooms.ops), ["alice"; 3], "and then it pages");
    world.pass(minutes(15)).await;
    assert_eq!(notified(&world, &rooms.managers), ["bob"]);
    assert_eq!(
        history(&world, number).await,
        "run_started paged told acknowledged ack_ends_soon run_started paged told paged told"
    );
    insta::assert_snapshot!(world.homeserver.rendered(&rooms.ops));
    world.nothing_is_left().await;
}

#[tokio::test]
async fn the_reminder_notifies_an_acker_in_another_room() {
    let (world, rooms) = with_mentions("    ack_timeout: 1h").await;
    world.report(&Group::firing("DiskFull", world.now())).await;
    world.pass(minutes(16)).await;
    // After the escalation to the managers, alice acknowledges in the room of the first level.
    alice(&world).reacts(&page(&world, &rooms.ops), "✅").await;
    world.pass(minutes(50)).await;
    assert_eq!(notified(&world, &rooms.ops), ["alice"; 2]);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn an_incident_without_reports_is_resolved_as_stale() {
    let (world, rooms) = with_mentions("    remind_every: none").await;
    let group = Group::firing("DiskFull", world.now());
    let number = world.report(&group).await;
    alice(&world).says(&rooms.ops, "ack 1").await;
    world.pass(minutes(4 * 60)).await;
    world.report(&group).await;
    world.pass(just_before(minutes(8 * 60))).await;
    assert_eq!(phase(&world, number).await, "acknowledged", "eight hours since the last report");
    // matrixbot checks for stale incidents every 20 s.
    world.pass(seconds(20)).await;
    assert_eq!(phase(&world, number).await, "resolved");
    let body = &pages(&world, &rooms.ops)[0].body;
    assert!(
        body.contains("Resolved as stale after 12 h, at 00:00 UTC: Alertmanager sent no more updates."),
        "{body}"
    );
    // If the alerts are reported again, the same incident pages again.
    world.pass(minutes(5)).await;
    assert_eq!(world.report(&group).await, number);
    assert_eq!(phase(&world, number).await, "firing");
    world.pass(minutes(1)).await;
    assert_eq!(notified(&world, &rooms.ops), ["alice"; 2]);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn with_stale_after_none_nothing_is_resolved_as_stale() {
    let (world, _) = with_mentions("    remind_every: none\n    stale_after: none").await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    world.pass(Duration::from_hours(72)).await;
    assert_eq!(phase(&world, number).await, "unanswered");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn closed_incidents_are_deleted_after_the_configured_time() {
    let setup = Setup::prepare().await;
    let rooms = setup.rooms();
    let world =
        setup.start(&format!("{}\nretention:\n  incidents: 30d\n  events: 7d\n", finance_list(""))).await;
    let group = Group::firing("DiskFull", world.now());
    world.report(&group).await;
    alice(&world).reacts(&page(&world, &rooms.ops), "✅").await;
    world.report(&group.resolved()).await;
    world.pass(minutes(30)).await;
    let open = world.report(&Group::firing("NetDown", world.now())).await;
    alice(&world).says(&rooms.ops, "ack all").await;
    world.pass(seconds(5)).await;

    let forget = async || while matches!(world.bot.step("retention").await.unwrap(), Progress::More) {};
    let events = "SELECT count(*) FROM inbox";
    world.clock.advance(Duration::from_hours(24 * 8));
    forget().await;
    assert_eq!(
        world.count(events).await,
        1,
        "events are deleted first, except what is about an open incident"
    );
    assert_eq!(world.count("SELECT count(*) FROM incident").await, 2);
    world.clock.advance(Duration::from_hours(24 * 23));
    forget().await;
    assert_eq!(world.count("SELECT count(*) FROM incident").await, 1);
    assert_eq!(phase(&world, open).await, "acknowledged", "an open incident is never deleted");
    for table in [
        "SELECT count(*) FROM timeline WHERE incident = 1",
        "SELECT count(*) FROM outbox WHERE incident = 1",
        "SELECT count(*) FROM post WHERE incident = 1",
        "SELECT count(*) FROM incident_alert WHERE incident = 1",
        "SELECT count(*) FROM outbox WHERE incident IS NULL",
        "SELECT count(*) FROM ack_reaction",
    ] {
        assert_eq!(world.count(table).await, 0, "{table}");
    }
    // Reactions and replies to a deleted incident have no effect and cause no error.
    assert_eq!(alice(&world).reacts(&page(&world, &rooms.ops), "👀").await, "");
    let answer = alice(&world).replies(&page(&world, &rooms.ops), "ack").await;
    assert!(answer.starts_with("\"ack\" needs an incident number."), "{answer}");
    assert_eq!(alice(&world).says(&rooms.ops, "show 1").await, "#1: there is no such incident.");
}
