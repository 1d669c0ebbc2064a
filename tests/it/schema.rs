//! The schema rejects what the types reject: each constraint, unique index and trigger has a row that violates only it.

use crate::database::TestDatabase;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use std::collections::BTreeSet;

/// One row of each table. Every other row of these tests is a copy with changes.
const ROWS: &str = r#"
    INSERT INTO room_list VALUES ('finance', '@_alerts_finance:example.test', NULL, false);
    INSERT INTO policy_version OVERRIDING SYSTEM VALUE
        VALUES (1, 'finance', decode(repeat('01', 32), 'hex'), '{}', '2026-11-24T12:00:00Z');
    UPDATE room_list SET policy_version = 1, active = true;
    INSERT INTO incident (id, room_list, key, receiver, group_key, group_labels, common_labels, truncated, phase,
            next_at, run_no, level, loop_no, told, policy_version, ackers, flap_count, version, opened_at)
        OVERRIDING SYSTEM VALUE
        VALUES (1, 'finance', decode(repeat('01', 32), 'hex'), 'finance', '{}', '{}', '{}', 0, 'firing',
            '2026-11-24T12:15:00Z', 1, 0, 0, true, 1, '{}', 0, 3, '2026-11-24T12:00:00Z');
    INSERT INTO incident_key VALUES ('finance', decode(repeat('01', 32), 'hex'), 1);
    INSERT INTO incident_alert (incident, fingerprint, firing, rank, escalate, starts_at, last_seen, labels, annotations)
        VALUES (1, 'a', true, 0, true, '2026-11-24T12:00:00Z', '2026-11-24T12:00:00Z', '{}', '{}');
    INSERT INTO timeline OVERRIDING SYSTEM VALUE
        VALUES (1, 1, 1, '2026-11-24T12:00:00Z', 'unanswered', NULL, $${"kind": "unanswered"}$$);
    INSERT INTO post (id, incident, room, event_id, created_at)
        VALUES ('00000000-0000-0000-0000-000000000001', 1, '!ops', '$page', '2026-11-24T12:00:00Z');
    INSERT INTO outbox (id, seq, room_list, room, kind, priority, incident, run_no, loop_no, level, post, payload, state,
            not_before, created_at)
        OVERRIDING SYSTEM VALUE
        VALUES ('00000000-0000-0000-0000-000000000001', 1, 'finance', '!ops', 'page', 0, 1, 1, 0, 0,
            '00000000-0000-0000-0000-000000000001', $${"what": "page"}$$, 'pending', '2026-11-24T12:00:00Z',
            '2026-11-24T12:00:00Z');
    INSERT INTO room_gate (room) VALUES ('!ops');
    INSERT INTO inbox OVERRIDING SYSTEM VALUE
        VALUES (1, '$said', '!ops', '{}', 'transaction', '2026-11-24T12:00:00Z', 'waiting', NULL);
    INSERT INTO ack_reaction VALUES ('$reaction', 1, 1, '@alice:example.test');
    INSERT INTO redacted VALUES ('$gone', '2026-11-24T12:00:00Z');
    INSERT INTO room_move VALUES ('!left', '!ops', 'followed', NULL, '2026-11-24T12:00:00Z');
    INSERT INTO strayed_alias VALUES ('finance', '#ops:example.test', '!new', 'waiting', 'forbidden', '2026-11-24T12:00:00Z');
    INSERT INTO left_room VALUES ('finance', '!left', '!ops', '2026-11-24T12:00:00Z');
    INSERT INTO room_name VALUES ('!ops', 'Ops', NULL, '2026-11-24T12:00:00Z');
    INSERT INTO command_rate
        VALUES ('!ops', '@alice:example.test', '2026-11-24T12:00:00Z', 1, '2026-11-24T12:00:00Z', false);
    INSERT INTO virtual_user (user_id) VALUES ('@_alerts_finance:example.test');
    INSERT INTO room_membership VALUES ('@_alerts_finance:example.test', '!ops', 'join', '2026-11-24T12:00:00Z');
    INSERT INTO room_alias VALUES ('#ops:example.test', '!ops', '2026-11-24T12:00:00Z');
    INSERT INTO room_trouble VALUES ('finance', '#ops:example.test', 'join: forbidden', '2026-11-24T12:00:00Z');
    INSERT INTO user_trouble VALUES ('finance', 'send: suspended', '2026-11-24T12:00:00Z', 0, '2026-11-24T12:00:01Z');
    INSERT INTO room_list VALUES ('idle', '@_alerts_idle:example.test', NULL, false);
    INSERT INTO room_cursor VALUES ('!ops', 1, '2026-11-24T12:00:00Z');
    INSERT INTO audit_finding VALUES ('timer_overdue', '#1', 'finance', '2026-11-24T12:00:00Z');
    INSERT INTO absent_mention VALUES ('finance', '@bob:example.test', 'not in !ops', '2026-11-24T12:00:00Z');
    INSERT INTO heartbeat VALUES ('alertmanager', '2026-11-24T12:00:00Z');
    INSERT INTO maintenance OVERRIDING SYSTEM VALUE
        VALUES (1, 'finance', '{}', '2026-11-24T12:00:00Z', '2026-11-24T13:00:00Z', '@alice:example.test');
    INSERT INTO total_delta OVERRIDING SYSTEM VALUE VALUES (1, 'pages_total', 'finance', '1', 0);
    INSERT INTO total VALUES ('pages_total', 'finance', '1', 1, 0);
    INSERT INTO alertmanager (name, owner, until)
        VALUES ('main', '00000000-0000-0000-0000-000000000001', '2026-11-24T12:00:00Z');
    INSERT INTO silence_order (id, room_lists, incident, who, request, room, event_id, asked_at, try_at)
        VALUES ('00000000-0000-0000-0000-000000000001', '{finance}', 1, '@alice:example.test', '{"ask": "list"}', '!ops',
            '$said', '2026-11-24T12:00:00Z', '2026-11-24T12:00:00Z');
    INSERT INTO digest (id, room_list, room, class, look_at)
        VALUES ('00000000-0000-0000-0000-000000000001', 'finance', '!ops', 'first', '2026-11-24T12:00:00Z');
    INSERT INTO silence VALUES ('00000000-0000-0000-0000-000000000001', 1, 'main', '{"alertname": "DiskFull"}',
        '@alice:example.test', '#1', 7200000, 'active', 'an-id', '2026-11-24T14:00:00Z',
        '00000000-0000-0000-0000-000000000001', '2026-11-24T12:00:00Z');
    INSERT INTO on_call_calendar (schedule, due_at) VALUES ('primary', '2026-11-24T12:00:00Z');
    INSERT INTO on_call_shift OVERRIDING SYSTEM VALUE
        VALUES (1, 'primary', '2026-11-24T12:00:00Z', '2026-11-25T12:00:00Z', '{}');
    INSERT INTO on_call_override OVERRIDING SYSTEM VALUE
        VALUES (1, 'primary', '@bob:example.test', NULL, '2026-11-24T12:00:00Z', '2026-11-25T12:00:00Z',
            '@alice:example.test', '2026-11-24T12:00:00Z', '$said');
    INSERT INTO on_call_watch VALUES ('primary', '{}', '2026-11-24T12:00:00Z', '2026-11-24T12:00:00Z');
