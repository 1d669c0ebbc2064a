//! Storms: many pages at once in one room are posted in a digest.

use super::{ALICE, BOB, alice, answers, bob, minutes, notified, pages, phase, seconds, with_mentions};
use crate::homeserver::Match;
use crate::homeserver::view::SeenEvent;
use crate::world::{Group, Rooms, World};
use futures_util::StreamExt as _;
use futures_util::stream;
use ruma::{OwnedEventId, RoomId};

/// Alertmanager reports groups at the same time. Returns the incidents' numbers.
async fn report_at_once(world: &World, names: &[&str], groups: usize, severity: &str) -> Vec<i64> {
    let now = world.now();
    let bodies: Vec<_> = (0..groups)
        .map(|n| {
            let name = format!("{}{n}", names[n % names.len()]);
            Group::new(&name).alert(&format!("db-{n}"), severity, "firing", now).payload()
        })
        .collect();
    let posted = bodies.iter().map(|body| world.post(body));
    let answers: Vec<_> = stream::iter(posted).buffer_unordered(8).collect().await;
    let mut numbers: Vec<i64> = answers
        .into_iter()
        .map(|(status, answer)| {
            assert_eq!(status, 200, "{answer}");
            answer["incident"].as_i64().unwrap()
        })
        .collect();
    numbers.sort_unstable();
    numbers
}

/// The messages of virtual users in a room that are no edits.
fn fresh(world: &World, room: &RoomId) -> Vec<SeenEvent> {
    let ours = world.homeserver.virtual_users();
    let mut events = world.homeserver.timeline(room);
    events.retain(|event| {
        ours.contains(&event.sender)
            && event.kind == "m.room.message"
            && event.relation.as_ref().is_none_or(|(_, kind)| kind != "m.replace")
    });
    events
}

/// The digest of a room: its newest message that shows numbers.
fn digest(world: &World, room: &RoomId) -> OwnedEventId {
    let shown = pages(world, room).into_iter().rfind(|page| page.body.contains("Number"));
    shown.expect("there is a digest").event_id
}

async fn count_in(world: &World, phase: &str) -> i64 {
    world.count_of(&format!("SELECT count(*) FROM incident WHERE phase = '{phase}'")).await
}

/// Each incident of the database was notified once in each room that it was notified in (I4).
async fn each_is_told_once(world: &World, room: &RoomId, incidents: i64) {
    let notified_once = format!(
        "SELECT count(*) FROM (SELECT incident FROM outbox WHERE room = '{room}' AND kind = 'page' AND state = 'sent'
         AND level = 0 AND loop_no = 0 GROUP BY incident, run_no HAVING count(*) = 1) AS notified"
    );
    assert_eq!(world.count_of(&notified_once).await, incidents, "each first page is sent once");
    let started = "SELECT count(*) FROM timeline WHERE kind = 'told'";
    assert!(world.count(started).await >= incidents, "the time of each level counts");
}

async fn storm(groups: usize) -> (World, Rooms, Vec<i64>) {
    let (world, rooms) = with_mentions("").await;
    let numbers = report_at_once(&world, &["DiskFull"], groups, "critical").await;
    world.settle().await;
    (world, rooms, numbers)
}

