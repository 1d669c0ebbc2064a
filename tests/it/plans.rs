//! No query scans a table that grows with history. Each query of the store runs on a database with much history and few
//! open incidents, and the statistics of Postgres show which tables it read completely, directly or by an index: once
//! with custom plans, once with the generic plans of prepared statements.

use crate::database::TestDatabase;
use jiff::Timestamp;
use matrixbot::domain::audit::AuditTimes;
use matrixbot::domain::incident::{Cleared, Rung};
use matrixbot::domain::outgoing::Outgoing;
use matrixbot::domain::retry::Retry;
use matrixbot::domain::webhook::{Labels, WebhookAlert};
use matrixbot::store::claim::Locked;
use matrixbot::store::enqueue::{IncidentMessage, NewMessage};
use matrixbot::store::{
    Busy, GateAction, InboxEvent, Reported, Sign, Store, Tx, alert, claim, enqueue, holding, inbox, incident,
    overview, post, reactions, room, settle, timeline, timers, unreadable,
};
use serde_json::json;
use sqlx::{AssertSqlSafe, Executor, PgConnection};
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::time::Duration;
use uuid::Uuid;

/// 20 000 closed incidents and 100 open ones, each with alerts, timeline, posts and messages. The open incidents with
/// odd numbers are due; every tenth open one has a pending message.
const HISTORY: &str = r#"
    INSERT INTO room_list VALUES ('finance', '@_alerts_finance:example.test', NULL, false);
    INSERT INTO policy_version OVERRIDING SYSTEM VALUE
        VALUES (1, 'finance', decode(repeat('01', 32), 'hex'), '{}', '2026-11-24T12:00:00Z');
    UPDATE room_list SET policy_version = 1, active = true;
    INSERT INTO incident (room_list, key, receiver, group_key, group_labels, common_labels, truncated, phase, next_at,
            stale_at, run_no, level, loop_no, told, policy_version, ackers, flap_count, version, opened_at, resolved_at)
        SELECT 'finance', sha256(convert_to(n::text, 'UTF8')), 'finance', n::text, '{}', '{}', 0,
               CASE WHEN n <= 20000 THEN 'closed' ELSE 'firing' END,
               CASE WHEN n > 20000 THEN timestamptz '2026-11-24T12:00:00Z' + (n % 2) * interval '1 hour' END,
               CASE WHEN n > 20000 THEN timestamptz '2026-11-24T12:00:00Z' + (n % 2) * interval '8 hours' END,
               1, 0, 0, true, 1, '{}', 0, 2, timestamptz '2026-11-24T11:00:00Z' - (20100 - n) * interval '1 minute',
               CASE WHEN n <= 20000 THEN timestamptz '2026-11-24T11:30:00Z' - (20100 - n) * interval '1 minute' END
        FROM generate_series(1, 20100) AS n;
    INSERT INTO incident_alert
            (incident, fingerprint, firing, severity, rank, escalate, starts_at, last_seen, cleared_starts_at, cleared_at,
             labels, annotations)
        SELECT id, n::text, phase <> 'closed', 'critical', 0, true, opened_at, opened_at,
               CASE WHEN phase = 'closed' THEN opened_at END, resolved_at, '{}', '{}'
        FROM incident, generate_series(1, 2) AS n;
    INSERT INTO timeline (incident, version, at, kind, entry)
        SELECT id, n, opened_at, 'unanswered', '{"kind": "unanswered"}' FROM incident, generate_series(1, 2) AS n;
    INSERT INTO room_gate (room) SELECT '!room' || n || ':example.test' FROM generate_series(0, 19) AS n;
    INSERT INTO room_alias SELECT '#room' || n || ':example.test', '!room' || n || ':example.test', now()
        FROM generate_series(0, 19) AS n;
    INSERT INTO post (id, incident, room, event_id, shown, created_at)
        SELECT gen_random_uuid(), id, '!room' || id % 20 || ':example.test', '$post' || id, 2, opened_at FROM incident
        WHERE phase = 'closed' OR id % 10 <> 0;
    INSERT INTO post (id, incident, room, created_at)
        SELECT gen_random_uuid(), id, '!room' || id % 20 || ':example.test', opened_at FROM incident
        WHERE phase <> 'closed' AND id % 10 = 0;
    INSERT INTO outbox (id, room_list, room, kind, priority, incident, run_no, loop_no, level, post, payload, state,
            not_before, event_type, content, event_id, created_at, settled_at)
        SELECT gen_random_uuid(), 'finance', room, 'page', 0, incident, 1, 0, 0, id, '{"what": "page"}',
               CASE WHEN event_id IS NULL THEN 'pending' ELSE 'sent' END, created_at,
               CASE WHEN event_id IS NOT NULL THEN 'm.room.message' END, CASE WHEN event_id IS NOT NULL THEN '{}'::jsonb END,
               event_id, created_at, CASE WHEN event_id IS NOT NULL THEN created_at END
        FROM post;
    INSERT INTO outbox (id, room_list, room, kind, priority, payload, state, not_before, event_type, content, event_id,
            created_at, settled_at)
        SELECT gen_random_uuid(), 'finance', '!room0:example.test', 'answer', 3, '{"what": "page"}', 'sent', now(),
               'm.room.message', '{}', '$answer' || n, now(), now()
        FROM generate_series(1, 2000) AS n;
    INSERT INTO inbox (event_id, room, event, source, received_at, state, result)
        SELECT '$event' || n, '!room' || n % 20 || ':example.test', '{}', 'transaction',
               timestamptz '2026-11-24T12:00:00Z' - (20100 - n) * interval '1 second',
               CASE WHEN n > 20000 THEN 'waiting' ELSE 'handled' END, CASE WHEN n <= 20000 THEN 'chatter' END
        FROM generate_series(1, 20100) AS n;
    INSERT INTO ack_reaction SELECT '$reaction' || id, id, 1, '@alice:example.test' FROM incident;
    INSERT INTO redacted SELECT '$gone' || n, timestamptz '2026-11-24T12:00:00Z' - n * interval '1 second'
        FROM generate_series(1, 20000) AS n;
