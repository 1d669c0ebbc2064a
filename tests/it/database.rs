//! A database for one test, created from a template with the schema.

use matrixbot::store::Store;
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use sqlx::{Connection, Executor, PgConnection};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// The variable with the server's URL. `scripts/test.sh` starts a server and sets it.
const VARIABLE: &str = "MATRIXBOT_TEST_DATABASE_URL";

static NEXT: AtomicU32 = AtomicU32::new(1);

/// A database that is dropped with its last clone. The database of a failed test stays, for debugging.
#[derive(Debug, Clone)]
pub(crate) struct TestDatabase {
    pub(crate) name: String,
    server: url::Url,
    _dropped: Arc<Dropped>,
}

#[derive(Debug)]
struct Dropped {
    name: String,
    server: url::Url,
}

impl Drop for Dropped {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let (server, name) = (self.server.clone(), self.name.clone());
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut connection = PgConnection::connect(server.as_str()).await.unwrap();
                let drop = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
                connection.execute(sqlx::AssertSqlSafe(drop)).await.unwrap();
            });
        });
        dropping.join().unwrap();
    }
}

impl TestDatabase {
    /// A fresh database with the schema.
    pub(crate) async fn create() -> Self {
        let server = server();
        let template = template(&server).await;
        Self::create_from(server, &template).await
    }

    /// A fresh database without the schema.
    pub(crate) async fn create_empty() -> Self {
        Self::create_from(server(), "template1").await
    }

    /// A fresh database from a dump of `pg_dump`.
    pub(crate) async fn create_from_dump(dump: &'static str) -> Self {
        let database = Self::create_empty().await;
        database.connect().await.execute(sqlx::raw_sql(dump)).await.unwrap();
        database
    }

    async fn create_from(server: url::Url, template: &str) -> Self {
        // Process ids repeat, and failed tests leave their databases behind.
        let run: u32 = rand::random();
        let name = format!("it_{}_{run:08x}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let mut connection = PgConnection::connect(server.as_str()).await.unwrap();
        let create = format!("CREATE DATABASE {name} TEMPLATE {template}");
        connection.execute(sqlx::AssertSqlSafe(create)).await.unwrap();
        Self { name: name.clone(), server: server.clone(), _dropped: Arc::new(Dropped { name, server }) }
    }

    /// A store on it.
    pub(crate) fn store(&self, connections: u32) -> Store {
        Store::new(&SecretString::from(self.url()), connections).unwrap()
    }

    /// Its URL.
    pub(crate) fn url(&self) -> String {
        let mut url = self.server.clone();
        url.set_path(&self.name);
        url.to_string()
    }

    /// A connection for reading stored rows.
    pub(crate) async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.url()).await.unwrap()
    }

    /// Makes the database unavailable: ends every connection and rejects new ones.
    pub(crate) async fn down(&self) {
        let mut connection = PgConnection::connect(self.server.as_str()).await.unwrap();
        let refuse = format!("ALTER DATABASE {} ALLOW_CONNECTIONS false", self.name);
        connection.execute(sqlx::AssertSqlSafe(refuse)).await.unwrap();
        sqlx::query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1")
            .bind(&self.name)
            .execute(&mut connection)
            .await
            .unwrap();
    }

    /// Makes the database available again.
    pub(crate) async fn up(&self) {
        let mut connection = PgConnection::connect(self.server.as_str()).await.unwrap();
        let allow = format!("ALTER DATABASE {} ALLOW_CONNECTIONS true", self.name);
        connection.execute(sqlx::AssertSqlSafe(allow)).await.unwrap();
    }
}

fn server() -> url::Url {
    match std::env::var(VARIABLE) {
        Ok(url) => url.parse().unwrap(),
        Err(error) => panic!("{VARIABLE}: {error}; run these tests by `./scripts/test.sh it NAME`"),
    }
}

/// The name of the template. One process creates it for each server and schema, and all use it.
async fn template(server: &url::Url) -> String {
    let name = format!("it_template_{}", schema());
    let mut connection = PgConnection::connect(server.as_str()).await.unwrap();
    // Only one process at a time creates it; the lock ends with the connection.
    connection.execute("SELECT pg_advisory_lock(hashtext('it_template'))").await.unwrap();
    let there: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1)")
        .bind(&name)
        .fetch_one(&mut connection)
        .await
        .unwrap();
    if !there {
        let draft = format!("{name}_draft");
        for command in [format!("DROP DATABASE IF EXISTS {draft}"), format!("CREATE DATABASE {draft}")] {
            connection.execute(sqlx::AssertSqlSafe(command)).await.unwrap();
        }
        let mut url = server.clone();
        url.set_path(&draft);
        let store = Store::new(&SecretString::from(url.to_string()), 1).unwrap();
        store.migrate().await.unwrap();
        store.close().await;
        let rename = format!("ALTER DATABASE {draft} RENAME TO {name}");
        connection.execute(sqlx::AssertSqlSafe(rename)).await.unwrap();
    }
    name
}

/// Identifies the schema: the digest of the migrations.
fn schema() -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let mut digest = Sha256::new();
    for file in files {
        digest.update(std::fs::read(file).unwrap());
    }
    let mut name = format!("{:x}", digest.finalize());
    name.truncate(16);
    name
}
