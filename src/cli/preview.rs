//! `matrixbot preview`

use super::{ConfigFile, MISUSED, eprint, print};
use crate::alertmanager::payload::{self, LARGEST_BODY};
use crate::clock::{Clock as _, SystemClock};
use crate::config::{Config, RoomListConfig};
use crate::domain::forecast::{Forecast, Happens, Step, forecast};
use crate::domain::incident::Rung;
use crate::domain::on_call::{Called, OnCallNow};
use crate::domain::policy::{Mention, Policy};
use crate::domain::view::{AlertView, IncidentView, Omitted};
use crate::domain::webhook::{Webhook, WebhookAlert};
use crate::render::template::{self, Templated};
use crate::render::{Context, page};
use clap::Args;
use jiff::Timestamp;
use std::cmp::Reverse;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

pub(super) const EXAMPLES: &str = "\
Shows the page of a webhook's body, and which rooms and people its ladder would notify when,
if nobody acts. Reads only files; nothing is sent. The body is what Alertmanager posts:
a saved one, or one written by hand with `alerts`, `labels` and `annotations`.

Examples:
  matrixbot preview body.json --config config.yaml --room-list finance
  matrixbot preview - --at 2026-12-24T03:00:00Z < body.json
  matrixbot preview body.json --html > page.html";

/// The most alerts whose details the page gets, as in a room.
const MOST_ALERTS: usize = crate::store::IN_A_MESSAGE;

#[derive(Debug, Args)]
pub(super) struct Options {
    /// The webhook's body, as JSON; `-` is the standard input
    #[arg(value_name = "FILE")]
    body: PathBuf,
    /// Whose rooms and rules; otherwise those of the body's receiver, or of the only room list
    #[arg(long, value_name = "NAME")]
    room_list: Option<String>,
    /// Only the page, as HTML
    #[arg(long)]
    html: bool,
    /// When the body arrives, such as 2026-12-24T03:00:00Z; otherwise now
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
    #[command(flatten)]
    file: ConfigFile,
}

/// Prints what a body would do.
pub(super) fn preview(options: &Options) -> ExitCode {
    let config = match options.file.load() {
        Ok(config) => config,
        Err(code) => return code,
    };
    match previewed(options, &config) {
        Ok(text) => print(text.as_bytes()),
        Err(problem) => {
            eprint(&format!("error: {problem}"));
            ExitCode::from(MISUSED)
        }
    }
}

fn previewed(options: &Options, config: &Config) -> Result<String, String> {
    let file = options.body.display();
    let body = read(&options.body).map_err(|error| format!("{file}: {error}"))?;
    let now = options.at.unwrap_or_else(|| SystemClock.now());
    let report = payload::parse(&body, now).map_err(|unreadable| format!("{file}: {unreadable}"))?;
    for remark in &report.remarks {
        eprint(&format!("warning: {file}: {remark}"));
    }
    let list = list(options.room_list.as_deref(), &report.webhook, config)?;
    let Some(forecast) = forecast(&list.policy, list.time_zone.time_zone(), &report.webhook.alerts, now)
    else {
        let is_firing = report.webhook.alerts.iter().any(|alert| alert.firing);
        let why = if is_firing { "None of its firing alerts pages" } else { "None of its alerts is firing" };
        return Ok(format!("{why}: it would open no incident and notify nobody.\n"));
    };
    let view = view(&list.name, &list.policy, &report.webhook, &forecast);
    let ack_reaction = list.ack_reactions.first().map_or("✅", String::as_str);
    let on_call = OnCallNow::default().with_unknown(list.policy.schedules());
    let context = Context {
        policy: &list.policy,
        on_call: &on_call,
        ack_reaction,
        now,
        for_good: false,
        zone: &list.time_zone,
    };
    let first = forecast.steps.iter().find_map(|step| match step.what {
        Happens::Page(rung) => Some(rung),
        Happens::Announcement(_) | Happens::Fallback | Happens::Reminder(_) => None,
    });
    let rung = first.unwrap_or(Rung { run_no: 1, loop_no: 0, level: 0 });
    let message = page::page(&view, &[], rung, &context);
    let (message, problem) = template::overridden(message, Templated::Page, &list.templates, &view, &context);
    if let Some(problem) = problem {
        eprint(&format!("warning: {problem}"));
    }
    if options.html {
        return Ok(format!("{}\n", message.text.html()));
    }
    let ladder = ladder(&list.policy, &view, &forecast.steps, &context);
    Ok(format!("{}\n\n{ladder}", message.text.plain().trim_end()))
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut body = Vec::new();
    let most = u64::try_from(LARGEST_BODY).unwrap_or(u64::MAX);
    if path == Path::new("-") {
        std::io::stdin().take(most).read_to_end(&mut body)?;
    } else {
        std::fs::File::open(path)?.take(most).read_to_end(&mut body)?;
    }
    Ok(body)
}

