//! The decoder of a room list's policy: who is told, when, and what counts.

use super::decode::Item;
use super::outline::Form;
use super::table::{Names, Table, unique};
use crate::domain::duration;
use crate::domain::policy::{
    AckScope, Level, Mention, OnNewAlert, Permissions, Policy, Role, RoomReference, SeverityRule,
};
use ruma::{OwnedRoomOrAliasId, OwnedUserId};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a level has to answer, if it does not say.
const ESCALATE_AFTER: Duration = Duration::from_mins(15);

static ROOM: Form = Form::new("room", "^[!#].", "must be a room id (!…) or an alias (#name:server)");
static MENTION: Form =
    Form::new("user or \"@room\"", "^@.", "must be a user (\"@name:server\") or \"@room\"");
static USER: Form = Form::new("user", "^@.", "must be a user (\"@name:server\")");
static SEVERITY: Form = Form::new("severity", "", "must be a severity");

/// Reads the keys that say what the policy is; `None` if there is no ladder.
pub(super) fn policy(table: &mut Table<'_>) -> Option<Policy> {
    let mut policy = Policy::with_levels(Vec::new());
    let levels = ladder(table, &mut policy);
    unanswered(table, &mut policy);
    acknowledging(table, &mut policy);
    ending(table, &mut policy);
    rights(table, &mut policy);
    Some(Policy { levels: levels?, ..policy })
}

/// How an incident climbs.
fn ladder(table: &mut Table<'_>, policy: &mut Policy) -> Option<Vec<Level>> {
    table.group("The ladder");
    let levels = table
        .key("levels", "At least one, in order. An incident that nobody takes climbs from one to the next.")
        .continued("- rooms: [\"!managers:example.org\"]\n  escalate_after: 30m\n  mention: [\"@room\"]")
        .required(|item| item.filled_list("must hold at least one level", level));
    policy.initial_delay = table
        .key("initial_delay", "How long an incident waits before its first page.")
        .or(policy.initial_delay, Item::duration);
    policy.repeat = table
        .key("repeat", "How often the whole ladder is gone through again.")
        .or(policy.repeat, |item| item.number(0, 100));
    policy.send_cap = table
        .key(
            "send_cap",
            "How long a page may stay unsent, because its room cannot be reached or the homeserver is away, before \
             the ladder goes on without it.",
        )
        .or(policy.send_cap, Item::duration);
    levels
}

/// What follows when the ladder has run out.
fn unanswered(table: &mut Table<'_>, policy: &mut Policy) {
    table.group("When nobody answers");
    policy.fallback_rooms = table
        .key("fallback_rooms", "Where it is told that nobody answered, waking `@room`: for that the virtual user needs power level 50 there.")
        .shown("[\"#ops:example.org\"]")
        .or(std::mem::take(&mut policy.fallback_rooms), |item| item.list(room(&Names::default())));
    policy.remind_every = table
        .key("remind_every", "How often an unanswered incident is told again, or `none`.")
        .or(policy.remind_every, Item::duration_or_none);
    policy.max_reminders = table
        .key("max_reminders", "How often at most.")
        .or(policy.max_reminders, |item| item.number(0, 1000));
}

/// What an acknowledgement is worth.
fn acknowledging(table: &mut Table<'_>, policy: &mut Policy) {
    table.group("Acknowledging");
    policy.ack_timeout = table
        .key("ack_timeout", "How long an acknowledgement holds, or `none`: until the incident resolves.")
        .or(policy.ack_timeout, Item::duration_or_none);
    let fitting = match policy.ack_timeout {
        Some(timeout) if policy.ack_reminder >= timeout => timeout / 2,
        _ => policy.ack_reminder,
    };
    policy.ack_reminder = table
        .key(
            "ack_reminder",
            "How long before its end the acker is reminded. Must be shorter than `ack_timeout`, and is half of it for one \
             that is too short for the default.",
        )
        .or(fitting, Item::duration);
    if let Some(timeout) = policy.ack_timeout
        && policy.ack_reminder >= timeout
    {
        let (reminder, timeout) = (duration::format(policy.ack_reminder), duration::format(timeout));
        let message = format!(
            "{reminder} is not shorter than the ack_timeout of {timeout}: nobody would ever be reminded"
        );
        table.wrong::<()>("ack_reminder", message);
    }
    policy.on_new_alert = table
        .key(
            "on_new_alert",
            "What an alert does that joins an acknowledged incident: `reopen` starts the ladder again, at most once \
             in `reopen_min_interval`; `sticky` only shows it.",
        )
        .word(policy.on_new_alert, &[("reopen", OnNewAlert::Reopen), ("sticky", OnNewAlert::Sticky)]);
    policy.reopen_min_interval = table
        .key("reopen_min_interval", "See `on_new_alert`.")
        .or(policy.reopen_min_interval, Item::duration);
    policy.ack_scope = table
        .key(
            "ack_scope",
            "From where an incident can be acknowledged: every room that was told (`notified`), or only the current \
             level's and those above (`current_level`).",
        )
        .word(policy.ack_scope, &[("notified", AckScope::Notified), ("current_level", AckScope::CurrentLevel)]);
    policy.unack_delay = table
        .key("unack_delay", "How long an incident waits to page again when it was given back (`unack`).")
        .or(policy.unack_delay, Item::duration);
    policy.max_snooze = table.key("max_snooze", "The longest snooze.").or(policy.max_snooze, Item::duration);
}

