//! Notices for unanswered incidents and unreachable rooms.

use super::Context;
use super::headline::{headline, list_name, severity_mark, worst};
use super::message::{Message, mentions};
use super::page::{Sections, call_to_acknowledge};
use super::rich::{Document, Rich};
use super::story::of_run;
use super::text::{from_one, short};
use super::time::{age, instant};
use crate::domain::audit::AuditCheck;
use crate::domain::on_call::Called;
use crate::domain::policy::Mention;
use crate::domain::timeline::{Entry, Kind};
use crate::domain::view::IncidentView;
use jiff::Timestamp;
use ruma::UserId;

/// Posted to a fallback room when nobody acknowledged on any level, once per run. Notifies the whole room.
/// `story` is the incident's timeline, at least from the start of its run.
pub fn unanswered(view: &IncidentView, story: &[Entry], context: &Context<'_>) -> Message {
    let reason = format!(
        "{}. There is no level after level {}.",
        nobody_acknowledged(story, context.now),
        view.levels
    );
    last_resort("🚨", "UNANSWERED", view, reason.into(), &Called::from(Mention::Room), context)
}

/// Reminds a room that nobody has acknowledged the incident; `number` counts from 1. Notifies `called`. `story` is the
/// incident's timeline, at least from the start of its run.
pub fn reminder(
    view: &IncidentView,
    story: &[Entry],
    number: u32,
    called: &Called,
    context: &Context<'_>,
) -> Message {
    let most = context.policy.max_reminders.max(number);
    let reason = format!("{}. Reminder {number} of {most}.", nobody_acknowledged(story, context.now));
    last_resort("🚨", "STILL UNANSWERED", view, reason.into(), called, context)
}

/// The time in which someone could have acknowledged: since the run's first page was sent. The alerts may be firing for
/// longer.
fn nobody_acknowledged(story: &[Entry], now: Timestamp) -> String {
    match of_run(story).iter().find(|entry| matches!(entry.kind, Kind::PageSent { .. })) {
        Some(first) => format!("Nobody acknowledged in the {} since the first page", age(first.at, now)),
        None => "Nobody acknowledged".to_owned(),
    }
}

/// Posted to a fallback room when no room of a level is reachable. Notifies the whole room.
pub fn unreachable(view: &IncidentView, level: u32, context: &Context<'_>) -> Message {
    let rooms = context.policy.level(level).map(|level| level.rooms.as_slice()).unwrap_or_default();
    let rooms: Vec<_> = rooms.iter().take(10).map(|room| Rich::new().code(&short(room, 100))).collect();
    let mark = format!("⚠️{}", severity_mark(worst(view), context.policy));
    let reason = Rich::from(format!(
        "No room of level {} of {} is reachable: ",
        from_one(level),
        list_name(&view.room_list)
    ))
    .then(&Rich::join(&rooms, ", "))
    .text(". The people there were not paged.");
    last_resort(&mark, "ROOM UNREACHABLE", view, reason, &Called::from(Mention::Room), context)
}

fn last_resort(
    mark: &str,
    state: &str,
    view: &IncidentView,
    reason: Rich,
    called: &Called,
    context: &Context<'_>,
) -> Message {
    let headline = headline(mark, state, view, context);
    Sections {
        headline,
        status: Rich::new(),
        reasons: vec![reason],
        last: call_to_acknowledge(called, view, context),
    }
    .notifying(view, called, context)
}

/// Posted to a room that replaces another one of the room list.
pub fn room_moved(room_list: &str, from: &str) -> Message {
    let words = Rich::from("This room replaces ").code(&short(from, 100));
    line(&words.text(&format!(". Pages of {room_list} are posted here from now on.")))
}

/// Posted to another room of the room list when this one is unreachable.
pub fn room_unreachable(room_list: &str, room: &str, why: &str) -> Message {
    let words = Rich::from(format!("⚠️ {room_list} cannot reach ")).code(&short(room, 100));
    line(&words.text(&format!(". Nobody is paged there. The homeserver answered: {}", short(why, 500))))
}

/// Posted to another room of the room list when this one is reachable again.
pub fn room_reachable(room_list: &str, room: &str) -> Message {
    line(&Rich::from(format!("{room_list} can reach ")).code(&short(room, 100)).text(" again."))
}

/// Posted to the old room when an alias of the room list leads to another one, `to`.
pub fn alias_moved(room_list: &str, alias: &str, to: &str) -> Message {
    let words = Rich::new().code(&short(alias, 100)).text(" leads to another room. Alerts of ");
    let words = words.text(&format!("{} are now posted in ", list_name(room_list)));
    line(&words.room(alias, &short(to, 200)).text("."))
}

/// What `alias_waits` posts.
#[derive(Debug, Clone, Copy)]
pub struct AliasWaits<'a> {
    /// The alias.
    pub alias: &'a str,
    /// The old room, as people know it.
    pub from: &'a str,
    /// The new room.
    pub to: &'a str,
    /// The virtual user.
    pub user: &'a UserId,
    /// Why it cannot post in the new room.
    pub why: &'a str,
}

