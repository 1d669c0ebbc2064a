//! Durations and instants in words.

use crate::domain::time::between;
pub(super) use crate::domain::time::lasting;
use jiff::Timestamp;

/// How long ago `at` was.
pub(crate) fn age(at: Timestamp, now: Timestamp) -> String {
    lasting(between(at, now))
}

/// An instant in UTC: `14:05 UTC`, with its date if that is not today.
pub(crate) fn instant(at: Timestamp, now: Timestamp) -> String {
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

/// An instant in UTC to the second, always with its date.
pub(super) fn exact(at: Timestamp) -> String {
    at.strftime("%F %H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_has_its_date_when_it_is_not_today() {
        let now: Timestamp = "2026-11-24T15:00:00Z".parse().unwrap();
        let formatted = |at: &str| instant(at.parse().unwrap(), now);
        assert_eq!(formatted("2026-11-24T14:05:59Z"), "14:05 UTC");
        assert_eq!(formatted("2026-11-03T14:05:00Z"), "3 Nov 14:05 UTC");
        assert_eq!(formatted("2025-11-24T14:05:00Z"), "24 Nov 2025 14:05 UTC");
    }

    #[test]
    fn extreme_instants_do_not_panic() {
        assert!(!instant(Timestamp::MIN, Timestamp::MAX).is_empty());
        assert!(!exact(Timestamp::MAX).is_empty());
    }
}
