//! Several room lists: each keeps to its own rooms, and a room that two share gets each answer once.

use super::{alice, minutes, page, pages, phase, taken};
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
async fn each_list_speaks_for_itself_and_climbs_its_own_ladder() {
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
async fn a_command_in_a_shared_room_is_answered_once_by_the_list_it_concerns() {
    let (world, rooms) = sharing().await;
    report(&world, "finance", &Group::firing("DiskFull", world.now())).await;
    let link = report(&world, "network", &Group::firing("LinkDown", world.now())).await;
    let speakers = async |text: &str| {
        let asked = world.homeserver.person("@alice:example.test").says(&rooms.ops, text);
        world.settle().await;
        let replies = world.homeserver.replies_to(&asked);
        replies
            .iter()
            .map(|reply| format!("{}: {}", reply.sender.localpart(), reply.body))
            .collect::<Vec<_>>()
    };
    assert_eq!(speakers("ack 2").await, [format!("_alerts_network: {}", taken(2, "LinkDown"))]);
    assert_eq!(phase(&world, link).await, "acknowledged");
    assert_eq!(speakers("unack 1").await.len(), 1);
    assert_eq!(speakers("ack 99").await.len(), 1);
    assert_eq!(speakers("!nonsense").await.len(), 1);
    let [help] = <[_; 1]>::try_from(speakers("help").await).unwrap();
    assert!(help.starts_with("_alerts_finance: Commands in this room · finance, network"), "{help}");
    let [pending] = <[_; 1]>::try_from(speakers("pending").await).unwrap();
    assert!(pending.contains("#1 DiskFull") && !pending.contains("#2"), "{pending}");
    assert_eq!(speakers("show 2").await.len(), 1);
    assert!(speakers("show 2").await[0].starts_with("_alerts_network: "));
    let both = speakers("ack all").await;
    assert_eq!(both, [format!("_alerts_finance: {}", taken(1, "DiskFull"))]);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn whoever_is_mentioned_answers_and_speaks_of_its_own_list_alone() {
    let (world, rooms) = sharing().await;
    report(&world, "finance", &Group::firing("DiskFull", world.now())).await;
    report(&world, "network", &Group::firing("LinkDown", world.now())).await;
    let network = World::virtual_user("network");
    let asked = world.homeserver.person("@alice:example.test").says_to(&rooms.ops, &network, "pending");
    world.settle().await;
    let [reply] = <[_; 1]>::try_from(world.homeserver.replies_to(&asked)).unwrap();
    assert_eq!(reply.sender, network);
    assert!(reply.body.contains("#2 LinkDown") && !reply.body.contains("#1"), "{}", reply.body);
    let answer = alice(&world).says_to(&rooms.ops, &network, "ack all").await;
    assert_eq!(answer, taken(2, "LinkDown"));
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_reply_in_a_shared_room_is_answered_by_whoever_is_replied_to() {
    let (world, rooms) = sharing().await;
    report(&world, "network", &Group::firing("LinkDown", world.now())).await;
    let asked = world.homeserver.person("@alice:example.test").replies(&page(&world, &rooms.ops), "timeline");
    world.settle().await;
    let [reply] = <[_; 1]>::try_from(world.homeserver.replies_to(&asked)).unwrap();
    assert_eq!(reply.sender, World::virtual_user("network"));
    world.nothing_is_left().await;
}