"#;

const ONE: &str = "00000000-0000-0000-0000-000000000001";
const TWO: &str = "00000000-0000-0000-0000-000000000002";
/// The tables with exactly one row.
const SINGLE: [&str; 2] = ["engine_version", "total_lease"];
const NOON: &str = "2026-11-24T12:00:00Z";

/// The changes that turn a copy of a table's row into another valid row.
fn another() -> Vec<(&'static str, Value)> {
    vec![
        ("room_list", json!({"name": "it", "user_id": "@_alerts_it:example.test"})),
        ("policy_version", json!({"id": 2, "hash": hash("02")})),
        ("incident", json!({"id": 2, "key": hash("02")})),
        ("incident_key", json!({"key": hash("02")})),
        ("incident_alert", json!({"fingerprint": "b"})),
        ("timeline", json!({"id": 2, "version": 2})),
        ("post", json!({"id": TWO, "room": "!managers", "event_id": "$other"})),
        ("outbox", json!({"id": TWO, "seq": 2, "room": "!managers"})),
        ("room_gate", json!({"room": "!managers"})),
        ("inbox", json!({"seq": 2, "event_id": "$other"})),
        ("ack_reaction", json!({"event_id": "$other"})),
        ("redacted", json!({"event_id": "$other"})),
        ("room_move", json!({"room": "!other"})),
        ("strayed_alias", json!({"alias": "#managers:example.test"})),
        ("left_room", json!({"room": "!other"})),
        ("room_name", json!({"room": "!other"})),
        ("command_rate", json!({"user_id": "@bob:example.test"})),
        ("virtual_user", json!({"user_id": "@_alerts_it:example.test"})),
        ("room_membership", json!({"room": "!managers"})),
        ("room_alias", json!({"reference": "#managers:example.test"})),
        ("room_trouble", json!({"reference": "#managers:example.test"})),
        ("user_trouble", json!({"room_list": "idle"})),
        ("room_cursor", json!({"room": "!managers"})),
        ("heartbeat", json!({"name": "homeserver"})),
        ("audit_finding", json!({"subject": "#2"})),
        ("absent_mention", json!({"user_id": "@eve:example.test"})),
        ("maintenance", json!({"id": 2})),
        ("total_delta", json!({"id": 2})),
        ("total", json!({"label": "2"})),
        // These tables have exactly one row.
        ("engine_version", json!({})),
        ("total_lease", json!({})),
        ("alertmanager", json!({"name": "other"})),
        ("silence_order", json!({"id": TWO})),
        ("digest", json!({"id": TWO})),
        ("silence", json!({"token": TWO, "alertmanager": "other"})),
        ("on_call_calendar", json!({"schedule": "backup"})),
        ("on_call_shift", json!({"id": 2})),
        ("on_call_override", json!({"id": 2})),
        ("on_call_watch", json!({"schedule": "backup"})),
    ]
}

