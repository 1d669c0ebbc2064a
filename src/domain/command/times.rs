//! Times of day in commands: `snooze 42 until 09:00`.

use super::{Context, Mistake, Verb, quotable, split_word};
use crate::domain::time::between;
use jiff::civil::Time;
use jiff::{Timestamp, ToSpan as _};
use std::time::Duration;

/// The shortest time until one.
const SHORTEST: Duration = Duration::from_secs(1);

/// How long it is until a time of day at the start of `text`, and the rest: the next time that clocks show it in the
/// context's zone, counted from when the text was written.
pub(super) fn until<'a>(text: &'a str, context: Context<'_>) -> Option<(Duration, &'a str)> {
    let (word, rest) = split_word(text);
    if !word.eq_ignore_ascii_case("until") {
        return None;
    }
    let (word, rest) = split_word(rest);
    let end = next(time_of_day(word)?, context)?;
    // It counts from now; one that has passed since it was written ends at once. A moment less would read as the minute
    // before.
    let lasting = between(context.now, end);
    let moment = u64::from(lasting.subsec_nanos() > 0);
    Some((Duration::from_secs(lasting.as_secs().saturating_add(moment)).max(SHORTEST), rest))
}

/// When clocks show a time of day next.
fn next(time: Time, context: Context<'_>) -> Option<Timestamp> {
    let zone = context.zone.cloned().unwrap_or_default();
    let now = context.at.to_zoned(zone.time_zone().clone());
    let on = |date: jiff::civil::Date| {
        date.to_datetime(time).to_zoned(zone.time_zone().clone()).ok().map(|zoned| zoned.timestamp())
    };
    let is_ahead = |at: &Timestamp| between(context.at, *at) >= SHORTEST;
    on(now.date()).filter(is_ahead).or_else(|| on(now.date().checked_add(1.day()).ok()?)).filter(is_ahead)
}

/// `09:00`, `9:00`
fn time_of_day(word: &str) -> Option<Time> {
    let (hour, minute) = word.trim_end_matches(['.', ',', '!', ':', ';']).split_once(':')?;
    let digits = |text: &str, most: usize| {
        let is_number = (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<i8>().ok().filter(|_| is_number)
    };
    let minute = digits(minute, 2).filter(|_| minute.len() == 2)?;
    Time::new(digits(hour, 2)?, minute, 0, 0).ok()
}

/// The error for what is no time of day after `until`.
pub(super) fn unclear(verb: Verb, text: &str) -> Mistake {
    let word = split_word(text).0;
    Mistake {
        problem: format!("`{}` is not a time of day.", quotable(word)),
        hint: format!("Type for example `{} 42 until 09:00`.", verb.word()),
    }
}

#[cfg(test)]
mod tests {
    use crate::domain::command::Context;
    use crate::domain::command::tests::{BARE, THREAD, check};
    use crate::domain::zone::Zone;

    #[test]
    fn a_time_of_day_is_the_next_one_in_the_zone() {
        // It is 12:00 in UTC.
        check(
            BARE,
            &[
                ("snooze 42 until 13:00", "snooze 42 3600s"),
                ("snooze 42 until 9:30 the vendor calls", "snooze 42 77400s (the vendor calls)"),
                ("snooze 42 43 Until 12:00", "snooze 42,43 86400s"),
                ("silence 42 until 14:00", "silence 42 7200s"),
                ("snooze 42 until noon", "! `noon` is not a time of day."),
                ("snooze 42 until 24:00", "! `24:00` is not a time of day."),
                ("snooze 42 until 9:5", "! `9:5` is not a time of day."),
                ("snooze until 13:00", "! `snooze` needs an incident number."),
            ],
        );
        check(
            THREAD,
            &[
                ("snooze until 13:00", "snooze this 3600s"),
                ("snooze until the sun rises", "! `until` is not a duration."),
            ],
        );
        let tokyo: Zone = "Asia/Tokyo".parse().unwrap();
        let there = Context { zone: Some(&tokyo), ..BARE };
        check(
            there,
            &[("snooze 42 until 09:00", "snooze 42 43200s"), ("snooze 42 until 21:30", "snooze 42 1800s")],
        );
    }

    #[test]
    fn it_does_not_end_a_moment_before() {
        let at = "2026-11-24T12:00:00.71Z".parse().unwrap();
        check(Context { at, now: at, ..BARE }, &[("snooze 42 until 13:00", "snooze 42 3600s")]);
    }

    #[test]
    fn a_change_of_clocks_is_counted() {
        let berlin: Zone = "Europe/Berlin".parse().unwrap();
        // 22:00 before the night in which clocks go forward from 02:00 to 03:00.
        let at = "2026-03-28T21:00:00Z".parse().unwrap();
        let context = Context { at, now: at, zone: Some(&berlin), ..BARE };
        check(
            context,
            &[("snooze 42 until 06:00", "snooze 42 25200s"), ("snooze 42 until 02:30", "snooze 42 16200s")],
        );
    }

    #[test]
    fn a_late_command_ends_at_the_time_that_was_meant() {
        let late = |now: &str| Context { now: now.parse().unwrap(), ..BARE };
        check(late("2026-11-24T12:40:00Z"), &[("snooze 42 until 13:00", "snooze 42 1200s")]);
        check(late("2026-11-24T14:00:00Z"), &[("snooze 42 until 13:00", "snooze 42 1s")]);
    }
}
