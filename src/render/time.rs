//! Durations and instants in words.

use crate::domain::time::between;
use jiff::Timestamp;
use std::time::Duration;

/// A duration as people say it: `45 s`, `12 min`, `2 h 5 min`, `3 d 4 h`. Rounded down; only the two largest units.
pub(super) fn lasting(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min"),
        (0, _, _) => two_units(hours, "h", minutes % 60, "min"),
        _ => two_units(days, "d", hours % 24, "h"),
    }
}

/// How long ago `at` was.
pub(crate) fn age(at: Timestamp, now: Timestamp) -> String {
    lasting(between(at, now))
}

/// An instant, in UTC: `14:05 UTC`, with its date when that is not today.
pub(super) fn instant(at: Timestamp, now: Timestamp) -> String {
    let same = |format: &str| at.strftime(format).to_string() == now.strftime(format).to_string();
    let format = if same("%F") {
        "%H:%M UTC"
    } else if same("%Y") {
        "%-d %b %H:%M UTC"
    } else {
        "%-d %b %Y %H:%M UTC"
    };
    at.strftime(format).to_string()
}

/// An instant to the second, in UTC, always with its date.
pub(super) fn exact(at: Timestamp) -> String {
    at.strftime("%F %H:%M:%S").to_string()
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
    fn durations_are_said_in_their_two_largest_units() {
        let said = |seconds| lasting(Duration::from_secs(seconds));
        assert_eq!(said(0), "0 s");
        assert_eq!(said(59), "59 s");
        assert_eq!(said(12 * 60 + 59), "12 min");
        assert_eq!(said(3600), "1 h");
        assert_eq!(said(2 * 3600 + 5 * 60), "2 h 5 min");
        assert_eq!(said(3 * 86_400), "3 d");
        assert_eq!(said(3 * 86_400 + 4 * 3600 + 60), "3 d 4 h");
    }

    #[test]
    fn an_instant_has_its_date_when_it_is_not_today() {
        let now: Timestamp = "2026-11-24T15:00:00Z".parse().unwrap();
        let said = |at: &str| instant(at.parse().unwrap(), now);
        assert_eq!(said("2026-11-24T14:05:59Z"), "14:05 UTC");
        assert_eq!(said("2026-11-03T14:05:00Z"), "3 Nov 14:05 UTC");
        assert_eq!(said("2025-11-24T14:05:00Z"), "24 Nov 2025 14:05 UTC");
    }

    #[test]
    fn an_instant_that_cannot_be_shown_does_not_panic() {
        assert!(!instant(Timestamp::MIN, Timestamp::MAX).is_empty());
        assert!(!exact(Timestamp::MAX).is_empty());
    }
}