fn hash(byte: &str) -> String {
    format!("\\x{}", byte.repeat(32))
}

/// For each constraint or unique index, the changes to a valid copy that it rejects.
#[expect(clippy::too_many_lines, reason = "a table with a line for each rejected row")]
fn rejected() -> Vec<(&'static str, &'static str, Value)> {
    let acknowledged = |more: Value| merged(json!({"phase": "acknowledged", "ackers": ["@alice:x"]}), &more);
    let resolved = |more: Value| merged(json!({"phase": "resolved", "resolved_at": NOON}), &more);
    let sending = |more: Value| {
        merged(json!({"state": "sending", "content": {}, "event_type": "m.room.message"}), &more)
    };
    let edit = json!({"kind": "edit", "run_no": null, "loop_no": null, "level": null});
    vec![
        ("room_list_pkey", "room_list", json!({"name": "finance"})),
        ("room_list_user_id_key", "room_list", json!({"user_id": "@_alerts_finance:example.test"})),
        ("room_list_name_form", "room_list", json!({"name": "Finance ops"})),
        ("room_list_active_has_policy", "room_list", json!({"policy_version": null})),
        ("room_list_policy", "room_list", json!({"policy_version": 99})),
        ("policy_version_pkey", "policy_version", json!({"id": 1})),
        ("policy_version_once", "policy_version", json!({"hash": hash("01")})),
        ("policy_version_hash_length", "policy_version", json!({"hash": "\\x0203"})),
        ("policy_version_room_list_fkey", "policy_version", json!({"room_list": "nobodys"})),
        ("incident_pkey", "incident", json!({"id": 1})),
        ("incident_one_open", "incident", resolved(json!({"key": hash("01")}))),
        ("incident_room_list_fkey", "incident", json!({"room_list": "nobodys"})),
        ("incident_policy_version_fkey", "incident", json!({"policy_version": 99})),
        ("incident_key_length", "incident", json!({"key": "\\x0203"})),
        ("incident_phase_known", "incident", json!({"phase": "simmering"})),
        ("incident_armed", "incident", json!({"next_at": null})),
        ("incident_armed", "incident", resolved(json!({"next_at": null}))),
        (
            "incident_armed",
            "incident",
            json!({"phase": "snoozed", "snoozed_until": NOON, "ackers": ["@alice:x"], "next_at": null}),
        ),
        ("incident_disarmed", "incident", json!({"phase": "suppressed"})),
        ("incident_disarmed", "incident", json!({"phase": "closed", "resolved_at": NOON})),
        ("incident_ack_has_acker", "incident", json!({"phase": "acknowledged"})),
        ("incident_ack_until_only_acknowledged", "incident", json!({"ack_until": NOON})),
        ("incident_ack_until_resolved_is_kept", "incident", resolved(json!({"ack_until": NOON}))),
        ("incident_ack_reminded_only_acknowledged", "incident", json!({"ack_reminded": true})),
        ("incident_ack_kept_only_resolved", "incident", acknowledged(json!({"ack_kept": true}))),
        ("incident_snooze_has_end", "incident", json!({"phase": "snoozed"})),
        ("incident_snooze_has_end", "incident", json!({"snoozed_until": NOON})),
        ("incident_forced_only_resolved", "incident", json!({"forced": true})),
        ("incident_reminders_only_unanswered", "incident", json!({"reminders": 1})),
        ("incident_resolved_has_time", "incident", json!({"phase": "resolved"})),
        ("incident_resolved_has_time", "incident", json!({"resolved_at": NOON})),
        ("incident_stale_only_open", "incident", resolved(json!({"stale_at": NOON}))),
        ("incident_counts", "incident", json!({"run_no": 0})),
        ("incident_counts", "incident", json!({"version": 0})),
        ("incident_counts", "incident", json!({"level": -1})),
        ("incident_start_level_counts", "incident", json!({"start_level": -1})),
        ("incident_key_pkey", "incident_key", json!({"key": hash("01")})),
        ("incident_key_is_a_hash", "incident_key", json!({"key": "\\x0203"})),
        ("incident_key_room_list_fkey", "incident_key", json!({"room_list": "nobodys"})),
        ("incident_key_incident_fkey", "incident_key", json!({"incident": 99})),
        ("incident_told_has_level", "incident", json!({"level": null})),
        ("incident_set_aside_whole", "incident", json!({"timer_failures": 1, "timer_not_before": NOON})),
        ("incident_set_aside_whole", "incident", json!({"timer_not_before": NOON})),
        ("incident_set_aside_whole", "incident", json!({"timer_failures": -1})),
        ("incident_alert_pkey", "incident_alert", json!({"fingerprint": "a"})),
        ("incident_alert_incident_fkey", "incident_alert", json!({"incident": 99})),
        ("incident_alert_cleared_whole", "incident_alert", json!({"cleared_at": NOON})),
        ("incident_alert_fires_or_cleared", "incident_alert", json!({"firing": false})),
        ("timeline_pkey", "timeline", json!({"id": 1})),
        ("timeline_one_per_version", "timeline", json!({"version": 1})),
        ("timeline_incident_fkey", "timeline", json!({"incident": 99})),
        ("timeline_version_positive", "timeline", json!({"version": 0})),
        ("timeline_kind_is_entrys", "timeline", json!({"kind": "closed"})),
        ("timeline_kind_is_entrys", "timeline", json!({"entry": {}})),
        ("post_pkey", "post", json!({"id": ONE})),
        ("post_once_per_room", "post", json!({"room": "!ops"})),
        ("post_event", "post", json!({"event_id": "$page"})),
        ("post_incident_fkey", "post", json!({"incident": 99})),
        ("post_newest_after_first", "post", json!({"room": "!other", "event_id": null, "newest": "$again"})),
        ("outbox_pkey", "outbox", json!({"id": ONE})),
        ("outbox_page_once", "outbox", json!({"room": "!ops"})),
        ("outbox_room_list_fkey", "outbox", json!({"room_list": "nobodys"})),
        ("outbox_incident_fkey", "outbox", json!({"incident": 99})),
        ("outbox_post_fkey", "outbox", json!({"post": TWO})),
        ("outbox_kind_known", "outbox", json!({"kind": "pigeon"})),
        ("outbox_state_known", "outbox", json!({"state": "lost", "settled_at": NOON})),
        ("outbox_sent_has_event", "outbox", json!({"state": "sent", "settled_at": NOON})),
        ("outbox_sent_has_event", "outbox", json!({"event_id": "$other"})),
        ("outbox_settled_has_time", "outbox", json!({"state": "cancelled"})),
        ("outbox_settled_has_time", "outbox", sending(json!({"settled_at": NOON}))),
        ("outbox_sending_is_frozen", "outbox", json!({"state": "sending"})),
        ("outbox_uncertain_was_tried", "outbox", json!({"uncertain": true})),
        ("outbox_frozen_whole", "outbox", json!({"content": {}})),
        ("outbox_frozen_whole", "outbox", json!({"event_type": "m.room.message"})),
        ("outbox_page_has_rung", "outbox", json!({"run_no": null, "loop_no": null, "level": null})),
        ("outbox_page_has_rung", "outbox", json!({"post": null})),
        ("outbox_edit_has_post", "outbox", merged(edit.clone(), &json!({"post": null}))),
        (
            "outbox_fallback_has_run",
            "outbox",
            json!({"kind": "fallback", "run_no": null, "loop_no": null, "level": null}),
        ),
        ("outbox_has_incident", "outbox", merged(edit, &json!({"incident": null}))),
        ("outbox_rung_whole", "outbox", json!({"kind": "fallback", "level": null})),
        ("outbox_counts", "outbox", json!({"attempts": -1})),
        ("outbox_digest_fkey", "outbox", json!({"digest": TWO})),
        ("outbox_digest_has_one", "outbox", json!({"kind": "digest"})),
        ("digest_pkey", "digest", json!({"id": ONE})),
        ("digest_room_list_fkey", "digest", json!({"room_list": "nobodys"})),
        ("digest_class_known", "digest", json!({"class": "second"})),
        ("digest_sent_has_event", "digest", json!({"event_id": "$digest"})),
        ("digest_edited_is_sent", "digest", json!({"edited_at": NOON})),
        ("room_gate_pkey", "room_gate", json!({"room": "!ops"})),
        ("room_gate_leased_has_owner", "room_gate", json!({"lease_until": NOON})),
        ("room_gate_leased_has_owner", "room_gate", json!({"lease_owner": ONE, "lease_until": NOON})),
        ("room_gate_failures_positive", "room_gate", json!({"failures": -1})),
        ("inbox_pkey", "inbox", json!({"seq": 1})),
        ("inbox_once", "inbox", json!({"event_id": "$said"})),
        ("inbox_state_known", "inbox", json!({"state": "lost", "result": "lost"})),
        ("inbox_source_known", "inbox", json!({"source": "hearsay"})),
        ("inbox_handled_has_result", "inbox", json!({"state": "handled"})),
        ("inbox_handled_has_result", "inbox", json!({"result": "chatter"})),
        ("inbox_failures_positive", "inbox", json!({"failures": -1})),
        ("inbox_set_aside_is_retried", "inbox", json!({"set_aside_at": NOON})),
        ("inbox_target_of_handled", "inbox", json!({"target": "$page"})),
        ("ack_reaction_pkey", "ack_reaction", json!({"event_id": "$reaction"})),
        ("ack_reaction_incident_fkey", "ack_reaction", json!({"incident": 99})),
        ("redacted_once", "redacted", json!({"event_id": "$gone"})),
        ("strayed_alias_pkey", "strayed_alias", json!({"alias": "#ops:example.test"})),
        ("strayed_alias_room_list_fkey", "strayed_alias", json!({"room_list": "nobodys"})),
        ("strayed_alias_state_known", "strayed_alias", json!({"state": "lost", "why": null})),
        ("strayed_alias_missing_leads_nowhere", "strayed_alias", json!({"leads_to": null})),
        ("strayed_alias_waiting_has_why", "strayed_alias", json!({"why": null})),
        ("left_room_pkey", "left_room", json!({"room": "!left"})),
        ("left_room_room_list_fkey", "left_room", json!({"room_list": "nobodys"})),
        ("left_room_leads_elsewhere", "left_room", json!({"successor": "!other"})),
        ("room_name_pkey", "room_name", json!({"room": "!ops"})),
        ("room_move_pkey", "room_move", json!({"room": "!left"})),
        ("room_move_state_known", "room_move", json!({"state": "lost"})),
        ("room_move_leads_elsewhere", "room_move", json!({"successor": "!other"})),
        ("room_move_why_not_followed", "room_move", json!({"why": "because"})),
        ("command_rate_pkey", "command_rate", json!({"user_id": "@alice:example.test"})),
        ("command_rate_counts", "command_rate", json!({"commands": 0})),
        ("virtual_user_pkey", "virtual_user", json!({"user_id": "@_alerts_finance:example.test"})),
        ("room_membership_pkey", "room_membership", json!({"room": "!ops"})),
        ("room_membership_known", "room_membership", json!({"membership": "lurk"})),
        ("room_alias_pkey", "room_alias", json!({"reference": "#ops:example.test"})),
        ("room_trouble_pkey", "room_trouble", json!({"reference": "#ops:example.test"})),
        (
            "room_trouble_room_list_fkey",
            "room_trouble",
            json!({"room_list": "nobodys", "reference": "#other"}),
        ),
        ("user_trouble_pkey", "user_trouble", json!({"room_list": "finance"})),
        ("user_trouble_room_list_fkey", "user_trouble", json!({"room_list": "nobodys"})),
        ("user_trouble_checks_positive", "user_trouble", json!({"room_list": "idle", "checks": -1})),
        ("room_cursor_pkey", "room_cursor", json!({"room": "!ops"})),
        ("heartbeat_pkey", "heartbeat", json!({"name": "alertmanager"})),
        ("audit_finding_pkey", "audit_finding", json!({"subject": "#1"})),
        ("absent_mention_pkey", "absent_mention", json!({"user_id": "@bob:example.test"})),
        ("absent_mention_room_list_fkey", "absent_mention", json!({"room_list": "nobodys"})),
        ("maintenance_pkey", "maintenance", json!({"id": 1})),
        ("maintenance_room_list_fkey", "maintenance", json!({"room_list": "nobodys"})),
        ("maintenance_ends_after_start", "maintenance", json!({"ends_at": NOON})),
        ("engine_version_pkey", "engine_version", json!({})),
        ("engine_version_single", "engine_version", json!({"single": false})),
        ("total_delta_pkey", "total_delta", json!({"id": 1})),
        ("total_delta_metric_known", "total_delta", json!({"metric": "sheep_total"})),
        ("total_pkey", "total", json!({"label": "1"})),
        ("total_metric_known", "total", json!({"metric": "sheep_total"})),
        ("total_counted", "total", json!({"count": 0})),
        ("alertmanager_pkey", "alertmanager", json!({"name": "main"})),
        ("alertmanager_lease_is_whole", "alertmanager", json!({"until": null})),
        ("alertmanager_promises", "alertmanager", json!({"longest_promise_ms": -1})),
        ("silence_order_pkey", "silence_order", json!({"id": ONE})),
        ("silence_order_incident_fkey", "silence_order", json!({"incident": 9})),
        ("silence_order_has_list", "silence_order", json!({"room_lists": []})),
        ("silence_order_attempts", "silence_order", json!({"attempts": -1})),
        ("silence_pkey", "silence", json!({"token": ONE})),
        ("silence_incident_fkey", "silence", json!({"incident": 9})),
        ("silence_state_known", "silence", json!({"state": "lost"})),
        ("silence_lasts", "silence", json!({"lasting_ms": 0})),
        ("silence_active_is_made", "silence", json!({"silence_id": null})),
        ("silence_made_again", "silence", json!({"made_again": -1})),
        ("silence_once", "silence", json!({"alertmanager": "main"})),
        ("on_call_calendar_pkey", "on_call_calendar", json!({"schedule": "primary"})),
        ("on_call_calendar_failing", "on_call_calendar", json!({"failing_since": NOON})),
        ("on_call_shift_pkey", "on_call_shift", json!({"id": 1})),
        ("on_call_shift_schedule_fkey", "on_call_shift", json!({"schedule": "other"})),
        ("on_call_shift_lasts", "on_call_shift", json!({"ends_at": NOON})),
        ("on_call_override_pkey", "on_call_override", json!({"id": 1})),
        ("on_call_override_lasts", "on_call_override", json!({"ends_at": NOON})),
        ("on_call_watch_pkey", "on_call_watch", json!({"schedule": "primary"})),
        ("total_lease_pkey", "total_lease", json!({})),
        ("total_lease_single", "total_lease", json!({"single": false})),
        ("total_lease_held_until", "total_lease", json!({"until": NOON})),
    ]
}

