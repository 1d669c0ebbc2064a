//! `GET /api/v2/status`.

use super::error::ApiError;
use super::peer::{Answer, Peer};
use jiff::Timestamp;
use serde::Deserialize;
use std::collections::BTreeSet;

/// The status of one process of Alertmanager.
#[derive(Clone, PartialEq, Eq)]
pub struct Status {
    /// Its release.
    pub version: String,
    /// When it started, by its own clock.
    pub started_at: Option<Timestamp>,
    /// Its clock, with a precision of one second.
    pub clock: Option<Timestamp>,
    /// State of its cluster: `ready`, `settling` or `disabled`.
    pub cluster: String,
    /// What the cluster calls this process, another name after each start; `None` without a cluster.
    pub name: Option<String>,
    /// Size of the cluster, with itself.
    pub peers: usize,
    /// What the cluster calls each of its processes, as far as this one knows.
    pub members: BTreeSet<String>,
    /// Its configuration in YAML, with `<secret>` in place of most secrets, if the status has it. Up to 0.25 the URLs of
    /// webhooks are not hidden: never log it.
    pub configuration: Option<String>,
}

impl std::fmt::Debug for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Status")
            .field("version", &self.version)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Status {
    pub(super) async fn read(peer: &Peer) -> Result<Self, ApiError> {
        let Answer { body, clock } = peer.get("/api/v2/status").await?;
        let read: Body = serde_json::from_slice(&body).map_err(ApiError::Unreadable)?;
        let members = read.cluster.peers.unwrap_or_default();
        Ok(Self {
            version: read.version.version,
            started_at: read.uptime,
            clock,
            cluster: read.cluster.status,
            name: read.cluster.name.filter(|name| !name.is_empty()),
            peers: members.len().max(1),
            members: members.into_iter().filter_map(|member| member.name).collect(),
            configuration: read.config.and_then(|config| config.original),
        })
    }

    /// Whether both are in one cluster, and so share silences and notify once.
    pub fn is_clustered_with(&self, other: &Self) -> bool {
        let knows =
            |one: &Self, other: &Self| other.name.as_ref().is_some_and(|name| one.members.contains(name));
        knows(self, other) && knows(other, self)
    }
}

#[derive(Deserialize)]
struct Body {
    cluster: Cluster,
    #[serde(rename = "versionInfo")]
    version: VersionInfo,
    uptime: Option<Timestamp>,
    config: Option<Configuration>,
}

#[derive(Deserialize)]
struct Configuration {
    original: Option<String>,
}

#[derive(Deserialize)]
struct Cluster {
    status: String,
    name: Option<String>,
    peers: Option<Vec<Member>>,
}

#[derive(Deserialize)]
struct Member {
    name: Option<String>,
}

#[derive(Deserialize)]
struct VersionInfo {
    version: String,
}
