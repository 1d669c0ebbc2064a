//! Lists incidents.

use super::Incidents;
use crate::cli::{eprint, print};
use crate::clock::{Clock as _, SystemClock};
use crate::domain::answer::IncidentLine;
use crate::domain::hold::HeldAlerts;
use crate::domain::incident::PhaseName;
use crate::domain::zone::Zone;
use crate::render::text::short;
use crate::render::time::{age, instant_in};
use crate::store::{Tx, incident, overview};
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use serde::Serialize;

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Only incidents in this state; can be repeated
    #[arg(long = "state", value_name = "STATE", conflicts_with = "all")]
    states: Vec<State>,
    /// Include resolved and closed incidents, and list the newest ones
    #[arg(long)]
    all: bool,
    /// The maximum number of incidents
    #[arg(long, value_name = "N", default_value_t = MOST, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
}

const MOST: u32 = 100;

impl Default for Options {
    fn default() -> Self {
        Self { states: Vec::new(), all: false, limit: MOST }
    }
}

/// A phase, with its name on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum State {
    Firing,
    Acknowledged,
    Snoozed,
    Unanswered,
    Suppressed,
    Resolved,
    Closed,
}

impl State {
    fn phase(self) -> PhaseName {
        match self {
            Self::Firing => PhaseName::Firing,
            Self::Acknowledged => PhaseName::Acknowledged,
            Self::Snoozed => PhaseName::Snoozed,
            Self::Unanswered => PhaseName::Unanswered,
            Self::Suppressed => PhaseName::Suppressed,
            Self::Resolved => PhaseName::Resolved,
            Self::Closed => PhaseName::Closed,
        }
    }
}

/// One incident in JSON.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    number: i64,
    room_list: String,
    name: String,
    state: &'static str,
    severity: Option<String>,
    /// The number of firing alerts.
    alerts_firing: u64,
    /// The level that was paged last, the first being 1.
    level: Option<u32>,
    levels: u32,
    since: Timestamp,
    acknowledged_by: Vec<String>,
    until: Option<Timestamp>,
    /// Which firing alerts Alertmanager holds back: `all`, `some`, or none.
    held_alerts: Option<&'static str>,
    /// When the first silence of an incident with `all` ends, if silences hold them.
    held_until: Option<Timestamp>,
}

impl Line {
    pub(super) fn new(room_list: &str, line: IncidentLine) -> Self {
        Self {
            number: line.number,
            room_list: room_list.to_owned(),
            name: line.name,
            state: line.phase.as_str(),
            severity: line.severity.and_then(|severity| severity.name),
            alerts_firing: line.alerts,
            level: line.level.map(|level| level.saturating_add(1)),
            levels: line.levels,
            since: line.since,
            acknowledged_by: line.ackers.iter().map(ToString::to_string).collect(),
            until: line.until,
            held_alerts: line.held.map(|held| match held {
                HeldAlerts::All { .. } => "all",
                HeldAlerts::Some => "some",
            }),
            held_until: match line.held {
                Some(HeldAlerts::All { until }) => until,
                Some(HeldAlerts::Some) | None => None,
            },
        }
    }
}

impl Incidents {
    /// Lists incidents. Returns whether each could be read.
    pub(super) async fn list(&self, options: &Options) -> anyhow::Result<bool> {
        let mut tx = self.store.begin().await?;
        let mut lines = Vec::new();
        let mut all = true;
        for number in self.numbers(&mut tx, options).await? {
            let stored = match incident::load(&mut tx, number).await {
                Err(error) if error.is_data_error() => {
                    eprint(&format!("error: incident {number} cannot be read: {error}"));
                    all = false;
                    continue;
                }
                stored => stored?,
            };
            if let Some(stored) = stored {
                let policy = self
                    .engine
                    .policy_or_current(&stored.room_list, stored.incident.run.policy_version)
                    .await?;
                let levels = u32::try_from(policy.levels.len()).unwrap_or(u32::MAX);
                lines.push(Line::new(&stored.room_list, stored.line(levels)));
            }
        }
        if self.json {
            print(format!("{:#}\n", serde_json::to_value(&lines)?).as_bytes());
        } else if lines.is_empty() {
            print(
                if options.all { "There are no incidents.\n" } else { "There are no open incidents.\n" }
                    .as_bytes(),
            );
        } else {
            print(table(&lines, SystemClock.now()).as_bytes());
        }
        Ok(all)
    }

