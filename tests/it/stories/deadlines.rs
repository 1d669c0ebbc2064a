//! What time alone does: acknowledgements end, incidents go stale, history is forgotten.

use super::{alice, calling, history, just_before, minutes, page, pages, phase, rung, seconds, thread};
use crate::world::{Group, Setup, finance_list};
use matrixbot::worker::Progress;
use std::time::Duration;

#[tokio::test]
async fn an_acknowledgement_ends_after_a_reminder_and_pages_again() {
    let (world, rooms) = calling("    ack_timeout: 1h").await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    let answer = alice(&world).says(&rooms.ops, "ack 1").await;
    assert_eq!(answer, "👀 #1 DiskFull: acknowledged until 13:00 UTC. Escalation stops until then.");
    world.pass(just_before(minutes(50))).await;
    assert_eq!(rung(&world, &rooms.ops), ["alice"]);
    world.pass(seconds(1)).await;
    assert_eq!(rung(&world, &rooms.ops), ["alice"; 2], "the acker is reminded, ten minutes before");
    assert!(thread(&world, &rooms.ops).last().unwrap().contains("the acknowledgement ends at 13:00 UTC"));
    world.pass(minutes(10)).await;
    assert_eq!(phase(&world, number).await, "firing");
    assert_eq!(rung(&world, &rooms.ops), ["alice"; 3], "and then it pages");
    world.pass(minutes(15)).await;
    assert_eq!(rung(&world, &rooms.managers), ["bob"]);
    assert_eq!(
        history(&world, number).await,
        "run_started paged told acknowledged ack_ends_soon run_started paged told paged told"
    );
    insta::assert_snapshot!(world.homeserver.rendered(&rooms.ops));
    world.nothing_is_left().await;
}

#[tokio::test]
async fn the_reminder_reaches_who_acknowledged_from_another_room() {
    let (world, rooms) = calling("    ack_timeout: 1h").await;
    world.report(&Group::firing("DiskFull", world.now())).await;
    world.pass(minutes(16)).await;
    // Escalated to the managers, and then taken by alice in the room of the first level.
    alice(&world).reacts(&page(&world, &rooms.ops), "✅").await;
    world.pass(minutes(50)).await;
    assert_eq!(rung(&world, &rooms.ops), ["alice"; 2]);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn what_alertmanager_no_longer_reports_is_over_after_a_while() {
    let (world, rooms) = calling("    remind_every: none").await;
    let group = Group::firing("DiskFull", world.now());
    let number = world.report(&group).await;
    alice(&world).says(&rooms.ops, "ack 1").await;
    world.pass(minutes(4 * 60)).await;
    world.report(&group).await;
    world.pass(just_before(minutes(8 * 60))).await;
    assert_eq!(phase(&world, number).await, "acknowledged", "eight hours since the last report");
    // Stale incidents are looked up every 20 s.
    world.pass(seconds(20)).await;
    assert_eq!(phase(&world, number).await, "resolved");
    let shown = &pages(&world, &rooms.ops)[0].body;
    assert!(
        shown.contains("Resolved as stale after 12 h, at 00:00 UTC: Alertmanager sent no more updates."),
        "{shown}"
    );
    // It was mistaken: what is reported again is the same incident, and pages.
    world.pass(minutes(5)).await;
    assert_eq!(world.report(&group).await, number);
    assert_eq!(phase(&world, number).await, "firing");
    world.pass(minutes(1)).await;
    assert_eq!(rung(&world, &rooms.ops), ["alice"; 2]);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn nothing_goes_stale_where_the_operator_says_never() {
    let (world, _) = calling("    remind_every: none\n    stale_after: none").await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    world.pass(Duration::from_hours(72)).await;
    assert_eq!(phase(&world, number).await, "unanswered");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn what_is_over_is_forgotten_after_the_time_the_operator_says() {
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
    assert_eq!(world.count(events).await, 0, "what people said goes first");
    assert_eq!(world.count("SELECT count(*) FROM incident").await, 2);
    world.clock.advance(Duration::from_hours(24 * 23));
    forget().await;
    assert_eq!(world.count("SELECT count(*) FROM incident").await, 1);
    assert_eq!(phase(&world, open).await, "acknowledged", "what is open is never forgotten");
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
    // What hung on it means nothing any more, and breaks nothing.
    assert_eq!(alice(&world).reacts(&page(&world, &rooms.ops), "👀").await, "");
    let answer = alice(&world).replies(&page(&world, &rooms.ops), "ack").await;
    assert!(answer.starts_with("\"ack\" needs an incident number."), "{answer}");
    assert_eq!(alice(&world).says(&rooms.ops, "show 1").await, "#1: there is no such incident.");
}
