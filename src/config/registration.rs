//! The registration file, which the homeserver also reads. `cli::registration` writes it. This parser is as strict as
//! the homeserver's, and ignores keys that only the homeserver uses.

use super::Problem;
use super::read::Reader;
use super::shape::{REGISTRATION, Shape};
use regex::Regex;
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::Value as Json;
use std::path::Path;
use url::Url;

/// The agreement between the homeserver and matrixbot.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct Registration {
    /// The name of matrixbot at the homeserver.
    pub id: String,
    /// The token that matrixbot sends.
    #[schemars(with = "String", extend("format" = "token"))]
    pub as_token: SecretString,
    /// The token that the homeserver sends.
    #[schemars(with = "String", extend("format" = "token"))]
    pub hs_token: SecretString,
    /// The localpart of matrixbot's own account, which never posts.
    pub sender_localpart: String,
    /// The URL that the homeserver calls; it sends nothing if this is `null`.
    #[schemars(with = "Option<String>", extend("format" = "appservice-url"))]
    pub url: Option<Url>,
    /// Whether the homeserver limits the rate of messages, which is its default.
    #[serde(default = "yes")]
    pub rate_limited: bool,
    /// The namespaces.
    pub namespaces: Namespaces,
}

/// The namespaces of a registration.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct Namespaces {
    /// The virtual users.
    pub users: Vec<Namespace>,
}

/// A namespace of users.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct Namespace {
    /// Whether nobody else may have such a user.
    pub exclusive: bool,
    /// A regular expression for user ids.
    #[schemars(extend("format" = "user-pattern"))]
    pub regex: String,
}

fn yes() -> bool {
    true
}

/// Reads a registration, or returns its problems.
pub fn read_registration(path: &Path) -> Result<Registration, Vec<Problem>> {
    let value = read(path)?;
    serde_json::from_value(value)
        .map_err(|error| vec![Problem::of_file(path, "", format!("cannot be used: {error}"))])
}

pub(super) fn read(path: &Path) -> Result<Json, Vec<Problem>> {
    // The homeserver reads the same file without the environment.
    let mut reader = Reader::new(path, None);
    let root = reader.parse();
    let shape = Shape::Table(REGISTRATION.clone());
    let value = root.and_then(|root| reader.value(&shape, &root, ""));
    let token = |key: &str| value.as_ref()?.get(key)?.as_str();
    if token("as_token").is_some() && token("as_token") == token("hs_token") {
        reader.note("hs_token", "must differ from as_token");
    }
    match (value, reader.finish()) {
        (Some(value), problems) if problems.is_empty() => Ok(value),
        (_, problems) => Err(problems),
    }
}

/// The address where a homeserver calls an application service; it appends `/_matrix/app/v1/…`.
pub fn appservice_address(text: &str) -> Result<Url, String> {
    const EXPECTED: &str = "must begin with http:// or https://, such as http://127.0.0.1:9009";
    let url = Url::parse(text).map_err(|_why| EXPECTED)?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(EXPECTED.to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("must not have a query (`?…`) or a fragment (`#…`)".to_owned());
    }
    Ok(url)
}

/// A namespace as Synapse reads it: anchored at the start only.
pub(super) fn anchored(regex: &str) -> Result<Regex, regex::Error> {
    Regex::new(&format!("^(?:{regex})"))
}

impl Registration {
    /// The exclusive user namespaces, as regular expressions for user ids.
    pub fn user_namespaces(&self) -> Vec<&str> {
        let exclusive = self.namespaces.users.iter().filter(|namespace| namespace.exclusive);
        exclusive.map(|namespace| namespace.regex.as_str()).collect()
    }

    /// Whether a user id is in an exclusive namespace.
    pub(super) fn covers(&self, localpart: &str, server_name: &str) -> bool {
        let user_id = format!("@{localpart}:{server_name}");
        self.user_namespaces()
            .into_iter()
            .any(|regex| anchored(regex).is_ok_and(|regex| regex.is_match(&user_id)))
    }

    /// Whether a user with this localpart would be in an exclusive namespace on another server: a namespace has the
    /// localpart before one of its colons.
    pub(super) fn covers_elsewhere(&self, localpart: &str) -> bool {
        let user = format!("@{localpart}");
        self.user_namespaces().into_iter().any(|regex| {
            let before = regex.match_indices(':').filter_map(|(colon, _)| regex.get(..colon));
            before
                .into_iter()
                .any(|part| Regex::new(&format!("^(?:{part})$")).is_ok_and(|part| part.is_match(&user)))
        })
    }

    /// Settings that are valid but probably a mistake.
    pub(super) fn warnings(&self, file: &Path) -> Vec<Problem> {
        const MESSAGE: &str =
            "is not false: the homeserver may delay pages when there are many. Set it there and here.";
        let limited = self.rate_limited.then(|| Problem::of_file(file, "rate_limited", MESSAGE));
        limited.into_iter().collect()
    }
}
