//! The room lists that a room belongs to, according to the database, in one query for any number of lists.

use crate::database::TestDatabase;
use jiff::Timestamp;
use matrixbot::domain::lists::{FollowAliases, ListSettings, Lists};
use matrixbot::domain::policy::{Level, Policy};
use matrixbot::rooms::lists_of;
use matrixbot::store::{Store, commit};
use ruma::UserId;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Metadata, Subscriber};

/// Counts the statements that are sent to the database on this thread.
#[derive(Clone, Default)]
struct Statements(Arc<AtomicUsize>);

impl Statements {
    fn counted(&self) -> DefaultGuard {
        tracing::subscriber::set_default(self.clone())
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Subscriber for Statements {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "sqlx::query"
    }

    fn event(&self, _event: &Event<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn new_span(&self, _span: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}
    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}
    fn enter(&self, _span: &Id) {}
    fn exit(&self, _span: &Id) {}
}

fn now() -> Timestamp {
    "2026-11-24T12:30:00Z".parse().unwrap()
}

/// A list with a room of its own, these rooms, and a fallback room.
fn list(number: usize, rooms: &[&str]) -> ListSettings {
    let own = format!("!own{number}:example.test");
    let level = |rooms| Level { rooms, escalate_after: Duration::from_mins(5), mention: Vec::new() };
    let rooms = rooms.iter().map(|room| (*room).to_owned()).collect();
    let mut policy = Policy::with_levels(vec![level(vec![own]), level(rooms)]);
    policy.fallback_rooms = vec![format!("#fallback{number}:example.test")];
    ListSettings {
        name: format!("list{number:03}"),
        user_id: UserId::parse(format!("@_alerts_list{number}:example.test")).unwrap(),
        display_name: String::new(),
        avatar: None,
        version: 1,
        policy: Arc::new(policy),
        ack_reactions: vec!["✅".to_owned()],
        place_reaction: true,
        follow_aliases: FollowAliases::default(),
        digest: None,
        templates: BTreeMap::new(),
        time_zone: matrixbot::domain::zone::Zone::UTC,
    }
}

async fn names_of(store: &Store, lists: &Lists, room: &str) -> Vec<String> {
    let mut tx = store.begin().await.unwrap();
    let found = lists_of(&mut tx, lists, room).await.unwrap();
    commit(tx).await.unwrap();
    found.into_iter().map(|list| list.name.clone()).collect()
}

#[tokio::test]
async fn the_lists_of_a_room_need_one_query_for_any_number_of_lists() {
    let database = TestDatabase::create().await;
    let store = database.store(1);
    store.note_alias("#ops:example.test", "!ops:example.test", now()).await.unwrap();
    let shared = ["#ops:example.test"];
    let mut counts = Vec::new();
    for lists in [1, 100] {
        let lists = Lists::new((0..lists).map(|number| list(number, &shared)));
        let mut tx = store.begin().await.unwrap();
        let statements = Statements::default();
        let counted = statements.counted();
        let found = lists_of(&mut tx, &lists, "!ops:example.test").await.unwrap();
        drop(counted);
        assert_eq!(found.len(), lists.iter().count());
        counts.push(statements.count());
        commit(tx).await.unwrap();
    }
    assert_eq!(counts, [1, 1]);
}

#[tokio::test]
async fn a_room_belongs_to_the_lists_whose_references_resolve_to_it() {
    let database = TestDatabase::create().await;
    let store = database.store(1);
    let lists = Lists::new([
        list(0, &["#ops:example.test"]),
        list(1, &["!old:example.test"]),
        list(2, &["!new:example.test", "#ops:example.test"]),
        list(3, &["#unknown:example.test"]),
    ]);
    store.note_alias("#ops:example.test", "!old:example.test", now()).await.unwrap();
    assert_eq!(names_of(&store, &lists, "!old:example.test").await, ["list000", "list001", "list002"]);
    assert_eq!(names_of(&store, &lists, "!new:example.test").await, ["list002"]);

    store.note_alias("!old:example.test", "!new:example.test", now()).await.unwrap();
    assert!(names_of(&store, &lists, "!old:example.test").await.is_empty(), "it has a successor");
    assert_eq!(names_of(&store, &lists, "!new:example.test").await, ["list000", "list001", "list002"]);
    assert_eq!(names_of(&store, &lists, "!own1:example.test").await, ["list001"]);
    assert_eq!(names_of(&store, &lists, "#unknown:example.test").await, ["list003"]);
    assert!(names_of(&store, &lists, "!other:example.test").await.is_empty());
}

#[tokio::test]
async fn circular_references_end() {
    let database = TestDatabase::create().await;
    let store = database.store(1);
    store.note_alias("!one:example.test", "!two:example.test", now()).await.unwrap();
    store.note_alias("!two:example.test", "!one:example.test", now()).await.unwrap();
    for room in ["!one:example.test", "!two:example.test"] {
        let leading = store.references_to(room).await.unwrap();
        let mut followed = Vec::new();
        for reference in ["!one:example.test", "!two:example.test"] {
            if store.room_of(reference).await.unwrap() == room {
                followed.push(reference);
            }
        }
        assert_eq!(leading, followed);
    }
}
