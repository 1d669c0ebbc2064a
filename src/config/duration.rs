//! Durations as operators write them: `90s`, `15m`, `1h30m`, `2d`.

use std::time::Duration;

/// No duration in this program makes sense beyond this: it keeps every sum of instant and duration in range.
const LONGEST: Duration = Duration::from_hours(24 * 3650);

/// What to say of anything else.
pub(super) const EXPECTED: &str = "must be a duration such as 90s, 15m, 1h30m or 2d";

/// Every duration, as a regular expression.
pub(super) const PATTERN: &str = concat!(
    r"^(\s*[0-9][0-9\s]*(\.[0-9\s]+)?",
    "(nanos|nsec|ns|usec|us|µs|millis|msec|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|d|weeks?|wks?|w",
    r"|months?|M|years?|yrs?|y))+\s*$|^0$"
);

/// Reads a duration. `Err`: what is wrong with it.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let duration = match text {
        "0" => Duration::ZERO,
        text => humantime::parse_duration(text).map_err(|_why| format!("{EXPECTED}, not `{text}`"))?,
    };
    if duration > LONGEST {
        return Err(format!("`{text}` is longer than ten years"));
    }
    Ok(duration)
}

/// A duration as it is written: `1d`, `1h30m`, `0s`.
pub fn write_duration(duration: Duration) -> String {
    let mut rest = duration.as_secs();
    let mut text = String::new();
    for (unit, seconds) in [("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)] {
        if rest >= seconds {
            text += &[&(rest / seconds).to_string(), unit].concat();
            rest %= seconds;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::{parse_duration, write_duration};
    use std::time::Duration;

    #[test]
    fn the_documented_forms_are_durations() {
        for (text, seconds) in
            [("90s", 90), ("15m", 900), ("1h30m", 5400), ("2d", 172_800), ("0", 0), ("1h 30m", 5400)]
        {
            assert_eq!(parse_duration(text).unwrap(), Duration::from_secs(seconds), "{text}");
        }
    }

    #[test]
    fn anything_else_is_told_with_what_would_be_right() {
        for text in ["", "15", "-5m", "soon", "15 bananas", "none"] {
            assert!(parse_duration(text).unwrap_err().contains("such as 90s"), "{text}");
        }
        assert!(parse_duration("99999d").unwrap_err().contains("ten years"));
    }

    #[test]
    fn a_duration_is_written_as_it_is_read() {
        for text in ["0s", "10s", "15m", "1h30m", "8h", "1d", "365d", "1d1h1m1s"] {
            assert_eq!(write_duration(parse_duration(text).unwrap()), text);
        }
    }
}
