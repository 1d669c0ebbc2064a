//! The forms of text in a configuration: what each looks like, and how it is parsed.

use super::read::Reader;
use super::registration;
use crate::domain::command::Verb;
use crate::domain::on_call::{HandOff, Window};
use crate::domain::policy::Mention;
use crate::domain::reaction;
use crate::domain::webhook::PREDECESSORS_PATHS;
use crate::domain::zone::Zone;
use jiff::civil::Date;
use regex::Regex;
use ruma::{OwnedMxcUri, OwnedRoomOrAliasId, OwnedServerName, OwnedUserId};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value as Json, json};
use std::fmt::Display;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::LazyLock;
use url::Url;

/// Parses text, the last argument, into what its type deserializes. The error has what is valid, which often begins with
/// what the form expects.
type Parse = fn(&mut Reader<'_>, &str, &str) -> Result<Json, String>;

/// A form of text.
#[derive(Debug)]
pub(super) struct Form {
    /// Its name. Documents have it without the words in parentheses.
    pub(super) name: &'static str,
    /// In the dialect that Rust and JSON Schema share. `None`: anything.
    pub(super) pattern: Option<Regex>,
    /// What the pattern expects: "must …" or "may …".
    pub(super) expected: &'static str,
    pub(super) parse: Parse,
}

impl Form {
    /// Whether the pattern matches.
    pub(super) fn matches(&self, text: &str) -> bool {
        self.pattern.as_ref().is_none_or(|pattern| pattern.is_match(text))
    }
}

/// Any text, as far as `parse` accepts it.
const fn any(name: &'static str, parse: Parse) -> Form {
    Form { name, pattern: None, expected: "", parse }
}

/// Text with a pattern.
fn like(name: &'static str, pattern: &str, expected: &'static str, parse: Parse) -> Form {
    Form { name, pattern: Regex::new(pattern).ok(), expected, parse }
}

const HTTP: &str = "^[Hh][Tt][Tt][Pp][Ss]?://.";
const HTTP_EXPECTED: &str = "must begin with http:// or https://";

/// The form of a text whose schema names none.
pub(super) static TEXT: Form = any("text", plain);

/// Every other form.
pub(super) static FORMS: LazyLock<Vec<Form>> = LazyLock::new(|| {
    vec![
        like(
            "localpart",
            "^[a-z0-9._=/+-]+$",
            "may hold only the characters of Matrix user ids: a-z, 0-9 and `._=-/+`",
            plain,
        ),
        // Synapse refuses what it would have to escape in a URL.
        like(
            "localpart (sender)",
            "^[A-Za-z0-9._~/-]+$",
            "must be a localpart, without `@` and server name, of a-z, 0-9 and `._-/`: Synapse refuses others",
            plain,
        ),
        like("URL (homeserver)", HTTP, HTTP_EXPECTED, |_, _, text| base_url(text, "/_matrix")),
        like("URL (Alertmanager)", HTTP, HTTP_EXPECTED, |_, _, text| base_url(text, "/api/v2")),
        // Its path is a secret: no message has it.
        any("URL (heartbeat)", |_, _, text| {
            let url = Url::parse(text)
                .ok()
                .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
            url.map(|_| json!(text)).ok_or_else(|| format!("{HTTP_EXPECTED}, with a host after it"))
        }),
        any("URL (application service)", |_, _, text| {
            registration::appservice_address(text).map(|url| json!(url))
        }),
        like("server name", r"^\S+$", "must be a server name such as example.org", typed::<OwnedServerName>),
        like(
            "ADDRESS:PORT",
            ":[0-9]{1,5}$",
            "must be ADDRESS:PORT such as 127.0.0.1:9010 or [::]:9010",
            |_, expected, text| {
                let address = text.replacen("localhost:", "127.0.0.1:", 1).parse::<SocketAddr>();
                address.map(|address| json!(address)).map_err(|_why| format!("{expected}, not `{text}`"))
            },
        ),
        any("file", |reader, _, text| reader.file(text).map(|(path, _)| json!(path))),
        any("file (registration)", |reader, _, text| {
            let read = reader.file(text);
            let hint = |problem: String| {
                if reader.beside(text).exists() {
                    return problem;
                }
                let command = format!("matrixbot registration --url URL --server-name NAME --output {text}");
                format!("{problem}; `{command}` writes it")
            };
            let (path, _) = read.map_err(hint)?;
            Ok(registration::of(reader, path))
        }),
        any("file (certificate)", |reader, _, text| {
            let (path, content) = reader.file(text)?;
            match CertificateDer::pem_slice_iter(&content).next() {
                Some(Ok(_)) => Ok(json!(path)),
                _ => Err(format!("{} holds no certificate in PEM", path.display())),
            }
        }),
        any("file (private key)", |reader, _, text| {
            let (path, content) = reader.file(text)?;
            let invalid = |_why| format!("{} holds no private key in PEM", path.display());
            PrivateKeyDer::from_pem_slice(&content).map_err(invalid)?;
            reader.secret_files.insert(path.clone());
            Ok(json!(path))
        }),
        any("text (database URL)", |_, _, text| {
            for_the_driver(text).map(|url| json!(url)).map_err(str::to_owned)
        }),
        // Any other token would be refused, and so would Alertmanager's alerts.
        any("text (webhook token)", |_, _, text| {
            let is_valid = text.bytes().all(|byte| byte.is_ascii_graphic());
            is_valid.then(|| json!(text)).ok_or_else(|| NO_BEARER.to_owned())
        }),
        // A segment of the webhook's path: in a URL, `.` and `..` are none.
        like(
            "name",
            r"^\.*[a-z0-9_=-][a-z0-9._=-]*$",
            "may hold only a-z, 0-9, `.`, `_`, `=` and `-`, and not only dots",
            plain,
        ),
        like("mxc:// URI", "^mxc://.", "must be an mxc:// URI", |_, expected, text| {
            let invalid = |error| format!("{expected}, not `{text}`: {error}");
            OwnedMxcUri::from(text).validate().map_err(invalid).map(|()| json!(text))
        }),
        like(
            "room",
            "^[!#].",
            "must be a room id (!…) or an alias (#name:server)",
            |form, expected, text| {
                if text.contains("?via=") || text.contains(char::is_whitespace) {
                    return Err(format!("{expected} alone, without spaces and `?via=…`"));
                }
                typed::<OwnedRoomOrAliasId>(form, expected, text)
            },
        ),
        like(
            "user or \"@room\"",
            "^@.",
            "must be a user (\"@name:server\") or \"@room\"",
            |_, expected, text| match text {
                "@room" => Ok(json!(Mention::Room)),
                user => parsed(expected, user).map(|user| json!(Mention::User(user))),
            },
        ),
        like(
            "user, schedule or \"@room\"",
            r"^(@.|\.*[a-z0-9_=-][a-z0-9._=-]*$)",
            "must be a user (\"@name:server\"), the name of a schedule or \"@room\"",
            |_, expected, text| match text {
                "@room" => Ok(json!(Mention::Room)),
                user if user.starts_with('@') => {
                    parsed(expected, user).map(|user| json!(Mention::User(user)))
                }
                schedule => Ok(json!(Mention::OnCall(schedule.to_owned()))),
            },
        ),
        like(
            "hand-off",
            "^([A-Za-z]+ +)?[0-9]{1,2}:[0-9]{2}$",
            "must be a day and a time such as Mon 09:00, or a time such as 09:00",
            typed::<HandOff>,
        ),
        like("date", "^[0-9]{4}-[0-9]{2}-[0-9]{2}$", "must be a date such as 2026-11-30", typed::<Date>),
        any("part of the week", |_, _, text| text.parse::<Window>().map(|_| json!(text))),
        any("mail address or name", plain),
        // The URL is a secret: no message repeats it.
        any("URL (calendar)", |_, _, text| calendar_url(text).map(|url| json!(url)).map_err(str::to_owned)),
        like("user", "^@.", "must be a user (\"@name:server\")", typed::<OwnedUserId>),
        any("severity", plain),
        any("time zone", |_, _, text| {
            text.parse::<Zone>().map(|zone| json!(zone)).map_err(|unknown| unknown.to_string())
        }),
        like(
            "time of day",
            "^([01][0-9]|2[0-3]):[0-5][0-9]$",
            "must be a time of day from 00:00 to 23:59, such as 09:00",
            plain,
        ),
        like("text (emoji)", r"^\S{1,16}$", "must be an emoji, at most 16 characters without spaces", plain),
        any("text (reaction)", |_, _, text| match reaction::verb(text) {
            Some(Verb::Acknowledge) | None => Ok(json!(text)),
            Some(other) => Err(format!("`{text}` {}s, so it cannot acknowledge", other.word())),
        }),
        like(
            "message",
            "^(page|edit|thread|fallback|reminder)_(text|html)$",
            "must be page, edit, thread, fallback or reminder, with _text or _html",
            plain,
        ),
        like(
            "path of a predecessor",
            PREDECESSORS_PATHS,
            "must be a predecessor's path: /webhook-ack, /skill/<name>/webhook or /skill/<name>/webhook-ack",
            plain,
        ),
        any("text (token)", |_, _, text| {
            let known = ["REPLACE_WITH_A_RANDOM_TOKEN", "REPLACE_WITH_ANOTHER_ONE", "AS_TOKEN", "HS_TOKEN"];
            if known.contains(&text) {
                let remedy = "`matrixbot registration` writes a registration with random tokens";
                return Err(format!("is still `{text}`, which is public: {remedy}"));
            }
            Ok(json!(text))
        }),
        any("regular expression", |_, _, text| {
            let invalid = |error| format!("is not a regular expression: {error}");
            registration::anchored(text).map_err(invalid).map(|_| json!(text))
        }),
    ]
});

const NO_BEARER: &str = "may hold only ASCII letters, digits and punctuation, no spaces: nothing else can be sent as a Bearer token";

/// The form that a schema names.
pub(super) fn of(schema: &Json) -> &'static Form {
    FORMS.iter().find(|form| schema["format"] == form.name).unwrap_or(&TEXT)
}