/// The room list of a body.
fn list<'a>(
    wanted: Option<&str>,
    webhook: &Webhook,
    config: &'a Config,
) -> Result<&'a RoomListConfig, String> {
    let names: Vec<&str> = config.room_lists.iter().map(|list| list.name.as_str()).collect();
    let names = names.join(", ");
    if let Some(wanted) = wanted {
        let found = config.room_lists.iter().find(|list| list.name == wanted);
        return found.ok_or_else(|| format!("there is no room list {wanted}; there are: {names}"));
    }
    let receiver = &webhook.group.receiver;
    let of_receiver =
        config.room_lists.iter().find(|list| list.name == *receiver || list.receivers.contains(receiver));
    match (of_receiver, config.room_lists.as_slice()) {
        (Some(list), _) => Ok(list),
        (None, [only]) => Ok(only),
        (None, _) => {
            Err(format!("no room list has the receiver {receiver:?}; choose one with --room-list: {names}"))
        }
    }
}

/// The incident that the body opens.
fn view(room_list: &str, policy: &Policy, webhook: &Webhook, forecast: &Forecast) -> IncidentView {
    let mut alerts: Vec<AlertView> = webhook
        .alerts
        .iter()
        .filter(|alert| forecast.incident.firing.contains_key(&alert.fingerprint))
        .map(|alert| firing(alert, policy))
        .collect();
    alerts.sort_by_key(|alert| (Reverse(alert.severity.rank), alert.starts_at, alert.fingerprint.clone()));
    let omitted = alerts.split_off(alerts.len().min(MOST_ALERTS));
    let shared = (!omitted.is_empty()).then(|| crate::domain::view::Shared::of(&omitted, None));
    let group = &webhook.group;
    IncidentView {
        number: 1,
        room_list: room_list.to_owned(),
        incident: forecast.incident.clone(),
        group_labels: group.group_labels.clone(),
        common_labels: group.common_labels.clone(),
        external_url: group.external_url.clone(),
        truncated: group.truncated,
        alerts,
        omitted: Omitted { firing: u64::try_from(omitted.len()).unwrap_or(u64::MAX), cleared: 0, shared },
        began_at: None,
        resolved_at: None,
        levels: u32::try_from(policy.levels.len()).unwrap_or(u32::MAX),
    }
}

fn firing(alert: &WebhookAlert, policy: &Policy) -> AlertView {
    AlertView {
        fingerprint: alert.fingerprint.clone(),
        firing: true,
        severity: policy.severity_of(&alert.labels),
        labels: alert.labels.clone(),
        annotations: alert.annotations.clone(),
        starts_at: alert.starts_at,
        cleared_at: None,
        left_out_since: None,
        generator_url: alert.generator_url.clone(),
        defect: alert.defect.clone(),
    }
}

/// Who is notified when, one line for each step.
fn ladder(policy: &Policy, view: &IncidentView, steps: &[Step], context: &Context<'_>) -> String {
    let fallback = || rooms(&policy.fallback_rooms);
    let of_level = |rung: Rung| policy.level(rung.level).map(|level| rooms(&level.rooms)).unwrap_or_default();
    let mut lines = vec![format!("If nobody acts, {} notifies:\n", view.room_list)];
    for step in steps {
        let at = step.at.to_zoned(context.zone.time_zone().clone());
        let at = format!("{} {}", at.strftime("%F %H:%M:%S"), context.zone.abbreviation(step.at));
        let (what, rooms, mentions) = match step.what {
            Happens::Announcement(rung) => (
                format!("level {}, no page", rung.level.saturating_add(1)),
                of_level(rung),
                Called::default(),
            ),
            Happens::Page(rung) => {
                let called = page::called(view, rung.level, context);
                (format!("level {}", rung.level.saturating_add(1)), of_level(rung), called)
            }
            Happens::Fallback => ("fallback".to_owned(), fallback(), Called::default()),
            Happens::Reminder(number) => {
                let last = policy.levels.last().map(|level| level.rooms.as_slice()).unwrap_or_default();
                let both = [rooms(last), fallback()].into_iter().filter(|rooms| !rooms.is_empty());
                let last_level = view.levels.saturating_sub(1);
                (
                    format!("reminder {number}"),
                    both.collect::<Vec<_>>().join(", "),
                    page::called(view, last_level, context),
                )
            }
        };
        let rooms = if rooms.is_empty() { "no room" } else { &rooms };
        let mentions: Vec<String> = mentions.mentions.iter().map(mentioned).collect();
        let mentions =
            if mentions.is_empty() { String::new() } else { format!("; mentions {}", mentions.join(", ")) };
        lines.push(format!("  {at}  {what}: {rooms}{mentions}\n"));
    }
    if steps.is_empty() {
        lines.push("  nobody\n".to_owned());
    }
    lines.concat()
}

fn rooms(rooms: &[String]) -> String {
    rooms.join(", ")
}

fn mentioned(mention: &Mention) -> String {
    match mention {
        Mention::User(user) => user.to_string(),
        Mention::Room => "@room".to_owned(),
        Mention::OnCall(schedule) => format!("those on call in {schedule}"),
    }
}
