//! Durations, with one grammar for the configuration, rooms and the command line: `90s`, `15m`, `1h 30m`, `2d` or `0`.
//!
//! A duration is a list of whole numbers with the units `w d h m s`, largest unit first, each unit at most once.

use std::time::Duration;

/// The limit that keeps every sum of a timestamp and a duration in range.
const LONGEST: Duration = Duration::from_hours(24 * 3650);

/// A larger number without a unit is taken for seconds.
const LARGEST_MINUTES: u64 = 240;

/// The error for text that looks like no duration.
pub const EXPECTED: &str = "must be a duration such as 90s, 15m, 1h30m or 2d";

/// The grammar as a regular expression, valid in Rust and in JSON Schema.
pub const PATTERN: &str = concat!(
    "^(0|[0-9]+(w( *[0-9]+d)?( *[0-9]+h)?( *[0-9]+m)?( *[0-9]+s)?|d( *[0-9]+h)?( *[0-9]+m)?( *[0-9]+s)?",
    "|h( *[0-9]+m)?( *[0-9]+s)?|m( *[0-9]+s)?|s))$"
);

/// Units of time, largest first, each with its length in milliseconds.
pub type Units = [(&'static str, u64)];

const UNITS: &Units = &[("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)];

/// Other spellings of units, each with its length in seconds. Months and years only serve to suggest a valid duration.
const SPELLINGS: [(&str, &[&str], u64); 7] = [
    ("w", &["w", "wk", "wks", "week", "weeks"], 604_800),
    ("d", &["d", "day", "days"], 86_400),
    ("h", &["h", "hr", "hrs", "hour", "hours"], 3600),
    ("m", &["m", "min", "mins", "minute", "minutes"], 60),
    ("s", &["s", "sec", "secs", "second", "seconds"], 1),
    ("", &["mo", "month", "months"], 30 * 86_400),
    ("", &["y", "yr", "yrs", "year", "years"], 365 * 86_400),
];

/// Parses a duration. The error describes the valid forms, if possible with the nearest valid duration.
pub fn parse(text: &str) -> Result<Duration, String> {
    let duration = if text == "0" { Some(Duration::ZERO) } else { parse_with(UNITS, text) };
    match duration {
        Some(duration) if duration > LONGEST => Err(format!("`{text}` is longer than ten years")),
        Some(duration) => Ok(duration),
        None => Err(match nearest(text) {
            Some(valid) => format!("`{text}` is not a duration; did you mean {valid}?"),
            None => format!("{EXPECTED}, not `{text}`"),
        }),
    }
}

/// Parses a duration as people type it in a room: upper or lower case, and also with unit names (`2 Hours`).
pub fn parse_typed(text: &str) -> Result<Duration, String> {
    let text = text.to_lowercase();
    let short = |(number, unit): (&str, &str)| {
        let (letter, ..) = SPELLINGS.iter().find(|(_, spellings, _)| spellings.contains(&unit))?;
        Some([number, letter].concat())
    };
    let typed = parts(&text).and_then(|parts| parts.into_iter().map(short).collect::<Option<Vec<_>>>());
    parse(&typed.map_or(text, |parts| parts.join(" ")))
}

/// Parses whole numbers with these units, in this order, each unit at most once.
pub fn parse_with(units: &Units, text: &str) -> Option<Duration> {
    let (mut units, mut rest, mut total) = (units.iter(), text, 0_u64);
    loop {
        let (number, after) = split(rest, |c| c.is_ascii_digit());
        let (unit, after) = split(after, char::is_alphabetic);
        let (_, milliseconds) = units.find(|(name, _)| *name == unit)?;
        if number.is_empty() {
            return None;
        }
        let number = number.parse().unwrap_or(u64::MAX);
        total = total.saturating_add(milliseconds.saturating_mul(number));
        if after.is_empty() {
            return Some(Duration::from_millis(total));
        }
        rest = after.trim_start_matches(' ');
    }
}

/// The nearest valid duration for an invalid text, if its meaning can be guessed.
pub fn nearest(text: &str) -> Option<String> {
    let text = text.to_lowercase();
    let (mut seconds, mut previous) = (0_u64, "");
    for (number, unit) in parts(&text)? {
        // `30` alone and `1h30` mean minutes; `900` alone means seconds, as in many other programs.
        let unit = match (unit, previous) {
            ("", "") if number.parse::<u64>().is_ok_and(|number| number > LARGEST_MINUTES) => "s",
            ("", "" | "h" | "hr" | "hour") => "m",
            _ => unit,
        };
        let (.., length) = SPELLINGS.iter().find(|(_, spellings, _)| spellings.contains(&unit))?;
        seconds = seconds.saturating_add(decimal(number, *length)?);
        previous = unit;
    }
    let duration = Duration::from_secs(seconds);
    (seconds > 0 && duration <= LONGEST).then(|| format(duration))
}

/// A decimal number times `factor`, rounded down.
fn decimal(number: &str, factor: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once(['.', ',']).unwrap_or((number, ""));
    let digits = |text: &str| if text.is_empty() { Some(0) } else { text.parse::<u64>().ok() };
    let scale = 10_u64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let part = digits(fraction)?.checked_mul(factor)?.checked_div(scale)?;
    digits(whole)?.checked_mul(factor)?.checked_add(part)
}

/// Numbers, each with the word that follows it.
fn parts(text: &str) -> Option<Vec<(&str, &str)>> {
    let (mut parts, mut rest) = (Vec::new(), text.trim());
    while !rest.is_empty() {
        let (number, after) = split(rest, |c| c.is_ascii_digit() || matches!(c, '.' | ','));
        let (unit, after) = split(after.trim_start(), char::is_alphabetic);
        if number.is_empty() {
            return None;
        }
        parts.push((number, unit));
        rest = after.trim_start();
    }
    (!parts.is_empty()).then_some(parts)
}

/// The longest prefix whose characters all match, and the rest.
fn split(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(|c| !belongs(c)).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

/// Formats a duration in the grammar that `parse` accepts: `1d`, `1h30m`, `0s`.
pub fn format(duration: Duration) -> String {
    let mut rest = duration.as_secs();
    let mut text = String::new();
    for (unit, seconds) in [("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)] {
        if let (Some(count @ 1..), Some(left)) = (rest.checked_div(seconds), rest.checked_rem(seconds)) {
            text.push_str(&count.to_string());
            text.push_str(unit);
            rest = left;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::{PATTERN, format, nearest, parse, parse_typed};
    use std::time::Duration;

    #[test]
    fn the_documented_forms_are_durations() {
        for (text, seconds) in [
            ("90s", 90),
            ("15m", 900),
            ("1h30m", 5400),
            ("1h 30m", 5400),
            ("2d", 172_800),
            ("1w2d3h4m5s", 788_645),
            ("0", 0),
            ("0s", 0),
        ] {
            assert_eq!(parse(text).unwrap(), Duration::from_secs(seconds), "{text}");
            assert_eq!(parse_typed(&text.to_uppercase()).unwrap(), Duration::from_secs(seconds), "{text}");
        }
    }

    #[test]
    fn anything_else_is_rejected_with_the_nearest_valid_form() {
        for (text, valid) in [
            ("15M", "15m"),
            ("2H", "2h"),
            ("1y", "365d"),
            ("1month", "30d"),
            ("0.5M", "30s"),
            ("1.5h", "1h30m"),
            ("30m1h", "1h30m"),
            ("1m1m", "2m"),
            ("90", "1h30m"),
            ("15", "15m"),
            ("900", "15m"),
            ("1h30", "1h30m"),
            ("15min", "15m"),
            ("2 hours", "2h"),
            ("15 m", "15m"),
            (" 15m", "15m"),
            ("15m ", "15m"),
        ] {
            assert_eq!(
                parse(text).unwrap_err(),
                format!("`{text}` is not a duration; did you mean {valid}?")
            );
        }
        for text in ["", "-5m", "soon", "15 bananas", "none", "500ms", "0.1s", "1h2", "h", "1e3s", "٣m"] {
            let refused = parse(text).unwrap_err();
            let expected = ["such as 90s", "did you mean"];
            assert!(expected.iter().any(|words| refused.contains(words)), "{text}: {refused}");
        }
        for text in ["99999d", "99999999999999999999999d", "99999999999999999999w1s"] {
            assert!(parse(text).unwrap_err().contains("ten years"), "{text}");
        }
    }

    #[test]
    fn people_may_type_unit_names() {
        for (text, seconds) in
            [("2 Hours", 7200), ("5 minutes", 300), ("1 hour 30 min", 5400), ("1 Week", 604_800)]
        {
            assert_eq!(parse_typed(text).unwrap(), Duration::from_secs(seconds), "{text}");
        }
        for text in ["42 30m", "1 month", "1.5h", "2 hours 1 day", "5"] {
            assert!(parse_typed(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_duration_is_formatted_as_it_is_parsed() {
        for text in ["0s", "10s", "15m", "1h30m", "8h", "1d", "365d", "1d1h1m1s"] {
            assert_eq!(format(parse(text).unwrap()), text);
        }
    }

    proptest::proptest! {
        #[test]
        fn every_duration_survives_formatting_and_parsing(seconds in 0..=super::LONGEST.as_secs()) {
            let duration = Duration::from_secs(seconds);
            proptest::prop_assert_eq!(parse(&format(duration)), Ok(duration));
            proptest::prop_assert_eq!(parse_typed(&format(duration).to_uppercase()), Ok(duration));
        }

        #[test]
        fn the_pattern_is_the_grammar(text in "[0-9 .]{0,3}[smhdwyMµn]{0,2}[0-9 ]{0,3}(h|min|s)?") {
            let pattern = regex::Regex::new(PATTERN).unwrap();
            let parsed = parse(&text);
            let too_long = parsed.as_ref().is_err_and(|error| error.contains("ten years"));
            proptest::prop_assert_eq!(pattern.is_match(&text), parsed.is_ok() || too_long, "{:?}", text);
        }

        #[test]
        fn every_suggestion_is_valid(text in "[0-9.]{1,4} ?[a-zA-Z]{0,6}([0-9]{1,2}[smhdw])?") {
            if let Some(valid) = nearest(&text) {
                proptest::prop_assert_eq!(format(parse(&valid).unwrap()), valid);
            }
        }

        #[test]
        fn files_and_rooms_agree(text in "[0-9]{1,2}[smhdwyMn]?( ?[0-9]{1,2}[smh])?") {
            // A room also accepts other spellings; text that the grammar accepts means the same in both.
            if let Ok(duration) = parse(&text) {
                proptest::prop_assert_eq!(parse_typed(&text), Ok(duration));
            }
        }
    }
}
