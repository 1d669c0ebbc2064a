//! The forms of text in a configuration: what each looks like, and how it is parsed.

use super::read::Reader;
use crate::domain::command::Verb;
use crate::domain::policy::Mention;
use crate::domain::reaction;
use crate::domain::webhook::PREDECESSORS_PATHS;
use regex::Regex;
use ruma::{OwnedMxcUri, OwnedRoomOrAliasId, OwnedServerName, OwnedUserId};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::Serialize;
use serde_json::{Value as Json, json};
use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::OnceLock;
use url::Url;

/// Parses the text at a path into the JSON that its type deserializes. The error names what would be valid.
type Parse = fn(&mut Reader<'_>, &str, &str) -> Result<Json, String>;

/// A form of text.
#[derive(Debug)]
pub(super) struct Form {
    id: &'static str,
    /// Its name in documents.
    pub(super) name: &'static str,
    /// A regular expression in the dialect that Rust and JSON Schema share; empty: anything.
    pub(super) pattern: &'static str,
    /// What is valid: "must …" or "may …".
    pub(super) expected: &'static str,
    pub(super) parse: Parse,
    compiled: OnceLock<Option<Regex>>,
}

impl Form {
    const fn new(
        id: &'static str,
        name: &'static str,
        pattern: &'static str,
        expected: &'static str,
        parse: Parse,
    ) -> Self {
        Self { id, name, pattern, expected, parse, compiled: OnceLock::new() }
    }

    /// Whether the pattern matches.
    pub(super) fn matches(&self, text: &str) -> bool {
        let compiled = self.compiled.get_or_init(|| Regex::new(self.pattern).ok());
        compiled.as_ref().is_some_and(|pattern| pattern.is_match(text))
    }
}

const HTTP: &str = "^[Hh][Tt][Tt][Pp][Ss]?://.";
const HTTP_EXPECTED: &str = "must begin with http:// or https://";
const USER: &str = "must be a user (\"@name:server\")";

static FORMS: [Form; 25] = [
    Form::new("text", "text", "", "must be text", |_, _, text| Ok(json!(text))),
    Form::new(
        "localpart",
        "localpart",
        "^[a-z0-9._=/+-]+$",
        "may hold only the characters of Matrix user ids: a-z, 0-9 and `._=-/+`",
        |_, _, text| Ok(json!(text)),
    ),
    Form::new("homeserver-url", "URL", HTTP, HTTP_EXPECTED, |_, _, text| base_url(text, "/_matrix")),
    Form::new("alertmanager-url", "URL", HTTP, HTTP_EXPECTED, |_, _, text| base_url(text, "/api/v2")),
    Form::new("appservice-url", "URL", "", "", |_, _, text| {
        super::appservice_address(text).map(|url| json!(url))
    }),
    Form::new(
        "server-name",
        "server name",
        r"^\S+$",
        "must be a server name such as example.org",
        |_, _, text| typed::<OwnedServerName>(text, "must be a server name such as example.org"),
    ),
    Form::new("address", "ADDRESS:PORT", ":[0-9]{1,5}$", ADDRESS, |_, _, text| {
        typed::<SocketAddr>(&text.replacen("localhost:", "127.0.0.1:", 1), ADDRESS)
            .map_err(|_why| format!("{ADDRESS}, not `{text}`"))
    }),
    Form::new("file", "file", "", "", |reader, _, text| reader.file(text).map(|(path, _)| json!(path))),
    Form::new("secret-file", "file", "", "", |reader, _, text| {
        let (path, _) = reader.file(text)?;
        reader.add_secret_file(path.clone());
        Ok(json!(path))
    }),
    Form::new("certificate", "file", "", "", |reader, _, text| {
        let (path, content) = reader.file(text)?;
        match CertificateDer::pem_slice_iter(&content).next() {
            Some(Ok(_)) => Ok(json!(path)),
            _ => Err(format!("{} holds no certificate in PEM", path.display())),
        }
    }),
    Form::new("private-key", "file", "", "", |reader, _, text| {
        let (path, content) = reader.file(text)?;
        let invalid = |_why| format!("{} holds no private key in PEM", path.display());
        PrivateKeyDer::from_pem_slice(&content).map_err(invalid)?;
        reader.add_secret_file(path.clone());
        Ok(json!(path))
    }),
    Form::new("database-url", "text", "", "", |_, _, text| {
        for_the_driver(text).map(|url| json!(url)).map_err(str::to_owned)
    }),
    // Clients cannot send any other token, so matrixbot would reject every alert.
    Form::new("webhook-token", "text", "", "", |_, _, text| {
        if text.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(json!(text))
        } else {
            Err(NO_BEARER.to_owned())
        }
    }),
    // The name is a segment of the webhook's path, so it cannot be `.` or `..`.
    Form::new(
        "name",
        "name",
        r"^\.*[a-z0-9_=-][a-z0-9._=-]*$",
        "may hold only a-z, 0-9, `.`, `_`, `=` and `-`, and not only dots",
        |_, _, text| Ok(json!(text)),
    ),
    Form::new("mxc", "mxc:// URI", "^mxc://.", "must be an mxc:// URI", |_, _, text| {
        let invalid = |error| format!("must be an mxc:// URI, not `{text}`: {error}");
        OwnedMxcUri::from(text).validate().map_err(invalid).map(|()| json!(text))
    }),
    Form::new("room", "room", "^[!#].", ROOM, |_, _, text| typed::<OwnedRoomOrAliasId>(text, ROOM)),
    Form::new("mention", "user or \"@room\"", "^@.", MENTION, |_, _, text| {
        let user = |user| json!(Mention::User(user));
        if text == "@room" { Ok(json!(Mention::Room)) } else { parsed(text, MENTION).map(user) }
    }),
    Form::new("user", "user", "^@.", USER, |_, _, text| typed::<OwnedUserId>(text, USER)),
    Form::new("severity", "severity", "", "must be a severity", |_, _, text| Ok(json!(text))),
    Form::new("ack-reaction", "text", "", "", |_, _, text| match reaction::verb(text) {
        Some(Verb::Acknowledge) | None => Ok(json!(text)),
        Some(other) => Err(format!("`{text}` {}s, so it cannot acknowledge", other.word())),
    }),
    Form::new(
        "template-name",
        "message",
        "^(page|edit|thread|fallback|reminder)_(text|html)$",
        "must be page, edit, thread, fallback or reminder, with _text or _html",
        |_, _, text| Ok(json!(text)),
    ),
    Form::new("template", "text", "", "", |reader, path, text| {
        let name = path.rsplit('.').next().unwrap_or_default();
        reader.check_template(name, text).map(|()| json!(text))
    }),
    Form::new(
        "predecessor-path",
        "path of a predecessor",
        PREDECESSORS_PATHS,
        "must be a predecessor's path: /webhook-ack, /skill/<name>/webhook or /skill/<name>/webhook-ack",
        |_, _, text| Ok(json!(text)),
    ),
    Form::new("token", "text", "", "", |_, _, text| {
        let known = ["REPLACE_WITH_A_RANDOM_TOKEN", "REPLACE_WITH_ANOTHER_ONE", "AS_TOKEN", "HS_TOKEN"];
        if known.contains(&text) {
            let remedy = "`matrixbot registration` writes a registration with random tokens";
            return Err(format!("is still `{text}`, which is public: {remedy}"));
        }
        Ok(json!(text))
    }),
    Form::new("user-pattern", "regular expression", "", "", |_, _, text| {
        let invalid = |error| format!("is not a regular expression: {error}");
        super::registration::anchored(text).map_err(invalid).map(|_| json!(text))
    }),
];