/// Changes that are rejected only if a copy with other changes is inserted first.
fn rejected_after() -> Vec<(&'static str, &'static str, Value, Value)> {
    let edit = json!({"kind": "edit", "run_no": null, "loop_no": null, "level": null});
    let third = json!({"id": "00000000-0000-0000-0000-000000000003", "seq": 3});
    vec![
        (
            "outbox_fallback_once",
            "outbox",
            json!({"kind": "fallback"}),
            merged(json!({"kind": "fallback", "level": 1}), &third),
        ),
        ("outbox_one_pending_edit", "outbox", edit.clone(), merged(edit, &third)),
    ]
}

/// For each rule of the incident's trigger, a statement that it rejects.
fn rejected_changes() -> Vec<(&'static str, &'static str, &'static str)> {
    let close = "UPDATE incident SET phase = 'closed', next_at = NULL, resolved_at = opened_at, version = version + 1";
    let nothing = "SELECT 1";
    vec![
        ("incident_closed_is_final", close, "UPDATE incident SET common_labels = '{}'"),
        (
            "incident_closed_is_final",
            close,
            "UPDATE incident SET phase = 'firing', next_at = opened_at, resolved_at = NULL, version = version + 1",
        ),
        ("incident_version_grows", nothing, "UPDATE incident SET version = version - 1"),
        ("incident_change_has_version", nothing, "UPDATE incident SET phase = 'unanswered'"),
        ("incident_change_has_version", nothing, "UPDATE incident SET level = 1"),
    ]
}

