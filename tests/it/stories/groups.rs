//! Alertmanager's groups move: routes are edited under fire, receivers are renamed, two routes bring the same alert.

use super::{alice, bob, history, minutes, notified, pages, phase, seconds, with_mentions};
use crate::world::{Group, Setup, World, finance_list};
use serde_json::json;

const EDITED: &str = "{}/{severity=\"critical\"}";

#[tokio::test]
async fn an_edited_route_opens_no_second_incident_and_keeps_the_acknowledgement() {
    let (world, rooms) = with_mentions("").await;
    let group = Group::firing("DiskFull", world.now());
    let number = world.report(&group).await;
    alice(&world).says(&rooms.ops, "ack 1").await;
    world.pass(minutes(5)).await;
    assert_eq!(world.report(&group.clone().of_route(EDITED)).await, number);
    assert_eq!(history(&world, number).await, "run_started paged told acknowledged");
    world.pass(minutes(5)).await;
    assert_eq!(world.report(&group.clone().of_route(EDITED).ended(world.now())).await, number);
    assert_eq!(phase(&world, number).await, "resolved");
    world.pass(minutes(60)).await;
    assert_eq!(notified(&world, &rooms.ops), ["alice"]);
    assert!(pages(&world, &rooms.managers).is_empty(), "nothing climbs to the managers");
    assert_eq!(world.count("SELECT count(*) FROM incident").await, 1);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_renamed_receiver_is_the_same_incident() {
    let (world, rooms) = with_mentions("").await;
    let group = Group::firing("DiskFull", world.now());
    let number = world.report(&group).await;
    let mut renamed = group.payload();
    renamed["receiver"] = json!("finance-new");
    let (status, answer) = world.post(&renamed).await;
    assert_eq!((status, &answer["incident"], &answer["outcome"]), (200, &json!(number), &json!("repeated")));
    // A new alert of the renamed group joins.
    let mut more = group.clone().alert("db-2", "critical", "firing", world.now()).payload();
    more["receiver"] = json!("finance-new");
    assert_eq!(world.post(&more).await.1["incident"], number);
    world.pass(minutes(1)).await;
    assert_eq!(notified(&world, &rooms.ops), ["alice"], "it joins while it is firing");
    assert!(pages(&world, &rooms.ops)[0].body.contains("db-2"));
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_second_group_shares_an_alert_and_a_resolve_ends_it_wherever_it_is_held() {
    let (world, rooms) = with_mentions("").await;
    let fired = world.now();
    let both = Group::firing("DiskFull", fired).alert("db-2", "critical", "firing", fired);
    let first = world.report(&both).await;
    // `continue: true`: another route brings db-2, and db-3.
    let second_route = Group::new("DiskFull").of_route("{}/{team=\"db\"}");
    let shared = second_route
        .clone()
        .alert("db-2", "critical", "firing", fired)
        .alert("db-3", "critical", "firing", fired);
    let (_, answer) = world.post(&shared.payload()).await;
    world.settle().await;
    let second = answer["incident"].as_i64().unwrap();
    assert_ne!(first, second);
    assert_eq!(answer["incidents"], json!([first, second]));
    assert_eq!(notified(&world, &rooms.ops), ["alice"; 2], "one page for each incident");
    let held = "SELECT count(*) FROM incident_alert WHERE firing";
    assert_eq!(world.count(held).await, 3, "each alert is held once");
    // Their repeats change nothing.
    world.report(&both).await;
    world.report(&shared).await;
    assert_eq!(history(&world, first).await, "run_started paged told");
    assert_eq!(history(&world, second).await, "run_started paged told");
    // The second group reports that db-2 and db-3 have resolved: db-2 ends in the first incident.
    world.pass(minutes(1)).await;
    world.report(&shared.clone().ended(world.now())).await;
    assert_eq!(phase(&world, second).await, "resolved");
    assert_eq!(history(&world, first).await, "run_started paged told alerts_changed");
    world.report(&both.clone().ended(world.now())).await;
    assert_eq!(phase(&world, first).await, "resolved");
    world.pass(minutes(60)).await;
    assert!(pages(&world, &rooms.managers).is_empty());
    world.nothing_is_left().await;
}

#[tokio::test]
async fn simultaneous_webhooks_of_several_groups_hold_each_alert_once() {
    let (world, rooms) = with_mentions("").await;
    let fired = world.now();
    let bodies: Vec<_> = (0..6)
        .map(|route| {
            let group = Group::new("DiskFull").of_route(&format!("{{}}/{route}"));
            let group = (0..8).fold(group, |group, alert| {
                group.alert(&format!("db-{}", (alert + route) % 8), "critical", "firing", fired)
            });
            group.payload()
        })
        .collect();
    let answers = futures_util::future::join_all(bodies.iter().map(|body| world.post(body))).await;
    assert!(answers.iter().all(|(status, _)| *status == 200), "{answers:?}");
    assert_eq!(world.count("SELECT count(*) FROM incident").await, 1);
    assert_eq!(world.count("SELECT count(*) FROM incident_alert WHERE firing").await, 8);
    assert_eq!(world.count("SELECT count(*) FROM incident_key").await, 6);
    world.pass(seconds(5)).await;
    assert_eq!(notified(&world, &rooms.ops), ["alice"]);
    bob(&world).says(&rooms.managers, "help").await;
    world.nothing_is_left().await;
}

#[tokio::test]
async fn an_alert_that_moved_and_fires_again_reopens_its_incident() {
    let (world, rooms) = with_mentions("").await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    world.pass(minutes(2)).await;
    world.report(&Group::firing("DiskFull", world.now()).ended(world.now())).await;
    world.pass(minutes(2)).await;
    let moved = Group::firing("DiskFull", world.now()).of_route(EDITED);
    assert_eq!(world.report(&moved).await, number);
    assert_eq!(phase(&world, number).await, "firing");
    assert_eq!(notified(&world, &rooms.ops), ["alice"; 2]);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn an_incident_of_an_earlier_release_owns_its_group_without_a_row() {
    let (world, _) = with_mentions("").await;
    let group = Group::firing("DiskFull", world.now());
    let number = world.report(&group).await;
    let mut connection = world.database.connect().await;
    sqlx::query("DELETE FROM incident_key").execute(&mut connection).await.unwrap();
    assert_eq!(world.report(&group.clone().alert("db-2", "critical", "firing", world.now())).await, number);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn two_lists_hold_the_same_alert_each() {
    let setup = Setup::prepare().await;
    setup.rooms();
    let lists = format!("{}{}", finance_list(""), finance_list("").replace("name: finance", "name: audit"));
    let world: World = setup.start(&lists).await;
    let body = Group::firing("DiskFull", world.now()).payload();
    let finance = world.post(&body).await.1["incident"].clone();
    let audit = world.post_to("audit", &body).await.1["incident"].clone();
    assert_ne!(finance, audit);
    let ended = Group::firing("DiskFull", world.now()).ended(world.now()).payload();
    assert_eq!(world.post_to("audit", &ended).await.1["incident"], audit);
    assert_eq!(phase(&world, finance.as_i64().unwrap()).await, "firing", "another list's report");
    world.settle().await;
    world.nothing_is_left().await;
}
