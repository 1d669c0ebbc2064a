//! How many messages a room has on their way at once. Pure.
//!
//! It begins with one, and grows by one with every answer that comes as quickly as the homeserver can. A slow answer narrows it
//! to a half, and a failure, or an answer that makes the room rest, to one.

use super::sharing::SLOW;
use std::time::Duration;

/// An answer within this time is quick, however quick others were.
const QUICK: Duration = Duration::from_millis(250);
/// An answer is quick as well if it takes less than this times as long as the quickest one.
const TIMES: u32 = 2;
/// Messages at once at which an answer counts as slow if it takes this times as long as a quick one may.
const SLOWER: u32 = 2;

/// The width of a room.
#[derive(Debug, Clone, Copy)]
pub(super) struct Width {
    now: usize,
    most: usize,
    quickest: Option<Duration>,
}

impl Width {
    /// The width at first. `most`: what it grows to.
    pub(super) fn new(most: usize) -> Self {
        Self { now: 1, most: most.max(1), quickest: None }
    }

    /// How many messages may be on their way.
    pub(super) fn get(self) -> usize {
        self.now
    }

    /// A message is in its room, after such a time.
    pub(super) fn sent(&mut self, took: Duration) {
        let quickest = self.quickest.map_or(took, |quickest| quickest.min(took));
        self.quickest = Some(quickest);
        let quick = QUICK.max(quickest.saturating_mul(TIMES));
        self.now = match took {
            _ if took >= SLOW => 1,
            _ if took < quick => self.now.saturating_add(1).min(self.most),
            _ if took >= quick.saturating_mul(SLOWER) => self.now.div_ceil(2),
            _ => self.now,
        };
    }

    /// An attempt failed, or the homeserver limits the rate.
    pub(super) fn failed(&mut self) {
        self.now = 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(width: &mut Width, times: &[u64]) -> Vec<usize> {
        let widths = times.iter().map(|ms| {
            width.sent(Duration::from_millis(*ms));
            width.get()
        });
        widths.collect()
    }

    #[test]
    fn it_grows_by_one_with_each_quick_answer_up_to_its_bound() {
        let mut width = Width::new(4);
        assert_eq!(width.get(), 1);
        assert_eq!(after(&mut width, &[30, 40, 249, 60, 60]), [2, 3, 4, 4, 4]);
    }

    #[test]
    fn it_stops_growing_when_answers_take_longer_and_narrows_when_they_are_slow() {
        let mut width = Width::new(8);
        assert_eq!(after(&mut width, &[30, 60, 120, 300, 300, 600, 300, 1000]), [2, 3, 4, 4, 4, 2, 2, 1]);
    }

    #[test]
    fn a_homeserver_far_away_is_quick_in_its_own_way() {
        let mut width = Width::new(8);
        assert_eq!(after(&mut width, &[400, 450, 500, 790, 900]), [2, 3, 4, 5, 5]);
    }

    #[test]
    fn a_failure_narrows_it_to_one() {
        let mut width = Width::new(8);
        after(&mut width, &[30, 30, 30]);
        width.failed();
        assert_eq!(width.get(), 1);
        assert_eq!(after(&mut width, &[30]), [2]);
    }
}