const ADDRESS: &str = "must be ADDRESS:PORT such as 127.0.0.1:9010 or [::]:9010";
const ROOM: &str = "must be a room id (!…) or an alias (#name:server)";
const MENTION: &str = "must be a user (\"@name:server\") or \"@room\"";
const NO_BEARER: &str = "may hold only ASCII letters, digits and punctuation, no spaces: nothing else can be sent as a Bearer token";

/// The form with this id, or plain text.
pub(super) fn named(id: &str) -> &'static Form {
    let [text, ..] = &FORMS;
    FORMS.iter().find(|form| form.id == id).unwrap_or(text)
}

fn parsed<T: std::str::FromStr<Err: Display>>(text: &str, expected: &str) -> Result<T, String> {
    text.parse().map_err(|error| format!("{expected}, not `{text}`: {error}"))
}

fn typed<T: std::str::FromStr<Err: Display> + Serialize>(text: &str, expected: &str) -> Result<Json, String> {
    parsed::<T>(text, expected).map(|value| json!(value))
}

/// A URL without a slash at its end. matrixbot appends paths that begin with `ours`.
fn base_url(text: &str, ours: &str) -> Result<Json, String> {
    let mut url: Url = parsed(text, HTTP_EXPECTED)?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold a user or a password: messages show the URL".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("must not have a query (`?…`) or a fragment (`#…`)".to_owned());
    }
    if let Some((before, _)) = url.path().split_once(ours) {
        let mut valid = url.clone();
        valid.set_path(before);
        return Err(format!(
            "must end before {ours}, which is put after it: `{}`",
            valid.as_str().trim_end_matches('/')
        ));
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok(json!(url))
}

