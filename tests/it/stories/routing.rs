//! Which room list gets a report.

use super::{minutes, pages};
use crate::homeserver::SERVER_NAME;
use crate::world::{Group, Setup, TOKEN, World, finance_list, post};
use ruma::OwnedRoomId;
use serde_json::{Value, json};

/// The lists `finance` and `lab.b`, each in its own room.
async fn two_lists(more: &str) -> (World, OwnedRoomId, OwnedRoomId) {
    let setup = Setup::prepare().await;
    let ops = setup.rooms().ops;
    let lab = setup.homeserver.public_room("@alice:example.test", &format!("#lab:{SERVER_NAME}"));
    let lists = format!(
        "{}\n  - name: lab.b\n    receivers: [\"lab (night|day)\"]\n    webhook_token: other\n    levels: [{{rooms: [\"#lab:{SERVER_NAME}\"]}}]\n{more}",
        finance_list("")
    );
    (setup.start(&lists).await, ops, lab)
}

async fn report(world: &World, path: &str, token: &str, change: impl FnOnce(&mut Value)) -> (u16, Value) {
    let mut body = Group::firing("DiskFull", world.now()).payload();
    change(&mut body);
    let answer = post(&format!("{}{path}", world.bot.webhook), token, body.to_string()).await;
    world.settle().await;
    answer
}

#[tokio::test]
async fn a_report_without_a_list_in_its_path_is_routed_by_its_receiver() {
    let (world, ops, lab) = two_lists("").await;
    assert_eq!(report(&world, "/webhook", TOKEN, |_| ()).await.0, 200);
    assert_eq!(pages(&world, &ops).len(), 1);
    // Alertmanager escapes the special characters of regular expressions.
    let (status, answer) =
        report(&world, "/webhook", "other", |body| body["receiver"] = json!("lab\\.b")).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(pages(&world, &lab).len(), 1);
    assert_eq!(pages(&world, &ops).len(), 1);
    let escaped = |body: &mut Value| {
        body["receiver"] = json!("lab \\(night\\|day\\)");
        body["groupKey"] = json!("another");
        body["alerts"][0]["fingerprint"] = json!("00000000000000aa");
    };
    let (status, answer) = report(&world, "/webhook", "other", escaped).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(pages(&world, &lab).len(), 2);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn an_unknown_receiver_is_routed_by_the_label() {
    let (world, ops, lab) = two_lists("").await;
    let labelled = |body: &mut Value| {
        body["receiver"] = json!("webhooks");
        body["commonLabels"]["room_list"] = json!("lab.b");
    };
    let (status, answer) = report(&world, "/webhook", "other", labelled).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(pages(&world, &lab).len(), 1);
    let (status, answer) = report(&world, "/webhook", TOKEN, |body| body["receiver"] = json!("nobody")).await;
    assert_eq!(status, 404, "{answer}");
    assert!(pages(&world, &ops).is_empty());
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_list_s_token_is_rejected_for_other_lists() {
    let (world, ops, lab) = two_lists("").await;
    for (path, token) in [
        ("/webhook/lab.b", TOKEN),
        ("/webhook/finance", "other"),
        ("/webhook", "other"),
        ("/webhook/finance", ""),
    ] {
        let (status, answer) = report(&world, path, token, |_| ()).await;
        assert_eq!(status, 401, "{path} {answer}");
    }
    assert!(pages(&world, &ops).is_empty() && pages(&world, &lab).is_empty());
    assert_eq!(world.count("SELECT count(*) FROM incident").await, 0);
}

#[tokio::test]
async fn the_predecessors_paths_are_routed_by_the_configuration() {
    let compatibility = "compatibility:\n  /webhook-ack: finance\n  /skill/eventmanager/webhook: lab.b\n  \
                         /skill/my_skill/webhook-ack: finance\n";
    let (world, ops, lab) = two_lists(compatibility).await;
    assert_eq!(report(&world, "/webhook-ack", TOKEN, |_| ()).await.0, 200);
    assert_eq!(pages(&world, &ops).len(), 1);
    assert_eq!(report(&world, "/skill/eventmanager/webhook", "other", |_| ()).await.0, 200);
    assert_eq!(pages(&world, &lab).len(), 1);
    for path in ["/skill/my_skill/webhook-ack", "/skill/my_skill/webhook-ack/", "/webhook-ack/"] {
        assert_eq!(report(&world, path, TOKEN, |_| ()).await.0, 200, "{path}");
    }
    for path in ["/skill/alertmanager/webhook", "/skill/my_skill/webhook", "/skill/webhook"] {
        assert_eq!(report(&world, path, TOKEN, |_| ()).await.0, 404, "{path}");
    }
    world.nothing_is_left().await;
}

#[tokio::test]
async fn the_same_group_in_two_lists_is_two_incidents_each_in_its_own_rooms() {
    let (world, ops, lab) = two_lists("").await;
    report(&world, "/webhook/finance", TOKEN, |_| ()).await;
    report(&world, "/webhook/lab.b", "other", |_| ()).await;
    assert!(pages(&world, &ops)[0].body.contains("#1 DiskFull"));
    assert!(pages(&world, &lab)[0].body.contains("#2 DiskFull"));
    assert_eq!(pages(&world, &ops)[0].sender, World::virtual_user("finance"));
    assert_eq!(pages(&world, &lab)[0].sender, World::virtual_user("lab.b"));
    world.pass(minutes(60)).await;
    assert_eq!(pages(&world, &ops).len(), 1);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn each_event_of_a_program_other_than_alertmanager_is_posted_once() {
    let (world, ops, _) = two_lists("compatibility:\n  /skill/eventmanager/webhook: finance\n").await;
    let event = |description: &str| {
        let labels = json!({"alertname": "TransactionSent", "severity": "info"});
        let alert =
            json!({"status": "firing", "labels": labels, "annotations": {"description": description}});
        json!({"receiver": "webhook", "status": "firing", "alerts": [alert], "version": "4"})
    };
    for (description, count) in [("from A", 1), ("from B", 2), ("from A", 2)] {
        let answer =
            report(&world, "/skill/eventmanager/webhook", TOKEN, |body| *body = event(description)).await;
        assert_eq!(answer.0, 200, "{answer:?}");
        assert_eq!(pages(&world, &ops).len(), count, "{description}");
    }
    world.nothing_is_left().await;
}