"#;

/// The tables that grow with history.
const GROWING: &str =
    "'incident', 'incident_alert', 'timeline', 'post', 'outbox', 'inbox', 'ack_reaction', 'redacted'";

/// No query needs more rows of one table: 100 incidents are open, and lists contain at most 1 000.
const MOST_ROWS: i64 = 1_000;

const ROOM: &str = "!room1:example.test";
const ALICE: &str = "@alice:example.test";
const ALIAS: &str = "#room1:example.test";
/// An open incident with a pending message.
const OPEN: i64 = 20_010;

fn now() -> Timestamp {
    "2026-11-24T12:30:00Z".parse().unwrap()
}

struct Plans {
    database: TestDatabase,
    observer: PgConnection,
    scans: BTreeMap<&'static str, Vec<String>>,
}

impl Plans {
    /// Runs a query on its own connection, and records the growing tables that it scanned.
    async fn of<F: Future>(&mut self, name: &'static str, query: impl FnOnce(Store) -> F) {
        let before = self.scanned().await;
        let store = self.database.store(1);
        query(store.clone()).await;
        store.close().await;
        let after = self.scanned().await;
        let grown = |(scans, rows): &(i64, i64), before: &(i64, i64)| {
            *scans > before.0 || rows - before.1 > MOST_ROWS
        };
        let scanned = after.into_iter().filter(|(table, counts)| grown(counts, &before[table]));
        let scanned: Vec<String> = scanned.map(|(table, _)| table).collect();
        if !scanned.is_empty() {
            self.scans.insert(name, scanned);
        }
    }

    /// The same within a transaction that is rolled back.
    async fn within(&mut self, name: &'static str, query: impl AsyncFnOnce(&mut Tx)) {
        self.of(name, async move |store| {
            let mut tx = store.begin().await.unwrap();
            query(&mut tx).await;
            drop(tx);
        })
        .await;
    }

