//! The answer to `pending`.

use crate::world::{Group, World};
use std::time::Duration;

#[tokio::test]
async fn pending_lists_an_incident_whose_acknowledgement_was_withdrawn() {
    let (world, rooms) = World::finance("").await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    let alice = world.homeserver.person("@alice:example.test");
    alice.says(&rooms.ops, &format!("ack {number}"));
    world.settle().await;
    alice.says(&rooms.ops, &format!("unack {number}"));
    world.settle().await;

    alice.says(&rooms.ops, "pending");
    world.settle().await;
    let answer = world.homeserver.messages(&rooms.ops).pop().unwrap_or_else(|| panic!("no answer"));
    assert!(answer.body.starts_with("1 incident pending"), "{}", answer.body);
    assert!(answer.body.contains(&format!("#{number} DiskFull")), "{}", answer.body);
    assert!(answer.body.contains("not paged yet"), "{}", answer.body);

    world.pass(Duration::from_mins(1)).await;
    alice.says(&rooms.ops, "pending");
    world.settle().await;
    let answer = world.homeserver.messages(&rooms.ops).pop().unwrap_or_else(|| panic!("no answer"));
    assert!(answer.body.contains("level 1 of 2"), "{}", answer.body);
}
