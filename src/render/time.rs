//! Durations and instants in words.

use super::Context;
use crate::domain::time::between;
pub(super) use crate::domain::time::lasting;
use crate::domain::zone::Zone;
use jiff::Timestamp;

/// How long ago `at` was.
pub(crate) fn age(at: Timestamp, now: Timestamp) -> String {
    lasting(between(at, now))
}

/// An instant in the zone of the reader's list: `14:05 CET`, with its date if that is not today.
pub(super) fn instant(at: Timestamp, context: &Context<'_>) -> String {
    instant_in(at, context.now, context.zone)
}

/// An instant in a zone: `14:05 UTC`, with its date if that is not today.
pub(crate) fn instant_in(at: Timestamp, now: Timestamp, zone: &Zone) -> String {
    let there = |at: Timestamp| at.to_zoned(zone.time_zone().clone());
    let (local, today) = (there(at), there(now));
    let same = |format: &str| local.strftime(format).to_string() == today.strftime(format).to_string();
    let format = if same("%F") {
        "%H:%M"
    } else if same("%Y") {
        "%-d %b %H:%M"
    } else {
        "%-d %b %Y %H:%M"
    };
    format!("{} {}", local.strftime(format), zone.abbreviation(at))
}

/// An instant to the second, always with its date, without its zone.
pub(super) fn exact(at: Timestamp, zone: &Zone) -> String {
    at.to_zoned(zone.time_zone().clone()).strftime("%F %H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_has_its_date_when_it_is_not_today() {
        let now: Timestamp = "2026-11-24T15:00:00Z".parse().unwrap();
        let formatted = |at: &str| instant_in(at.parse().unwrap(), now, &Zone::UTC);
        assert_eq!(formatted("2026-11-24T14:05:59Z"), "14:05 UTC");
        assert_eq!(formatted("2026-11-03T14:05:00Z"), "3 Nov 14:05 UTC");
        assert_eq!(formatted("2025-11-24T14:05:00Z"), "24 Nov 2025 14:05 UTC");
    }

    #[test]
    fn extreme_instants_do_not_panic() {
        for zone in [Zone::UTC, "Pacific/Kiritimati".parse().unwrap()] {
            assert!(!instant_in(Timestamp::MIN, Timestamp::MAX, &zone).is_empty());
            assert!(!exact(Timestamp::MAX, &zone).is_empty());
        }
    }

    #[test]
    fn an_instant_is_in_its_zone_with_the_letters_of_that_day() {
        let (now, berlin) = ("2026-11-24T23:30:00Z".parse().unwrap(), "Europe/Berlin".parse().unwrap());
        let formatted = |at: &str| instant_in(at.parse().unwrap(), now, &berlin);
        assert_eq!(formatted("2026-11-24T23:05:00Z"), "00:05 CET", "it is the 25th there");
        assert_eq!(formatted("2026-11-24T22:05:00Z"), "24 Nov 23:05 CET");
        assert_eq!(formatted("2026-07-01T10:00:00Z"), "1 Jul 12:00 CEST");
        assert_eq!(exact(now, &berlin), "2026-11-25 00:30:00");
    }
}