    /// How often each growing table was scanned, and how many of its rows were read by an index. A server process
    /// reports its counts when it ends.
    async fn scanned(&mut self) -> BTreeMap<String, (i64, i64)> {
        let others = "SELECT count(*) FROM pg_stat_activity
                      WHERE datname = current_database() AND application_name = 'matrixbot'";
        while sqlx::query_scalar::<_, i64>(others).fetch_one(&mut self.observer).await.unwrap() > 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let counts = format!(
            "SELECT relname::text, seq_scan, coalesce(idx_tup_fetch, 0) FROM pg_stat_user_tables WHERE relname IN ({GROWING})"
        );
        let counts: Vec<(String, i64, i64)> =
            sqlx::query_as(AssertSqlSafe(counts)).fetch_all(&mut self.observer).await.unwrap();
        counts.into_iter().map(|(table, scans, rows)| (table, (scans, rows))).collect()
    }
}

#[tokio::test]
async fn no_query_scans_a_table_that_grows() {
    let database = TestDatabase::create().await;
    let mut observer = database.connect().await;
    observer.execute(sqlx::raw_sql(HISTORY)).await.unwrap();
    observer.execute("VACUUM ANALYZE").await.unwrap();
    // Flush this connection's own counts; from now on it only reads statistics.
    observer.execute("SELECT pg_stat_force_next_flush()").await.unwrap();
    let mut plans = Plans { database, observer, scans: BTreeMap::new() };
    for mode in ["force_custom_plan", "force_generic_plan"] {
        let alter = format!("ALTER DATABASE {} SET plan_cache_mode = '{mode}'", plans.database.name);
        plans.observer.execute(AssertSqlSafe(alter)).await.unwrap();
        timers_and_incidents(&mut plans).await;
        messages(&mut plans).await;
        posts_and_rooms(&mut plans).await;
        events(&mut plans).await;
        lists_and_gauges(&mut plans).await;
        retention(&mut plans).await;
        assert_eq!(plans.scans, BTreeMap::new(), "tables scanned, by query ({mode})");
    }
    // The test detects a scan.
    plans
        .within("a scan", async |tx| {
            let scan = "SELECT count(*) FROM outbox WHERE payload ->> 'what' = 'page'";
            sqlx::query(scan).execute(&mut **tx).await.unwrap();
        })
        .await;
    assert_eq!(plans.scans, BTreeMap::from([("a scan", vec!["outbox".to_owned()])]));
}

#[tokio::test]
async fn the_statements_of_a_transaction_are_not_compiled() {
    let store = TestDatabase::create().await.store(1);
    let jit = "SELECT current_setting('jit')";
    let mut tx = store.begin().await.unwrap();
    assert_eq!(sqlx::query_scalar::<_, String>(jit).fetch_one(&mut *tx).await.unwrap(), "off");
    tx.commit().await.unwrap();
    // Behind a pooler the next transaction on this connection may be another client's.
    let mut tx = store.begin().await.unwrap();
    sqlx::query("ROLLBACK").execute(&mut *tx).await.unwrap();
    assert_eq!(sqlx::query_scalar::<_, String>(jit).fetch_one(&mut *tx).await.unwrap(), "on");
}

