//! Who serves when in one layer of a rotation.
//!
//! Every hand-off is counted from the first one by wall clock, never from the one before it: a change of the clock moves no
//! later hand-off, and a turn over it is an hour shorter or longer.

use super::times::{HandOff, Window, days_between, instant, plus_days};
use jiff::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use ruma::OwnedUserId;

/// One layer of a rotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    people: Vec<OwnedUserId>,
    turns: Turns,
    only: Option<Window>,
}

impl Layer {
    /// A layer in which these people serve one after the other.
    pub fn new(people: Vec<OwnedUserId>, turns: Turns, only: Option<Window>) -> Self {
        Self { people, turns, only }
    }

    /// Everybody who serves in it.
    pub fn people(&self) -> &[OwnedUserId] {
        &self.people
    }

    /// Who serves at an instant; `None`: the layer has not begun, or does not apply then.
    pub fn serving(&self, at: Timestamp, zone: &TimeZone) -> Option<&OwnedUserId> {
        let turn = self.turns.at(at, zone).filter(|turn| *turn >= 0)?;
        let applies = self.only.as_ref().is_none_or(|window| window.holds(at, zone));
        let count = i64::try_from(self.people.len()).ok()?;
        let person = usize::try_from(turn.checked_rem_euclid(count)?).ok()?;
        self.people.get(person).filter(|_| applies)
    }

    /// Every instant after `from` and before `to` at which `serving` may change.
    pub(super) fn changes(&self, from: Timestamp, to: Timestamp, zone: &TimeZone) -> Vec<Timestamp> {
        let windows = self.only.as_ref().map(|window| window.within(from, to, zone)).unwrap_or_default();
        let windows = windows.into_iter().flat_map(|(from, to)| [from, to]);
        let mut changes: Vec<_> = windows.filter(|at| from < *at && *at < to).collect();
        let mut turn = self.turns.at(from, zone).map_or(0, |turn| turn.saturating_add(1).max(0));
        loop {
            let begins = self.turns.begins(turn, zone);
            if begins >= to {
                return changes;
            }
            if begins > from {
                changes.push(begins);
            }
            turn = turn.saturating_add(1);
        }
    }
}

/// When the turns of a layer begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turns {
    /// The day of the first hand-off.
    first: Date,
    /// The times of the hand-offs of a day: at least one, sorted.
    times: Vec<Time>,
    /// The days from one day with hand-offs to the next one: at least one.
    days: i64,
}

impl Turns {
    /// A hand-off every so many days. The first one is on or after the day `starting`.
    pub fn every(days: i64, hand_off: HandOff, starting: Date) -> Self {
        let wait = hand_off.day.map_or(0, |day| starting.weekday().until(day));
        Self { first: plus_days(starting, i64::from(wait)), times: vec![hand_off.time], days: days.max(1) }
    }

    /// Hand-offs at these times of every day. The first one is the first on the day `starting`.
    pub fn shifts(mut times: Vec<Time>, starting: Date) -> Self {
        times.sort_unstable();
        times.dedup();
        if times.is_empty() {
            times.push(Time::midnight());
        }
        Self { first: starting, times, days: 1 }
    }

    /// How many hand-offs a day has; at least 1.
    fn a_day(&self) -> i64 {
        i64::try_from(self.times.len()).unwrap_or(1).max(1)
    }

    /// When a turn begins, the first being 0.
    fn begins(&self, turn: i64, zone: &TimeZone) -> Timestamp {
        let day = turn.checked_div_euclid(self.a_day()).unwrap_or(0).saturating_mul(self.days);
        let place = turn.checked_rem_euclid(self.a_day()).and_then(|place| usize::try_from(place).ok());
        let time = place.and_then(|place| self.times.get(place)).copied().unwrap_or_default();
        let date = plus_days(self.first, day);
        // The calendar ends in the year 9999.
        if day != 0 && date == self.first { Timestamp::MAX } else { instant(date, time, zone) }
    }

    /// The turn at an instant, negative before the first one: the last that has begun.
    fn at(&self, at: Timestamp, zone: &TimeZone) -> Option<i64> {
        let days = days_between(self.first, at.to_zoned(zone.clone()).date());
        let round = days.checked_div_euclid(self.days)?;
        let latest = round.checked_add(2)?.checked_mul(self.a_day())?;
        let earliest = round.checked_sub(2)?.checked_mul(self.a_day())?;
        (earliest..=latest).rev().find(|turn| self.begins(*turn, zone) <= at)
    }
}