fn merged(mut changes: Value, more: &Value) -> Value {
    let more = more.as_object().unwrap().clone();
    changes.as_object_mut().unwrap().extend(more);
    changes
}

/// Inserts a copy of the table's row with these changes. `Err`: the name of the rule that rejects it.
async fn copy(connection: &mut PgConnection, table: &str, changes: &Value) -> Result<(), String> {
    let statement = format!(
        "INSERT INTO {table} OVERRIDING SYSTEM VALUE
         SELECT (jsonb_populate_record(t, $1)).* FROM (SELECT t FROM {table} AS t ORDER BY t LIMIT 1) AS first (t)"
    );
    let done = sqlx::query(AssertSqlSafe(statement)).bind(changes).execute(connection).await;
    done.map(|_| ()).map_err(|error| rule_of(&error))
}

fn rule_of(error: &sqlx::Error) -> String {
    let named = error.as_database_error().and_then(|error| error.constraint().map(str::to_owned));
    named.unwrap_or_else(|| error.to_string())
}

async fn database_with_rows() -> (TestDatabase, PgConnection) {
    let database = TestDatabase::create().await;
    let mut connection = database.connect().await;
    connection.execute(sqlx::raw_sql(ROWS)).await.unwrap();
    (database, connection)
}

#[tokio::test]
async fn every_table_accepts_another_row() {
    let (_database, mut connection) = database_with_rows().await;
    for (table, changes) in another().into_iter().filter(|(table, _)| !SINGLE.contains(table)) {
        let mut tx = connection.begin().await.unwrap();
        assert_eq!(copy(&mut tx, table, &changes).await, Ok(()), "{table}");
        tx.rollback().await.unwrap();
    }
}

