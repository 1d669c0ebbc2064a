//! `matrixbot oncall`: who is on call when.

use super::shell::Shell;
use super::{ConfigFile, block_on, failed, print};
use crate::clock::{Clock as _, SystemClock};
use crate::config::Config;
use crate::domain::on_call::{Known, Schedule, Span};
use crate::domain::time::later;
use crate::store::on_call;
use clap::Args;
use jiff::Timestamp;
use jiff::civil::DateTime;
use ruma::OwnedUserId;
use serde::Serialize;
use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

pub(super) const EXAMPLES: &str = "\
Reads the configuration and the database: rotations, calendars as they were read last, and
changes that people made in rooms. It works beside a running matrixbot, which reads the
calendars, or without one.

Examples:
  matrixbot oncall
  matrixbot oncall finance-primary --at '2026-12-24 18:00'
  matrixbot oncall --weeks 8 --ics > on-call.ics
  matrixbot oncall --json | jq '.[] | select(.people == [])'";

const WEEK: Duration = Duration::from_hours(24 * 7);
/// How far ahead the next hand-off is searched.
const AHEAD: Duration = Duration::from_hours(24 * 400);

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Only this schedule
    #[arg(value_name = "SCHEDULE")]
    schedule: Option<String>,
    /// At this time, such as 2026-12-24T17:00:00Z, or 2026-12-24 18:00 on the clocks of the schedule; otherwise now
    #[arg(long, value_name = "TIME", value_parser = at)]
    at: Option<At>,
    /// List the shifts of so many weeks
    #[arg(long, value_name = "WEEKS", default_value = "4", value_parser = clap::value_parser!(u32).range(1..=104))]
    weeks: u32,
    /// Write a calendar in the iCalendar format
    #[arg(long, conflicts_with = "json")]
    ics: bool,
    /// Print one JSON array
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigFile,
}

/// A time, with or without a zone.
#[derive(Debug, Clone, Copy)]
enum At {
    Instant(Timestamp),
    Local(DateTime),
}

fn at(text: &str) -> Result<At, String> {
    if let Ok(instant) = text.parse() {
        return Ok(At::Instant(instant));
    }
    text.parse().map(At::Local).map_err(|_why| {
        format!("`{text}` is no time; write it as 2026-12-24T17:00:00Z or \"2026-12-24 18:00\"")
    })
}

/// A schedule as JSON.
#[derive(Serialize)]
struct Line {
    schedule: String,
    time_zone: String,
    /// The time that the next fields are about.
    at: Timestamp,
    people: Vec<OwnedUserId>,
    /// Names in the calendar without a Matrix user.
    unknown: Vec<String>,
    /// Whether somebody changed it by hand.
    changed: bool,
    /// When other people take over, if they do.
    until: Option<Timestamp>,
    shifts: Vec<Shift>,
}

#[derive(Serialize)]
struct Shift {
    from: Timestamp,
    to: Timestamp,
    people: Vec<OwnedUserId>,
    unknown: Vec<String>,
    changed: bool,
}

/// Prints who is on call.
pub(super) fn oncall(options: &Options) -> ExitCode {
    let config = match options.config.load() {
        Ok(config) => config,
        Err(code) => return code,
    };
    match block_on(printed(options, &config)) {
        Ok(text) => print(text.as_bytes()),
        Err(error) => failed(&error),
    }
}

async fn printed(options: &Options, config: &Config) -> anyhow::Result<String> {
    let all: Vec<Schedule> = config.on_call.iter().map(crate::config::OnCallConfig::schedule).collect();
    anyhow::ensure!(!all.is_empty(), "the configuration has no schedules: add them under `on_call`");
    let is_wanted =
        |schedule: &&Schedule| options.schedule.as_ref().is_none_or(|name| *name == schedule.name);
    let schedules: Vec<&Schedule> = all.iter().filter(is_wanted).collect();
    if let (Some(name), true) = (&options.schedule, schedules.is_empty()) {
        let names: Vec<&str> = all.iter().map(|schedule| schedule.name.as_str()).collect();
        anyhow::bail!("there is no schedule named {name}; there are: {}", names.join(", "));
    }
    let shell = Shell::open(config).await?;
    let now = SystemClock.now();
    let mut lines = Vec::new();
    for schedule in schedules {
        let at = match options.at {
            Some(At::Instant(at)) => at,
            Some(At::Local(local)) => local.to_zoned(schedule.zone.time_zone().clone())?.timestamp(),
            None => now,
        };
        let to = later(at, WEEK.saturating_mul(options.weeks));
        let mut tx = shell.store.begin().await?;
        let known = on_call::known(&mut tx, schedule, at, later(at, AHEAD).max(to)).await?;
        lines.push((schedule, line(schedule, &known, at, to)));
    }
    shell.store.close().await;
    if options.ics {
        return Ok(calendar(&lines, now));
    }
    if options.json {
        let lines: Vec<Line> = lines.into_iter().map(|(_, line)| line).collect();
        return Ok(serde_json::to_string_pretty(&lines)? + "\n");
    }
    Ok(lines.iter().map(|(schedule, line)| text(schedule, line)).collect::<Vec<_>>().join("\n"))
}