/// The database URL for the driver. libpq allows a user without a host (`postgres://matrixbot@/matrixbot`: the local
/// socket), which other parsers reject: the user moves into the query. The error never contains the URL, which may
/// have a password.
fn for_the_driver(url: &str) -> Result<String, &'static str> {
    const EXPECTED: &str = "must be a URL such as postgres://matrixbot@localhost/matrixbot";
    let (scheme, rest) = url.split_once("://").ok_or(EXPECTED)?;
    if !matches!(scheme, "postgres" | "postgresql") {
        return Err(EXPECTED);
    }
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at_checked(end).ok_or(EXPECTED)?;
    let url = match authority.strip_suffix('@') {
        None => url.to_owned(),
        Some(user) => {
            let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
            let (user, password) = user.split_once(':').unwrap_or((user, ""));
            let given =
                [("user", user), ("password", password)].into_iter().filter(|(_, value)| !value.is_empty());
            // A plus in a query is a space.
            let moved =
                given.map(|(key, value)| format!("{key}={}", value.replace('+', "%2B").replace('&', "%26")));
            let query =
                moved.chain((!query.is_empty()).then(|| query.to_owned())).collect::<Vec<_>>().join("&");
            format!("{scheme}://{path}?{query}")
        }
    };
    let parsed = Url::parse(&url).map_err(|_why| EXPECTED)?;
    parsed.query_pairs().try_for_each(|(key, value)| encryption(&key, &value))?;
    Ok(url)
}

/// The driver ignores unknown parameters, so a typo would disable encryption.
fn encryption(key: &str, value: &str) -> Result<(), &'static str> {
    const MODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];
    const FILES: [&str; 7] =
        ["sslrootcert", "ssl-root-cert", "ssl-ca", "sslcert", "ssl-cert", "sslkey", "ssl-key"];
    match key {
        "sslmode" | "ssl-mode" if MODES.contains(&value) => Ok(()),
        "sslmode" | "ssl-mode" => {
            Err("sslmode must be disable, allow, prefer, require, verify-ca or verify-full")
        }
        key if key.starts_with("ssl") && !FILES.contains(&key) => Err(
            "of the parameters that begin with ssl, only sslmode, sslrootcert, sslcert and sslkey are valid",
        ),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::for_the_driver;

    #[test]
    fn a_database_url_without_a_host_keeps_its_user() {
        for (given, expected) in [
            ("postgres://matrixbot@/matrixbot", "postgres:///matrixbot?user=matrixbot"),
            ("postgresql://a:b+c@/db?host=/run/pg", "postgresql:///db?user=a&password=b%2Bc&host=/run/pg"),
            ("postgres://a:b@localhost:5433/db?x=y", "postgres://a:b@localhost:5433/db?x=y"),
            ("postgres:///db", "postgres:///db"),
        ] {
            assert_eq!(for_the_driver(given).unwrap(), expected);
        }
    }

    #[test]
    fn a_typo_in_an_ssl_parameter_is_rejected() {
        for (query, accepted) in [
            ("sslmode=verify-full&sslrootcert=/etc/ca.pem", true),
            ("connect_timeout=3", true),
            ("sslmode=verify-ful", false),
            ("ssl_mode=require", false),
            ("sslmode=", false),
        ] {
            let read = for_the_driver(&format!("postgres://u@h/db?{query}"));
            assert_eq!(read.is_ok(), accepted, "{query}: {read:?}");
        }
    }

    #[test]
    fn another_url_is_rejected_without_repeating_it() {
        for url in ["mysql://u:secret@h/db", "secret", "postgres://u:secret@h:port/db"] {
            assert!(!for_the_driver(url).unwrap_err().contains("secret"));
        }
    }
}