#[tokio::test]
async fn every_constraint_rejects_its_row() {
    let (_database, mut connection) = database_with_rows().await;
    for (name, table, changes) in rejected() {
        let another = another_of(table);
        let mut tx = connection.begin().await.unwrap();
        let rejected = copy(&mut tx, table, &merged(another, &changes)).await;
        assert_eq!(rejected, Err(name.to_owned()), "{table} with {changes}");
        tx.rollback().await.unwrap();
    }
    for (name, table, first, second) in rejected_after() {
        let mut tx = connection.begin().await.unwrap();
        let inserted = copy(&mut tx, table, &merged(another_of(table), &first)).await;
        assert_eq!(inserted, Ok(()), "{table} with {first}");
        let rejected = copy(&mut tx, table, &merged(another_of(table), &second)).await;
        assert_eq!(rejected, Err(name.to_owned()), "{table} with {second}");
        tx.rollback().await.unwrap();
    }
}

#[tokio::test]
async fn an_incident_rejects_changes_without_a_timeline_entry() {
    let (_database, mut connection) = database_with_rows().await;
    for (name, before, change) in rejected_changes() {
        let mut tx = connection.begin().await.unwrap();
        tx.execute(before).await.unwrap();
        let rejected = tx.execute(change).await.map(|_| ()).map_err(|error| rule_of(&error));
        assert_eq!(rejected, Err(name.to_owned()), "{change}");
        tx.rollback().await.unwrap();
    }
}

