//! Several processes migrate the schema: one does it, the others wait for it, visibly and not for ever.

use crate::database::TestDatabase;
use matrixbot::store::{Limits, Store, StoreError};
use secrecy::SecretString;
use sqlx::{Connection as _, Executor as _, PgConnection};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What the lock of a process that migrates looks like.
const LOCK: &str = "BEGIN; SELECT pg_advisory_xact_lock(hashtext('matrixbot migrate'))";

/// The log lines of this thread.
#[derive(Debug, Clone, Default)]
struct Logged(Arc<Mutex<Vec<u8>>>);

impl io::Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Logged {
    fn start(&self) -> tracing::subscriber::DefaultGuard {
        let own = self.clone();
        tracing::subscriber::set_default(tracing_subscriber::fmt().with_writer(move || own.clone()).finish())
    }

    fn count(&self, text: &str) -> usize {
        String::from_utf8_lossy(&self.0.lock().unwrap()).matches(text).count()
    }
}

fn patient_for(database: &TestDatabase, migration: Duration) -> Store {
    Store::with_limits(&SecretString::from(database.url()), 2, Limits { migration, ..Limits::default() })
        .unwrap()
}

async fn locked(database: &TestDatabase) -> PgConnection {
    let mut holder = database.connect().await;
    holder.execute(LOCK).await.unwrap();
    holder
}

#[tokio::test]
async fn processes_that_start_at_once_on_an_empty_database_migrate_it_once() {
    let database = TestDatabase::create_empty().await;
    let stores: Vec<_> = (0..6).map(|_| database.store(2)).collect();
    assert!(stores[0].missing_migrations().await.unwrap() > 0);
    let starts = stores.iter().map(Store::migrate);
    for started in futures_util::future::join_all(starts).await {
        started.unwrap();
    }
    stores[0].migrate().await.unwrap();
    assert_eq!(stores[0].missing_migrations().await.unwrap(), 0);
}

#[tokio::test]
async fn a_start_with_nothing_to_migrate_waits_for_no_lock() {
    let database = TestDatabase::create().await;
    let mut other = database.connect().await;
    // As a connection behind a pooler could keep it.
    other.execute("SELECT pg_advisory_lock(hashtext('matrixbot migrate'))").await.unwrap();
    let store = database.store(2);
    let started = tokio::time::timeout(Duration::from_secs(5), store.migrate());
    started.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_start_waits_for_the_process_that_migrates_and_says_so_once() {
    let database = TestDatabase::create_empty().await;
    let logged = Logged::default();
    let _logging = logged.start();
    let mut holder = locked(&database).await;
    let store = patient_for(&database, Duration::from_mins(5));
    let (started, ()) = tokio::join!(store.migrate(), async {
        while logged.count("waiting for another process that migrates the schema") == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(store.missing_migrations().await.unwrap() > 0, "it changes nothing without the lock");
        holder.execute("ROLLBACK").await.unwrap();
    });
    started.unwrap();
    assert_eq!(store.missing_migrations().await.unwrap(), 0);
    assert_eq!(logged.count("waiting for another process"), 1);
}

#[tokio::test]
async fn a_start_waits_for_the_process_that_migrates_no_longer_than_its_limit() {
    let database = TestDatabase::create_empty().await;
    let holder = locked(&database).await;
    let store = patient_for(&database, Duration::from_millis(100));
    let begun = Instant::now();
    let failed = store.migrate().await;
    assert!(matches!(failed, Err(StoreError::MigrationLocked)), "{failed:?}");
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert!(store.missing_migrations().await.unwrap() > 0);
    holder.close().await.unwrap();
    store.migrate().await.unwrap();
    assert_eq!(store.missing_migrations().await.unwrap(), 0);
}