#[tokio::test]
async fn a_storm_is_a_few_messages_and_every_number_is_found() {
    let (world, rooms) = with_mentions("").await;
    let numbers = report_at_once(&world, &["HighLoad", "DiskFull", "OutOfMemory"], 100, "critical").await;
    world.pass(seconds(20)).await;
    let messages = fresh(&world, &rooms.ops);
    assert!(messages.len() <= 10, "{} messages: {messages:#?}", messages.len());
    each_is_told_once(&world, &rooms.ops, 100).await;
    let storm = alice(&world).says(&rooms.ops, "show storm").await;
    let shown: String = pages(&world, &rooms.ops).iter().map(|page| page.body.clone() + "\n").collect();
    for number in &numbers {
        assert!(
            storm.contains(&format!("#{number} ")) || shown.contains(&format!("#{number} ")),
            "{number} in {storm}"
        );
    }
    assert!(notified(&world, &rooms.ops).iter().all(|people| people == "alice"));
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_reaction_acknowledges_what_the_digest_showed_and_its_removal_gives_it_back() {
    let (world, rooms, numbers) = storm(20).await;
    let digest = digest(&world, &rooms.ops);
    world.pass(seconds(4)).await;
    // More come, and the reaction is sent before the edit shows them.
    let held = world.homeserver.hold_before(Match::send().in_room(&rooms.ops).of_type("m.room.message"));
    let later = report_at_once(&world, &["LinkDown"], 3, "critical").await;
    let before = world.homeserver.person(ALICE).reacts(&digest, "✅");
    held.release();
    world.pass(seconds(5)).await;
    let [answer] = <[String; 1]>::try_from(answers(&world, &before)).unwrap();
    assert!(answer.contains("incidents acknowledged. Numbers: "), "{answer}");
    let posted = fresh(&world, &rooms.ops).len();
    for number in &later {
        assert_eq!(phase(&world, *number).await, "firing", "the digest did not show #{number} yet");
    }
    let acknowledged = count_in(&world, "acknowledged").await;
    assert!(acknowledged >= 12, "{acknowledged} of {numbers:?}");
    assert!(posted <= 11, "{posted} messages");
    world.homeserver.person(ALICE).redacts(&before);
    world.settle().await;
    assert_eq!(count_in(&world, "acknowledged").await, 0, "it gives all of them back");
    world.pass(minutes(10)).await;
    world.nothing_is_left().await;
}

#[tokio::test]
async fn once_all_of_it_is_acknowledged_the_digest_is_quiet() {
    let (world, rooms, _) = storm(20).await;
    let digest = digest(&world, &rooms.ops);
    let answer = alice(&world).says(&rooms.ops, "ack all").await;
    assert_eq!(answer.matches("acknowledged").count(), 20, "{answer}");
    world.pass(seconds(5)).await;
    let shown = world.homeserver.messages(&rooms.ops);
    let shown = shown.iter().find(|message| message.event_id == digest).unwrap();
    assert_eq!(shown.msgtype, "m.notice", "{}", shown.body);
    assert!(shown.body.contains("ACKNOWLEDGED"), "{}", shown.body);
    world.pass(minutes(3)).await;
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_reaction_to_a_digest_whose_incidents_have_ended_is_answered() {
    let (world, rooms, numbers) = storm(12).await;
    let digest = digest(&world, &rooms.ops);
    for number in &numbers {
        alice(&world).says(&rooms.ops, &format!("resolve {number}")).await;
    }
    let answer = alice(&world).reacts(&digest, "✅").await;
    assert!(answer.contains("too late"), "{answer}");
}

#[tokio::test]
async fn a_command_in_its_thread_concerns_what_it_shows_and_one_incident_needs_its_number() {
    let (world, rooms, _) = storm(20).await;
    let digest = digest(&world, &rooms.ops);
    for (key, word) in [("⏫", "escalate 42"), ("💤", "snooze 42 2h"), ("🔇", "silence 42 2h")] {
        let answer = alice(&world).reacts(&digest, key).await;
        assert!(answer.contains("needs one incident") && answer.contains(word), "{key}: {answer}");
    }
    for command in ["snooze 2h", "resolve", "close"] {
        let answer = alice(&world).says_in_thread(&digest, command).await;
        assert!(answer.contains("needs one incident"), "{command}: {answer}");
    }
    assert_eq!(count_in(&world, "snoozed").await + count_in(&world, "acknowledged").await, 0);
    let answer = alice(&world).says_in_thread(&digest, "ack on it").await;
    assert!(answer.contains("acknowledged"), "{answer}");
    assert!(count_in(&world, "acknowledged").await >= 12);
    world.pass(minutes(3)).await;
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_range_skips_what_this_room_does_not_know() {
    let (world, rooms, numbers) = storm(20).await;
    let (first, last) = (numbers[0], numbers[19]);
    let answer = alice(&world).says(&rooms.ops, &format!("ack {first}-{}", last + 7)).await;
    assert!(answer.contains("7 numbers of the range were not posted in this room."), "{answer}");
    assert_eq!(count_in(&world, "acknowledged").await, 20);
    world.pass(minutes(3)).await;
    world.nothing_is_left().await;
}

#[tokio::test]
async fn after_the_storm_what_is_open_gets_a_page_of_its_own() {
    let (world, rooms, numbers) = storm(20).await;
    let digest = digest(&world, &rooms.ops);
    let of_digest: Vec<i64> = numbers.iter().rev().take(3).copied().collect();
    let (acknowledged, resolved) = (of_digest[0], of_digest[1]);
    alice(&world).says(&rooms.ops, &format!("ack {acknowledged}")).await;
    world.homeserver.set_power(&rooms.ops, ALICE, 50);
    alice(&world).says(&rooms.ops, &format!("resolve {resolved}")).await;
    let called = notified(&world, &rooms.ops).len();
    world.pass(minutes(2)).await;
    let bodies: Vec<String> = pages(&world, &rooms.ops).into_iter().map(|page| page.body).collect();
    let own =
        |number: i64| bodies.iter().filter(|body| body.contains(&format!("#{number} DiskFull"))).count();
    assert_eq!(own(acknowledged), 0, "somebody is at it already: {bodies:#?}");
    assert_eq!(own(resolved), 0, "what is over needs none");
    assert_eq!(own(of_digest[2]), 1);
    let shown = world.homeserver.messages(&rooms.ops);
    let over = shown.iter().find(|message| message.event_id == digest).unwrap();
    assert!(over.body.contains("The storm has ended"), "{}", over.body);
    let quiet = fresh(&world, &rooms.ops).into_iter().filter(|event| {
        event.msgtype == "m.notice" && event.body.contains(&format!("ACKNOWLEDGED #{acknowledged} "))
    });
    assert_eq!(quiet.map(|event| event.notifies.len()).collect::<Vec<_>>(), [0], "no phone rings for it");
    assert!(notified(&world, &rooms.ops).len() > called, "the others call again");
    let page = pages(&world, &rooms.ops)
        .into_iter()
        .find(|page| page.body.contains(&format!("#{} DiskFull", of_digest[2])));
    alice(&world).reacts(&page.unwrap().event_id, "✅").await;
    assert_eq!(phase(&world, of_digest[2]).await, "acknowledged");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn what_nobody_acknowledges_escalates_in_digests() {
    let (world, rooms, _) = storm(30).await;
    world.pass(minutes(15) + seconds(5)).await;
    let messages = fresh(&world, &rooms.managers);
    assert!(messages.len() <= 9, "{} messages", messages.len());
    assert!(messages.iter().any(|event| event.body.contains("ESCALATED: ")), "{messages:#?}");
    assert!(notified(&world, &rooms.managers).iter().all(|people| people == "bob"));
    bob(&world).reacts(&digest(&world, &rooms.managers), "✅").await;
    world.pass(minutes(30)).await;
    let fallback = fresh(&world, &rooms.fallback);
    assert!(fallback.len() <= 9, "{} messages", fallback.len());
    assert!(count_in(&world, "acknowledged").await > 10, "{BOB} took what the digest showed");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn without_a_digest_each_incident_has_its_page() {
    let (world, rooms) = with_mentions("    digest: none\n").await;
    report_at_once(&world, &["DiskFull"], 20, "critical").await;
    world.settle().await;
    assert_eq!(pages(&world, &rooms.ops).len(), 20);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_worse_alert_in_a_storm_calls_again() {
    let (world, rooms) = with_mentions("").await;
    report_at_once(&world, &["DiskFull"], 20, "warning").await;
    world.pass(seconds(4)).await;
    let called = notified(&world, &rooms.ops).len();
    report_at_once(&world, &["LinkDown"], 1, "warning").await;
    world.pass(seconds(4)).await;
    assert_eq!(notified(&world, &rooms.ops).len(), called, "an edit carries it");
    report_at_once(&world, &["DataLoss"], 1, "critical").await;
    world.settle().await;
    assert_eq!(notified(&world, &rooms.ops).len(), called + 1, "nobody was called for a critical one");
    world.pass(minutes(3)).await;
    world.nothing_is_left().await;
}
