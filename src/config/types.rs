//! The configuration: types whose doc comments and attributes are all there is to say about a key.
//!
//! `shape` makes a JSON Schema of them, for the reader and for the documents. A policy's keys are in `domain::policy`.
//! Attributes beside serde's: `format` names the form of a text (`forms`), also of items (`items`) and of the keys of a map
//! (`propertyNames`), `x-example` is its value in config.yaml.example, `x-hint` one that is commented out, `x-continued`
//! what follows the first item, `x-group` begins a group of keys, `x-secret` allows `<key>_file` and names such a file,
//! `x-short` is the key that stands for its table.

use super::Problem;
use super::on_call::OnCallConfig;
use super::registration::Registration;
use crate::domain::lists::FollowAliases;
use crate::domain::policy::{DigestRule, Policy};
use crate::domain::reaction;
use crate::domain::zone::Zone;
use ruma::{OwnedMxcUri, OwnedServerName};
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;
use url::Url;

/// The whole configuration, validated, with every default.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct Config {
    /// The homeserver of the rooms.
    pub homeserver: Homeserver,
    /// The file that `matrixbot registration --url http://127.0.0.1:9009 --server-name example.org --output
    /// registration.yaml` writes. The homeserver reads the same file. It has the tokens, the namespace of the virtual
    /// users, and matrixbot's own account, which never posts.
    #[schemars(with = "String", extend("format" = "file (registration)", "x-example" = "registration.yaml"))]
    pub registration: Registration,
    /// The prefix of the virtual users' localparts: the virtual user of the room list `finance` is
    /// `@_alerts_finance:example.org`. Must be in an exclusive user namespace of the registration.
    #[serde(default = "user_prefix")]
    #[schemars(extend("format" = "localpart"))]
    pub user_prefix: String,
    /// The Postgres database.
    pub database: Database,
    /// The listeners: `ADDRESS:PORT`, or `{address: ADDRESS:PORT, tls: {certificate: FILE, key: FILE}}`. Listeners may
    /// share an address if they have the same `tls`; `webhook` and `admin` had better not.
    #[serde(default)]
    pub listen: Listen,
    /// The Alertmanagers whose alerts matrixbot polls, in addition to their webhooks: some alerts end or fire again without
    /// a webhook, such as during and after a silence. `matrixbot doctor` compares their routes with `stale_after`.
    #[serde(default)]
    pub alertmanagers: Vec<AlertmanagerConfig>,
    /// At least one. A room list is a ladder of rooms with its own virtual user.
    #[schemars(length(min = 1))]
    pub room_lists: Vec<RoomListConfig>,
    /// Who is on call when. `mention` may have the name of a schedule instead of users: a page mentions those who are on call
    /// when it is sent.
    #[serde(default)]
    pub on_call: Vec<OnCallConfig>,
    /// The webhook paths of predecessors, each with its room list: `/webhook-ack`, `/skill/<name>/webhook` and
    /// `/skill/<name>/webhook-ack`. Others are not served. See docs/MIGRATION.md.
    #[serde(default)]
    #[schemars(extend("propertyNames" = {"format": "path of a predecessor"}, "x-example" = "/webhook-ack: finance\n\
        /skill/eventmanager-ack/webhook-ack: finance\n/skill/eventmanager/webhook: finance\n\
        /skill/alertmanager/webhook: finance"))]
    pub compatibility: BTreeMap<String, String>,
    /// How long history is kept; `none` keeps it forever.
    #[serde(default)]
    pub retention: Retention,
    /// A URL that matrixbot calls as long as its audit finds nothing and the homeserver answers, so that an outside service
    /// notices when it stops.
    #[schemars(extend("x-hint" = "{url_file: heartbeat-url, every: 1m}"))]
    pub own_heartbeat: Option<OwnHeartbeatConfig>,
    /// The files that nobody else should be able to read, with this one if it has a secret.
    #[serde(skip)]
    pub secret_files: BTreeSet<PathBuf>,
    /// Settings that are valid but probably a mistake.
    #[serde(skip)]
    pub warnings: Vec<Problem>,
}

pub(super) fn user_prefix() -> String {
    "_alerts_".to_owned()
}

/// Our own heartbeat.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct OwnHeartbeatConfig {
    /// matrixbot calls it with GET. Healthchecks.io, Uptime Kuma and others give each check a URL of its own; nobody else
    /// should know it.
    #[schemars(with = "String", extend("format" = "URL (heartbeat)", "x-secret" = "heartbeat-url"))]
    #[schemars(extend("x-example" = "https://hc-ping.com/5f0b1d5c"))]
    pub url: SecretString,
    /// How often. The outside service should wait for twice that long, and some.
    #[serde(default = "one_minute")]
    #[schemars(extend("format" = "time-to-answer"))]
    pub every: Duration,
}

fn one_minute() -> Duration {
    Duration::from_mins(1)
}

