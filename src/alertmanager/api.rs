//! The part of Alertmanager's API v2 that matrixbot uses.

use reqwest::{Certificate, RequestBuilder};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use std::fmt;
use std::time::Duration;
use url::Url;

/// How long Alertmanager may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// One Alertmanager.
pub struct Alertmanager {
    http: reqwest::Client,
    url: Url,
    credentials: Credentials,
}

impl fmt::Debug for Alertmanager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alertmanager").field("url", &self.url.as_str()).finish_non_exhaustive()
    }
}

/// How matrixbot authenticates.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// Without credentials.
    None,
    /// HTTP Basic: a name and a password.
    Basic(String, SecretString),
    /// HTTP Bearer.
    Bearer(SecretString),
}

/// Why a request to Alertmanager failed.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The configured CA certificate is invalid, or the system has no CA certificates.
    #[error("cannot create the HTTP client")]
    Setup(#[source] reqwest::Error),
    /// It did not answer.
    #[error("it does not answer")]
    Unanswered(#[source] reqwest::Error),
    /// It rejected the credentials.
    #[error("it answered {0}: it rejects the credentials")]
    Unauthorized(u16),
    /// It answered another error.
    #[error("it answered {0}")]
    Refused(u16),
    /// It is not Alertmanager, or has another API version.
    #[error("its answer is not Alertmanager's")]
    Unreadable(#[source] serde_json::Error),
}

/// The status of an Alertmanager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Its release.
    pub version: String,
    /// State of its cluster: `ready`, `settling` or `disabled`.
    pub cluster: String,
    /// Size of the cluster, with itself.
    pub peers: usize,
    /// Its configuration in YAML, with `<secret>` in place of secrets, if the status has it.
    pub configuration: Option<String>,
}

impl Alertmanager {
    /// The Alertmanager at `url`. `ca`: CA certificates in PEM to trust in addition to the system's.
    pub fn new(url: &Url, credentials: Credentials, ca: Option<&[u8]>) -> Result<Self, ApiError> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("matrixbot/", env!("CARGO_PKG_VERSION")))
            .timeout(TIMEOUT);
        if let Some(ca) = ca {
            for authority in Certificate::from_pem_bundle(ca).map_err(ApiError::Setup)? {
                builder = builder.add_root_certificate(authority);
            }
        } else if url.scheme() == "http" {
            // Without TLS no certificates are needed, so their absence must not matter.
            builder = builder.tls_certs_only([]);
        }
        let http = builder.build().map_err(ApiError::Setup)?;
        Ok(Self { http, url: url.clone(), credentials })
    }

    /// Reads its status.
    pub async fn status(&self) -> Result<Status, ApiError> {
        #[derive(Deserialize)]
        struct Answer {
            cluster: Cluster,
            #[serde(rename = "versionInfo")]
            version: VersionInfo,
            #[serde(default)]
            config: Option<Configuration>,
        }
        #[derive(Deserialize)]
        struct Configuration {
            original: Option<String>,
        }
        #[derive(Deserialize)]
        struct Cluster {
            status: String,
            #[serde(default)]
            peers: Option<Vec<serde::de::IgnoredAny>>,
        }
        #[derive(Deserialize)]
        struct VersionInfo {
            version: String,
        }
        let body = self.get("/api/v2/status").await?;
        let answer: Answer = serde_json::from_str(&body).map_err(ApiError::Unreadable)?;
        Ok(Status {
            version: answer.version.version,
            cluster: answer.cluster.status,
            peers: answer.cluster.peers.map_or(1, |peers| peers.len().max(1)),
            configuration: answer.config.and_then(|config| config.original),
        })
    }

    async fn get(&self, path: &str) -> Result<String, ApiError> {
        let url = format!("{}{path}", self.url.as_str().trim_end_matches('/'));
        let unanswered = |error: reqwest::Error| ApiError::Unanswered(error.without_url());
        let answer = self.credentials.add_to(self.http.get(url)).send().await.map_err(unanswered)?;
        match answer.status().as_u16() {
            200 => answer.text().await.map_err(unanswered),
            code @ (401 | 403) => Err(ApiError::Unauthorized(code)),
            code => Err(ApiError::Refused(code)),
        }
    }
}

impl Credentials {
    fn add_to(&self, request: RequestBuilder) -> RequestBuilder {
        match self {
            Self::None => request,
            Self::Basic(name, password) => request.basic_auth(name, Some(password.expose_secret())),
            Self::Bearer(token) => request.bearer_auth(token.expose_secret()),
        }
    }
}
