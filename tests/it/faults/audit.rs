//! The audit finds each violation of the invariants: it is counted, shown by `/readyz`, and reported once if it lasts.

use super::MINUTE;
use crate::world::{Group, World};
use serde_json::Value;

/// A violation that a hand plants in the database: its check, how to plant and how to repair it, and its words.
const PLANTED: [(&str, &str, &str, &str); 7] = [
    (
        "incident_without_timer",
        "ALTER TABLE incident DROP CONSTRAINT incident_armed;
         CREATE TABLE kept AS SELECT next_at FROM incident; UPDATE incident SET next_at = NULL",
        "UPDATE incident SET next_at = kept.next_at FROM kept; DROP TABLE kept",
        "#1 has no timer, so it never escalates",
    ),
    (
        "timer_overdue",
        "CREATE TABLE kept AS SELECT next_at FROM incident; UPDATE incident SET next_at = '2026-11-24T11:00:00Z'",
        "UPDATE incident SET next_at = kept.next_at FROM kept; DROP TABLE kept",
        "#1 should have escalated, and did not",
    ),
    (
        "page_without_message",
        "UPDATE outbox SET run_no = 7 WHERE kind = 'page'",
        "UPDATE outbox SET run_no = 1 WHERE kind = 'page'",
        "#1 is firing, and its page was never enqueued",
    ),
    (
        "page_not_sent",
        "CREATE TABLE kept AS SELECT id, event_id, settled_at FROM outbox WHERE kind = 'page';
         UPDATE outbox SET state = 'pending', event_id = NULL, settled_at = NULL WHERE kind = 'page'",
        "UPDATE outbox SET state = 'sent', event_id = kept.event_id, settled_at = kept.settled_at
         FROM kept WHERE kept.id = outbox.id; DROP TABLE kept",
        "#1 has a page that nothing tries to send",
    ),
    (
        "lease_without_end",
        "UPDATE room_gate SET lease_owner = gen_random_uuid(), lease_until = '2099-01-01T00:00:00Z',
                message = (SELECT id FROM outbox WHERE kind = 'page')
         WHERE room = (SELECT room FROM outbox WHERE kind = 'page')",
        "UPDATE room_gate SET lease_owner = NULL, lease_until = NULL, message = NULL",
        "is reserved for a message that is never settled, so nothing is sent there",
    ),
    (
        "timeline_gap",
        "UPDATE timeline SET version = version + 100 WHERE version = (SELECT version FROM incident)",
        "UPDATE timeline SET version = version - 100 WHERE version > 100",
        "#1 has changed without an entry in its timeline",
    ),
    (
        "list_without_room",
        "INSERT INTO room_trouble (room_list, reference, why, since)
         VALUES ('finance', '#ops:example.test', 'gone', '2026-11-24T12:00:00Z'),
                ('finance', '#managers:example.test', 'gone', '2026-11-24T12:00:00Z')",
        "DELETE FROM room_trouble",
        "finance has no reachable room on any level, so none of its pages arrives",
    ),
];

async fn execute(world: &World, sql: &'static str) {
    let mut connection = world.database.connect().await;
    sqlx::Executor::execute(&mut connection, sqlx::raw_sql(sql)).await.unwrap();
}

/// What the check of `/readyz` finds.
async fn audit(world: &World) -> Value {
    world.bot.step("audit").await.unwrap();
    let answer = reqwest::get(format!("{}/readyz", world.bot.admin)).await.unwrap();
    let answer: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    answer["checks"]["audit"].clone()
}

#[tokio::test]
async fn each_violation_is_found_counted_and_reported_once() {
    let (world, rooms) = World::finance("").await;
    world.report(&Group::firing("DiskFull", world.now())).await;
    // The timer is far away, so that the ladder changes nothing meanwhile.
    execute(&world, "UPDATE incident SET next_at = '2026-11-25T12:00:00Z'").await;
    for (check, plant, repair, words) in PLANTED {
        execute(&world, plant).await;
        let failures = format!("matrixbot_audit_failures_total{{check=\"{check}\"}}");
        let violations = format!("matrixbot_audit_violations{{check=\"{check}\"}}");
        world.clock.advance(6 * MINUTE);
        assert_eq!(audit(&world).await["detail"], "finds nothing", "{check}: one audit may be wrong");
        assert_eq!(world.bot.series(&failures).await, Some(0.0));
        let before = world.homeserver.messages(&rooms.fallback).len();
        for minute in 1..=7 {
            world.clock.advance(MINUTE);
            let found = audit(&world).await;
            let detail = found["detail"].to_string();
            assert!(found["ok"] == false && detail.contains(words), "{check} after {minute} min: {found}");
            assert_eq!(world.bot.series(&failures).await, Some(1.0), "{check}: counted once");
            assert_eq!(world.bot.series(&violations).await, Some(1.0));
        }
        execute(&world, repair).await;
        assert_eq!(audit(&world).await["detail"], "finds nothing", "{check} is repaired");
        assert_eq!(world.bot.series(&violations).await, Some(0.0));
        world.settle().await;
        let posted = world.homeserver.messages(&rooms.fallback);
        let [notice] = &posted[before..] else { panic!("{check}: {posted:#?}") };
        assert!(notice.body.starts_with("⚠️ AUDIT FAILED · finance"), "{}", notice.body);
        assert!(notice.body.contains(words), "{}", notice.body);
    }
    world.nothing_is_left().await;
}
