//! What people live through.

use crate::world::{Group, World};
use std::time::Duration;

#[tokio::test]
async fn an_alert_is_paged_and_acknowledged_by_reaction() {
    let (world, rooms) = World::finance("").await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    let page = world.homeserver.messages(&rooms.ops).remove(0);
    assert!(page.body.contains(&format!("#{number}")), "{}", page.body);
    world.homeserver.person("@alice:example.test").reacts(&page.event_id, "✅");
    world.pass(Duration::from_hours(2)).await;
    assert_eq!(world.homeserver.messages(&rooms.managers).len(), 0);
    insta::assert_snapshot!(world.homeserver.rendered(&rooms.ops));
    world.nothing_is_left().await;
}
