//! Days and times of the week as people write them: `Mon 09:00`, `Mon-Fri`, `08:00-18:00`.

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde::Deserialize;
use std::str::FromStr;

const DAYS: [(Weekday, &str); 7] = [
    (Weekday::Monday, "monday"),
    (Weekday::Tuesday, "tuesday"),
    (Weekday::Wednesday, "wednesday"),
    (Weekday::Thursday, "thursday"),
    (Weekday::Friday, "friday"),
    (Weekday::Saturday, "saturday"),
    (Weekday::Sunday, "sunday"),
];

/// A day of the week: its English name, or the first two letters of it or more.
pub(super) fn weekday(text: &str) -> Option<Weekday> {
    let text = text.to_lowercase();
    let named = DAYS.iter().find(|(_, name)| text.len() >= 2 && name.starts_with(&text));
    named.map(|(day, _)| *day)
}

/// A time of day: `09:00`, or `9:00`.
pub fn time_of_day(text: &str) -> Option<Time> {
    let (hours, minutes) = text.split_once(':')?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(hours) || hours.len() > 2 || minutes.len() != 2 || !is_number(minutes) {
        return None;
    }
    Time::new(hours.parse().ok()?, minutes.parse().ok()?, 0, 0).ok()
}

/// `date` and a number of days; `date` itself at the end of the calendar.
pub(super) fn plus_days(date: Date, days: i64) -> Date {
    Span::new().try_days(days).ok().and_then(|days| date.checked_add(days).ok()).unwrap_or(date)
}

/// The number of days from `from` to `to`.
pub(super) fn days_between(from: Date, to: Date) -> i64 {
    from.until(to).map_or(0, |span| i64::from(span.get_days()))
}

/// The instant of a wall clock. One that the clock jumps over is as much later as the clock jumps; of two it is the first.
pub(super) fn instant(date: Date, time: Time, zone: &TimeZone) -> Timestamp {
    date.to_datetime(time).to_zoned(zone.clone()).map_or(Timestamp::MAX, |zoned| zoned.timestamp())
}

/// When a turn ends and the next one begins: `Mon 09:00`, or `09:00` every day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct HandOff {
    /// The day of the week, if it is always the same.
    pub day: Option<Weekday>,
    /// The time of day.
    pub time: Time,
}

impl FromStr for HandOff {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let read = match words.as_slice() {
            [time] => time_of_day(time).map(|time| Self { day: None, time }),
            [day, time] => {
                weekday(day).zip(time_of_day(time)).map(|(day, time)| Self { day: Some(day), time })
            }
            _ => None,
        };
        read.ok_or_else(|| {
            format!("must be a day and a time such as Mon 09:00, or a time such as 09:00, not `{text}`")
        })
    }
}

impl TryFrom<String> for HandOff {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// A time of day: `08:00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Clock(pub Time);

impl FromStr for Clock {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        time_of_day(text).map(Self).ok_or_else(|| format!("must be a time such as 08:00, not `{text}`"))
    }
}

impl TryFrom<String> for Clock {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// A part of each week by wall clock: `Mon-Fri 08:00-18:00`, `Mon-Fri 20:00-08:00` (each night until the next morning),
/// `22:00-06:00`, `Sat-Sun`, `Mon,Wed 08:00-12:00` or `Fri 18:00-Mon 08:00`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Window {
    /// The days on which it begins.
    days: Vec<Weekday>,
    from: Time,
    /// How many days after its beginning it ends.
    lasts: i64,
    to: Time,
}

const WINDOW: &str =
    "must be a part of the week such as Mon-Fri 08:00-18:00, 22:00-06:00, Sat-Sun or Fri 18:00-Mon 08:00";

impl FromStr for Window {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::read(text).ok_or_else(|| format!("{WINDOW}, not `{text}`"))
    }
}

