//! Silences that people make, list and end from rooms.

use super::{BOB, Member, alice, bob, minutes, notified, page, pages, phase, seconds, thread};
use crate::alertmanager::{Alert, Alertmanager, Fault, Silence};
use crate::world::{Group, Rooms, Setup, World, finance_list};
use matrixbot::clock::SharedClock;
use matrixbot::domain::time::later;
use serde_json::json;
use std::sync::Arc;

/// The list `finance`, where alice may moderate, and its Alertmanager.
pub(super) async fn silencing() -> (World, Rooms, Alertmanager) {
    let setup = Setup::prepare().await;
    let rooms = setup.rooms();
    setup.homeserver.person(BOB).joins(&rooms.ops);
    let alertmanager = Alertmanager::start_on(Arc::clone(&setup.clock) as SharedClock);
    let list = finance_list("    permissions:\n      users:\n        \"@alice:example.test\": moderate");
    let configuration = format!("{list}\nalertmanagers:\n  - name: main\n    url: {}\n", alertmanager.url());
    (setup.start(&configuration).await, rooms, alertmanager)
}

pub(super) fn disk(instance: &str) -> Alert {
    Alert::new("DiskFull", "finance").with_label("instance", instance)
}

/// Alerts fire, and their webhook arrives.
pub(super) async fn fire(world: &World, alertmanager: &Alertmanager, alerts: &[Alert]) -> i64 {
    let mut group = None::<Group>;
    for alert in alerts {
        alertmanager.fire(alert.clone());
        let one = Group::of(alert, world.now());
        group = Some(match group {
            None => one,
            Some(group) => group.and(one),
        });
    }
    world.report(&group.unwrap()).await
}

/// Time passes, with a poll every 30 seconds. The sources report again each minute.
pub(super) async fn polls(world: &World, alertmanager: &Alertmanager, minutes: u64) {
    for _ in 0..minutes {
        alertmanager.report_again();
        world.pass(seconds(60)).await;
    }
}

/// The silences that hold now: their matchers as text.
pub(super) fn active(alertmanager: &Alertmanager, world: &World) -> Vec<String> {
    let now = world.now();
    let active = alertmanager.silences().into_iter().filter(|silence| silence.ends_at > now);
    let text = |silence: Silence| {
        let one = |matcher: &serde_json::Value| {
            format!("{}={}", matcher["name"].as_str().unwrap(), matcher["value"].as_str().unwrap())
        };
        silence.matchers.iter().map(one).collect::<Vec<_>>().join(" ")
    };
    active.map(text).collect()
}

pub(super) async fn says(member: &Member<'_>, rooms: &Rooms, text: &str) -> String {
    member.says(&rooms.ops, text).await
}

#[tokio::test]
async fn a_silence_from_the_room_holds_the_alert_and_ends_with_the_incident() {
    let (world, rooms, alertmanager) = silencing().await;
    let number = fire(&world, &alertmanager, &[disk("db-1")]).await;
    let answer = says(&alice(&world), &rooms, &format!("silence {number} 2h disk swap")).await;
    assert_eq!(
        answer,
        "🔇 #1 DiskFull: silenced in Alertmanager main until 14:00 UTC. It ends when the incident is resolved."
    );
    assert_eq!(active(&alertmanager, &world), ["alertname=DiskFull instance=db-1 severity=critical"]);
    let made = &alertmanager.silences()[0];
    assert_eq!(made.created_by, "@alice:example.test");
    assert!(made.comment.starts_with("#1 disk swap ["), "{}", made.comment);
    world.pass(seconds(5)).await;
    let body = pages(&world, &rooms.ops)[0].body.clone();
    assert!(body.contains("🔇 Silenced by @alice:example.test until 14:00 UTC: “#1 disk swap”."), "{body}");
    let pending = says(&alice(&world), &rooms, "pending").await;
    assert!(
        pending.contains("#1 DiskFull · critical · 5 s · level 1 of 2 · 🔇 until 14:00 UTC"),
        "{pending}"
    );
    polls(&world, &alertmanager, 20).await;
    assert!(pages(&world, &rooms.managers).is_empty(), "it does not escalate");
    let entries = thread(&world, &rooms.ops).iter().filter(|line| line.contains("Silenced by")).count();
    assert_eq!(entries, 1, "{:?}", thread(&world, &rooms.ops));
    world.report(&Group::of(&disk("db-1"), world.now()).resolved()).await;
    assert_eq!(phase(&world, number).await, "resolved");
    world.pass(seconds(30)).await;
    assert!(active(&alertmanager, &world).is_empty(), "it ends with the incident");
    for (event, count) in [("made", 1.0), ("ended", 1.0), ("failed", 0.0)] {
        let series = format!("matrixbot_silences_total{{event=\"{event}\"}}");
        assert_eq!(world.bot.series(&series).await, Some(count), "{series}");
    }
    world.nothing_is_left().await;
}

