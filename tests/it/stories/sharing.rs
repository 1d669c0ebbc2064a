//! Several room lists: each posts only to its own rooms, and a shared room gets each answer once.

use super::{acknowledged, alice, minutes, page, pages, phase};
use crate::homeserver::SERVER_NAME;
use crate::world::{Group, Rooms, Setup, TOKEN, World};

/// The lists `finance` (in `#ops`, then `#managers`) and `network` (in `#ops`, then `#fallback`).
async fn sharing() -> (World, Rooms) {
    let setup = Setup::prepare().await;
    let rooms = setup.rooms();
    let list = |name: &str, second: &str| {
        format!(
            "  - name: {name}\n    webhook_token: {TOKEN}\n    levels:\n      - rooms: [\"#ops:{SERVER_NAME}\"]\n        escalate_after: 15m\n      - rooms: [\"#{second}:{SERVER_NAME}\"]\n"
        )
    };
    (setup.start(&format!("{}{}", list("finance", "managers"), list("network", "fallback"))).await, rooms)
}

async fn report(world: &World, list: &str, group: &Group) -> i64 {
    let (status, answer) = world.post_to(list, &group.payload()).await;
    assert_eq!(status, 200, "{answer}");
    world.settle().await;
    answer["incident"].as_i64().unwrap()
}

#[tokio::test]
async fn each_list_posts_as_its_own_user_and_escalates_to_its_own_rooms() {
    let (world, rooms) = sharing().await;
    report(&world, "finance", &Group::firing("DiskFull", world.now())).await;
    report(&world, "network", &Group::firing("LinkDown", world.now())).await;
    let [disk, link] = <[_; 2]>::try_from(pages(&world, &rooms.ops)).unwrap();
    assert_eq!(disk.sender, World::virtual_user("finance"));
    assert_eq!(link.sender, World::virtual_user("network"));
    world.pass(minutes(15)).await;
    assert_eq!(pages(&world, &rooms.managers).len(), 1);
    assert!(pages(&world, &rooms.managers)[0].body.contains("#1 DiskFull"));
    assert_eq!(pages(&world, &rooms.fallback).len(), 1);
    assert!(pages(&world, &rooms.fallback)[0].body.contains("#2 LinkDown"));
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_command_in_a_shared_room_is_answered_once_by_the_list_it_applies_to() {
    let (world, rooms) = sharing().await;
    report(&world, "finance", &Group::firing("DiskFull", world.now())).await;
    let link = report(&world, "network", &Group::firing("LinkDown", world.now())).await;
    let answers = async |text: &str| {
        let command = world.homeserver.person("@alice:example.test").says(&rooms.ops, text);
        world.settle().await;
        let replies = world.homeserver.replies_to(&command);
        replies
            .iter()
            .map(|reply| format!("{}: {}", reply.sender.localpart(), reply.body))
            .collect::<Vec<_>>()
    };
    assert_eq!(answers("ack 2").await, [format!("_alerts_network: {}", acknowledged(2, "LinkDown"))]);
    assert_eq!(phase(&world, link).await, "acknowledged");
    assert_eq!(answers("unack 1").await.len(), 1);
    assert_eq!(answers("ack 99").await.len(), 1);
    assert_eq!(answers("!nonsense").await.len(), 1);
    let [help] = <[_; 1]>::try_from(answers("help").await).unwrap();
    assert!(help.starts_with("_alerts_finance: Commands in this room · finance, network"), "{help}");
    let [pending] = <[_; 1]>::try_from(answers("pending").await).unwrap();
    assert!(pending.contains("#1 DiskFull") && !pending.contains("#2"), "{pending}");
    assert_eq!(answers("show 2").await.len(), 1);
    assert!(answers("show 2").await[0].starts_with("_alerts_network: "));
    let both = answers("ack all").await;
    assert_eq!(both, [format!("_alerts_finance: {}", acknowledged(1, "DiskFull"))]);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_mentioned_user_answers_for_its_own_list_only() {
    let (world, rooms) = sharing().await;
    report(&world, "finance", &Group::firing("DiskFull", world.now())).await;
    report(&world, "network", &Group::firing("LinkDown", world.now())).await;
    let network = World::virtual_user("network");
    let command = world.homeserver.person("@alice:example.test").says_to(&rooms.ops, &network, "pending");
    world.settle().await;
    let [reply] = <[_; 1]>::try_from(world.homeserver.replies_to(&command)).unwrap();
    assert_eq!(reply.sender, network);
    assert!(reply.body.contains("#2 LinkDown") && !reply.body.contains("#1"), "{}", reply.body);
    let answer = alice(&world).says_to(&rooms.ops, &network, "ack all").await;
    assert_eq!(answer, acknowledged(2, "LinkDown"));
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_reply_in_a_shared_room_is_answered_by_the_user_that_it_replies_to() {
    let (world, rooms) = sharing().await;
    report(&world, "network", &Group::firing("LinkDown", world.now())).await;
    let command =
        world.homeserver.person("@alice:example.test").replies(&page(&world, &rooms.ops), "timeline");
    world.settle().await;
    let [reply] = <[_; 1]>::try_from(world.homeserver.replies_to(&command)).unwrap();
    assert_eq!(reply.sender, World::virtual_user("network"));
    world.nothing_is_left().await;
}