async fn timers_and_incidents(plans: &mut Plans) {
    plans.of("next_due", async |store| store.next_due().await.unwrap().unwrap()).await;
    plans
        .within("lock_due", async |tx| {
            timers::lock_due(tx, now()).await.unwrap().unwrap();
        })
        .await;
    plans
        .within("lock_stale", async |tx| {
            timers::lock_stale(tx, now()).await.unwrap().unwrap();
        })
        .await;
    plans
        .within("who holds the alerts of a webhook", async |tx| {
            let key = sqlx::query_scalar::<_, Vec<u8>>("SELECT sha256(convert_to('20010', 'UTF8'))")
                .fetch_one(&mut **tx)
                .await
                .unwrap();
            let held =
                sqlx::query_scalar::<_, String>("SELECT fingerprint FROM incident_alert WHERE incident = $1")
                    .bind(OPEN)
                    .fetch_one(&mut **tx)
                    .await
                    .unwrap();
            let alert = WebhookAlert {
                fingerprint: held,
                firing: true,
                labels: Labels::new(),
                annotations: Labels::new(),
                starts_at: now(),
                start_known: true,
                ends_at: None,
                generator_url: None,
                defect: None,
            };
            let alerts = std::slice::from_ref(&alert);
            holding::lock(tx, "finance", &key, alerts).await.unwrap();
            let found = holding::find(tx, "finance", &key, alerts, now(), now()).await.unwrap();
            assert!(found.holders.owner.is_some());
            holding::adopt(tx, "finance", &key, OPEN).await.unwrap();
            unreadable::lock(tx, OPEN, now()).await.unwrap().unwrap();
        })
        .await;
    plans
        .of("polls", async |store| {
            let turn = store.begin_poll("main", Uuid::nil(), now(), now(), None).await.unwrap().unwrap();
            assert_eq!(turn.known.len(), 100);
            store.begin_poll("main", Uuid::nil(), now(), now(), Some(&turn.state)).await.unwrap().unwrap();
            let alerts = |name: &str| BTreeSet::from([name.to_owned()]);
            store.note_listed("main", (&alerts("1"), &alerts("2")), Duration::ZERO, now()).await.unwrap();
            assert_eq!(store.list_of_receiver("finance").await.unwrap().as_deref(), Some("finance"));
            assert_eq!(store.url_of_receiver("finance").await.unwrap(), None);
            assert_eq!(store.list_of_receiver("slack").await.unwrap(), None);
            store.end_polls(Uuid::nil()).await.unwrap();
        })
        .await;
    plans
        .within("unreadable", async |tx| {
            assert_eq!(inbox::reopen_answers(tx, OPEN).await.unwrap(), 0);
            assert!(unreadable::lock_again(tx, now()).await.unwrap().is_none());
            unreadable::set(tx, OPEN, true).await.unwrap();
            assert_eq!(unreadable::firing(tx, OPEN).await.unwrap().len(), 2);
            unreadable::report(tx, OPEN, &["1".to_owned()], &["2".to_owned()], now()).await.unwrap();
            assert!(!unreadable::has_newer(tx, OPEN).await.unwrap());
            unreadable::replaced_by(tx, OPEN).await.unwrap();
        })
        .await;
    plans
        .within("lock and save", async |tx| {
            let stored = incident::lock(tx, OPEN).await.unwrap().unwrap();
            incident::update(tx, &stored, &stored.incident, None, now()).await.unwrap();
            incident::update_group(tx, OPEN, &stored.group).await.unwrap();
            incident::set_stale_at(tx, OPEN, Some(now())).await.unwrap();
            let mut after = stored.incident.clone();
            for (place, (fingerprint, firing)) in std::mem::take(&mut after.firing).into_iter().enumerate() {
                let cleared = Cleared { starts_at: firing.starts_at, at: now(), doubt: None };
                after.cleared.insert(fingerprint.clone(), cleared.clone());
                for copy in 0..60 {
                    after.cleared.insert(format!("{copy}-{place}-{fingerprint}"), cleared.clone());
                }
            }
            let mut reported = Reported::new(&[], &[], |_| unreachable!("there are no alerts"));
            alert::compare(tx, OPEN, &mut reported).await.unwrap();
            alert::save(tx, OPEN, &stored.incident, &after, Some(&reported)).await.unwrap();
            alert::save(tx, OPEN, &after, &stored.incident, None).await.unwrap();
        })
        .await;
    plans
        .within("view", async |tx| {
            let stored = incident::lock(tx, OPEN).await.unwrap().unwrap();
            stored.view(tx, 2, 0).await.unwrap();
        })
        .await;
    plans.within("timeline", async |tx| drop(timeline::read(tx, OPEN, 200).await)).await;
}

