//! Arithmetic on timestamps that cannot fail, and durations in words.

use jiff::civil::Time;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use std::time::Duration;

/// `at` plus `by`, at most `Timestamp::MAX`.
pub fn later(at: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by).ok().and_then(|by| at.checked_add(by).ok()).unwrap_or(Timestamp::MAX)
}

/// `at` minus `by`, at least `Timestamp::MIN`.
pub fn earlier(at: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by).ok().and_then(|by| at.checked_sub(by).ok()).unwrap_or(Timestamp::MIN)
}

/// The duration from `start` to `end`; zero if `end` comes first.
pub fn between(start: Timestamp, end: Timestamp) -> Duration {
    Duration::try_from(end.duration_since(start)).unwrap_or(Duration::ZERO)
}

/// The first time after `now` at which clocks of the zone show `at`. On a day on which they skip it, as much later as they
/// skip; on a day on which they show it twice, the first time.
pub fn next_time_of_day(now: Timestamp, at: Time, zone: &TimeZone) -> Timestamp {
    let today = now.to_zoned(zone.clone()).date();
    let days = [Some(today), today.checked_add(1.day()).ok()];
    let instants = days.into_iter().flatten().filter_map(|day| zone.to_timestamp(day.to_datetime(at)).ok());
    instants.into_iter().find(|instant| *instant > now).unwrap_or(Timestamp::MAX)
}

/// A duration in words: `45 s`, `12 min`, `2 h 5 min`, `3 d 4 h`. Rounded down to its two largest units.
pub fn lasting(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min"),
        (0, _, _) => two_units(hours, "h", minutes % 60, "min"),
        _ => two_units(days, "d", hours % 24, "h"),
    }
}

fn two_units(large: u64, large_unit: &str, small: u64, small_unit: &str) -> String {
    if small == 0 {
        format!("{large} {large_unit}")
    } else {
        format!("{large} {large_unit} {small} {small_unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_day_follows_the_clocks_of_its_zone() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let next = |now: &str, hour, minute| {
            next_time_of_day(now.parse().unwrap(), jiff::civil::time(hour, minute, 0, 0), &zone).to_string()
        };
        assert_eq!(next("2026-01-10T07:59:59Z", 9, 0), "2026-01-10T08:00:00Z");
        assert_eq!(next("2026-01-10T08:00:00Z", 9, 0), "2026-01-11T08:00:00Z");
        assert_eq!(
            next("2026-03-28T22:00:00Z", 9, 0),
            "2026-03-29T07:00:00Z",
            "clocks go forward in the night"
        );
        assert_eq!(next("2026-03-28T22:00:00Z", 2, 30), "2026-03-29T01:30:00Z", "which skips half past two");
        assert_eq!(
            next("2026-10-24T22:00:00Z", 2, 30),
            "2026-10-25T00:30:00Z",
            "twice on that day: the first time"
        );
    }

    #[test]
    fn durations_are_worded_in_their_two_largest_units() {
        let words = |seconds| lasting(Duration::from_secs(seconds));
        assert_eq!(words(0), "0 s");
        assert_eq!(words(59), "59 s");
        assert_eq!(words(12 * 60 + 59), "12 min");
        assert_eq!(words(3600), "1 h");
        assert_eq!(words(2 * 3600 + 5 * 60), "2 h 5 min");
        assert_eq!(words(3 * 86_400), "3 d");
        assert_eq!(words(3 * 86_400 + 4 * 3600 + 60), "3 d 4 h");
    }
}