/// When an incident is over, and when it is not.
fn ending(table: &mut Table<'_>, policy: &mut Policy) {
    table.group("Coming back and ending");
    policy.reopen_window = table
        .key(
            "reopen_window",
            "How long a resolved incident can come back as itself instead of as another one.",
        )
        .or(policy.reopen_window, Item::duration);
    policy.replay_grace = table
        .key(
            "replay_grace",
            "An alert that fires again so soon after it cleared, as if it had never cleared, waits this long before \
             it pages.",
        )
        .or(policy.replay_grace, Item::duration);
    policy.stale_after = table
        .key(
            "stale_after",
            "After how long without news from Alertmanager an incident counts as over, or `none`. Must be longer \
             than the repeat_interval and the group_interval of its routes together, or what fires on unchanged \
             counts as over: `matrixbot doctor` compares them where `alertmanagers` names it.",
        )
        .or(policy.stale_after, Item::duration_or_none);
}

/// What severities mean, and who may do more.
fn rights(table: &mut Table<'_>, policy: &mut Policy) {
    table.group("Severities and rights");
    policy.severity_label = table
        .key("severity_label", "The label whose value names an alert's severity.")
        .or(std::mem::take(&mut policy.severity_label), Item::text);
    policy.severities = table
        .key("severities", "What each value means. A value that is not here has rank 0 and escalates.")
        .shown(
            "critical: {rank: 2}\nwarning: {rank: 1}\n\
             # This one stays on the first level, and wakes nobody.\n\
             info: {rank: 0, escalate: false, mention: []}",
        )
        .or(default_severities(), severities);
    if let Some(given) = table.key("permissions", "Who may do more than acknowledge.").section(permissions) {
        policy.permissions = given;
    }
}

fn level(item: &Item<'_>) -> Option<Level> {
    let mut table = item.table()?;
    let rooms = table
        .key(
            "rooms",
            "At least one; they are paged together. One that stands on a further level, too, is paged again there.",
        )
        .shown("[\"#finance-ops:example.org\"]")
        .required(|item| item.filled_list("must name at least one room", room(&Names::default())));
    let escalate_after = table
        .key("escalate_after", "How long the level has to answer, counted from the moment its page was sent.")
        .or(ESCALATE_AFTER, |item| match item.duration()? {
            Duration::ZERO => {
                item.wrong("must be longer than nothing: nobody could answer before the next level is paged")
            }
            time => Some(time),
        });
    let mention = table
        .key(
            "mention",
            "Whom its page wakes: users, or `\"@room\"`, which needs power level 50 there. Without it: nobody by name.",
        )
        .shown("[\"@alice:example.org\"]")
        .maybe(mentions);
    table.finish();
    Some(Level { rooms: rooms?, escalate_after, mention: mention.unwrap_or_default() })
}

/// A room that is none of those before.
fn room(before: &Names) -> impl Fn(&Item<'_>) -> Option<RoomReference> + '_ {
    move |item| {
        let room = item.formed(&ROOM)?;
        match OwnedRoomOrAliasId::try_from(room.as_str()) {
            Err(error) => item.wrong(format!("{}, not `{room}`: {error}", ROOM.expected)),
            Ok(_) => unique(room, item, before),
        }
    }
}

fn mentions(item: &Item<'_>) -> Option<Vec<Mention>> {
    item.list(|item| {
        let name = item.formed(&MENTION)?;
        if name == "@room" {
            return Some(Mention::Room);
        }
        match OwnedUserId::try_from(name.as_str()) {
            Ok(user) => Some(Mention::User(user)),
            Err(error) => item.wrong(format!("{}, not `{name}`: {error}", MENTION.expected)),
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
    let rule = |name: &str, item: &Item<'_>| {
        let mut table = item.table()?;
        let rank = table
            .key("rank", "A higher one breaks an acknowledgement.")
            .or(0, |item| item.number(-1000, 1000));
        let escalate = table
            .key("escalate", "Whether it climbs; if false, it stays on the first level.")
            .or(true, Item::flag);
        let mention =
            table.key("mention", "Whom its pages wake, instead of those of the level.").maybe(mentions);
        table.finish();
        Some((name.to_owned(), SeverityRule { rank, escalate, mention }))
    };
    Some(item.map(&SEVERITY, rule)?.into_iter().collect())
}

fn permissions(mut table: Table<'_>) -> Permissions {
    let moderate_power_level = table
        .key(
            "moderate_power_level",
            "From which power level in the room on one may resolve by hand and snooze for longer than an hour.",
        )
        .or(50, |item| item.number(-1_000_000, 1_000_000));
    let users = table
        .key(
            "users",
            "What single users may do whatever their power level: `none`, `respond` (acknowledge, snooze up to an \
             hour, escalate) or `moderate` (everything).",
        )
        .shown("\"@alice:example.org\": moderate")
        .maybe(|item| {
            let roles = [("none", Role::None), ("respond", Role::Respond), ("moderate", Role::Moderate)];
            let role = |user: &str, item: &Item<'_>| {
                let role = item.word(&roles);
                match OwnedUserId::try_from(user) {
                    Ok(user) => Some((user, role?)),
                    Err(error) => item.wrong(format!("the key {}: {error}", USER.expected)),
                }
            };
            Some(item.map(&USER, role)?.into_iter().collect())
        });
    table.finish();
    Permissions { moderate_power_level, users: users.unwrap_or_default() }
}