async fn messages(plans: &mut Plans) {
    plans
        .of("rooms_to_serve", async |store| {
            let busy = Busy { rooms: vec![ROOM.to_owned()], lists: BTreeMap::new() };
            assert!(!store.rooms_to_serve(now(), 32, 32, &busy).await.unwrap().is_empty());
        })
        .await;
    plans
        .within("claim and settle", async |tx| {
            assert!(claim::lock_gate(tx, "!room0:example.test", now()).await.unwrap());
            let head = claim::next_head(tx, "!room0:example.test", now()).await.unwrap().unwrap();
            let lease = settle::Lease { room: head.room.clone(), owner: Uuid::nil() };
            settle::take_gate(tx, &lease, now(), head.id).await.unwrap();
            claim::freeze(tx, &head, ("m.room.message", &json!({})), Some(2), now()).await.unwrap();
            assert!(
                claim::next_head(tx, &head.room, now()).await.unwrap().is_some_and(|next| next.id != head.id)
            );
            assert!(matches!(claim::lock(tx, &head.room, head.id, now()).await.unwrap(), Locked::Head(_)));
            post::replace(tx, &head, now()).await.unwrap();
            post::show_anew(tx, &head, "$gone", now()).await.unwrap();
            assert!(!post::is_gone(tx, &head.room, "$gone").await.unwrap());
            settle::sent(tx, &head, Some(2), "$sent", &[], now()).await.unwrap();
            settle::gate(tx, &lease, GateAction::Release, Some(Sign::Answers)).await.unwrap();
        })
        .await;
    plans
        .within("taking a gate over", async |tx| {
            assert!(claim::lock_gate(tx, "!room0:example.test", now()).await.unwrap());
            let head = claim::next_head(tx, "!room0:example.test", now()).await.unwrap().unwrap();
            let lease = settle::Lease { room: head.room.clone(), owner: Uuid::nil() };
            let expired = "2026-11-24T12:29:00Z".parse().unwrap();
            settle::take_gate(tx, &lease, expired, head.id).await.unwrap();
            claim::freeze(tx, &head, ("m.room.message", &json!({})), Some(2), now()).await.unwrap();
            assert!(claim::lock_gate(tx, "!room0:example.test", now()).await.unwrap());
            let again = claim::next_head(tx, "!room0:example.test", now()).await.unwrap().unwrap();
            assert!(again.id == head.id && again.uncertain);
        })
        .await;
    plans
        .within("undeliverable", async |tx| {
            let head = claim::next_head(tx, "!room0:example.test", now()).await.unwrap().unwrap();
            settle::undeliverable(tx, &head, "gone", now()).await.unwrap();
            let rung = Rung { run_no: 1, loop_no: 0, level: 0 };
            settle::rung_failed(tx, head.incident.unwrap(), rung).await.unwrap();
        })
        .await;
    plans
        .within("cancel_unsent", async |tx| {
            assert_eq!(enqueue::cancel_unsent(tx, OPEN, now()).await.unwrap(), 1);
            reactions::remove_placed(tx, OPEN, now()).await.unwrap();
            reactions::remove_placed_on_digest(tx, Uuid::nil(), now()).await.unwrap();
        })
        .await;
    plans
        .within("enqueue", async |tx| {
            let id = std::cell::Cell::new(0);
            let fresh = || Uuid::from_u128(id.replace(id.get() + 1));
            let message = IncidentMessage {
                room_list: "finance",
                incident: OPEN,
                payload: &Outgoing::Page,
                rung: Rung { run_no: 2, loop_no: 0, level: 0 },
                references: &[ALIAS.to_owned(), "!room10:example.test".to_owned()],
            };
            enqueue::enqueue_for_rooms(tx, &message, fresh, now()).await.unwrap();
            let post = post::of_incident(tx, OPEN).await.unwrap().pop().unwrap();
            for payload in [Outgoing::Refresh, Outgoing::RefreshNewest] {
                let draft = NewMessage {
                    id: fresh(),
                    room_list: "finance",
                    room: ROOM,
                    payload,
                    incident: Some(OPEN),
                    rung: None,
                    post: Some(post.id),
                    not_before: now(),
                };
                enqueue::enqueue(tx, draft, now()).await.unwrap();
            }
        })
        .await;
}

async fn posts_and_rooms(plans: &mut Plans) {
    plans.of("revive", async |store| store.revive("finance", ROOM, ROOM, now()).await.unwrap()).await;
    plans.of("open_posts", async |store| store.open_posts(100).await.unwrap()).await;
    plans
        .within("posts", async |tx| {
            assert_eq!(post::of_incident(tx, OPEN).await.unwrap().len(), 1);
            post::was_notified(tx, OPEN, ALIAS).await.unwrap();
        })
        .await;
    plans
        .within("about", async |tx| {
            post::about(tx, ROOM, "$post20001").await.unwrap().unwrap();
        })
        .await;
    plans
        .within("references_to", async |tx| {
            assert_eq!(room::references_to(tx, ROOM).await.unwrap().len(), 2);
        })
        .await;
    plans
        .within("note_alias", async |tx| {
            room::note_alias(tx, "!room0:example.test", "!successor:example.test", now()).await.unwrap();
            room::note_alias(tx, "#other:example.test", "!room1:example.test", now()).await.unwrap();
        })
        .await;
}