fn line(schedule: &Schedule, known: &Known, at: Timestamp, to: Timestamp) -> Line {
    let serving = schedule.serving(known, at);
    let shift = |span: Span| Shift {
        from: span.starts_at,
        to: span.ends_at,
        people: span.serving.people,
        unknown: span.serving.unknown,
        changed: span.serving.by_override.is_some(),
    };
    Line {
        schedule: schedule.name.clone(),
        time_zone: schedule.zone.name().to_owned(),
        at,
        people: serving.people,
        unknown: serving.unknown,
        changed: serving.by_override.is_some(),
        until: schedule.next_hand_off(known, at).map(|next| next.starts_at),
        shifts: schedule.spans(known, at, to).into_iter().map(shift).collect(),
    }
}

/// Who, in one text.
fn who(people: &[OwnedUserId], unknown: &[String]) -> String {
    let people: Vec<String> = people.iter().map(ToString::to_string).collect();
    let unknown = unknown.iter().map(|name| format!("{name} (no Matrix user)"));
    let all: Vec<String> = people.into_iter().chain(unknown).collect();
    if all.is_empty() { "nobody".to_owned() } else { all.join(", ") }
}

fn text(schedule: &Schedule, line: &Line) -> String {
    let local =
        |at: Timestamp| at.to_zoned(schedule.zone.time_zone().clone()).strftime("%a %F %H:%M").to_string();
    let mut text = format!("{} ({})\n", line.schedule, line.time_zone);
    let until = line.until.map(|until| format!(", until {}", local(until))).unwrap_or_default();
    let serving = who(&line.people, &line.unknown);
    writeln!(text, "  at {}: {serving}{until}", local(line.at)).ok();
    for shift in &line.shifts {
        let changed = if shift.changed { "  (changed by hand)" } else { "" };
        let who = who(&shift.people, &shift.unknown);
        writeln!(text, "  {} - {}  {who}{changed}", local(shift.from), local(shift.to)).ok();
    }
    text
}

/// The shifts as a calendar.
fn calendar(lines: &[(&Schedule, Line)], now: Timestamp) -> String {
    let utc = |at: Timestamp| at.strftime("%Y%m%dT%H%M%SZ").to_string();
    let mut out = Vec::new();
    for line in ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//matrixbot//on call//EN"] {
        out.push(line.to_owned());
    }
    for (_, line) in lines {
        for shift in line.shifts.iter().filter(|shift| !shift.people.is_empty() || !shift.unknown.is_empty())
        {
            let summary = format!("{} ({})", who(&shift.people, &shift.unknown), line.schedule);
            out.push("BEGIN:VEVENT".to_owned());
            out.push(format!("UID:{}-{}@matrixbot", line.schedule, utc(shift.from)));
            out.push(format!("DTSTAMP:{}", utc(now)));
            out.push(format!("DTSTART:{}", utc(shift.from)));
            out.push(format!("DTEND:{}", utc(shift.to)));
            out.push(format!("SUMMARY:{}", escaped(&summary)));
            out.push("END:VEVENT".to_owned());
        }
    }
    out.push("END:VCALENDAR".to_owned());
    out.iter().map(|line| folded(line)).collect()
}

/// RFC 5545 3.3.11: TEXT.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace(';', "\\;").replace(',', "\\,").replace(['\n', '\r'], " ")
}

/// RFC 5545 3.1: lines of at most 75 bytes.
fn folded(line: &str) -> String {
    const LONGEST: usize = 74;
    let (mut out, mut length) = (String::new(), 0_usize);
    for character in line.chars() {
        if length.saturating_add(character.len_utf8()) > LONGEST {
            out.push_str("\r\n ");
            length = 1;
        }
        out.push(character);
        length = length.saturating_add(character.len_utf8());
    }
    out + "\r\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::on_call::calendar::{Wanted, expand};
    use crate::domain::on_call::{Layer, Turns};
    use crate::domain::zone::Zone;

    #[test]
    fn our_own_calendar_is_read_as_it_was_meant() {
        let people =
            ["@alice:example.org", "@bob-with-a-long-name-that-folds-the-line-of-the-event:example.org"];
        let people: Vec<OwnedUserId> = people.map(|user| user.try_into().unwrap()).to_vec();
        let zone: Zone = "Europe/Berlin".parse().unwrap();
        let turns = Turns::every(7, "Mon 09:00".parse().unwrap(), "2026-10-19".parse().unwrap());
        let layers = vec![Layer::new(people.clone(), turns, None)];
        let name = "finance;primary".to_owned();
        let schedule = Schedule { name, zone, layers, calendar: None, announce: vec![], fallback: vec![] };
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let (from, to) = (at("2026-10-19T07:00:00Z"), at("2026-11-02T08:00:00Z"));
        let written = calendar(&[(&schedule, line(&schedule, &Known::default(), from, to))], from);
        assert!(written.split("\r\n").all(|line| line.len() <= 75), "{written}");
        let wanted = Wanted { source_zone: None, schedule_zone: &schedule.zone, from, to };
        let read = expand(written.as_bytes(), wanted, &|| false).unwrap();
        assert_eq!(read.problems, Vec::<String>::new());
        let found: Vec<_> = read
            .shifts
            .iter()
            .map(|found| (found.starts_at, found.names.person(&[].into_iter().collect()).unwrap()))
            .collect();
        let expected = [(from, people[0].clone()), (at("2026-10-26T08:00:00Z"), people[1].clone())];
        assert_eq!(found, expected);
    }

    #[test]
    fn times_have_a_zone_or_are_those_of_the_schedule() {
        assert!(matches!(at("2026-12-24T17:00:00Z"), Ok(At::Instant(_))));
        assert!(matches!(at("2026-12-24 18:00"), Ok(At::Local(_))));
        assert!(at("tomorrow").unwrap_err().contains("is no time"));
    }
}
