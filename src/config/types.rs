//! The configuration as the program has it: every value checked, every default filled in.

use crate::domain::policy::Policy;
use secrecy::SecretString;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use url::Url;

/// Everything an operator decides.
#[derive(Debug, Clone)]
pub struct Config {
    /// The homeserver.
    pub homeserver: Homeserver,
    /// How the homeserver and we know each other.
    pub registration: Registration,
    /// What the localparts of the virtual users begin with.
    pub user_prefix: String,
    /// The database.
    pub database: Database,
    /// Where we listen.
    pub listen: Listen,
    /// The Alertmanagers whose own API we may use.
    pub alertmanagers: Vec<AlertmanagerConfig>,
    /// The room lists; never empty, each name once.
    pub room_lists: Vec<RoomListConfig>,
    /// Which room list a predecessor's path belongs to, by path.
    pub compatibility: BTreeMap<String, String>,
    /// How long history is kept.
    pub retention: Retention,
    /// The files that others must not read, this one among them if a secret is written in it.
    pub secret_files: Vec<PathBuf>,
    /// What can be used, and is hardly meant.
    pub warnings: Vec<super::Problem>,
}

/// The homeserver.
#[derive(Debug, Clone)]
pub struct Homeserver {
    /// Where its Client-Server API is, without a slash at the end.
    pub url: Url,
    /// The part after the colon in its user ids.
    pub server_name: ruma::OwnedServerName,
}

/// What the homeserver was told about us.
#[derive(Debug, Clone)]
pub struct Registration {
    /// Our name at the homeserver.
    pub id: String,
    /// What we show to the homeserver.
    pub as_token: SecretString,
    /// What the homeserver shows to us.
    pub hs_token: SecretString,
    /// The localpart of our own account, which never speaks in rooms.
    pub sender_localpart: String,
    /// Whether the homeserver was told to hold us back when we send much. It takes a missing key for that.
    pub rate_limited: bool,
    /// The exclusive user namespaces, as regular expressions on user ids.
    pub user_namespaces: Vec<String>,
}

/// The database.
#[derive(Debug, Clone)]
pub struct Database {
    /// Where it is, with its password.
    pub url: SecretString,
    /// How many connections we hold at most.
    pub max_connections: u32,
    /// Whether `run` brings the schema up to date.
    pub migrate: bool,
}

/// Where we listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// The homeserver calls this.
    pub appservice: Listener,
    /// Alertmanager calls this.
    pub webhook: Listener,
    /// Probes and metrics.
    pub admin: Listener,
}

/// One address. Listeners of the same address have the same `tls`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// The address.
    pub address: SocketAddr,
    /// What it shows, if it speaks TLS.
    pub tls: Option<TlsFiles>,
}

/// The files of a TLS server, both readable and well-formed when the configuration was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate and those that vouch for it, in PEM.
    pub certificate: PathBuf,
    /// Its private key, in PEM.
    pub key: PathBuf,
}

/// An Alertmanager whose own API we may use.
#[derive(Debug, Clone)]
pub struct AlertmanagerConfig {
    /// What it is called.
    pub name: String,
    /// Where it is, without a slash at the end.
    pub url: Url,
    /// What we show to it.
    pub auth: AlertmanagerAuth,
    /// Who vouches for its certificate, in PEM, besides the system's authorities.
    pub ca: Option<PathBuf>,
}

/// What we show to an Alertmanager.
#[derive(Debug, Clone)]
pub enum AlertmanagerAuth {
    /// Nothing.
    None,
    /// HTTP Basic.
    Basic {
        /// The user's name.
        username: String,
        /// The password.
        password: SecretString,
    },
    /// HTTP Bearer.
    Bearer(SecretString),
}

/// One room list.
#[derive(Debug, Clone)]
pub struct RoomListConfig {
    /// Its name: the end of its virtual user's localpart and of its webhook path.
    pub name: String,
    /// What rooms see its virtual user called.
    pub display_name: String,
    /// The picture of its virtual user: an `mxc://` URI.
    pub avatar: Option<ruma::OwnedMxcUri>,
    /// The receivers of Alertmanager that it is known by besides its name; no other list has one of them.
    pub receivers: BTreeSet<String>,
    /// What its webhook asks for; `None`: nothing, as the operator said in so many words.
    pub webhook_token: Option<SecretString>,
    /// Its rules.
    pub policy: Policy,
    /// The reactions that acknowledge. Never empty; the first is the one that the bot places.
    pub ack_reactions: Vec<String>,
    /// Whether the bot places the first of `ack_reactions` on each page.
    pub place_reaction: bool,
    /// The operator's own message templates, by name.
    pub templates: BTreeMap<String, String>,
}

/// How long history is kept; `None`: for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Closed incidents, with their timeline and messages.
    pub incidents: Option<Duration>,
    /// Events of the homeserver that were handled.
    pub events: Option<Duration>,
}