/// As the release before this one takes a gate over: it knows only the message that the gate names.
#[tokio::test]
async fn whoever_takes_a_gate_no_other_message_is_on_its_way_there() {
    let (_database, mut connection) = database_with_rows().await;
    connection
        .execute(
            "UPDATE outbox SET state = 'sending', event_type = 'm.room.message', content = '{}', first_tried = created_at;
             INSERT INTO outbox (id, room_list, room, kind, priority, payload, state, event_type, content, first_tried,
                    not_before, created_at)
                 SELECT gen_random_uuid(), room_list, room, 'answer', 3, '{}', state, event_type, content, first_tried,
                        not_before, created_at
                 FROM outbox WHERE state = 'sending';
             UPDATE room_gate SET lease_owner = gen_random_uuid(), lease_until = now(),
                    message = '00000000-0000-0000-0000-000000000001';
             UPDATE room_gate SET lease_until = now()",
        )
        .await
        .unwrap();
    let states = async |connection: &mut PgConnection| -> Vec<(String, bool)> {
        let query = "SELECT state, uncertain FROM outbox WHERE room = '!ops' ORDER BY seq LIMIT 2";
        sqlx::query_as(query).fetch_all(connection).await.unwrap()
    };
    let sending = ("sending".to_owned(), false);
    assert_eq!(states(&mut connection).await, [sending.clone(), sending.clone()], "a lease is renewed");
    connection.execute("UPDATE room_gate SET lease_owner = gen_random_uuid()").await.unwrap();
    let waits = ("pending".to_owned(), true);
    assert_eq!(states(&mut connection).await, [sending, waits.clone()], "all but the one that it names");
    connection
        .execute("UPDATE room_gate SET lease_owner = NULL, lease_until = NULL, message = NULL")
        .await
        .unwrap();
    assert_eq!(states(&mut connection).await, [waits.clone(), waits], "the gate is given back");
}