#[tokio::test]
async fn the_same_command_again_moves_the_end_of_the_silence() {
    let (world, rooms, alertmanager) = silencing().await;
    fire(&world, &alertmanager, &[disk("db-1")]).await;
    says(&alice(&world), &rooms, "silence 1").await;
    polls(&world, &alertmanager, 10).await;
    let answer = says(&alice(&world), &rooms, "silence 1 4h").await;
    assert!(answer.contains("until 16:10 UTC"), "{answer}");
    assert_eq!(active(&alertmanager, &world).len(), 1);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_silence_for_many_alerts_is_made_only_if_it_holds_nothing_else_or_on_confirmation() {
    let (world, rooms, alertmanager) = silencing().await;
    let many: Vec<Alert> = (1..=6).map(|n| disk(&format!("db-{n}"))).collect();
    alertmanager.fire(Alert::new("DiskFull", "billing").with_label("instance", "web-1"));
    fire(&world, &alertmanager, &many).await;
    let answer = says(&alice(&world), &rooms, "silence 1 2h").await;
    assert_eq!(
        answer,
        "#1 DiskFull: not silenced: it would silence 1 other alert as well.\n\n\
         • DiskFull instance=web-1 severity=critical\n\n\
         To silence them all, end the command with \"!confirm\": \"silence 1 2h !confirm\"."
    );
    assert!(active(&alertmanager, &world).is_empty());
    let answer = says(&alice(&world), &rooms, "silence 1 2h !confirm").await;
    assert!(answer.contains("silenced in Alertmanager main until 14:00 UTC (6 alerts)"), "{answer}");
    assert_eq!(active(&alertmanager, &world), ["alertname=DiskFull severity=critical"]);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_reaction_silences_for_two_hours_and_needs_the_right() {
    let (world, rooms, alertmanager) = silencing().await;
    fire(&world, &alertmanager, &[disk("db-1")]).await;
    let page = page(&world, &rooms.ops);
    let answer = bob(&world).reacts(&page, "🔇").await;
    assert_eq!(
        answer,
        "⛔ #1 DiskFull: to silence, you need power level 50 in this room or the operator's permission."
    );
    assert!(active(&alertmanager, &world).is_empty());
    let answer = says(&bob(&world), &rooms, "silence 1 2h").await;
    assert!(answer.starts_with("⛔ #1 DiskFull"), "{answer}");
    let answer = alice(&world).reacts(&page, "🔇").await;
    assert!(answer.contains("until 14:00 UTC"), "{answer}");
    assert_eq!(active(&alertmanager, &world).len(), 1);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn people_see_and_end_only_silences_that_concern_their_list() {
    let (world, rooms, alertmanager) = silencing().await;
    fire(&world, &alertmanager, &[disk("db-1")]).await;
    let now = world.now();
    alertmanager.change(|state| {
        for (id, name) in [
            ("8c6c2a4e-0000-4000-8000-000000000001", "Disk.*"),
            ("9d6c2a4e-0000-4000-8000-000000000002", "Other"),
        ] {
            state.silences.push(Silence {
                id: id.to_owned(),
                matchers: vec![json!({"name": "alertname", "value": name, "isRegex": true, "isEqual": true})],
                starts_at: now,
                ends_at: later(now, minutes(60)),
                updated_at: now,
                created_by: "carol".to_owned(),
                comment: "maintenance".to_owned(),
                annotations: json!({}),
            });
        }
    });
    let answer = says(&bob(&world), &rooms, "silences").await;
    assert_eq!(
        answer,
        "1 silence · finance\n\n• 8c6c2a4e · #1 · until 13:00 UTC · main · carol: “maintenance”"
    );
    let answer = says(&alice(&world), &rooms, "unsilence 9d6c").await;
    assert_eq!(answer, "9d6c: no such silence holds alerts of this room. Type \"silences\" for the ids.");
    let answer = says(&bob(&world), &rooms, "unsilence 8c6c").await;
    assert_eq!(answer, "⛔ to unsilence, you need power level 50 in this room or the operator's permission.");
    assert_eq!(active(&alertmanager, &world).len(), 2);
    let answer = says(&alice(&world), &rooms, "unsilence 8c6c").await;
    assert_eq!(answer, "🔔 8c6c2a4e: ended in Alertmanager main. It was for #1.");
    assert_eq!(active(&alertmanager, &world), ["alertname=Other"]);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_lost_answer_makes_no_second_silence() {
    let (world, rooms, alertmanager) = silencing().await;
    fire(&world, &alertmanager, &[disk("db-1")]).await;
    alertmanager.fail(Some(Fault::LostAnswer));
    says(&alice(&world), &rooms, "silence 1").await;
    alertmanager.fail(None);
    world.pass(minutes(2)).await;
    assert_eq!(alertmanager.silences().len(), 1);
    assert!(pages(&world, &rooms.ops)[0].body.contains("Silenced by @alice:example.test"));
    world.nothing_is_left().await;
}

#[tokio::test]
async fn an_alertmanager_that_is_away_is_tried_for_a_minute_and_then_named() {
    let (world, rooms, alertmanager) = silencing().await;
    fire(&world, &alertmanager, &[disk("db-1")]).await;
    alertmanager.fail(Some(Fault::Status(503, "busy".to_owned())));
    let person = world.homeserver.person("@alice:example.test");
    let command = person.says(&rooms.ops, "silence 1");
    world.settle().await;
    assert!(super::answers(&world, &command).is_empty());
    world.pass(minutes(2)).await;
    assert_eq!(
        super::answers(&world, &command),
        ["#1 DiskFull: nothing silenced.\n⚠️ Alertmanager main: it answered 503: busy"]
    );
    alertmanager.fail(None);
    world.pass(minutes(2)).await;
    assert!(alertmanager.silences().is_empty(), "after the answer nothing is made");
    assert!(notified(&world, &rooms.ops).len() <= 1);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_resolved_incident_and_one_that_alertmanager_does_not_list_are_not_silenced() {
    let (world, rooms, alertmanager) = silencing().await;
    world.report(&Group::of(&disk("db-1"), world.now())).await;
    let answer = says(&alice(&world), &rooms, "silence 1").await;
    assert_eq!(answer, "#1 DiskFull: nothing silenced: Alertmanager main lists none of its alerts.");
    world.report(&Group::of(&disk("db-1"), world.now()).resolved()).await;
    let answer = says(&alice(&world), &rooms, "silence 1").await;
    assert!(answer.starts_with("#1 DiskFull: too late"), "{answer}");
    assert!(alertmanager.silences().is_empty());
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_silence_that_alertmanager_has_lost_is_made_again_and_one_that_comes_back_is_ended_again() {
    let (world, rooms, alertmanager) = silencing().await;
    fire(&world, &alertmanager, &[disk("db-1")]).await;
    says(&alice(&world), &rooms, "silence 1 2h").await;
    let lost = alertmanager.silences();
    alertmanager.change(|state| state.silences.clear());
    polls(&world, &alertmanager, 2).await;
    assert_eq!(active(&alertmanager, &world), ["alertname=DiskFull instance=db-1 severity=critical"]);
    assert_eq!(alertmanager.silences()[0].ends_at, lost[0].ends_at);
    let id = alertmanager.silences()[0].id.clone();
    let answer = says(&alice(&world), &rooms, &format!("unsilence {id}")).await;
    assert!(answer.contains("ended in Alertmanager main. It was for #1."), "{answer}");
    let ends_at = lost[0].ends_at;
    alertmanager.change(|state| state.silences[0].ends_at = ends_at);
    polls(&world, &alertmanager, 2).await;
    assert!(active(&alertmanager, &world).is_empty());
    world.nothing_is_left().await;
}

/// Two Alertmanagers, `east` and `west`, which both list the alert of #1.
async fn two_that_list_it() -> (World, Rooms, [Alertmanager; 2]) {
    let setup = Setup::prepare().await;
    let rooms = setup.rooms();
    let all = [(); 2].map(|()| Alertmanager::start_on(Arc::clone(&setup.clock) as SharedClock));
    let list = finance_list("    permissions:\n      users:\n        \"@alice:example.test\": moderate");
    let [one, two] = &all;
    let configuration = format!(
        "{list}\nalertmanagers:\n  - name: east\n    url: {}\n  - name: west\n    url: {}\n",
        one.url(),
        two.url()
    );
    let world = setup.start(&configuration).await;
    two.fire(disk("db-1"));
    fire(&world, one, &[disk("db-1")]).await;
    world.pass(seconds(60)).await;
    (world, rooms, all)
}

#[tokio::test]
async fn every_alertmanager_that_lists_the_alert_gets_a_silence_and_the_thread_has_one_entry() {
    let (world, rooms, all) = two_that_list_it().await;
    let answer = says(&alice(&world), &rooms, "silence 1 2h").await;
    assert!(answer.contains("silenced in Alertmanager east and west until 14:01 UTC"), "{answer}");
    assert!(all.iter().all(|one| active(one, &world).len() == 1));
    for _ in 0..5 {
        all.iter().for_each(Alertmanager::report_again);
        world.pass(seconds(60)).await;
    }
    let entries = thread(&world, &rooms.ops).into_iter().filter(|line| line.contains("Silenced by")).count();
    assert_eq!(entries, 1, "{:?}", thread(&world, &rooms.ops));
    world.nothing_is_left().await;
}

#[tokio::test]
async fn one_of_several_alertmanagers_that_is_away_is_named_within_ten_seconds() {
    let (world, rooms, [east, west]) = two_that_list_it().await;
    west.fail(Some(Fault::Status(503, "busy".to_owned())));
    let command = world.homeserver.person("@alice:example.test").says(&rooms.ops, "silence 1 2h");
    world.settle().await;
    assert!(super::answers(&world, &command).is_empty());
    for _ in 0..10 {
        world.pass(seconds(1)).await;
    }
    let [answer] = super::answers(&world, &command).try_into().unwrap();
    assert!(answer.contains("in Alertmanager east until"), "{answer}");
    assert!(answer.contains("⚠️ Alertmanager west: it answered 503: busy"), "{answer}");
    assert_eq!(active(&east, &world).len(), 1);
    west.fail(None);
    let again = says(&alice(&world), &rooms, "silence 1 2h").await;
    assert!(again.contains("silenced in Alertmanager east and west until"), "{again}");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_silence_that_holds_nothing_is_reported() {
    let (world, rooms, alertmanager) = silencing().await;
    fire(&world, &alertmanager, &[disk("db-1")]).await;
    alertmanager.fail(Some(Fault::HoldsNothing));
    let answer = says(&alice(&world), &rooms, "silence 1 2h").await;
    assert_eq!(answer, "⚠️ #1 DiskFull: the silence in Alertmanager main until 14:00 UTC silenced nothing.");
    assert!(!pages(&world, &rooms.ops)[0].body.contains("Silenced by"));
    world.nothing_is_left().await;
}

#[tokio::test]
async fn after_a_crash_the_silence_that_was_made_is_found_by_its_token() {
    let (world, rooms, alertmanager) = silencing().await;
    fire(&world, &alertmanager, &[disk("db-1")]).await;
    says(&alice(&world), &rooms, "silence 1 2h").await;
    // As if the process had ended after the POST, before it stored the answer.
    let forgotten = "UPDATE silence SET state = 'wanted', silence_id = NULL, ends_at = NULL";
    sqlx::query(forgotten).execute(world.database.reader()).await.unwrap();
    let answer = says(&alice(&world), &rooms, "silence 1 2h").await;
    assert!(answer.contains("silenced in Alertmanager main until 14:00 UTC"), "{answer}");
    assert_eq!(alertmanager.silences().len(), 1);
    world.nothing_is_left().await;
}
