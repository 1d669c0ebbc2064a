//! What a person may change about a schedule from a room, as overrides.

use super::times::Window;
use super::{Known, Schedule, Span};
use crate::domain::time::later;
use jiff::Timestamp;
use ruma::{OwnedUserId, UserId};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The longest time that can be taken or given at once.
pub const LONGEST: Duration = Duration::from_hours(24 * 31);
/// How far ahead shifts are found for a swap.
const AHEAD: Duration = Duration::from_hours(24 * 200);

/// What a person asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// To serve from now on, for this long.
    Take(Duration),
    /// That somebody serves instead, from now on, for this long.
    Give(OwnedUserId, Duration),
    /// To exchange the shifts of the next such days for as many of somebody else's.
    Swap(OwnedUserId, String),
}

/// An override that is not stored yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewOverride {
    /// Who serves.
    pub person: OwnedUserId,
    /// Only instead of this user; `None`: instead of everybody.
    pub instead_of: Option<OwnedUserId>,
    /// From when.
    pub starts_at: Timestamp,
    /// Until when.
    pub ends_at: Timestamp,
}

/// What a change comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The overrides: at least one.
    pub overrides: Vec<NewOverride>,
    /// Whose shifts it changes, apart from the person's own.
    pub others: Vec<OwnedUserId>,
}

/// Why a change comes to nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum NoPlan {
    /// The person serves all the time already.
    AlreadyYours,
    /// The person gives their shifts to themselves.
    Yourself,
    /// A person has no shift in that time.
    NoShift {
        /// Who.
        user: OwnedUserId,
        /// From when,
        from: Timestamp,
        /// until when.
        to: Timestamp,
        /// When that person serves next.
        next: Option<Timestamp>,
    },
    /// The other person has fewer shifts than the person.
    TooFew {
        /// Who.
        user: OwnedUserId,
        /// How many shifts they have in the next months.
        has: u64,
        /// How many are needed.
        needed: u64,
    },
}

impl Schedule {
    /// What a change by `who` at `now` comes to. `any_shift`: a person without shifts of their own may give those of others.
    pub fn plan(
        &self,
        known: &Known,
        who: &UserId,
        change: &Change,
        now: Timestamp,
        any_shift: bool,
    ) -> Result<Plan, NoPlan> {
        match change {
            Change::Take(lasting) => self.take(known, who, now, later(now, *lasting)),
            Change::Give(to, lasting) => self.give(known, (who, to), now, later(now, *lasting), any_shift),
            Change::Swap(with, days) => self.swap(known, who, with, days, now),
        }
    }

    fn take(&self, known: &Known, who: &UserId, from: Timestamp, to: Timestamp) -> Result<Plan, NoPlan> {
        let spans = self.spans(known, from, to);
        if spans.iter().all(|span| span.serving.people == [who]) {
            return Err(NoPlan::AlreadyYours);
        }
        let made = NewOverride { person: who.to_owned(), instead_of: None, starts_at: from, ends_at: to };
        Ok(Plan { overrides: vec![made], others: others(&spans, who) })
    }

    fn give(
        &self,
        known: &Known,
        (who, to): (&UserId, &UserId),
        from: Timestamp,
        until: Timestamp,
        any_shift: bool,
    ) -> Result<Plan, NoPlan> {
        if who == to {
            return Err(NoPlan::Yourself);
        }
        let spans = self.spans(known, from, until);
        let mine: Vec<_> = spans.iter().filter(|span| span.serving.includes(who)).collect();
        let given = |span: &&Span| NewOverride {
            person: to.to_owned(),
            instead_of: Some(who.to_owned()),
            starts_at: span.starts_at,
            ends_at: span.ends_at,
        };
        if !mine.is_empty() {
            return Ok(Plan { overrides: merged(mine.iter().map(given)), others: Vec::new() });
        }
        let others = others(&spans, to);
        if !any_shift || spans.iter().all(|span| span.serving.people == [to]) {
            return Err(self.no_shift(known, who, from, until));
        }
        let made = NewOverride { person: to.to_owned(), instead_of: None, starts_at: from, ends_at: until };
        Ok(Plan { overrides: vec![made], others })
    }

    fn swap(
        &self,
        known: &Known,
        who: &UserId,
        with: &UserId,
        days: &str,
        now: Timestamp,
    ) -> Result<Plan, NoPlan> {
        if who == with {
            return Err(NoPlan::Yourself);
        }
        let zone = self.zone.time_zone();
        let weeks = Window::of_days(days).map(|window| window.within(now, later(now, AHEAD), zone));
        let mut weeks: Vec<_> = weeks.unwrap_or_default();
        weeks.retain(|(from, _)| *from > now);
        let shifts = |user: &UserId, (from, to): (Timestamp, Timestamp)| {
            let spans = self.spans(known, from, to).into_iter();
            let serves = spans.filter(|span| span.serving.includes(user));
            serves.map(|span| (span.starts_at, span.ends_at)).collect::<Vec<_>>()
        };
        let next = weeks.first().copied().unwrap_or((now, now));
        let mine = shifts(who, next);
        if mine.is_empty() {
            return Err(self.no_shift(known, who, next.0, next.1));
        }
        let is_mine =
            |(from, to): &(Timestamp, Timestamp)| mine.iter().any(|mine| mine.0 < *to && *from < mine.1);
        let theirs: Vec<_> = weeks
            .iter()
            .flat_map(|week| shifts(with, *week))
            .filter(|shift| !is_mine(shift))
            .take(mine.len())
            .collect();
        if theirs.len() < mine.len() {
            let (has, needed) = (theirs.len() as u64, mine.len() as u64);
            return Err(NoPlan::TooFew { user: with.to_owned(), has, needed });
        }
        let exchanged =
            |(from, to): (Timestamp, Timestamp), person: &UserId, replaced: &UserId| NewOverride {
                person: person.to_owned(),
                instead_of: Some(replaced.to_owned()),
                starts_at: from,
                ends_at: to,
            };
        let given = mine.iter().map(|shift| exchanged(*shift, with, who));
        let taken = theirs.iter().map(|shift| exchanged(*shift, who, with));
        Ok(Plan { overrides: given.chain(taken).collect(), others: Vec::new() })
    }

    fn no_shift(&self, known: &Known, user: &UserId, from: Timestamp, to: Timestamp) -> NoPlan {
        let ahead = self.spans(known, to, later(to, AHEAD)).into_iter();
        let next = ahead.filter(|span| span.serving.includes(user)).map(|span| span.starts_at).next();
        NoPlan::NoShift { user: user.to_owned(), from, to, next }
    }
}

/// Everybody who serves in the spans, apart from `who`.
fn others(spans: &[Span], who: &UserId) -> Vec<OwnedUserId> {
    let mut others: Vec<OwnedUserId> = Vec::new();
    for person in spans.iter().flat_map(|span| &span.serving.people) {
        if person != who && !others.contains(person) {
            others.push(person.clone());
        }
    }
    others
}

/// Overrides without seams between adjacent ones.
fn merged(overrides: impl Iterator<Item = NewOverride>) -> Vec<NewOverride> {
    let mut merged: Vec<NewOverride> = Vec::new();
    for made in overrides {
        match merged.last_mut() {
            Some(last) if last.ends_at == made.starts_at => last.ends_at = made.ends_at,
            _ => merged.push(made),
        }
    }
    merged
}
