//! Lists that the configuration of a process does not have: whatever is open is served all the same.

use super::{ALICE, alice, page, pages, phase, seconds};
use crate::homeserver::SERVER_NAME;
use crate::world::{Group, Rooms, Setup, TOKEN, World, finance_list};

fn network() -> String {
    format!(
        "  - name: network\n    webhook_token: {TOKEN}\n    levels:\n      - rooms: [\"#managers:{SERVER_NAME}\"]\n"
    )
}

async fn two_lists() -> (World, Rooms) {
    let setup = Setup::prepare().await;
    let rooms = setup.rooms();
    (setup.start(&format!("{}{}", finance_list(""), network())).await, rooms)
}

#[tokio::test]
async fn what_is_open_in_a_removed_list_takes_reactions_and_commands() {
    let (mut world, rooms) = two_lists().await;
    let disk = world.report(&Group::firing("DiskFull", world.now())).await;
    let host = world.report(&Group::firing("HostDown", world.now())).await;
    world.reload(&network()).await;
    world.settle().await;
    world.homeserver.person(ALICE).reacts(&page(&world, &rooms.ops), "✅");
    world.settle().await;
    assert_eq!(phase(&world, disk).await, "acknowledged");
    let pending = alice(&world).says(&rooms.ops, "pending").await;
    assert!(pending.contains("HostDown"), "{pending}");
    let resolved = alice(&world).says(&rooms.ops, &format!("resolve {host}")).await;
    assert!(resolved.contains("HostDown"), "{resolved}");
    assert!(
        resolved.contains("its room list is not configured any more: it pages nobody again"),
        "{resolved}"
    );
    assert_eq!(phase(&world, host).await, "resolved");
    world.pass(seconds(30)).await;
    let post = pages(&world, &rooms.ops).into_iter().find(|page| page.body.contains("HostDown")).unwrap();
    assert!(
        post.body.contains("but its room list is not configured any more: it pages nobody again."),
        "{}",
        post.body
    );
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_removed_list_without_open_incidents_is_silent() {
    let (mut world, rooms) = two_lists().await;
    world.reload(&network()).await;
    world.settle().await;
    assert_eq!(alice(&world).says(&rooms.ops, "help").await, "");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn the_older_process_swallows_nothing_of_a_list_that_only_the_newer_one_knows() {
    let setup = Setup::prepare().await;
    let rooms = setup.rooms();
    let person = setup.homeserver.person(ALICE);
    let private = setup.homeserver.private_room(ALICE);
    let mut world = setup.start(&finance_list("")).await;
    // The newer process has started; the older one goes on with its own configuration.
    let newer = format!(
        "{}  - name: network\n    webhook_token: {TOKEN}\n    ack_reactions: [\"🔥\"]\n    levels:\n      - rooms: [\"#managers:{SERVER_NAME}\", \"{private}\"]\n",
        finance_list("")
    );
    world.configure_anew(&newer);
    let other = world.another().await;
    while other.work().await {}
    let webhook = format!("{}/webhook/network", other.webhook);
    let group = Group::firing("LinkDown", world.now());
    let (status, _) = crate::world::post(&webhook, TOKEN, group.payload().to_string()).await;
    assert_eq!(status, 200);
    while other.work().await {}
    let user = World::virtual_user("network");
    person.invites(&private, &user);
    let page = world.homeserver.messages(&rooms.managers).into_iter().rfind(|m| m.body.contains("LinkDown"));
    person.reacts(&page.unwrap().event_id, "🔥");
    // The homeserver gives everything to the older process.
    world.settle().await;
    while other.work().await {}
    assert!(world.homeserver.is_joined(&private, user.as_str()), "the invitation was not declined");
    assert_eq!(world.count("SELECT count(*) FROM incident WHERE phase = 'acknowledged'").await, 1);
    other.kill().await;
}

#[tokio::test]
async fn events_of_a_list_that_only_a_later_release_can_read_wait_for_it() {
    let (mut world, rooms) = two_lists().await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    let mut connection = world.database.connect().await;
    world.reload(&network()).await;
    let unreadable = "UPDATE policy_version SET policy = '\"sealed\"' WHERE room_list = 'finance'";
    sqlx::query(unreadable).execute(&mut connection).await.unwrap();
    let policy = sqlx::query("UPDATE room_list SET active = true WHERE name = 'finance'");
    policy.execute(&mut connection).await.unwrap();
    world.settle().await;
    let asked = world.homeserver.person(ALICE).says(&rooms.ops, "pending");
    world.settle().await;
    let waiting = "SELECT count(*) FROM inbox WHERE state = 'waiting'";
    assert_eq!(world.count(waiting).await, 1, "it is not swallowed");
    world.reload(&format!("{}{}", finance_list(""), network())).await;
    world.pass(seconds(30)).await;
    assert_eq!(world.count(waiting).await, 0);
    let answers = world.homeserver.replies_to(&asked);
    assert!(answers.len() == 1 && answers[0].body.contains(&format!("#{number}")), "{answers:#?}");
}
