//! A database for one test: an empty one that an earlier test has returned, or a copy of a template with the schema.

use matrixbot::store::Store;
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use sqlx::postgres::PgPoolOptions;
use sqlx::{Connection, Executor, PgConnection, PgPool};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// The variable with the server's URL. `scripts/test.sh` starts a server and sets it.
const VARIABLE: &str = "MATRIXBOT_TEST_DATABASE_URL";

/// The rows that migrations insert.
const SEEDS: &str = "INSERT INTO engine_version (version) VALUES (1); INSERT INTO total_lease DEFAULT VALUES";

/// The databases of a server: the template of each schema with a digest of its objects, and its copies that no test uses.
const BOOKS: &str = "CREATE TABLE IF NOT EXISTS it_template (schema text PRIMARY KEY, objects text NOT NULL);
    CREATE TABLE IF NOT EXISTS it_free (name text PRIMARY KEY, schema text NOT NULL)";

static NEXT: AtomicU32 = AtomicU32::new(1);

/// A database of one test. The database of a failed test stays, for debugging.
#[derive(Debug, Clone)]
pub(crate) struct TestDatabase {
    pub(crate) name: String,
    server: url::Url,
    reader: PgPool,
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
                let mut connection = PgConnection::connect(server.as_str()).await.unwrap();
                end_sessions(&mut connection, &name).await;
                if let Ok(true) = empty(&mut connection, &server, &name).await {
                    sqlx::query("INSERT INTO it_free (name, schema) VALUES ($1, $2)")
                        .bind(name)
                        .bind(schema())
                        .execute(&mut connection)
                        .await
                        .unwrap();
                } else {
                    let command = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
                    connection.execute(sqlx::AssertSqlSafe(command)).await.unwrap();
                }
            });
        });
        returning.join().unwrap();
    }
}

/// Ends the sessions of a database, and waits until they have gone. `pg_terminate_backend` with a limit would wait for
/// each of them in steps of 100 ms.
async fn end_sessions(connection: &mut PgConnection, database: &str) {
    loop {
        let sessions: i64 = sqlx::query_scalar(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = $1",
        )
        .bind(database)
        .fetch_one(&mut *connection)
        .await
        .unwrap();
        if sessions == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Empties a database that has exactly the schema, unless that takes longer than creating another one. Returns whether it
/// did.
async fn empty(books: &mut PgConnection, server: &url::Url, name: &str) -> Result<bool, sqlx::Error> {
    let expected: Option<String> = sqlx::query_scalar("SELECT objects FROM it_template WHERE schema = $1")
        .bind(schema())
        .fetch_optional(books)
        .await?;
    let mut url = server.clone();
    url.set_path(name);
    let mut connection = PgConnection::connect(url.as_str()).await?;
    let is_large: bool = sqlx::query_scalar("SELECT pg_database_size(current_database()) > 32 * 1024 * 1024")
        .fetch_one(&mut connection)
        .await?;
    if is_large || objects(&mut connection).await? != expected {
        connection.close().await?;
        return Ok(false);
    }
    // Truncating makes a file for each table and each index, which takes ten times as long.
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT quote_ident(relname) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
             AND relname <> '_sqlx_migrations' AND pg_relation_size(oid) > 0",
    )
    .fetch_all(&mut connection)
    .await?;
    let mut commands = "SET session_replication_role = replica;".to_owned();
    for table in &tables {
        write!(commands, "DELETE FROM {table};").unwrap();
    }
    write!(
        commands,
        "RESET session_replication_role; SELECT setval(seqrelid, seqstart, false) FROM pg_sequence; {SEEDS};
         ALTER DATABASE {name} RESET ALL"
    )
    .unwrap();
    connection.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(commands))).await?;
    // The next test's rows have the places that they would have in a new database.
    let vacuum = format!("VACUUM {}", tables.join(", "));
    connection.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(vacuum))).await?;
    connection.close().await?;
    Ok(true)
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
        let mut connection = PgConnection::connect(server.as_str()).await.unwrap();
        let template = template(&mut connection, &server).await;
        // One that an earlier test has returned.
        let ready: Option<String> = sqlx::query_scalar(
            "DELETE FROM it_free WHERE name =
                 (SELECT name FROM it_free WHERE schema = $1 LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING name",
        )
        .bind(schema())
        .fetch_optional(&mut connection)
        .await
        .unwrap();
        match ready {
            Some(name) => Self::named(server, name),
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

    fn named(server: url::Url, name: String) -> Self {
        let mut url = server.clone();
        url.set_path(&name);
        let one = PgPoolOptions::new().max_connections(1).idle_timeout(None).max_lifetime(None);
        Self {
            name: name.clone(),
            server: server.clone(),
            reader: one.connect_lazy(url.as_str()).unwrap(),
            _returned: Arc::new(Returned { name, server }),
        }
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

    /// The connection that reads stored rows.
    pub(crate) fn reader(&self) -> &PgPool {
        &self.reader
    }

    /// A connection of its own.
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
async fn template(connection: &mut PgConnection, server: &url::Url) -> String {
    let name = template_name();
    // Only one process at a time creates it.
    connection.execute("SELECT pg_advisory_lock(hashtext('it_template'))").await.unwrap();
    connection.execute(sqlx::raw_sql(BOOKS)).await.unwrap();
    let there: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM it_template WHERE schema = $1)")
        .bind(schema())
        .fetch_one(&mut *connection)
        .await
        .unwrap();
    if !there {
        for command in [format!("DROP DATABASE IF EXISTS {name}"), format!("CREATE DATABASE {name}")] {
            connection.execute(sqlx::AssertSqlSafe(command)).await.unwrap();
        }
        let mut url = server.clone();
        url.set_path(&name);
        let store = Store::new(&SecretString::from(url.to_string()), 1).unwrap();
        store.migrate().await.unwrap();
        store.close().await;
        let mut of_template = PgConnection::connect(url.as_str()).await.unwrap();
        let objects = objects(&mut of_template).await.unwrap();
        of_template.close().await.unwrap();
        sqlx::query("INSERT INTO it_template (schema, objects) VALUES ($1, $2)")
            .bind(schema())
            .bind(objects)
            .execute(&mut *connection)
            .await
            .unwrap();
    }
    connection.execute("SELECT pg_advisory_unlock(hashtext('it_template'))").await.unwrap();
    name
}

fn template_name() -> String {
    format!("it_template_{}", schema())
}

/// Identifies the schema: the digest of the migrations.
fn schema() -> &'static str {
    static SCHEMA: LazyLock<String> = LazyLock::new(|| {
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
    });
    &SCHEMA
}
