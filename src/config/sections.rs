//! Decoders of the parts that every room list shares.

use super::decode::Item;
use super::outline::{Form, Required};
use super::table::{Names, Table, unique};
use super::types::{
    AlertmanagerAuth, AlertmanagerConfig, Database, Homeserver, Listen, Listener, Retention, TlsFiles,
};
use crate::domain::webhook::PREDECESSORS_PATHS;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use secrecy::{ExposeSecret, SecretString};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use url::Url;

static WEB_ADDRESS: Form =
    Form::new("URL", "^[Hh][Tt][Tt][Pp][Ss]?://.", "must begin with http:// or https://");
static SERVER_NAME: Form = Form::new("server name", r"^\S+$", "must be a server name such as example.org");
static ADDRESS: Form =
    Form::new("ADDRESS:PORT", ":[0-9]{1,5}$", "must be ADDRESS:PORT such as 127.0.0.1:9010 or [::]:9010");

static PREDECESSORS_PATH: Form = Form::new(
    "path of a predecessor",
    PREDECESSORS_PATHS,
    "must be a predecessor's path: /webhook-ack, /skill/<name>/webhook or /skill/<name>/webhook-ack",
);

pub(super) fn homeserver(item: &Item<'_>) -> Option<Homeserver> {
    let mut table = item.table()?;
    let url = table
        .key(
            "url",
            "Where we call the homeserver's Client-Server API: what stands before `/_matrix`, such as \
             `https://matrix.example.org` or `https://example.org/homeserver`, without a query or a fragment.",
        )
        .shown("http://127.0.0.1:8008")
        .required(|item| web_address(item, "/_matrix"));
    let server_name = table
        .key("server_name", "The part after the colon in your user ids.")
        .shown("example.org")
        .required(|item| item.parsed(&SERVER_NAME));
    table.finish();
    Some(Homeserver { url: url?, server_name: server_name? })
}

/// An `http` or `https` URL, without a slash at its end. `ours` begins the paths that we put after it.
fn web_address(item: &Item<'_>, ours: &str) -> Option<Url> {
    let mut url: Url = item.parsed(&WEB_ADDRESS)?;
    if !url.username().is_empty() || url.password().is_some() {
        return item
            .wrong("must not hold a user or a password: they would be seen wherever the URL is shown");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return item.wrong("must not have a query (`?…`) or a fragment (`#…`)");
    }
    if let Some((before, _)) = url.path().split_once(ours) {
        let mut wanted = url.clone();
        wanted.set_path(before);
        let wanted = wanted.as_str().trim_end_matches('/');
        return item.wrong(format!("must end before {ours}, which is put after it: `{wanted}`"));
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Some(url)
}

pub(super) fn database(item: &Item<'_>) -> Option<Database> {
    let mut table = item.table()?;
    let url = table
        .key(
            "url",
            "An ordinary libpq URL; without a host, the local socket. `sslmode=verify-full` and `sslrootcert=…` \
             work as usual.",
        )
        .shown("postgres://matrixbot@/matrixbot")
        .required_secret("database-url")
        .and_then(|url| match for_the_driver(url.expose_secret()) {
            Ok(url) => Some(SecretString::from(url)),
            Err(message) => table.wrong(if table.has("url") { "url" } else { "url_file" }, message),
        });
    let max_connections = table
        .key("max_connections", "How many connections one process holds at most.")
        .or(10, |item| item.number(2, 1000));
    let migrate = table
        .key(
            "migrate",
            "Whether `run` brings the schema up to date; if false, `matrixbot migrate` must have.",
        )
        .or(true, Item::flag);
    table.finish();
    Some(Database { url: url?, max_connections, migrate })
}

/// The URL as the driver reads it. libpq allows a user without a host (`postgres://matrixbot@/matrixbot`: the
/// local socket), which is no URL to anybody else: the user moves into the query. The message never holds the URL,
/// which may hold a password.
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
            let parts = [("user", user), ("password", password)];
            let given = parts.iter().filter(|(_, value)| !value.is_empty());
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

/// What a URL says of encryption must be understood: the driver leaves out what it does not know, and a connection that
/// was to be encrypted is not.
fn encryption(key: &str, value: &str) -> Result<(), &'static str> {
    const MODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];
    const FILES: [&str; 7] =
        ["sslrootcert", "ssl-root-cert", "ssl-ca", "sslcert", "ssl-cert", "sslkey", "ssl-key"];
    match key {
        "sslmode" | "ssl-mode" if MODES.contains(&value) => Ok(()),
        "sslmode" | "ssl-mode" => {
            Err("sslmode must be disable, allow, prefer, require, verify-ca or verify-full")
        }
        key if key.starts_with("ssl") && !FILES.contains(&key) => {
            Err("of what begins with ssl, only sslmode, sslrootcert, sslcert and sslkey are known")
        }
        _ => Ok(()),
    }
}

