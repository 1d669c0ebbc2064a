//! How many commands a person may give in a room. The limit is far above what a person types, so that only a script or a
//! stuck key meets it; reactions are not counted.

use super::time::between;
use jiff::Timestamp;
use std::time::Duration;

/// How many commands of a person are accepted within [`WINDOW`].
const MOST: u32 = 30;
/// From how many commands on the answers to other people go first.
const MANY: u32 = 5;
/// The time over which commands are counted.
const WINDOW: Duration = Duration::from_mins(1);
/// How long a person must pause until commands are accepted again.
pub const PAUSE: Duration = Duration::from_secs(30);

/// The commands that a person has given in a room lately.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// When the current window began.
    pub since: Timestamp,
    /// How many commands were accepted in it.
    pub commands: u32,
    /// When the latest command came.
    pub latest: Timestamp,
    /// Whether commands are dropped.
    pub dropping: bool,
}

/// What happens with a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It is carried out.
    Accept,
    /// It is dropped, and the person learns that this and the following ones are.
    DropWithAnswer,
    /// It is dropped without an answer.
    Drop,
}

/// Decides on a command at `now`. `rate`: the person's earlier commands in the room, if any.
pub fn decide(rate: Option<Rate>, now: Timestamp) -> (Rate, Admission) {
    let fresh = Rate { since: now, commands: 1, latest: now, dropping: false };
    let Some(rate) = rate else { return (fresh, Admission::Accept) };
    let pause = between(rate.latest, now);
    let rate = Rate { latest: now.max(rate.latest), ..rate };
    if rate.dropping {
        return if pause >= PAUSE { (fresh, Admission::Accept) } else { (rate, Admission::Drop) };
    }
    if between(rate.since, now) >= WINDOW {
        return (fresh, Admission::Accept);
    }
    if rate.commands < MOST {
        return (Rate { commands: rate.commands.saturating_add(1), ..rate }, Admission::Accept);
    }
    (Rate { dropping: true, ..rate }, Admission::DropWithAnswer)
}

/// Whether a person has given so many commands lately that the answers to other people go first.
pub fn is_busy(rate: &Rate) -> bool {
    rate.dropping || rate.commands > MANY
}

#[cfg(test)]
mod tests {
    use super::{Admission, Rate, decide};
    use crate::domain::time::later;
    use jiff::Timestamp;
    use std::time::Duration;

    const START: Timestamp = Timestamp::UNIX_EPOCH;

    /// What happens with commands that come `every` so often from `from` on.
    fn commands(
        rate: &mut Option<Rate>,
        from: Timestamp,
        every: Duration,
        count: u32,
    ) -> (Vec<Admission>, Timestamp) {
        let mut now = from;
        let admissions = (0..count).map(|_| {
            let (next, admission) = decide(*rate, now);
            *rate = Some(next);
            now = later(now, every);
            admission
        });
        (admissions.collect(), now)
    }

    #[test]
    fn a_person_who_types_fast_is_never_limited() {
        let (admissions, _) = commands(&mut None, START, Duration::from_secs(2), 500);
        assert!(admissions.iter().all(|admission| *admission == Admission::Accept));
    }

    #[test]
    fn a_flood_is_answered_once_and_dropped_until_the_person_pauses() {
        let mut rate = None;
        let (admissions, now) = commands(&mut rate, START, Duration::from_millis(100), 3000);
        let count = |wanted| admissions.iter().filter(|admission| **admission == wanted).count();
        assert_eq!((count(Admission::Accept), count(Admission::DropWithAnswer)), (30, 1));
        let (still, now) = commands(&mut rate, later(now, Duration::from_secs(29)), Duration::ZERO, 1);
        assert_eq!(still, [Admission::Drop]);
        let (again, _) = commands(&mut rate, later(now, Duration::from_secs(30)), Duration::ZERO, 1);
        assert_eq!(again, [Admission::Accept]);
    }

    #[test]
    fn a_clock_that_goes_back_ends_no_flood() {
        let dropping =
            Rate { since: START, commands: 30, latest: later(START, Duration::from_secs(9)), dropping: true };
        assert_eq!(decide(Some(dropping), START).1, Admission::Drop);
    }
}