/// Triggers that reject nothing.
const ACTS: &[&str] = &["room_gate_changes_hands"];

#[tokio::test]
async fn every_constraint_of_the_schema_has_a_test() {
    let database = TestDatabase::create().await;
    let mut connection = database.connect().await;
    let rules: Vec<String> = sqlx::query_scalar(
        r"SELECT conname::text FROM pg_constraint
         WHERE connamespace = 'public'::regnamespace AND contype IN ('c', 'u', 'p', 'f', 'x')
           AND conrelid <> to_regclass('_sqlx_migrations')
         UNION
         SELECT indexrelid::regclass::text FROM pg_index JOIN pg_class ON pg_class.oid = indrelid
         WHERE indisunique AND relnamespace = 'public'::regnamespace AND indrelid <> to_regclass('_sqlx_migrations')
         UNION
         SELECT coalesce(rule [1], tgname)
         FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid
         LEFT JOIN LATERAL regexp_matches(prosrc, 'CONSTRAINT = ''(\w+)''', 'g') AS rule ON true
         WHERE NOT tgisinternal",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    let existing: BTreeSet<&str> = rules.iter().map(String::as_str).collect();
    let mut tested: BTreeSet<&str> = rejected().into_iter().map(|(name, ..)| name).collect();
    tested.extend(rejected_after().into_iter().map(|(name, ..)| name));
    tested.extend(rejected_changes().into_iter().map(|(name, ..)| name));
    tested.extend(ACTS);
    assert_eq!(existing.difference(&tested).collect::<Vec<_>>(), Vec::<&&str>::new(), "rules without a test");
    assert_eq!(tested.difference(&existing).collect::<Vec<_>>(), Vec::<&&str>::new(), "tests without a rule");
}

#[tokio::test]
async fn everything_in_the_schema_has_a_comment() {
    let database = TestDatabase::create().await;
    let mut connection = database.connect().await;
    let uncommented: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class
         WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND obj_description(oid, 'pg_class') IS NULL
           AND relname <> '_sqlx_migrations'
         UNION ALL
         SELECT relname || '.' || attname
         FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped
         WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND col_description(pg_class.oid, attnum) IS NULL
           AND relname <> '_sqlx_migrations'
         UNION ALL
         SELECT proname::text FROM pg_proc
         WHERE pronamespace = 'public'::regnamespace AND obj_description(oid, 'pg_proc') IS NULL
         ORDER BY 1",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    assert_eq!(uncommented, Vec::<String>::new());
}

#[tokio::test]
async fn every_cascading_foreign_key_has_an_index() {
    let database = TestDatabase::create().await;
    let mut connection = database.connect().await;
    let slow: Vec<String> = sqlx::query_scalar(
        "SELECT conname::text FROM pg_constraint AS c
         WHERE contype = 'f' AND confdeltype = 'c' AND connamespace = 'public'::regnamespace AND NOT EXISTS (
               SELECT 1 FROM pg_index AS i
               WHERE i.indrelid = c.conrelid AND i.indpred IS NULL
                 AND (string_to_array(i.indkey::text, ' ')::smallint[]) [1:cardinality(c.conkey)] = c.conkey)",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    assert_eq!(slow, Vec::<String>::new(), "foreign keys that cascade without an index");
}

fn another_of(table: &str) -> Value {
    another().into_iter().find(|(name, _)| *name == table).unwrap().1
}
