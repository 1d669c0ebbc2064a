//! Silences and what others do meanwhile: other senders, other people at Alertmanager's page, a slow or forgetful Alertmanager,
//! another process.

use super::silences::{active, disk, fire, polls, says, silencing};
use super::{alice, minutes, pages, thread};
use crate::alertmanager::{Alert, Alertmanager, Fault, Silence};
use crate::homeserver::SERVER_NAME;
use crate::world::{Group, Setup, TOKEN, World, finance_list};
use jiff::{Timestamp, ToSpan as _};
use matrixbot::clock::SharedClock;
use matrixbot::domain::time::later;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// Somebody silences an instance at Alertmanager's page.
fn silenced_there(world: &World, alertmanager: &Alertmanager, id: &str, instance: &str, until: Timestamp) {
    let now = world.now();
    let matcher = json!({"name": "instance", "value": instance, "isRegex": false, "isEqual": true});
    let silence = Silence {
        id: id.to_owned(),
        matchers: vec![matcher],
        starts_at: now,
        ends_at: until,
        updated_at: now,
        created_by: "carol".to_owned(),
        comment: "new disk".to_owned(),
        annotations: json!({}),
    };
    alertmanager.change(|state| state.silences.push(silence));
}

#[tokio::test]
async fn an_alert_of_another_sender_is_silenced_where_alertmanager_lists_it_and_otherwise_the_reason_is_right()
 {
    let (world, rooms, alertmanager) = silencing().await;
    // vmalert, Grafana and SigNoz post fingerprints that are no hash of the labels.
    for body in [
        include_str!("../../fixtures/senders/grafana.json"),
        include_str!("../../fixtures/senders/mimir.json"),
        include_str!("../../fixtures/senders/vmalert.json"),
        include_str!("../../fixtures/senders/signoz.json"),
    ] {
        let (status, _) = world.post(&serde_json::from_str(body).unwrap()).await;
        assert_eq!(status, 200);
    }
    world.settle().await;
    for (number, name) in (1..).zip(["HighMem", "IngesterUnhealthy", "CPUThrottlingHigh", "Slow checkout"]) {
        let answer = says(&alice(&world), &rooms, &format!("silence {number}")).await;
        assert_eq!(
            answer,
            format!(
                "#{number} {name}: nothing silenced: Alertmanager main lists none of its alerts. \
                 Another program sent them: silence them there."
            )
        );
    }
    // Alertmanager's API has the same fingerprint, whatever it is made of.
    let odd = Alert::new("Odd", "finance").with_fingerprint("00000000000000aa");
    fire(&world, &alertmanager, &[odd]).await;
    let answer = says(&alice(&world), &rooms, "silence 5").await;
    assert!(answer.contains("silenced in Alertmanager main until 14:00 UTC"), "{answer}");
    polls(&world, &alertmanager, 1).await;
    let odd = pages(&world, &rooms.ops).into_iter().find(|page| page.body.contains("Odd")).unwrap();
    assert!(odd.body.contains("Silenced by @alice:example.test"), "{}", odd.body);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn labels_that_are_too_long_to_be_kept_are_named_as_the_reason() {
    let (world, rooms, alertmanager) = silencing().await;
    fire(&world, &alertmanager, &[disk(&"x".repeat(5000))]).await;
    let answer = says(&alice(&world), &rooms, "silence 1").await;
    assert_eq!(
        answer,
        "#1 DiskFull: not silenced: the labels of its alerts are too long for matrixbot to know them exactly."
    );
    assert!(active(&alertmanager, &world).is_empty());
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_silence_of_some_of_its_alerts_is_posted_in_its_thread_when_it_is_made_changed_and_removed() {
    let (world, rooms, alertmanager) = silencing().await;
    fire(&world, &alertmanager, &[disk("db-1"), disk("db-2")]).await;
    let id = "8c6c2a4e-0000-4000-8000-000000000001";
    silenced_there(&world, &alertmanager, id, "db-1", later(world.now(), minutes(30)));
    polls(&world, &alertmanager, 3).await;
    let until = later(world.now(), minutes(60));
    alertmanager.change(|state| state.silences[0].ends_at = until);
    polls(&world, &alertmanager, 3).await;
    let now = world.now();
    alertmanager.change(|state| state.silences[0].ends_at = now);
    polls(&world, &alertmanager, 3).await;
    let entries: Vec<String> = thread(&world, &rooms.ops)
        .into_iter()
        .filter(|line| line.to_lowercase().contains("silenced"))
        .collect();
    assert_eq!(
        entries,
        [
            "#1 🔇 Silenced by carol until 12:30 UTC: “new disk”. Its other alerts are not silenced.",
            "#1 🔇 Silenced by carol until 13:03 UTC: “new disk”. Its other alerts are not silenced.",
            "#1 🔔 None of its alerts is silenced any more.",
        ]
    );
    assert_eq!(pages(&world, &rooms.ops).len(), 1, "the ladder goes on as before");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_silence_of_ours_that_runs_out_while_the_alert_is_firing_pages_again() {
    let (world, rooms, alertmanager) = silencing().await;
    fire(&world, &alertmanager, &[disk("db-1")]).await;
    says(&alice(&world), &rooms, "silence 1 10m").await;
    polls(&world, &alertmanager, 9).await;
    assert_eq!(pages(&world, &rooms.ops).len(), 1);
    polls(&world, &alertmanager, 3).await;
    let pages = pages(&world, &rooms.ops);
    assert_eq!(pages.len(), 2);
    assert!(pages[1].body.contains("The silence ended and it is still firing."), "{}", pages[1].body);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_silence_that_somebody_ends_elsewhere_pages_again_and_is_not_made_again() {
    let (world, rooms, alertmanager) = silencing().await;
    fire(&world, &alertmanager, &[disk("db-1")]).await;
    says(&alice(&world), &rooms, "silence 1 2h").await;
    let now = later(world.now(), minutes(1));
    polls(&world, &alertmanager, 1).await;
    alertmanager.change(|state| {
        (state.silences[0].ends_at, state.silences[0].updated_at) = (now, now);
    });
    polls(&world, &alertmanager, 3).await;
    assert_eq!(pages(&world, &rooms.ops).len(), 2);
    assert!(active(&alertmanager, &world).is_empty());
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_silence_that_is_made_again_is_posted_in_the_thread_and_pages_nobody() {
    let (world, rooms, alertmanager) = silencing().await;
    fire(&world, &alertmanager, &[disk("db-1")]).await;
    says(&alice(&world), &rooms, "silence 1 2h").await;
    polls(&world, &alertmanager, 1).await;
    alertmanager.change(|state| state.silences.clear());
    polls(&world, &alertmanager, 3).await;
    assert_eq!(active(&alertmanager, &world).len(), 1);
    assert_eq!(pages(&world, &rooms.ops).len(), 1, "nobody is paged meanwhile");
    let again = "#1 🔇 Alertmanager main had lost its silence. matrixbot made it again, until 14:00 UTC.";
    assert_eq!(thread(&world, &rooms.ops).iter().filter(|line| *line == again).count(), 1);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_silence_that_was_made_without_an_answer_gets_the_length_that_was_asked_for_last() {
    let (world, rooms, alertmanager) = silencing().await;
    fire(&world, &alertmanager, &[disk("db-1")]).await;
    says(&alice(&world), &rooms, "silence 1 2h").await;
    // As if the process had ended after the POST, before it stored the answer.
    let forgotten = "UPDATE silence SET state = 'wanted', silence_id = NULL, ends_at = NULL";
    sqlx::query(forgotten).execute(world.database.reader()).await.unwrap();
    let answer = says(&alice(&world), &rooms, "silence 1 4h").await;
    assert!(answer.contains("until 16:00 UTC"), "{answer}");
    assert_eq!(alertmanager.silences().len(), 1);
    assert_eq!(alertmanager.silences()[0].ends_at, later(world.now(), minutes(240)));
    world.nothing_is_left().await;
}

#[tokio::test]
async fn ends_are_sent_by_alertmanager_s_clock_and_shown_by_ours() {
    let (world, rooms, alertmanager) = silencing().await;
    alertmanager.change(|state| state.ahead = 600.seconds());
    fire(&world, &alertmanager, &[disk("db-1")]).await;
    let answer = says(&alice(&world), &rooms, "silence 1 2h").await;
    assert!(answer.contains("until 14:00 UTC"), "{answer}");
    let there = alertmanager.change(|state| state.now());
    assert_eq!(alertmanager.silences()[0].ends_at, later(there, minutes(120)));
    let listed = says(&alice(&world), &rooms, "silences").await;
    assert!(listed.contains("until 14:00 UTC"), "{listed}");
    for part in [400, 700, 100, 900] {
        // The header with its clock has whole seconds.
        world.pass(Duration::from_millis(part)).await;
        polls(&world, &alertmanager, 1).await;
    }
    let entries = thread(&world, &rooms.ops).into_iter().filter(|line| line.contains("Silenced by"));
    assert_eq!(entries.count(), 1, "{:?}", thread(&world, &rooms.ops));
    assert!(pages(&world, &rooms.ops)[0].body.contains("until 14:00 UTC"));
    // Lost by Alertmanager, it is made again until the same time.
    alertmanager.change(|state| state.silences.clear());
    polls(&world, &alertmanager, 2).await;
    let again = alertmanager.silences()[0].ends_at.duration_since(there).as_secs();
    assert!((7198..=7202).contains(&again), "{again}");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn two_processes_make_a_silence_once() {
    let (world, rooms, alertmanager) = silencing().await;
    fire(&world, &alertmanager, &[disk("db-1")]).await;
    let other = world.another().await;
    let person = world.homeserver.person("@alice:example.test");
    let command = person.says(&rooms.ops, "silence 1 2h");
    world.homeserver.push("silence", std::slice::from_ref(&command)).await.unwrap();
    for _ in 0..20 {
        tokio::join!(other.work(), world.bot.work());
    }
    world.settle().await;
    assert_eq!(alertmanager.silences().len(), 1);
    let posts = alertmanager.requests().into_iter().filter(|request| request.method == "POST");
    assert_eq!(posts.count(), 1);
    assert_eq!(super::answers(&world, &command).len(), 1);
    other.kill().await;
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_slow_alertmanager_holds_up_no_other_command() {
    let setup = Setup::prepare().await;
    let rooms = setup.rooms();
    let all = [(); 2].map(|()| Alertmanager::start_on(Arc::clone(&setup.clock) as SharedClock));
    let [slow, fast] = &all;
    let may = "    permissions:\n      users:\n        \"@alice:example.test\": moderate";
    let network = format!(
        "  - name: network\n    webhook_token: {TOKEN}\n    levels:\n      - rooms: [\"#managers:{SERVER_NAME}\"]\n{may}\n"
    );
    let configuration = format!(
        "{}\n{network}alertmanagers:\n  - name: slow\n    url: {}\n  - name: fast\n    url: {}\n",
        finance_list(may),
        slow.url(),
        fast.url()
    );
    let world = setup.start(&configuration).await;
    for n in 1..=4 {
        let alert = Alert::new(&format!("Disk{n}"), "finance");
        slow.fire(alert.clone());
        world.report(&Group::of(&alert, world.now())).await;
    }
    let link = Alert::new("LinkDown", "network");
    fast.fire(link.clone());
    let webhook = format!("{}/webhook/network", world.bot.webhook);
    let body = Group::of(&link, world.now()).payload().to_string();
    assert_eq!(crate::world::post(&webhook, TOKEN, body).await.0, 200);
    world.settle().await;
    slow.fail(Some(Fault::Slow(Duration::from_millis(100))));
    let person = world.homeserver.person("@alice:example.test");
    let of_finance = person.says(&rooms.ops, "silence 1 2 3 4");
    let of_network = person.says(&rooms.managers, "silence 5 2h");
    world.settle().await;
    assert_eq!(super::answers(&world, &of_finance).len(), 4);
    let answers = super::answers(&world, &of_network);
    assert!(answers.len() == 1 && answers[0].contains("silenced in Alertmanager fast"), "{answers:?}");
    assert!(slow.change(|state| state.most_waiting) >= 4, "all commands are carried out at once");
    slow.fail(None);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn the_peer_that_lists_the_alert_has_time_to_learn_of_the_silence() {
    let setup = Setup::prepare().await;
    let rooms = setup.rooms();
    let [one, two] = [(); 2].map(|()| Alertmanager::start_on(Arc::clone(&setup.clock) as SharedClock));
    one.join(&two);
    let list = finance_list("    permissions:\n      users:\n        \"@alice:example.test\": moderate");
    let configuration =
        format!("{list}\nalertmanagers:\n  - name: pair\n    urls: [{}, {}]\n", one.url(), two.url());
    let world = setup.start(&configuration).await;
    fire(&world, &two, &[disk("db-1")]).await;
    let says = async {
        let answer = says(&alice(&world), &rooms, "silence 1 2h").await;
        assert!(answer.contains("silenced in Alertmanager pair until 14:00 UTC."), "{answer}");
    };
    let gossip = async {
        while one.silences().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        let silences = one.silences();
        two.change(|state| state.silences = silences);
    };
    tokio::join!(says, gossip);
    assert_eq!((one.silences().len(), two.silences().len()), (1, 1));
    world.nothing_is_left().await;
}