async fn events(plans: &mut Plans) {
    let event = |id: &str| InboxEvent {
        event_id: id.to_owned(),
        room: ROOM.to_owned(),
        event: json!({}),
        malformed: None,
    };
    plans
        .of("store_events", async |store| {
            store.store_events(&[event("$event7"), event("$fresh")], "transaction", now()).await.unwrap();
        })
        .await;
    plans
        .of("rooms_with_events", async |store| {
            assert_eq!(store.rooms_with_events(now(), &[]).await.unwrap().len(), 20);
            let event = store.peek_event(ROOM, now()).await.unwrap().unwrap();
            store.event_failed(event.seq, "why", Retry::Wait(now()), now()).await.unwrap();
            assert_eq!(store.set_aside_events().await.unwrap().0, 0);
        })
        .await;
    plans
        .within("lock_next", async |tx| {
            let event = inbox::lock_next(tx, ROOM, now()).await.unwrap().unwrap();
            inbox::handled(tx, event.seq, "chatter", None, &BTreeSet::new()).await.unwrap();
            reactions::remember(tx, "$tapped", ROOM, OPEN, 1, ALICE).await.unwrap();
            reactions::find(tx, "$tapped").await.unwrap();
            reactions::forget(tx, "$tapped").await.unwrap();
            reactions::remember_redacted(tx, "$tapped", ROOM, ALICE, now()).await.unwrap();
            assert!(reactions::is_redacted(tx, "$tapped", ROOM, ALICE).await.unwrap());
            let tapped = ["$tapped".to_owned()];
            inbox::lock_targets(tx, &tapped).await.unwrap();
            assert_eq!(inbox::reopen(tx, &tapped).await.unwrap(), 0);
            assert!(!post::is_on_its_way(tx, ROOM).await.unwrap());
        })
        .await;
}

async fn lists_and_gauges(plans: &mut Plans) {
    let (lists, phases) = (["finance".to_owned()], ["firing".to_owned(), "unanswered".to_owned()]);
    for limit in [20, 1000] {
        plans
            .within("open_incidents", async |tx| {
                let (lines, _) = overview::open_from_level(tx, &lists, &phases, -1, limit).await.unwrap();
                assert!(!lines.is_empty());
                overview::open_numbers(tx, &lists, &phases, limit).await.unwrap();
            })
            .await;
    }
    plans
        .within("open_after", async |tx| {
            assert_eq!(overview::open_after(tx, &lists, &phases, 0, 30).await.unwrap().len(), 30);
        })
        .await;
    plans
        .within("open_around", async |tx| {
            assert_eq!(overview::open_around(tx, &lists, &phases, ROOM).await.unwrap().len(), 100);
        })
        .await;
    plans
        .of("set_aside", async |store| {
            store.set_aside_counts().await.unwrap();
            store.set_aside(10).await.unwrap();
        })
        .await;
    plans
        .of("audit", async |store| {
            let found = store.violations(&AuditTimes::at(now())).await.unwrap();
            assert!(!found.is_empty());
        })
        .await;
    plans.of("phase_counts", async |store| store.phase_counts().await.unwrap()).await;
    plans
        .of("backlog", async |store| {
            assert!(store.backlog(now()).await.unwrap().pending > 0);
        })
        .await;
}

async fn retention(plans: &mut Plans) {
    plans
        .of("forget_incidents", async |store| {
            let horizon = "2026-11-20T12:00:00Z".parse().unwrap();
            assert_eq!(store.forget_incidents(horizon, 50).await.unwrap(), 50);
        })
        .await;
    plans
        .of("forget_events", async |store| {
            let horizon = "2026-11-24T08:00:00Z".parse().unwrap();
            assert_eq!(store.forget_events(horizon, 50).await.unwrap(), 100);
        })
        .await;
}
