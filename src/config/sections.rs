//! Decoders of the parts that every room list shares.

use super::decode::Item;
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

pub(super) fn homeserver(item: &Item<'_>) -> Option<Homeserver> {
    let mut table = item.table()?;
    let url = table.required("url", web_address);
    let server_name = table.required("server_name", |item| item.parsed("a server name such as example.org"));
    table.finish();
    Some(Homeserver { url: url?, server_name: server_name? })
}

/// An `http` or `https` URL, without a slash at its end.
fn web_address(item: &Item<'_>) -> Option<Url> {
    let mut url: Url = item.parsed("a URL such as http://127.0.0.1:8008")?;
    if !matches!(url.scheme(), "http" | "https") {
        return item.wrong(format!("must begin with http:// or https://, not `{}:`", url.scheme()));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return item.wrong("must not have a query or a fragment");
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Some(url)
}

pub(super) fn database(item: &Item<'_>) -> Option<Database> {
    let mut table = item.table()?;
    let url = table.required_secret("url").and_then(|url| match for_the_driver(url.expose_secret()) {
        Ok(url) => Some(SecretString::from(url)),
        Err(message) => table.wrong(if table.has("url") { "url" } else { "url_file" }, message),
    });
    let max_connections = table.optional("max_connections", 10, |item| item.number(2, 1000));
    let migrate = table.optional("migrate", true, Item::flag);
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
    Url::parse(&url).map_err(|_why| EXPECTED)?;
    Ok(url)
}

pub(super) fn listen(mut table: Table<'_>) -> Listen {
    let mut at_port = |key, port| {
        let default = Listener { address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)), tls: None };
        table.optional(key, default, listener)
    };
    let listen = Listen {
        appservice: at_port("appservice", 9009),
        webhook: at_port("webhook", 9010),
        admin: at_port("admin", 9011),
    };
    let all = [("appservice", &listen.appservice), ("webhook", &listen.webhook), ("admin", &listen.admin)];
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
    listen
}

fn listener(item: &Item<'_>) -> Option<Listener> {
    if !item.has_parts() {
        return Some(Listener { address: address(item)?, tls: None });
    }
    let mut table = item.table()?;
    let address = table.required("address", address);
    let wants_tls = table.has("tls");
    let tls = table.maybe("tls", tls);
    table.finish();
    // A certificate that cannot be read must not end in plain HTTP.
    if wants_tls && tls.is_none() {
        return None;
    }
    Some(Listener { address: address?, tls })
}

fn address(item: &Item<'_>) -> Option<SocketAddr> {
    let text = item.text()?;
    let numeric = text.replacen("localhost:", "127.0.0.1:", 1);
    match numeric.parse() {
        Ok(address) => Some(address),
        Err(_) => {
            item.wrong(format!("must be ADDRESS:PORT such as 127.0.0.1:9010 or [::]:9010, not `{text}`"))
        }
    }
}

fn tls(item: &Item<'_>) -> Option<TlsFiles> {
    let mut table = item.table()?;
    let certificate = table.required("certificate", |item| {
        let (path, content) = item.file()?;
        let mut certificates = CertificateDer::pem_slice_iter(&content);
        match certificates.next() {
            Some(Ok(_)) => Some(path),
            _ => item.wrong(format!("{} holds no certificate in PEM", path.display())),
        }
    });
    let key = table.required("key", |item| {
        let (path, content) = item.file()?;
        match PrivateKeyDer::from_pem_slice(&content) {
            Ok(_) => Some(path),
            Err(_) => item.wrong(format!("{} holds no private key in PEM", path.display())),
        }
    });
    table.finish();
    Some(TlsFiles { certificate: certificate?, key: key? })
}

pub(super) fn alertmanager(item: &Item<'_>, names: &Names) -> Option<AlertmanagerConfig> {
    let mut table = item.table()?;
    let name = table.required("name", |item| unique(item.text()?, item, names));
    let url = table.required("url", web_address);
    let bearer = table.secret("bearer_token");
    let basic = table.maybe("basic_auth", |item| {
        let mut table = item.table()?;
        let username = table.required("username", Item::text);
        let password = table.required_secret("password");
        table.finish();
        Some(AlertmanagerAuth::Basic { username: username?, password: password? })
    });
    let ca = table.maybe("ca", |item| item.file().map(|(path, _)| path));
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
    let mut paths = BTreeMap::new();
    for (path, item) in item.table()?.entries() {
        if !PREDECESSORS_PATHS.contains(&path) {
            item.wrong::<()>(format!(
                "is no path of a predecessor; they are {}",
                PREDECESSORS_PATHS.join(", ")
            ));
            continue;
        }
        let Some(target) = item.text() else { continue };
        if room_lists.contains(&target) {
            paths.insert(path.to_owned(), target);
        } else {
            item.wrong::<()>(format!("there is no room list named `{target}`"));
        }
    }
    Some(paths)
}

pub(super) fn retention(mut table: Table<'_>) -> Retention {
    let days = |days: u64| Some(Duration::from_hours(24_u64.saturating_mul(days)));
    let retention = Retention {
        incidents: table.optional("incidents", days(365), Item::duration_or_none),
        events: table.optional("events", days(30), Item::duration_or_none),
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
    fn a_database_url_of_another_kind_is_refused_without_repeating_it() {
        for url in ["mysql://u:secret@h/db", "secret", "postgres://u:secret@h:port/db"] {
            assert!(!for_the_driver(url).unwrap_err().contains("secret"));
        }
    }
}
