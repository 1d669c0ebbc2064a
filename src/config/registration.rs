//! The registration file: what the homeserver was told about us. `cli::registration` writes it; here it is
//! read as strictly as the homeserver reads it. Keys that we do not know are the homeserver's business.

use super::decode::{Item, Source};
use super::problem::Problem;
use super::table::Table;
use super::types::Registration;
use super::yaml::Value;
use regex::Regex;
use std::path::Path;
use url::Url;

/// Reads a registration, or says everything that is wrong with it.
pub fn read_registration(path: &Path) -> Result<Registration, Vec<Problem>> {
    // The homeserver reads the same file and replaces nothing in it.
    let source = Source::new(path, None);
    let root = source.read();
    let registration = root.as_ref().and_then(|node| {
        let item = Item { source: &source, node, path: String::new() };
        item.table().and_then(registration)
    });
    match (registration, source.finish()) {
        (Some(registration), problems) if problems.is_empty() => Ok(registration),
        (_, problems) => Err(problems),
    }
}

/// What stands in place of tokens in the registrations that are published with the program, where anybody can read it.
const PLACEHOLDERS: [&str; 4] =
    ["REPLACE_WITH_A_RANDOM_TOKEN", "REPLACE_WITH_ANOTHER_ONE", "AS_TOKEN", "HS_TOKEN"];

/// A token that not everybody knows.
fn token(item: &Item<'_>) -> Option<String> {
    let token = item.text()?;
    if PLACEHOLDERS.contains(&token.as_str()) {
        return item.wrong(format!(
            "is still `{token}`, which everybody knows: `matrixbot registration` writes a registration with random tokens"
        ));
    }
    Some(token)
}

/// Where a homeserver reaches an application service: it puts `/_matrix/app/v1/…` after this.
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

fn registration(mut table: Table<'_>) -> Option<Registration> {
    let id = table.key("id", "Our name at the homeserver.").required(Item::text);
    let as_token = table.key("as_token", "What we show to the homeserver.").required(token);
    let hs_token = table.key("hs_token", "What the homeserver shows to us.").required(token);
    let sender_localpart = table.key("sender_localpart", "Our own, silent account.").required(Item::text);
    table.key("url", "Where the homeserver reaches us; with `null` it sends nothing.").maybe(|item| {
        if matches!(item.node.value, Value::Nothing) {
            return None;
        }
        appservice_address(&item.text()?).map_or_else(|why| item.wrong(why), Some)
    });
    let rate_limited =
        table.key("rate_limited", "Whether we are held back when we send much.").or(true, Item::flag);
    let namespaces = table.key("namespaces", "What belongs to us.").required(|item| {
        let mut namespaces = item.table()?;
        namespaces.key("users", "The virtual users.").required(|item| item.list(namespace))
    });
    if as_token.is_some() && as_token == hs_token {
        return table.wrong("hs_token", "must differ from as_token");
    }
    Some(Registration {
        id: id?,
        as_token: as_token?.into(),
        hs_token: hs_token?.into(),
        sender_localpart: sender_localpart?,
        rate_limited,
        user_namespaces: namespaces?.into_iter().flatten().collect(),
    })
}

/// What of a registration can be used, and is hardly meant.
pub(super) fn warnings(registration: &Registration, file: &Path) -> Vec<Problem> {
    let message =
        "is not false: the homeserver may hold pages back when there are many. Set it there and here.";
    let limited = registration.rate_limited.then(|| Problem {
        file: file.to_owned(),
        line: 0,
        column: 0,
        key: "rate_limited".to_owned(),
        message: message.to_owned(),
    });
    limited.into_iter().collect()
}

/// One user namespace; nothing if it is not ours alone.
#[expect(clippy::option_option, reason = "a decoder's failure around an optional value")]
fn namespace(item: &Item<'_>) -> Option<Option<String>> {
    let mut table = item.table()?;
    let exclusive = table.key("exclusive", "Whether nobody else has them.").required(Item::flag)?;
    let regex = table.key("regex", "Their user ids.").required(|item| {
        let regex = item.text()?;
        match anchored(&regex) {
            Ok(_) => Some(regex),
            Err(error) => item.wrong(format!("is not a regular expression: {error}")),
        }
    })?;
    Some(exclusive.then_some(regex))
}

/// A namespace as Synapse reads it: it anchors the start only.
fn anchored(regex: &str) -> Result<Regex, regex::Error> {
    Regex::new(&format!("^(?:{regex})"))
}

/// Whether a user id is ours alone.
pub(super) fn covers(registration: &Registration, localpart: &str, server_name: &str) -> bool {
    let user_id = format!("@{localpart}:{server_name}");
    let matches = |regex: &String| anchored(regex).is_ok_and(|regex| regex.is_match(&user_id));
    registration.user_namespaces.iter().any(matches)
}

/// Whether a user of this localpart would be ours alone at some other server: up to one of its colons, a namespace
/// has the localpart.
pub(super) fn covers_elsewhere(registration: &Registration, localpart: &str) -> bool {
    let user = format!("@{localpart}");
    registration.user_namespaces.iter().any(|regex| {
        regex
            .match_indices(':')
            .filter_map(|(colon, _)| regex.get(..colon))
            .any(|before| Regex::new(&format!("^(?:{before})$")).is_ok_and(|before| before.is_match(&user)))
    })
}
