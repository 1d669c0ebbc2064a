//! What people do while matrixbot is down has the time at which they did it.

use super::{ALICE, alice, minutes, page, pages, phase};
use crate::world::{Group, World};

/// When an entry of an incident's timeline happened.
async fn at(world: &World, number: i64, kind: &str) -> String {
    let at: jiff_sqlx::Timestamp =
        sqlx::query_scalar("SELECT at FROM timeline WHERE incident = $1 AND kind = $2")
            .bind(number)
            .bind(kind)
            .fetch_one(world.database.reader())
            .await
            .unwrap();
    at.to_jiff().to_string()
}

#[tokio::test]
async fn an_acknowledgement_and_a_resolve_during_a_downtime_have_the_time_of_the_person() {
    let (mut world, rooms) = World::finance("").await;
    let disk = world.report(&Group::firing("DiskFull", world.now())).await;
    let net = world.report(&Group::firing("NetDown", world.now())).await;
    let event = page(&world, &rooms.ops);
    world.bot.kill().await;
    world.clock.advance(minutes(2));
    let person = world.homeserver.person(ALICE);
    person.reacts(&event, "✅");
    person.says(&rooms.ops, &format!("resolve {net}"));
    world.clock.advance(minutes(9));
    world.restart_bot().await;
    world.settle().await;
    assert_eq!(
        (phase(&world, disk).await, phase(&world, net).await),
        ("acknowledged".into(), "resolved".into())
    );
    assert_eq!(at(&world, disk, "acknowledged").await, "2026-11-24T12:02:00Z");
    assert_eq!(at(&world, net, "resolved").await, "2026-11-24T12:02:00Z");
    world.pass(minutes(1)).await;
    let bodies: Vec<String> = pages(&world, &rooms.ops).into_iter().map(|page| page.body).collect();
    assert!(bodies[0].contains("Acknowledged by @alice:example.test at 12:02 UTC"), "{bodies:#?}");
    let too_late = alice(&world).says(&rooms.ops, &format!("resolve {net}")).await;
    assert!(too_late.contains("it was resolved at 12:02 UTC"), "{too_late}");
    let took = world.count(
        "SELECT coalesce(sum(seconds), 0)::bigint FROM total_delta WHERE metric LIKE 'incident_time_to%'",
    );
    let summed = world
        .count("SELECT coalesce(sum(seconds), 0)::bigint FROM total WHERE metric LIKE 'incident_time_to%'");
    assert_eq!(took.await + summed.await, 240, "two minutes each");
    world.nothing_is_left().await;
}
