//! A database of a test's own, made from a template that has the schema.

use matrixbot::store::Store;
use secrecy::SecretString;
use sqlx::{Connection, Executor, PgConnection};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::sync::Mutex;

/// Where the server is: `scripts/test.sh` starts one and says so.
const VARIABLE: &str = "MATRIXBOT_TEST_DATABASE_URL";

static NEXT: AtomicU32 = AtomicU32::new(1);
static TEMPLATE: OnceLock<Mutex<Option<String>>> = OnceLock::new();

/// A database that is dropped when the next test run begins with a fresh server.
#[derive(Debug, Clone)]
pub(crate) struct TestDatabase {
    pub(crate) name: String,
    server: url::Url,
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

    async fn create_from(server: url::Url, template: &str) -> Self {
        let name = format!("it_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let mut connection = PgConnection::connect(server.as_str()).await.unwrap();
        let create = format!("CREATE DATABASE {name} TEMPLATE {template}");
        connection.execute(sqlx::AssertSqlSafe(create)).await.unwrap();
        Self { name, server }
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
    let Ok(url) = std::env::var(VARIABLE) else {
        panic!("{VARIABLE} is not set: run these tests by `./scripts/test.sh it NAME`");
    };
    url.parse().unwrap()
}

/// The name of the template, which is made once per process.
async fn template(server: &url::Url) -> String {
    let mut made = TEMPLATE.get_or_init(Mutex::default).lock().await;
    if let Some(name) = &*made {
        return name.clone();
    }
    let name = format!("it_{}_template", std::process::id());
    let mut connection = PgConnection::connect(server.as_str()).await.unwrap();
    connection.execute(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
    let mut url = server.clone();
    url.set_path(&name);
    let store = Store::new(&SecretString::from(url.to_string()), 1).unwrap();
    store.migrate().await.unwrap();
    store.close().await;
    *made = Some(name.clone());
    name
}
