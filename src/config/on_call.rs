//! The keys of `on_call`, and the schedules that they make.

use crate::domain::on_call::calendar::{Place, Source};
use crate::domain::on_call::{Clock, HandOff, Layer, Schedule, Turns, Window};
use crate::domain::policy::{Mention, RoomReference};
use crate::domain::zone::Zone;
use jiff::civil::Date;
use ruma::OwnedUserId;
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// A day, in seconds.
pub(super) const DAY: u64 = 86_400;

/// Who is on call when. It has a `rotation` or a `calendar`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct OnCallConfig {
    /// Its name in `mention` and in commands. Characters: a-z, 0-9, `.`, `_`, `=`, `-`; not `room`.
    #[schemars(extend("format" = "name", "x-example" = "finance-primary"))]
    pub name: String,
    /// The zone of its times, an IANA name.
    #[serde(default)]
    #[schemars(with = "String", extend("format" = "time zone", "x-example" = "Europe/Berlin"))]
    pub time_zone: Zone,
    /// The layers of a rotation. A later one covers the earlier ones while somebody serves in it.
    #[serde(default)]
    pub rotation: Vec<LayerConfig>,
    /// Instead of `rotation`: a calendar in the iCalendar format, with an event for each shift, as most calendars and products
    /// for people on call write it. The last one that could be read stays valid.
    #[schemars(extend("x-hint" = "{url_file: finance.ics.url, refresh: 15m, people: {\"alice@example.com\": \"@alice:example.org\"}}"))]
    pub calendar: Option<CalendarConfig>,
    /// Rooms of room lists that learn of hand-overs, with the open incidents, and of changes that people make.
    #[serde(default)]
    #[schemars(extend("items" = {"format": "room"}, "uniqueItems" = true, "x-example" = "[\"#finance-ops:example.org\"]"))]
    pub announce: Vec<RoomReference>,
    /// Who is mentioned instead while nobody is on call. The page then also has a line about that.
    #[serde(default = "everybody")]
    #[schemars(with = "Vec<String>", length(min = 1), extend("items" = {"format": "user or \"@room\""}))]
    #[schemars(extend("default" = ["@room"]))]
    pub fallback_mention: Vec<Mention>,
}

fn everybody() -> Vec<Mention> {
    vec![Mention::Room]
}

/// One layer of a rotation: people who serve one after the other. Hand-offs are by the wall clock, also when it changes.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct LayerConfig {
    /// At least one, in the order in which they serve.
    #[schemars(with = "Vec<String>", length(min = 1), extend("items" = {"format": "user"}))]
    #[schemars(extend("x-example" = "[\"@alice:example.org\", \"@bob:example.org\"]"))]
    pub people: Vec<OwnedUserId>,
    /// How long a turn is: whole days or weeks.
    #[serde(default = "week")]
    #[schemars(extend("format" = "time-to-answer"))]
    pub every: Duration,
    /// Required, unless there are `shifts`. When a turn ends: a time such as `09:00`, or with a day if turns are whole weeks.
    #[schemars(with = "Option<String>", extend("format" = "hand-off", "x-example" = "Mon 09:00"))]
    pub hand_off: Option<HandOff>,
    /// Instead of `every` and `hand_off`: the times of each day at which the next person takes over.
    #[serde(default)]
    #[schemars(with = "Vec<String>", extend("items" = {"format": "time of day"}, "uniqueItems" = true))]
    #[schemars(extend("x-hint" = "[\"08:00\", \"20:00\"]"))]
    pub shifts: Vec<Clock>,
    /// The first person serves from the first hand-off on or after this day.
    #[schemars(with = "String", extend("format" = "date", "x-example" = "2026-11-30"))]
    pub starting: Date,
    /// The part of the week in which the layer applies. It may cross midnight: `Mon-Fri 20:00-08:00`. Default: always.
    #[schemars(with = "Option<String>", extend("format" = "part of the week", "x-hint" = "Mon-Fri 08:00-18:00"))]
    pub only: Option<Window>,
}

fn week() -> Duration {
    Duration::from_secs(7 * DAY)
}

/// A calendar.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct CalendarConfig {
    /// Required, or `file`. An `https`, `http` or `webcal` URL. Everybody who has it can often read the calendar, so logs and
    /// messages never show it.
    #[schemars(with = "Option<String>", extend("format" = "URL (calendar)", "x-secret" = "finance.ics.url", "x-either" = "file"))]
    pub url: Option<SecretString>,
    /// Instead of `url`: a file.
    #[schemars(extend("format" = "file", "x-hint" = "finance.ics"))]
    pub file: Option<PathBuf>,
    /// How often it is read.
    #[serde(default = "refresh")]
    #[schemars(extend("format" = "time-to-answer"))]
    pub refresh: Duration,
    /// The zone of its times that have none, such as those of all-day events. Default: the one that the calendar names, or
    /// else the schedule's.
    #[schemars(with = "Option<String>", extend("format" = "time zone", "x-hint" = "Europe/Berlin"))]
    pub time_zone: Option<Zone>,
    /// The users behind the mail addresses and names in it, in any case. A Matrix user id in the title, description or
    /// location of an event needs no entry. People without an entry are reported.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, String>", extend("propertyNames" = {"format": "mail address or name"}))]
    #[schemars(extend("additionalProperties" = {"type": "string", "format": "user"}))]
    pub people: BTreeMap<String, OwnedUserId>,
}

fn refresh() -> Duration {
    Duration::from_mins(15)
}

impl OnCallConfig {
    /// The schedule. The configuration is valid.
    pub fn schedule(&self) -> Schedule {
        Schedule {
            name: self.name.clone(),
            zone: self.time_zone.clone(),
            layers: self.rotation.iter().map(LayerConfig::layer).collect(),
            calendar: self.calendar.as_ref().and_then(CalendarConfig::source),
            announce: self.announce.clone(),
            fallback: self.fallback_mention.clone(),
        }
    }
}

impl LayerConfig {
    fn layer(&self) -> Layer {
        let turns = match self.hand_off {
            Some(hand_off) => {
                let days = i64::try_from(self.every.as_secs() / DAY).unwrap_or(i64::MAX);
                Turns::every(days, hand_off, self.starting)
            }
            None => Turns::shifts(self.shifts.iter().map(|shift| shift.0).collect(), self.starting),
        };
        Layer::new(self.people.clone(), turns, self.only.clone())
    }
}

impl CalendarConfig {
    fn source(&self) -> Option<Source> {
        let place = match (&self.url, &self.file) {
            (Some(url), _) => Place::Url(url.clone()),
            (None, Some(file)) => Place::File(file.clone()),
            (None, None) => return None,
        };
        let people = self.people.iter().map(|(name, user)| (name.clone(), user.clone())).collect();
        Some(Source { place, refresh: self.refresh, zone: self.time_zone.clone(), people })
    }
}
