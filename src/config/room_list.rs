//! The decoder of one room list.

use super::decode::Item;
use super::outline::{Form, Required};
use super::policy::policy;
use super::table::{Names, Table, unique};
use super::types::RoomListConfig;
use crate::domain::command::Verb;
use crate::domain::reaction;
use ruma::OwnedMxcUri;
use secrecy::ExposeSecret as _;
use std::collections::{BTreeMap, BTreeSet};

/// What acknowledges, if the list does not say.
const ACK_REACTIONS: [&str; 2] = ["✅", "👀"];

/// One segment of the webhook's path: in a URL, `.` and `..` are none.
static NAME: Form = Form::new(
    "name",
    r"^\.*[a-z0-9_=-][a-z0-9._=-]*$",
    "may hold only a-z, 0-9, `.`, `_`, `=` and `-`, and needs more than dots",
);
static AVATAR: Form = Form::new("mxc:// URI", "^mxc://.", "must be an mxc:// URI");
static TEMPLATE: Form = Form::new(
    "message",
    "^(page|edit|thread|fallback|reminder)_(text|html)$",
    "must be page, edit, thread, fallback or reminder, with _text or _html",
);

/// The names of all room lists, as far as they can be read.
pub(super) fn names(item: &Item<'_>) -> BTreeSet<String> {
    let name = |item: &Item<'_>| item.table()?.entries().find(|(key, _)| *key == "name")?.1.text();
    item.list(name).unwrap_or_default().into_iter().collect()
}

/// `names` and `receivers` are those of the lists before, `all` the names of every list.
pub(super) fn room_list(
    item: &Item<'_>,
    names: &Names,
    receivers: &Names,
    all: &BTreeSet<String>,
) -> Option<RoomListConfig> {
    let mut table = item.table()?;
    let name = table
        .key("name", "Of a-z, 0-9, `.`, `_`, `=`, `-`, and not only dots. Names the virtual user and the webhook's path.")
        .shown("finance")
        .required(|item| unique(item.formed(&NAME)?, item, names));
    let display_name = table
        .key("display_name", "What rooms see the virtual user called. Without it: `<name> alerts`.")
        .shown("Finance alerts")
        .maybe(Item::text);
    let avatar =
        table.key("avatar", "The virtual user's picture.").hinted("mxc://example.org/abc").maybe(avatar);
    let receivers = table
        .key(
            "receivers",
            "`POST /webhook` without a name finds the room list by Alertmanager's receiver: the list's name, or one \
             of these. No other list may have it. An alert's label `room_list` names one, too.",
        )
        .shown("[finance-pager]")
        .or(Vec::new(), |item| {
            item.list(|item| match item.text()? {
                // The name goes first: the receiver would never lead here.
                other if all.contains(&other) && name.as_ref() != Some(&other) => {
                    item.wrong(format!("`{other}` is the name of another room list"))
                }
                receiver => unique(receiver, item, receivers),
            })
        });
    let webhook_token = webhook_token(&mut table);
    let policy = policy(&mut table);
    table.group("What the room sees");
    let ack_reactions = table
        .key(
            "ack_reactions",
            "The reactions that acknowledge; not 💤 or ⏫, which snooze and escalate. The bot places the first one on \
             each page, for people to press.",
        )
        .or(ACK_REACTIONS.map(str::to_owned).to_vec(), |item| {
            item.filled_list("must name at least one reaction", ack_reaction)
        });
    let place_reaction = table.key("place_reaction", "Whether the bot places it.").or(true, Item::flag);
    let templates = table
        .key(
            "templates",
            "Your own words for messages, in Jinja's language: `page`, `edit`, `thread`, `fallback` or `reminder`, \
             each with `_text` or `_html`. Tried on a made-up incident by `matrixbot check`; one that fails on a \
             real one gives way to the built-in text.",
        )
        .hinted("{page_text: \"{{ title }}: {{ alerts[0].annotations.summary }}\"}")
        .maybe(templates);
    table.finish();
    let name = name?;
    Some(RoomListConfig {
        display_name: display_name.unwrap_or_else(|| format!("{name} alerts")),
        name,
        avatar,
        receivers: receivers.into_iter().collect(),
        webhook_token,
        policy: policy?,
        ack_reactions,
        place_reaction,
        templates: templates.unwrap_or_default(),
    })
}

fn avatar(item: &Item<'_>) -> Option<OwnedMxcUri> {
    let avatar = OwnedMxcUri::from(item.formed(&AVATAR)?);
    match avatar.validate() {
        Ok(()) => Some(avatar),
        Err(error) => item.wrong(format!("{}, not `{avatar}`: {error}", AVATAR.expected)),
    }
}

/// A reaction that means nothing else already.
fn ack_reaction(item: &Item<'_>) -> Option<String> {
    let reaction = item.text()?;
    match reaction::verb(&reaction) {
        Some(Verb::Acknowledge) | None => Some(reaction),
        Some(other) => item.wrong(format!("`{reaction}` {}s: it cannot acknowledge as well", other.word())),
    }
}

/// The token, or `None` if the operator said in so many words that there is none; or a problem.
fn webhook_token(table: &mut Table<'_>) -> Option<secrecy::SecretString> {
    let given = table.has("webhook_token") || table.has("webhook_token_file");
    let token = table
        .key("webhook_token", "Alertmanager sends it as a Bearer token, or as the password of HTTP Basic.")
        .shown("${FINANCE_WEBHOOK_TOKEN:-s3cret}")
        .secret("finance-webhook-token", Required::Unless("webhook_auth", "token"));
    let wanted = table
        .key(
            "webhook_auth",
            "`none` lets anybody call the webhook who can reach it; then there must be no token.",
        )
        .word(true, &[("token", true), ("none", false)]);
    match (wanted, given) {
        (true, false) => table.wrong(
            "webhook_token",
            "is missing, and so is webhook_token_file; a webhook that anybody may call needs `webhook_auth: none`",
        ),
        (false, true) => table.wrong("webhook_auth", "says none, but a webhook_token is given: give one of them"),
        (true, true) | (false, false) => token.and_then(|token| presentable(table, token)),
    }
}

/// A token that Alertmanager can show as Bearer: what it shows otherwise would be refused, and so its alerts lost.
fn presentable(table: &Table<'_>, token: secrecy::SecretString) -> Option<secrecy::SecretString> {
    if token.expose_secret().bytes().all(|byte| byte.is_ascii_graphic()) {
        return Some(token);
    }
    let key = if table.has("webhook_token") { "webhook_token" } else { "webhook_token_file" };
    table.wrong(key, "may hold only letters, digits and signs of ASCII, no spaces: nothing else can be shown as Bearer token")
}

fn templates(item: &Item<'_>) -> Option<BTreeMap<String, String>> {
    let template = |name: &str, item: &Item<'_>| Some((name.to_owned(), item.template(name)?));
    Some(item.map(&TEMPLATE, template)?.into_iter().collect())
}
