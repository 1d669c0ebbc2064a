//! The decoder of one room list and of its policy.

use super::decode::Item;
use super::table::{Names, Table, unique};
use super::types::RoomListConfig;
use crate::domain::policy::{
    AckScope, Level, Mention, OnNewAlert, Permissions, Policy, Role, RoomReference, SeverityRule,
};
use ruma::{OwnedMxcUri, OwnedRoomOrAliasId, OwnedUserId};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a level has to answer, if it does not say.
const ESCALATE_AFTER: Duration = Duration::from_mins(15);
/// What acknowledges, if the list does not say.
const ACK_REACTIONS: [&str; 2] = ["✅", "👀"];

/// `names` and `receivers` are those of the lists before.
pub(super) fn room_list(item: &Item<'_>, names: &Names, receivers: &Names) -> Option<RoomListConfig> {
    let mut table = item.table()?;
    let name = table.required("name", |item| unique(name(item)?, item, names));
    let display_name = table.maybe("display_name", Item::text);
    let avatar = table.maybe("avatar", avatar);
    let receivers = table
        .optional("receivers", Vec::new(), |item| item.list(|item| unique(item.text()?, item, receivers)));
    let webhook_token = webhook_token(&mut table);
    let policy = policy(&mut table);
    let default = ACK_REACTIONS.map(str::to_owned).to_vec();
    let ack_reactions = table.optional("ack_reactions", default, |item| {
        let reactions = item.list(Item::text)?;
        if reactions.is_empty() { item.wrong("must name at least one reaction") } else { Some(reactions) }
    });
    let place_reaction = table.optional("place_reaction", true, Item::flag);
    let templates = table.optional("templates", BTreeMap::new(), templates);
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
        templates,
    })
}

fn name(item: &Item<'_>) -> Option<String> {
    let name = item.text()?;
    if name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "._=-".contains(c)) {
        return Some(name);
    }
    item.wrong(format!("may hold only a-z, 0-9, `.`, `_`, `=` and `-`, unlike `{name}`"))
}

fn avatar(item: &Item<'_>) -> Option<OwnedMxcUri> {
    let avatar = OwnedMxcUri::from(item.text()?);
    match avatar.validate() {
        Ok(()) => Some(avatar),
        Err(error) => item.wrong(format!("must be an mxc:// URI, not `{avatar}`: {error}")),
    }
}

/// The token, or `None` if the operator said in so many words that there is none; or a problem.
fn webhook_token(table: &mut Table<'_>) -> Option<secrecy::SecretString> {
    let wanted = table.optional("webhook_auth", true, |item| item.word(&[("token", true), ("none", false)]));
    let given = table.has("webhook_token") || table.has("webhook_token_file");
    let token = table.secret("webhook_token");
    match (wanted, given) {
        (true, false) => table.wrong(
            "webhook_token",
            "is missing, and so is webhook_token_file; a webhook that anybody may call needs `webhook_auth: none`",
        ),
        (false, true) => table.wrong("webhook_auth", "says none, but a webhook_token is given: give one of them"),
        (true, true) | (false, false) => token,
    }
}

fn policy(table: &mut Table<'_>) -> Option<Policy> {
    let levels = table.required("levels", |item| {
        // A level that is wrong counts all the same: that there is none would be no help.
        let levels = item.list(|item| Some(level(item)))?;
        if levels.is_empty() { item.wrong("must hold at least one level") } else { Some(levels) }
    });
    let d = Policy::with_levels(Vec::new());
    let policy = Policy {
        initial_delay: table.optional("initial_delay", d.initial_delay, Item::duration),
        repeat: table.optional("repeat", d.repeat, |item| item.number(0, 100)),
        send_cap: table.optional("send_cap", d.send_cap, Item::duration),
        fallback_rooms: table.optional("fallback_rooms", d.fallback_rooms, rooms),
        remind_every: table.optional("remind_every", d.remind_every, Item::duration_or_none),
        max_reminders: table.optional("max_reminders", d.max_reminders, |item| item.number(0, 1000)),
        ack_timeout: table.optional("ack_timeout", d.ack_timeout, Item::duration_or_none),
        ack_reminder: table.optional("ack_reminder", d.ack_reminder, Item::duration),
        on_new_alert: table.optional("on_new_alert", d.on_new_alert, |item| {
            item.word(&[("reopen", OnNewAlert::Reopen), ("sticky", OnNewAlert::Sticky)])
        }),
        ack_scope: table.optional("ack_scope", d.ack_scope, |item| {
            item.word(&[("notified", AckScope::Notified), ("current_level", AckScope::CurrentLevel)])
        }),
        reopen_window: table.optional("reopen_window", d.reopen_window, Item::duration),
        reopen_min_interval: table.optional("reopen_min_interval", d.reopen_min_interval, Item::duration),
        stale_after: table.optional("stale_after", d.stale_after, Item::duration_or_none),
        replay_grace: table.optional("replay_grace", d.replay_grace, Item::duration),
        unack_delay: table.optional("unack_delay", d.unack_delay, Item::duration),
        max_snooze: table.optional("max_snooze", d.max_snooze, Item::duration),
        severity_label: table.optional("severity_label", d.severity_label, Item::text),
        severities: table.optional("severities", default_severities(), severities),
        permissions: table.section("permissions", permissions).unwrap_or(d.permissions),
        levels: levels?.into_iter().collect::<Option<_>>()?,
    };
    Some(policy)
}