/// The homeserver.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct Homeserver {
    /// The URL of the homeserver's Client-Server API without `/_matrix`, such as `https://matrix.example.org` or
    /// `https://example.org/homeserver`; no query, no fragment.
    #[schemars(with = "String", extend("format" = "URL (homeserver)", "x-example" = "http://127.0.0.1:8008"))]
    pub url: Url,
    /// The server name in your user ids, after the colon.
    #[schemars(with = "String", extend("format" = "server name", "x-example" = "example.org"))]
    pub server_name: OwnedServerName,
}

/// The database.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct Database {
    /// A libpq URL. Without a host it means the local socket; what it lacks comes from `PGHOST`, `PGPORT`, `PGUSER`,
    /// `PGPASSWORD`, `PGDATABASE`, `PGSSLMODE` and `PGSSLROOTCERT`. Escape `#`, `/` and `?` in its password as %23, %2F and %3F. With `sslmode=verify-full`, `sslrootcert=…` is the
    /// CA, which must not be the server's own certificate.
    #[schemars(with = "String", extend("format" = "text (database URL)", "x-secret" = "database-url"))]
    #[schemars(extend("x-example" = "postgres://matrixbot@/matrixbot"))]
    pub url: SecretString,
    /// The maximum number of connections of one process.
    #[serde(default = "ten")]
    #[schemars(range(min = 2, max = 1000))]
    pub max_connections: u32,
    /// Whether `run` migrates the schema. If false, run `matrixbot migrate` first.
    #[serde(default = "yes")]
    pub migrate: bool,
}

fn ten() -> u32 {
    10
}

pub(super) fn yes() -> bool {
    true
}

/// The listeners.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Listen {
    /// For the homeserver. The `url` of the registration must lead here.
    pub appservice: Listener,
    /// For Alertmanager: `POST /webhook/<name of the room list>`.
    #[schemars(extend("x-example" = "address: 127.0.0.1:9010\n#tls: {certificate: tls.crt, key: tls.key}"))]
    pub webhook: Listener,
    /// For probes and metrics: `/livez`, `/readyz`, `/metrics`. Do not expose it.
    pub admin: Listener,
}

impl Default for Listen {
    fn default() -> Self {
        let at = |port| Listener { address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)), tls: None };
        Self { appservice: at(9009), webhook: at(9010), admin: at(9011) }
    }
}

/// One listener. Listeners with the same address have the same `tls`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-short" = "address"))]
pub struct Listener {
    /// The address and port to listen on.
    #[schemars(with = "String", extend("format" = "ADDRESS:PORT"))]
    pub address: SocketAddr,
    /// Enables TLS. Changed files are loaded automatically.
    pub tls: Option<TlsFiles>,
}

/// The files of a TLS server; readable and well-formed when the configuration was validated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TlsFiles {
    /// The certificate and its chain, in PEM.
    #[schemars(extend("format" = "file (certificate)"))]
    pub certificate: PathBuf,
    /// The private key, in PEM.
    #[schemars(extend("format" = "file (private key)"))]
    pub key: PathBuf,
}

/// An Alertmanager whose API matrixbot may call.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct AlertmanagerConfig {
    /// Its name in messages.
    #[schemars(extend("x-example" = "main"))]
    pub name: String,
    /// Required, or `urls`. The URL of its web page, with its path prefix (`--web.route-prefix`) if it has one, without
    /// `/api/v2`; no query, no fragment.
    #[schemars(with = "Option<String>", extend("format" = "URL (Alertmanager)", "x-either" = "urls"))]
    #[schemars(extend("x-example" = "http://127.0.0.1:9093"))]
    pub url: Option<Url>,
    /// Instead of `url`: the URLs of all peers of a high-availability cluster, at most 16. Sources of alerts must report to
    /// each of them. An alert counts as ended only if no peer lists it.
    #[serde(default)]
    #[schemars(with = "Vec<String>", length(min = 1), extend("items" = {"format": "URL (Alertmanager)"}))]
    #[schemars(extend("x-hint" = "[http://alertmanager-0:9093, http://alertmanager-1:9093]"))]
    pub urls: Vec<Url>,
    /// A Bearer token for it.
    #[schemars(with = "Option<String>", extend("x-secret" = "alertmanager-token"))]
    #[schemars(extend("x-example" = "${ALERTMANAGER_TOKEN:-s3cret}"))]
    pub bearer_token: Option<SecretString>,
    /// Or a user and password for it.
    #[schemars(extend("x-hint" = "{username: matrixbot, password_file: alertmanager-password}"))]
    pub basic_auth: Option<BasicAuth>,
    /// The CA of its certificate, in PEM, in addition to the CAs of the system.
    #[schemars(extend("format" = "file", "x-hint" = "ca.crt"))]
    pub ca: Option<PathBuf>,
}