/// Text as it is.
#[expect(clippy::unnecessary_wraps, reason = "other parsers fail")]
fn plain(_: &mut Reader<'_>, _: &str, text: &str) -> Result<Json, String> {
    Ok(json!(text))
}

fn parsed<T: FromStr<Err: Display>>(expected: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|error| format!("{expected}, not `{text}`: {error}"))
}

/// Text that its type parses.
fn typed<T: FromStr<Err: Display>>(_: &mut Reader<'_>, expected: &str, text: &str) -> Result<Json, String> {
    parsed::<T>(expected, text).map(|_| json!(text))
}

/// The URL of a calendar; `webcal` is a name for `https`. The error never contains the URL.
fn calendar_url(text: &str) -> Result<Url, &'static str> {
    let text = text.trim();
    let (scheme, rest) = text.split_once("://").ok_or("must be an https, http or webcal URL")?;
    let scheme = match scheme.to_ascii_lowercase().as_str() {
        "https" | "webcal" | "webcals" => "https",
        "http" => "http",
        _ => return Err("must be an https, http or webcal URL; for a file use `file`"),
    };
    Url::parse(&format!("{scheme}://{rest}")).map_err(|_why| "is not a valid URL")
}

/// A URL without a slash at its end. matrixbot appends paths that begin with `ours`.
fn base_url(text: &str, ours: &str) -> Result<Json, String> {
    let mut url: Url = parsed(HTTP_EXPECTED, text)?;
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
    if !url.contains("://") && url.contains('=') {
        return Err("has libpq's form `key=value …`, which is not supported: write it as a URL such as \
                    postgres://matrixbot@localhost/matrixbot");
    }
    let (scheme, rest) = url.split_once("://").ok_or(EXPECTED)?;
    if !matches!(scheme, "postgres" | "postgresql") {
        return Err(EXPECTED);
    }
    if let Some(problem) = unescaped(rest) {
        return Err(problem);
    }
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at_checked(end).ok_or(EXPECTED)?;
    if authority.rsplit('@').next().is_some_and(|host| host.contains(',')) {
        return Err(
            "names several hosts, which is not supported: give the address of one that leads to the primary",
        );
    }
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

/// The problem of a password that has a character which ends that part of a URL. Without one, what is before the first such
/// character is the host, perhaps with a port, or has an `@`.
fn unescaped(rest: &str) -> Option<&'static str> {
    let (head, tail) = rest.split_at_checked(rest.find(['/', '?', '#'])?)?;
    let (_, password) = head.split_once(':').filter(|_| !head.contains('@'))?;
    let is_port = password.is_empty() || password.parse::<u16>().is_ok();
    let is_address = head.starts_with('[');
    if is_port || is_address || !tail.contains('@') {
        return None;
    }
    Some(match tail.chars().next() {
        Some('#') => "has `#` in its password: write it as %23",
        Some('?') => "has `?` in its password: write it as %3F",
        _ => "has `/` in its password: write it as %2F",
    })
}