    async fn numbers(&self, tx: &mut Tx, options: &Options) -> anyhow::Result<Vec<i64>> {
        let phases: Vec<PhaseName> = match options.states.as_slice() {
            [] if options.all => PhaseName::ALL.to_vec(),
            [] => PhaseName::ALL.iter().copied().filter(|phase| is_open(*phase)).collect(),
            states => states.iter().map(|state| state.phase()).collect(),
        };
        let names: Vec<String> = phases.iter().map(|phase| phase.as_str().to_owned()).collect();
        let limit = i64::from(options.limit);
        if phases.into_iter().all(is_open) {
            return Ok(overview::open_numbers(tx, &self.room_lists, &names, limit).await?);
        }
        let mut numbers = overview::newest_numbers(tx, &self.room_lists, &names, limit).await?;
        numbers.reverse();
        Ok(numbers)
    }
}

fn is_open(phase: PhaseName) -> bool {
    !matches!(phase, PhaseName::Resolved | PhaseName::Closed)
}

/// The longest name in the table, as in rooms: a group's name may consist of all its labels.
const LONGEST_NAME: usize = 60;
/// The longest severity in the table: it is a label's value.
const LONGEST_SEVERITY: usize = 20;

/// The incidents as rows. Names come last because they are the longest; JSON has them in full.
fn table(lines: &[Line], now: Timestamp) -> String {
    const HEAD: [&str; 8] = ["#", "STATE", "SEVERITY", "ALERTS", "LEVEL", "AGE", "ROOM LIST", "NAME"];
    let rows: Vec<[String; 8]> = lines.iter().map(|line| cells(line, now)).collect();
    let head = HEAD.map(str::to_owned);
    let widths: Vec<usize> = (0..HEAD.len())
        .map(|column| {
            let cells = std::iter::once(&head).chain(&rows).filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
        })
        .collect();
    let mut table = String::new();
    for row in std::iter::once(&head).chain(&rows) {
        let line: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        table.push_str(line.join("  ").trim_end());
        table.push('\n');
    }
    table
}

fn cells(line: &Line, now: Timestamp) -> [String; 8] {
    let level = line.level.map_or("-".to_owned(), |level| format!("{level}/{}", line.levels));
    let by = match line.acknowledged_by.as_slice() {
        [] => String::new(),
        users => format!(" (by {})", users.join(", ")),
    };
    [
        format!("#{}", line.number),
        line.state.to_owned(),
        line.severity.as_deref().map_or("-".to_owned(), |severity| short(severity, LONGEST_SEVERITY)),
        line.alerts_firing.to_string(),
        level,
        age(line.since, now),
        line.room_list.clone(),
        format!("{}{by}{}", short(&line.name, LONGEST_NAME), held(line, now)),
    ]
}

/// ` 🔇 until 14:05 UTC`, last in its row because terminals disagree about its width.
fn held(line: &Line, now: Timestamp) -> String {
    match (line.held_alerts, line.held_until) {
        (Some("all"), Some(until)) => format!(" 🔇 until {}", instant_in(until, now, &Zone::UTC)),
        (Some("all"), None) => " 🔇 held back".to_owned(),
        (Some(_), _) => " 🔇 some alerts".to_owned(),
        (None, _) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Line, table};
    use jiff::Timestamp;

    fn line(number: i64, name: &str) -> Line {
        Line {
            number,
            room_list: "finance".to_owned(),
            name: name.to_owned(),
            state: "acknowledged",
            severity: Some("critical".to_owned()),
            alerts_firing: 3,
            level: Some(2),
            levels: 2,
            since: "2026-11-24T12:00:00Z".parse().unwrap(),
            acknowledged_by: vec!["@alice:example.org".to_owned()],
            until: None,
            held_alerts: None,
            held_until: None,
        }
    }

    #[test]
    fn columns_are_aligned_and_bounded_and_nothing_from_outside_moves_the_cursor() {
        let now: Timestamp = "2026-11-24T12:12:00Z".parse().unwrap();
        let bare = Line {
            severity: None,
            level: None,
            state: "firing",
            acknowledged_by: Vec::new(),
            ..line(1042, "\u{1b}[2JHost\nDown")
        };
        let long = "alertname=Disk".repeat(100);
        let worse = Line { severity: Some("catastrophic".repeat(100)), ..line(3, &long) };
        let [_, row] =
            table(&[worse], now).lines().map(str::to_owned).collect::<Vec<_>>().try_into().unwrap();
        assert!(row.contains(" catastrophiccatastr… "), "{row}");
        assert!(
            row.ends_with(
                "alertname=Diskalertname=Diskalertname=Diskalertname=Diskale… (by @alice:example.org)"
            ),
            "{row}"
        );
        assert_eq!(
            table(&[line(7, "DiskFull"), bare], now),
            "\
#      STATE         SEVERITY  ALERTS  LEVEL  AGE     ROOM LIST  NAME
#7     acknowledged  critical  3       2/2    12 min  finance    DiskFull (by @alice:example.org)
#1042  firing        -         3       -      12 min  finance    [2JHost Down
"
        );
    }
}
