//! Webhooks that a real Alertmanager posted, one after another: what was reported to it is in the README of the fixtures.

use super::{alice, headlines, history, minutes, notified, pages, phase, thread, with_mentions};
use crate::world::{Rooms, World};
use jiff::Timestamp;
use matrixbot::domain::time::between;
use serde::Deserialize;
use serde_json::Value;

/// A webhook, and when it was posted.
#[derive(Deserialize)]
struct Posted {
    at: Timestamp,
    body: Value,
}

/// What Alertmanager posted, for a list with mentions.
async fn recorded(bodies: &str) -> (World, Rooms, impl Iterator<Item = Posted>) {
    let (world, rooms) = with_mentions("    remind_every: none").await;
    let posted: Vec<Posted> = serde_json::from_str(bodies).unwrap();
    (world, rooms, posted.into_iter())
}

/// Posts one, when it was posted. Returns the number of its incident.
async fn post(world: &World, posted: Posted) -> i64 {
    world.pass(between(world.now(), posted.at)).await;
    let (status, answer) = world.post(&posted.body).await;
    assert_eq!((status, &answer["remarks"]), (200, &serde_json::json!([])), "{answer}");
    world.settle().await;
    answer["incident"].as_i64().unwrap()
}

#[tokio::test]
async fn an_alert_that_ended_under_a_silence_and_fires_anew_pages_through_its_acknowledgement() {
    let recorded_there = include_str!("../../fixtures/alertmanager/ended-under-a-silence-0.25.0.json");
    let (world, rooms, mut posted) = recorded(recorded_there).await;
    let number = post(&world, posted.next().unwrap()).await;
    alice(&world).says(&rooms.ops, "ack 1").await;
    assert_eq!(post(&world, posted.next().unwrap()).await, number);
    assert_eq!(notified(&world, &rooms.ops), ["alice"; 2]);
    assert!(thread(&world, &rooms.ops).iter().any(|line| line.contains("this may be another outage")));
    assert_eq!(post(&world, posted.next().unwrap()).await, number);
    assert_eq!(phase(&world, number).await, "resolved");
    assert!(posted.next().is_none());
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_resolve_counts_although_a_peer_without_storage_reported_a_later_start() {
    let recorded_there = include_str!("../../fixtures/alertmanager/peer-without-storage-0.25.0.json");
    let (world, rooms, posted) = recorded(recorded_there).await;
    for one in posted {
        assert_eq!(post(&world, one).await, 1);
    }
    assert_eq!(phase(&world, 1).await, "resolved");
    world.pass(minutes(20)).await;
    assert_eq!(notified(&world, &rooms.ops), ["alice"]);
    assert!(pages(&world, &rooms.managers).is_empty(), "nothing escalates");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_route_that_is_edited_and_a_receiver_that_is_renamed_keep_incident_and_acknowledgement() {
    for recorded_there in [
        include_str!("../../fixtures/alertmanager/route-edited-0.25.0.json"),
        include_str!("../../fixtures/alertmanager/receiver-renamed-0.25.0.json"),
    ] {
        let (world, rooms, mut posted) = recorded(recorded_there).await;
        let number = post(&world, posted.next().unwrap()).await;
        alice(&world).says(&rooms.ops, "ack 1").await;
        for one in posted {
            let fires = one.body["status"] == "firing";
            assert_eq!(post(&world, one).await, number);
            assert!(!fires || phase(&world, number).await == "acknowledged");
        }
        assert_eq!(phase(&world, number).await, "resolved");
        assert_eq!(headlines(&world, &rooms.ops).len(), 1);
        assert_eq!(notified(&world, &rooms.ops), ["alice"]);
        assert!(history(&world, number).await.starts_with("run_started paged told acknowledged"));
        world.nothing_is_left().await;
    }
}