/// The driver ignores parameters that it does not know: a typo would be a connection without encryption.
fn encryption(key: &str, value: &str) -> Result<(), &'static str> {
    const MODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];
    const FILES: [&str; 7] =
        ["sslrootcert", "ssl-root-cert", "ssl-ca", "sslcert", "ssl-cert", "sslkey", "ssl-key"];
    match key {
        "sslmode" | "ssl-mode" if MODES.contains(&value) => Ok(()),
        "sslmode" | "ssl-mode" => {
            Err("sslmode must be disable, allow, prefer, require, verify-ca or verify-full")
        }
        "channel_binding" if value == "require" => Err(
            "channel_binding=require is not supported: leave it out, and protect the connection by sslmode=verify-full",
        ),
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
    fn what_a_password_must_not_have_is_named_and_nothing_else_of_it() {
        for (given, expected) in [
            ("postgres://a:s3c/ret@h/db", "%2F"),
            ("postgres://a:s3c?ret@h/db", "%3F"),
            ("postgres://a:s3c#ret@h/db", "%23"),
            ("host=h user=a password=s3cret", "write it as a URL"),
            ("postgres://a:s3cret@h,i/db", "several hosts"),
            ("postgres://a:s3cret@h/db?channel_binding=require", "channel_binding"),
        ] {
            let problem = for_the_driver(given).unwrap_err();
            assert!(problem.contains(expected) && !problem.contains("s3c"), "{given}: {problem}");
        }
        for given in [
            "postgres://a:b@h:5432/db?application_name=a@b",
            "postgres://h:5432/a@b",
            "postgres://[::1]:5432/db?user=a@b",
        ] {
            assert_eq!(for_the_driver(given).as_deref(), Ok(given));
        }
    }

    #[test]
    fn a_slip_about_encryption_is_no_connection_without_it() {
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
    fn a_database_url_of_another_kind_is_refused_without_repeating_it() {
        for url in ["mysql://u:secret@h/db", "secret", "postgres://u:secret@h:port/db"] {
            assert!(!for_the_driver(url).unwrap_err().contains("secret"));
        }
    }
}