impl AlertmanagerConfig {
    /// The URLs of its peers: `url`, or each of `urls`.
    pub fn peers(&self) -> impl Iterator<Item = &Url> {
        self.url.iter().chain(&self.urls)
    }
}

/// A user and password for HTTP Basic.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct BasicAuth {
    /// The user.
    pub username: String,
    /// The password.
    #[schemars(with = "String", extend("x-secret" = "alertmanager-password"))]
    pub password: SecretString,
}

/// One room list.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct RoomListConfig {
    /// Characters: a-z, 0-9, `.`, `_`, `=`, `-`; not only dots. It is part of the virtual user's name and of the webhook's
    /// path.
    #[schemars(extend("format" = "name", "x-example" = "finance"))]
    pub name: String,
    /// The virtual user's display name. Default: `<name> alerts`.
    #[serde(default)]
    #[schemars(extend("x-example" = "Finance alerts"))]
    pub display_name: String,
    /// The virtual user's avatar. Without one, a virtual user that has none gets a bell.
    #[schemars(with = "Option<String>", extend("format" = "mxc:// URI", "x-hint" = "mxc://example.org/abc"))]
    pub avatar: Option<OwnedMxcUri>,
    /// `POST /webhook` without a name finds the room list by Alertmanager's receiver: the name of the list, or one of
    /// these, which no other list may have. The label `room_list` of an alert also selects a list.
    #[serde(default)]
    #[schemars(extend("x-example" = "[finance-pager]"))]
    pub receivers: BTreeSet<String>,
    /// Alertmanager sends it as a Bearer token or as the password of HTTP Basic.
    #[schemars(with = "Option<String>", extend("format" = "text (webhook token)", "x-secret" = "finance-webhook-token"))]
    #[schemars(extend("x-unless" = "webhook_auth", "x-example" = "${FINANCE_WEBHOOK_TOKEN:-s3cret}"))]
    pub webhook_token: Option<SecretString>,
    /// `none` accepts webhooks from everybody who can reach the listener; `webhook_token` must then be absent.
    #[serde(default)]
    pub webhook_auth: WebhookAuth,
    /// The rules of the list.
    #[serde(flatten)]
    pub policy: Policy,
    /// The reactions that acknowledge. 💤, ⏫ and 🔇 cannot be used: they snooze, escalate and silence. matrixbot adds the first one
    /// to each page.
    #[serde(default = "ack_reactions")]
    #[schemars(length(min = 1), extend("x-group" = "In the room", "items" = {"format": "text (reaction)"}))]
    pub ack_reactions: Vec<String>,
    /// Whether matrixbot adds the first of `ack_reactions` to each page.
    #[serde(default = "yes")]
    pub place_reaction: bool,
    /// Whether pages follow an alias that moves to another room: `when_member` once the virtual user can post in the new room
    /// (until then they stay, and a notice in the old room asks for an invitation), `always` at once, or `never`. Room lists
    /// that have the same alias need the same value.
    #[serde(default)]
    pub follow_aliases: FollowAliases,
    /// When more pages than `above` are due in one room within the time `within`, one message shows all of them, and is edited
    /// as more come; `none` sends each page on its own. The storm ends when no page has come for `within`: each incident
    /// that is still open then gets a page of its own.
    #[serde(default = "digest")]
    #[schemars(extend("x-none" = true))]
    pub digest: Option<DigestRule>,
    /// The zone of times of day in messages, and in commands such as `snooze 42 until 09:00`: an IANA name.
    #[serde(default)]
    #[schemars(with = "String", extend("format" = "time zone", "x-example" = "Europe/Berlin"))]
    pub time_zone: Zone,
    /// Your own message templates, in Jinja: `page`, `edit`, `thread`, `fallback` or `reminder`, each with `_text` or
    /// `_html`. `matrixbot check` renders them with a sample incident. If one fails later, the built-in text is sent.
    #[serde(default)]
    #[schemars(extend("propertyNames" = {"format": "message"}))]
    #[schemars(extend("x-hint" = "{page_text: \"{{ title }}: {{ alerts[0].annotations.summary }}\"}"))]
    pub templates: BTreeMap<String, String>,
}

/// How a webhook is authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WebhookAuth {
    /// By `webhook_token`.
    #[default]
    Token,
    /// Not at all.
    None,
}

#[expect(clippy::unnecessary_wraps, reason = "the type of the key")]
fn digest() -> Option<DigestRule> {
    Some(DigestRule::default())
}

fn ack_reactions() -> Vec<String> {
    reaction::default_acks()
}

/// How long history is kept; `None`: forever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Retention {
    /// Closed incidents, with their timeline and messages.
    pub incidents: Option<Duration>,
    /// Events from the homeserver, and delivered messages.
    pub events: Option<Duration>,
}

impl Default for Retention {
    fn default() -> Self {
        let days = |days: u64| Some(Duration::from_hours(24_u64.saturating_mul(days)));
        Self { incidents: days(365), events: days(30) }
    }
}
