//! A database of a test's own, made from a template that has the schema.

use matrixbot::store::Store;
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use sqlx::{Connection, Executor, PgConnection};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Where the server is: `scripts/test.sh` starts one and says so.
const VARIABLE: &str = "MATRIXBOT_TEST_DATABASE_URL";

static NEXT: AtomicU32 = AtomicU32::new(1);

/// A database that is dropped with the last of its clones. That of a test that fails stays, to be looked at.
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

    /// A fresh database with what `pg_dump` wrote of another one.
    pub(crate) async fn create_from_dump(dump: &'static str) -> Self {
        let database = Self::create_empty().await;
        database.connect().await.execute(sqlx::raw_sql(dump)).await.unwrap();
        database
    }

    async fn create_from(server: url::Url, template: &str) -> Self {
        // Process ids come again, and failed tests leave their databases behind.
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

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        let mut url = self.server.clone();
        url.set_path(&self.name);
        url.to_string()
    }

    /// A connection for looking at what is stored.
    pub(crate) async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.url()).await.unwrap()
    }

    /// Refuses every connection, and ends those that there are: the database is away.
    pub(crate) async fn goes_away(&self) {
        let mut connection = PgConnection::connect(self.server.as_str()).await.unwrap();
        let refuse = format!("ALTER DATABASE {} ALLOW_CONNECTIONS false", self.name);
        connection.execute(sqlx::AssertSqlSafe(refuse)).await.unwrap();
        sqlx::query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1")
            .bind(&self.name)
            .execute(&mut connection)
            .await
            .unwrap();
    }

    /// The database is back.
    pub(crate) async fn comes_back(&self) {
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

/// The name of the template. It is made once per server and schema, and used by every process.
async fn template(server: &url::Url) -> String {
    let name = format!("it_template_{}", schema());
    let mut connection = PgConnection::connect(server.as_str()).await.unwrap();
    // One at a time makes it; the lock goes with the connection.
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

/// What tells one schema from another: the digest of the migrations.
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
