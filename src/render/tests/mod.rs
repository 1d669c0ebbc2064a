//! Snapshots of every kind of message, and guarantees for all of them.

mod answers;
mod bounds;
mod digest;
mod fallback;
mod incidents;
mod on_call;
mod silences;
mod template;
mod threads;

use super::message::Message;
use super::{Context, sample};
use crate::domain::input::Via;
use crate::domain::on_call::OnCallNow;
use crate::domain::policy::Policy;
use crate::domain::timeline::{Entry, Kind, RunReason};
use crate::domain::view::IncidentView;
use crate::domain::zone;
use jiff::{SignedDuration, Timestamp};
use ruma::{OwnedUserId, user_id};

/// A night in November.
fn now() -> Timestamp {
    "2026-11-24T03:07:00Z".parse().unwrap()
}

fn minutes_ago(minutes: i64) -> Timestamp {
    now().checked_sub(SignedDuration::from_mins(minutes)).unwrap()
}

fn minutes_ahead(minutes: i64) -> Timestamp {
    minutes_ago(-minutes)
}

fn alice() -> OwnedUserId {
    user_id!("@alice:example.org").to_owned()
}

fn bob() -> OwnedUserId {
    user_id!("@bob:example.org").to_owned()
}

fn context(policy: &Policy) -> Context<'_> {
    Context {
        policy,
        on_call: OnCallNow::none(),
        ack_reaction: "✅",
        for_good: false,
        now: now(),
        zone: &zone::UTC,
    }
}

fn view() -> IncidentView {
    sample::view(now())
}

/// A view of one alert only.
fn single() -> IncidentView {
    let mut view = view();
    view.alerts.truncate(1);
    let kept = view.alerts[0].fingerprint.clone();
    view.incident.firing.retain(|fingerprint, _| *fingerprint == kept);
    view
}

fn entry(minutes_ago_: i64, kind: Kind) -> Entry {
    Entry { at: minutes_ago(minutes_ago_), version: 1, kind }
}

fn fired(minutes_ago: i64) -> Entry {
    started(minutes_ago, RunReason::Fired)
}

fn started(minutes_ago: i64, why: RunReason) -> Entry {
    entry(
        minutes_ago,
        Kind::RunStarted { why, policy_version: 1, suppressed: false, from: None, held_until: None },
    )
}

fn acknowledged(minutes_ago: i64, comment: Option<&str>) -> Entry {
    let comment = comment.map(str::to_owned);
    entry(minutes_ago, Kind::Acknowledged { who: alice(), via: Via::Reaction, until: None, comment })
}

/// A message for snapshots: its plain text, its HTML with a line per block, and the rest of its content.
fn snapshot_of(message: &Message) -> String {
    let mut rest = message.content().unwrap();
    for content in ["", "/m.new_content"] {
        if let Some(content) = rest.pointer_mut(content).and_then(|content| content.as_object_mut()) {
            content.remove("format");
            if content.get("body").and_then(|body| body.as_str()) == Some(message.text.plain()) {
                content.remove("body");
                content.remove("formatted_body");
            }
        }
    }
    let html = message
        .text
        .html()
        .replace("</p>", "</p>\n")
        .replace("<li>", "\n  <li>")
        .replace("</ul>", "\n</ul>\n");
    format!("{}\n\n--- HTML\n{}\n\n--- content\n{rest:#}", message.text.plain(), html.trim_end())
}
