//! A database for one test: an empty one that an earlier test has returned, or a copy of a template with the schema.

use matrixbot::store::Store;
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use sqlx::{Connection, Executor, PgConnection};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// The variable with the server's URL. `scripts/test.sh` starts a server and sets it.
const VARIABLE: &str = "MATRIXBOT_TEST_DATABASE_URL";

/// The rows that migrations insert.
const SEEDS: &str = "INSERT INTO engine_version (version) VALUES (1); INSERT INTO total_lease DEFAULT VALUES";

static NEXT: AtomicU32 = AtomicU32::new(1);

/// A database of one test. The database of a failed test stays, for debugging.
#[derive(Debug, Clone)]
pub(crate) struct TestDatabase {
    pub(crate) name: String,
    server: url::Url,
    _returned: Arc<Returned>,
}

/// Returns the database when its last clone is dropped: emptied for the next test if it still has the schema, because
/// creating one takes ten times as long.
#[derive(Debug)]
struct Returned {
    name: String,
    server: url::Url,
}

impl Drop for Returned {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let (server, name) = (self.server.clone(), self.name.clone());
        let returning = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let emptied = empty(&server, &name).await;
                let mut connection = PgConnection::connect(server.as_str()).await.unwrap();
                let next = NEXT.fetch_add(1, Ordering::Relaxed);
                let command = match emptied {
                    Ok(true) => {
                        format!("ALTER DATABASE {name} RENAME TO {}{}_{next}", ready(), std::process::id())
                    }
                    Ok(false) | Err(_) => format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
                };
                connection.execute(sqlx::AssertSqlSafe(command)).await.unwrap();
            });
        });
        returning.join().unwrap();
    }
}

/// The beginning of the names of empty databases with the schema.
fn ready() -> String {
    format!("it_ready_{}_", schema())
}

/// Empties a database that has exactly the schema. Returns whether it has.
async fn empty(server: &url::Url, name: &str) -> Result<bool, sqlx::Error> {
    let mut url = server.clone();
    url.set_path(name);
    let mut connection = PgConnection::connect(url.as_str()).await?;
    sqlx::query("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()")
        .bind(name)
        .execute(&mut connection)
        .await?;
    let mut template = server.clone();
    template.set_path(&template_name());
    let mut of_template = PgConnection::connect(template.as_str()).await?;
    let same = objects(&mut connection).await? == objects(&mut of_template).await?;
    of_template.close().await?;
    if same {
        let tables: Vec<String> = sqlx::query_scalar(
            "SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public' AND tablename <> '_sqlx_migrations'",
        )
        .fetch_all(&mut connection)
        .await?;
        let tables = tables.join(", ");
        let command = format!("TRUNCATE {tables} RESTART IDENTITY; {SEEDS}; ALTER DATABASE {name} RESET ALL");
        connection.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(command))).await?;
    }
    connection.close().await?;
    Ok(same)
}

/// A digest of everything that a test may have changed of the schema, and of the migrations that made it.
async fn objects(connection: &mut PgConnection) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT md5(string_agg(object, ' ' ORDER BY object)) FROM (
             SELECT format('%s.%s', attrelid::regclass, attname) FROM pg_attribute WHERE attrelid::regclass::text IN
                 (SELECT tablename FROM pg_tables WHERE schemaname = 'public')
             UNION ALL SELECT conname::text FROM pg_constraint
             UNION ALL SELECT tgname::text FROM pg_trigger WHERE NOT tgisinternal
             UNION ALL SELECT proname::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace
             UNION ALL SELECT indexname::text FROM pg_indexes WHERE schemaname = 'public'
             UNION ALL SELECT format('%s %s %s', version, success, checksum) FROM _sqlx_migrations) AS every (object)",
    )
    .fetch_one(connection)
    .await
}

impl TestDatabase {
    /// A fresh database with the schema.
    pub(crate) async fn create() -> Self {
        let server = server();
        let template = template(&server).await;
        match Self::take_ready(&server).await {
            Some(database) => database,
            None => Self::create_from(server, &template).await,
        }
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
        let name = new_name();
        let mut connection = PgConnection::connect(server.as_str()).await.unwrap();
        let create = format!("CREATE DATABASE {name} TEMPLATE {template}");
        connection.execute(sqlx::AssertSqlSafe(create)).await.unwrap();
        Self::named(server, name)
    }

    /// An empty database that another test has returned.
    async fn take_ready(server: &url::Url) -> Option<Self> {
        let mut connection = PgConnection::connect(server.as_str()).await.unwrap();
        loop {
            let found: Option<String> = sqlx::query_scalar(
                "SELECT datname::text FROM pg_database WHERE starts_with(datname, $1) LIMIT 1",
            )
            .bind(ready())
            .fetch_optional(&mut connection)
            .await
            .unwrap();
            let (found, name) = (found?, new_name());
            let rename = format!("ALTER DATABASE {found} RENAME TO {name}");
            // Another process may have taken it.
            if connection.execute(sqlx::AssertSqlSafe(rename)).await.is_ok() {
                return Some(Self::named(server.clone(), name));
            }
        }
    }

    fn named(server: url::Url, name: String) -> Self {
        Self { name: name.clone(), server: server.clone(), _returned: Arc::new(Returned { name, server }) }
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

/// Process ids repeat, and failed tests leave their databases behind.
fn new_name() -> String {
    let run: u32 = rand::random();
    format!("it_{}_{run:08x}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

fn server() -> url::Url {
    match std::env::var(VARIABLE) {
        Ok(url) => url.parse().unwrap(),
        Err(error) => panic!("{VARIABLE}: {error}; run these tests by `./scripts/test.sh it NAME`"),
    }
}

/// The name of the template. One process creates it for each server and schema, and all use it.
async fn template(server: &url::Url) -> String {
    let name = template_name();
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

fn template_name() -> String {
    format!("it_template_{}", schema())
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