fn level(item: &Item<'_>) -> Option<Level> {
    let mut table = item.table()?;
    let rooms = table.required("rooms", |item| {
        let rooms = rooms(item)?;
        let written = matches!(&item.node.value, super::yaml::Value::List(items) if !items.is_empty());
        if written { Some(rooms) } else { item.wrong("must name at least one room") }
    });
    let escalate_after = table.optional("escalate_after", ESCALATE_AFTER, Item::duration);
    let mention = table.optional("mention", Vec::new(), mentions);
    table.finish();
    Some(Level { rooms: rooms?, escalate_after, mention })
}

fn rooms(item: &Item<'_>) -> Option<Vec<RoomReference>> {
    let seen = Names::default();
    item.list(|item| {
        let room = item.text()?;
        let id = OwnedRoomOrAliasId::try_from(room.as_str());
        match id {
            Err(error) => item
                .wrong(format!("must be a room id (!…) or an alias (#name:server), not `{room}`: {error}")),
            Ok(_) if room.len() < 2 => item.wrong(format!("must be a room id or an alias, not `{room}`")),
            Ok(_) => unique(room, item, &seen),
        }
    })
}

fn mentions(item: &Item<'_>) -> Option<Vec<Mention>> {
    item.list(|item| {
        let name = item.text()?;
        if name == "@room" {
            return Some(Mention::Room);
        }
        if !name.starts_with('@') {
            return item.wrong(format!(
                "must be a user (\"@name:server\") or \"@room\", not `{name}`; there are no on-call names to mention"
            ));
        }
        match OwnedUserId::try_from(name.as_str()) {
            Ok(user) => Some(Mention::User(user)),
            Err(error) => item.wrong(format!("must be a user (\"@name:server\"), not `{name}`: {error}")),
        }
    })
}

/// What holds for a list that does not name its severities: all climb the ladder, and a worse one breaks an
/// acknowledgement.
fn default_severities() -> BTreeMap<String, SeverityRule> {
    let rule =
        |(name, rank): (&str, i32)| (name.to_owned(), SeverityRule { rank, escalate: true, mention: None });
    [("critical", 2), ("warning", 1), ("info", 0)].map(rule).into()
}

fn severities(item: &Item<'_>) -> Option<BTreeMap<String, SeverityRule>> {
    let decode = |(name, item): (&str, Item<'_>)| {
        let mut table = item.table()?;
        let rank = table.optional("rank", 0, |item| item.number(-1000, 1000));
        let escalate = table.optional("escalate", true, Item::flag);
        let mention = table.maybe("mention", mentions);
        table.finish();
        Some((name.to_owned(), SeverityRule { rank, escalate, mention }))
    };
    Some(item.table()?.entries().filter_map(decode).collect())
}

fn permissions(mut table: Table<'_>) -> Permissions {
    let moderate_power_level =
        table.optional("moderate_power_level", 50, |item| item.number(-1_000_000, 1_000_000));
    let users = table.optional("users", BTreeMap::new(), |item| {
        let roles = [("none", Role::None), ("respond", Role::Respond), ("moderate", Role::Moderate)];
        let decode = |(user, item): (&str, Item<'_>)| {
            let role = item.word(&roles);
            match OwnedUserId::try_from(user) {
                Ok(user) => Some((user, role?)),
                Err(error) => item.wrong(format!("the key must be a user (\"@name:server\"): {error}")),
            }
        };
        Some(item.table()?.entries().filter_map(decode).collect())
    });
    table.finish();
    Permissions { moderate_power_level, users }
}

fn templates(item: &Item<'_>) -> Option<BTreeMap<String, String>> {
    let decode = |(name, item): (&str, Item<'_>)| Some((name.to_owned(), item.template(name)?));
    Some(item.table()?.entries().filter_map(decode).collect())
}