/// Posted when an alias of the room list leads to a room where the virtual user cannot post.
pub fn alias_waits(room_list: &str, waits: &AliasWaits<'_>) -> Message {
    let words = Rich::from("⚠️ ").code(&short(waits.alias, 100)).text(" leads to another room, ");
    let words = words
        .room(waits.alias, &short(waits.to, 200))
        .text(&format!(", but {} cannot post there: ", waits.user));
    let words = words.text(short(waits.why, 300).trim_end_matches('.'));
    let words = words.text(&format!(". Alerts of {} stay in ", list_name(room_list)));
    let words = words.code(&short(waits.from, 200)).text(". They follow once ").user(waits.user);
    line(&words.text(" is invited to the new room and may post there."))
}

/// Posted when a room of the room list was closed and names a successor that does not count.
pub fn successor_refused(room_list: &str, room: &str, successor: &str, why: &str) -> Message {
    let words = Rich::from("⚠️ ").code(&short(room, 200)).text(" was closed and names ");
    let words =
        words.code(&short(successor, 100)).text(&format!(" as its successor, but {}. ", short(why, 300)));
    let words = words.text(&format!(
        "Alerts of {} are still posted in the closed room, as long as it is not read-only. ",
        list_name(room_list)
    ));
    line(&words.text("Upgrade the room again, or ask the operators to configure the new room."))
}

/// Posted when a room of the room list, `from`, moved to a successor that the virtual user cannot join.
pub fn successor_waits(room_list: &str, (from, to): (&str, &str), user: &UserId, why: &str) -> Message {
    let words = Rich::from("⚠️ ").code(&short(from, 200)).text(" moved to ").code(&short(to, 100));
    let words = words.text(&format!(", but {user} cannot join that room: "));
    let words = words.text(short(why, 500).trim_end_matches('.'));
    let words =
        words.text(&format!(". Alerts of {} are still posted in the old room. ", list_name(room_list)));
    line(&words.text("They follow once ").user(user).text(" is invited to the new room."))
}

/// Posted in the fallback rooms when an Alertmanager does not answer polls.
pub fn alertmanager_unreachable(name: &str, since: Timestamp, why: &str, context: &Context<'_>) -> Message {
    let words = Rich::from("⚠️ ").strong(&format!("Alertmanager {} does not answer", short(name, 60)));
    let words = words.text(&format!(" since {}: ", instant(since, context))).code(&short(why, 300));
    line(&words.text(
        " Its webhooks still page. Until it answers, matrixbot cannot see silences, nor what ends or fires without a webhook.",
    ))
}

/// Posted in a fallback room when the timer of an incident cannot be handled. Notifies the whole room: the incident pages
/// nobody meanwhile.
pub fn set_aside(room_list: &str, number: i64, name: Option<&str>, why: &str) -> Message {
    let name = name.map_or_else(|| "unnamed".to_owned(), |name| short(name, 60));
    let headline = Rich::from("⚠️ ")
        .strong(&format!("NOT ESCALATING #{number} {name}"))
        .text(&format!(" · {}", list_name(room_list)));
    let reason = Rich::from(
        "matrixbot cannot use what it has stored about this incident. Until it can, this incident pages nobody and sends \
         no reminders, so please look after its alerts. Other incidents are not affected. The operators find the cause in \
         the log: ",
    )
    .code(&short(why, 300));
    let mut text = Document::default();
    text.paragraph(&[headline]);
    text.paragraph(&[reason]);
    text.paragraph(&[Rich::from("@room")]);
    Message::text(text, mentions(&[Mention::Room]))
}

/// The most people that are named.
const MOST_PEOPLE: usize = 20;

/// Posted in the fallback rooms when pages mention people whom they do not reach: ids, each with the reason.
pub fn mentions_absent(room_list: &str, people: &[(String, String)]) -> Message {
    let mut text = Document::default();
    let headline = format!("Pages of {} mention people whom they do not reach", list_name(room_list));
    text.paragraph(&[Rich::from("⚠️ ").strong(&headline).text(":")]);
    let named = people.iter().take(MOST_PEOPLE);
    let items: Vec<_> = named
        .map(|(user, why)| vec![Rich::new().code(&short(user, 100)).text(&format!(": {}", short(why, 300)))])
        .collect();
    text.list(&items);
    if let more @ 1.. = people.len().saturating_sub(MOST_PEOPLE) {
        text.paragraph(&[Rich::new().em(&format!("… and {more} more"))]);
    }
    text.paragraph(&[Rich::from("Invite them to the room, or ask the operators to correct ")
        .command("mention")
        .text(" in the configuration. The pages themselves arrive.")]);
    Message::notice(text)
}

/// Posted in a fallback room when the audit finds a violation that lasts. Notifies the whole room: pages may not arrive.
pub fn audit_failed(
    room_list: &str,
    check: AuditCheck,
    subject: &str,
    since: Timestamp,
    context: &Context<'_>,
) -> Message {
    let headline = Rich::from("⚠️ ").strong("AUDIT FAILED").text(&format!(" · {}", list_name(room_list)));
    let reason = Rich::new().code(&short(subject, 100)).text(&format!(
        " {}, since {}. matrixbot checks this every minute, and it should never happen. Please look after these alerts \
         yourself. The operators find what to do under MatrixbotAuditFails.",
        check.words(),
        instant(since, context)
    ));
    let mut text = Document::default();
    text.paragraph(&[headline]);
    text.paragraph(&[reason]);
    text.paragraph(&[Rich::from("@room")]);
    Message::text(text, mentions(&[Mention::Room]))
}

fn line(text: &Rich) -> Message {
    Message::notice(Document::line(text))
}