impl TryFrom<String> for Window {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl Window {
    fn read(text: &str) -> Option<Self> {
        // `Fri 18:00 - Mon 08:00` is `Fri 18:00-Mon 08:00`.
        let text =
            text.trim().replace(['–', '—'], "-").replace(" -", "-").replace("- ", "-").replace(", ", ",");
        let words: Vec<&str> = text.split_whitespace().collect();
        match words.as_slice() {
            [one] if one.contains(':') => Self::daily(DAYS.map(|(day, _)| day).to_vec(), one),
            [days] => {
                Some(Self { days: days_of(days)?, from: Time::midnight(), lasts: 1, to: Time::midnight() })
            }
            [days, times] => Self::daily(days_of(days)?, times),
            [first, middle, to] => {
                let (from, last) = middle.split_once('-')?;
                let (first, last) = (weekday(first)?, weekday(last)?);
                let (from, (to, later)) = (time_of_day(from)?, end_of_day(to)?);
                let days = i64::from(first.until(last)).saturating_add(later);
                let lasts = if days == 0 && to <= from { 7 } else { days };
                Some(Self { days: vec![first], from, lasts, to })
            }
            _ => None,
        }
    }

    /// The same times on each of these days.
    fn daily(days: Vec<Weekday>, times: &str) -> Option<Self> {
        let (from, to) = times.split_once('-')?;
        let (from, (to, later)) = (time_of_day(from)?, end_of_day(to)?);
        let lasts = if later == 0 && to <= from { 1 } else { later };
        Some(Self { days, from, lasts, to })
    }

    /// Whether the window holds an instant.
    pub fn holds(&self, at: Timestamp, zone: &TimeZone) -> bool {
        let today = at.to_zoned(zone.clone()).date();
        let began = (0..=self.lasts.saturating_add(1)).map(|days| plus_days(today, days.saturating_neg()));
        began.filter_map(|date| self.on(date, zone)).any(|(from, to)| from <= at && at < to)
    }

    /// The window that begins on a date; `None`: none does.
    fn on(&self, date: Date, zone: &TimeZone) -> Option<(Timestamp, Timestamp)> {
        let begins = self.days.contains(&date.weekday());
        begins.then(|| {
            let end = plus_days(date, self.lasts);
            (instant(date, self.from, zone), instant(end, self.to, zone))
        })
    }

    /// Every window that lies in a span at least partly.
    pub fn within(&self, from: Timestamp, to: Timestamp, zone: &TimeZone) -> Vec<(Timestamp, Timestamp)> {
        let first =
            plus_days(from.to_zoned(zone.clone()).date(), self.lasts.saturating_add(1).saturating_neg());
        let last = to.to_zoned(zone.clone()).date();
        let dates = (0..=days_between(first, last)).map(|days| plus_days(first, days));
        let windows = dates.filter_map(|date| self.on(date, zone));
        windows.filter(|(starts, ends)| starts < ends && *starts < to && *ends > from).collect()
    }

    /// From the first day of a span of days to the last: `Mon-Fri` is one window from Monday to the end of Friday.
    /// `None`: the text is no span of days.
    pub fn of_days(text: &str) -> Option<Self> {
        let (first, last) = match text.split_once('-') {
            Some((first, last)) => (weekday(first.trim())?, weekday(last.trim())?),
            None => (weekday(text.trim())?, weekday(text.trim())?),
        };
        let lasts = i64::from(first.until(last)).saturating_add(1);
        Some(Self { days: vec![first], from: Time::midnight(), lasts, to: Time::midnight() })
    }
}

/// The end of a window, and how many days later it is: `24:00` is midnight after the day.
fn end_of_day(text: &str) -> Option<(Time, i64)> {
    if text == "24:00" { Some((Time::midnight(), 1)) } else { time_of_day(text).map(|time| (time, 0)) }
}

/// `Mon-Fri`, `Sat-Mon`, `Mon,Wed`.
fn days_of(text: &str) -> Option<Vec<Weekday>> {
    let mut days = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (weekday(first)?, weekday(last)?);
        days.extend(
            first.cycle_forward().take(usize::from(first.until(last).unsigned_abs()).saturating_add(1)),
        );
    }
    Some(days)
}