pub(super) fn listen(mut table: Table<'_>) -> Listen {
    let at_port = |port| Listener { address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)), tls: None };
    let appservice = table
        .key("appservice", "The homeserver calls this: the `url` of the registration leads here.")
        .or(at_port(9009), listener);
    let webhook = table
        .key("webhook", "Alertmanager calls this: `POST /webhook/<name of the room list>`.")
        .shown("address: 127.0.0.1:9010\n#tls: {certificate: tls.crt, key: tls.key}")
        .or(at_port(9010), listener);
    let admin = table
        .key("admin", "Probes and metrics: `/livez`, `/readyz`, `/metrics`. Keep it to yourself.")
        .or(at_port(9011), listener);
    let all = [("appservice", &appservice), ("webhook", &webhook), ("admin", &admin)];
    for (index, (key, one)) in all.iter().enumerate() {
        for (other_key, other) in all.iter().take(index) {
            if one.address == other.address && one.address.port() != 0 && one.tls != other.tls {
                table.wrong::<()>(
                    key,
                    format!("shares its address with {other_key}, so that both need the same tls"),
                );
            }
        }
    }
    table.finish();
    Listen { appservice, webhook, admin }
}

fn listener(item: &Item<'_>) -> Option<Listener> {
    item.short_or_table(
        |item| Some(Listener { address: address(item)?, tls: None }),
        |mut table| {
            let address = table.key("address", "Where to listen.").required(address);
            let wants_tls = table.has("tls");
            let tls = table
                .key("tls", "Makes it speak TLS. Files that change are read again by themselves.")
                .maybe(tls);
            table.finish();
            // A certificate that cannot be read must not end in plain HTTP.
            if wants_tls && tls.is_none() {
                return None;
            }
            Some(Listener { address: address?, tls })
        },
    )
}

fn address(item: &Item<'_>) -> Option<SocketAddr> {
    let text = item.formed(&ADDRESS)?;
    let numeric = text.replacen("localhost:", "127.0.0.1:", 1);
    match numeric.parse() {
        Ok(address) => Some(address),
        Err(_) => item.wrong(format!("{}, not `{text}`", ADDRESS.expected)),
    }
}

fn tls(item: &Item<'_>) -> Option<TlsFiles> {
    let mut table = item.table()?;
    let certificate =
        table.key("certificate", "The certificate and those that vouch for it, in PEM.").required(|item| {
            let (path, content) = item.file()?;
            match CertificateDer::pem_slice_iter(&content).next() {
                Some(Ok(_)) => Some(path),
                _ => item.wrong(format!("{} holds no certificate in PEM", path.display())),
            }
        });
    let key = table.key("key", "Its private key, in PEM.").required(|item| {
        let (path, content) = item.file()?;
        match PrivateKeyDer::from_pem_slice(&content) {
            Ok(_) => {
                item.source.holds_secret(Some(&path));
                Some(path)
            }
            Err(_) => item.wrong(format!("{} holds no private key in PEM", path.display())),
        }
    });
    table.finish();
    Some(TlsFiles { certificate: certificate?, key: key? })
}

pub(super) fn alertmanager(item: &Item<'_>, names: &Names) -> Option<AlertmanagerConfig> {
    let mut table = item.table()?;
    let name = table
        .key("name", "What it is called in messages.")
        .shown("main")
        .required(|item| unique(item.text()?, item, names));
    let url = table
        .key(
            "url",
            "Where its own page is, with its path prefix (`--web.route-prefix`) if it has one: what stands before \
             `/api/v2`, without a query or a fragment.",
        )
        .shown("http://127.0.0.1:9093")
        .required(|item| web_address(item, "/api/v2"));
    let bearer = table
        .key("bearer_token", "The token that it asks for.")
        .shown("${ALERTMANAGER_TOKEN:-s3cret}")
        .secret("alertmanager-token", Required::No);
    let basic = table
        .key("basic_auth", "Or the user and the password that it asks for.")
        .hinted("{username: matrixbot, password_file: alertmanager-password}")
        .maybe(|item| {
            let mut table = item.table()?;
            let username = table.key("username", "The user.").required(Item::text);
            let password = table.key("password", "The password.").required_secret("alertmanager-password");
            table.finish();
            Some(AlertmanagerAuth::Basic { username: username?, password: password? })
        });
    let ca = table
        .key("ca", "Who vouches for its certificate, in PEM, besides the system's authorities.")
        .hinted("ca.crt")
        .maybe(|item| item.file().map(|(path, _)| path));
    let auth = match (basic, bearer) {
        (Some(_), Some(_)) => table
            .wrong("basic_auth", "is given besides bearer_token: give one of them")
            .unwrap_or(AlertmanagerAuth::None),
        (Some(basic), None) => basic,
        (None, Some(token)) => AlertmanagerAuth::Bearer(token),
        (None, None) => AlertmanagerAuth::None,
    };
    table.finish();
    Some(AlertmanagerConfig { name: name?, url: url?, auth, ca })
}

/// What each predecessor's path belongs to; the names are checked against `room_lists`.
pub(super) fn compatibility(
    item: &Item<'_>,
    room_lists: &BTreeSet<String>,
) -> Option<BTreeMap<String, String>> {
    let path = |path: &str, item: &Item<'_>| {
        let target = item.text()?;
        if room_lists.contains(&target) {
            return Some((path.to_owned(), target));
        }
        item.wrong(format!("there is no room list named `{target}`"))
    };
    Some(item.map(&PREDECESSORS_PATH, path)?.into_iter().collect())
}

pub(super) fn retention(mut table: Table<'_>) -> Retention {
    let days = |days: u64| Some(Duration::from_hours(24_u64.saturating_mul(days)));
    let retention = Retention {
        incidents: table
            .key("incidents", "Closed incidents, with their timeline and messages.")
            .or(days(365), Item::duration_or_none),
        events: table
            .key("events", "What the homeserver sent, and messages that were delivered.")
            .or(days(30), Item::duration_or_none),
    };
    table.finish();
    retention
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
