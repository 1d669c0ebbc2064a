//! The registration file, which the homeserver reads too. `cli::registration` writes it; here it is read as strictly as
//! the homeserver reads it. Its other keys are for the homeserver alone.

use super::Problem;
use super::read::Reader;
use super::shape::REGISTRATION;
use super::types::yes;
use regex::Regex;
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use std::path::{Path, PathBuf};
use url::{Host, Url};

/// What the homeserver and matrixbot have agreed on.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct Registration {
    /// The name of matrixbot at the homeserver.
    pub id: String,
    /// The token that matrixbot sends.
    #[schemars(with = "String", extend("format" = "text (token)"))]
    pub as_token: SecretString,
    /// The token that the homeserver sends.
    #[schemars(with = "String", extend("format" = "text (token)"))]
    pub hs_token: SecretString,
    /// The localpart of matrixbot's own account, which never posts.
    #[schemars(extend("format" = "localpart (sender)"))]
    pub sender_localpart: String,
    /// The URL that the homeserver calls; it sends nothing if this is `null`.
    #[schemars(with = "Option<String>", extend("format" = "URL (application service)"))]
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
    #[schemars(extend("format" = "regular expression"))]
    pub regex: String,
}

/// Reads the registration that a configuration names, with its problems and warnings.
pub(super) fn of(reader: &mut Reader<'_>, file: PathBuf) -> Json {
    let registration = read_registration(&file).unwrap_or_else(|problems| {
        reader.problems.extend(problems);
        Json::Null
    });
    if registration.get("rate_limited") != Some(&Json::Bool(false)) {
        let message =
            "is not false: the homeserver may delay pages when there are many. Set it there and here.";
        reader.warnings.push(Problem::of_file(&file, "rate_limited", message));
    }
    reader.secret_files.insert(file);
    registration
}

/// Reads a registration as its type, or as the JSON of its type. `Err`: its problems.
pub fn read_registration<T: DeserializeOwned>(file: &Path) -> Result<T, Vec<Problem>> {
    // The homeserver reads the same file, and without the environment.
    let mut reader = Reader::new(file, None);
    let value = reader.parse().and_then(|root| reader.value(&REGISTRATION, &root, ""));
    if let Some(value) = &value
        && value["as_token"].is_string()
        && value["as_token"] == value["hs_token"]
    {
        reader.note("hs_token", "must differ from as_token");
    }
    if value.as_ref().is_some_and(|value| value["url"].is_null()) && reader.problems.is_empty() {
        reader.note(
            "url",
            "is null: the homeserver would push no events, so that no command and no reaction counts",
        );
    }
    reader.finish(value)
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
    if url.path().contains("/_matrix") {
        return Err("must end before `/_matrix`, which the homeserver adds".to_owned());
    }
    let listens_everywhere = match url.host() {
        Some(Host::Ipv4(address)) => address.is_unspecified(),
        Some(Host::Ipv6(address)) => address.is_unspecified(),
        Some(Host::Domain(_)) | None => false,
    };
    if listens_everywhere {
        return Err(
            "must be an address that the homeserver can call; that one is only for listening".to_owned()
        );
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
        let namespaces = self.user_namespaces().into_iter();
        let mut parts = namespaces
            .flat_map(|regex| regex.match_indices(':').filter_map(move |(colon, _)| regex.get(..colon)));
        parts.any(|part| Regex::new(&format!("^(?:{part})$")).is_ok_and(|part| part.is_match(&user)))
    }
}
