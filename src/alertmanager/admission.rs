//! How much the webhooks may take at the same time: memory for bodies, and connections to the database.
//!
//! Callers share both fairly. A caller that posts too much waits for itself, then for its turn among the other callers,
//! and gets a 503 if that takes too long, so Alertmanager tries again. Small bodies never wait for large ones.

use super::payload::LARGEST_BODY;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// How long a report may wait for its place, and again for its turn.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// Bodies up to this size are small, in bytes. Nearly all are.
const SMALL: usize = 64 * 1024;
/// The bytes of all bodies that are being received or handled, and of those of one caller.
const LARGE_BODIES: (usize, usize) = (LARGEST_BODY + LARGEST_BODY / 2, LARGEST_BODY);
const SMALL_BODIES: (usize, usize) = (2 * 1024 * 1024, 1024 * 1024);
/// The unit of bytes.
const UNIT: usize = 1024;
/// The most connections that are kept free for events, timers and messages.
const MOST_RESERVED: u32 = 4;

/// What the webhooks share.
#[derive(Debug)]
pub(super) struct Admission {
    small_bodies: Shares,
    large_bodies: Shares,
    /// A large body takes several times its size while it is parsed and stored: one at a time.
    heavy: Shares,
    connections: Shares,
}

/// The caller has to wait for too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Busy;

/// The place of a body in memory. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    large: bool,
    _taken: Taken,
}

impl Admission {
    /// For a pool of so many connections to the database.
    pub(super) fn new(pool: u32) -> Self {
        let reserved = pool.saturating_mul(2).div_ceil(5).clamp(1, MOST_RESERVED);
        let connections = usize::try_from(pool.saturating_sub(reserved).max(1)).unwrap_or(1);
        let bytes = |(all, each): (usize, usize)| Shares::new(all / UNIT, each / UNIT);
        Self {
            small_bodies: bytes(SMALL_BODIES),
            large_bodies: bytes(LARGE_BODIES),
            heavy: Shares::new(1, 1),
            connections: Shares::new(connections, connections.div_ceil(2)),
        }
    }

    /// Waits until a body of `caller` may be received. `length`: its bytes; `None`: unknown.
    pub(super) async fn place(&self, caller: &str, length: Option<usize>) -> Result<Place, Busy> {
        let length = length.unwrap_or(LARGEST_BODY).min(LARGEST_BODY);
        let large = length > SMALL;
        let bodies = if large { &self.large_bodies } else { &self.small_bodies };
        let units = u32::try_from(length.div_ceil(UNIT).max(1)).unwrap_or(u32::MAX);
        Ok(Place { large, _taken: bodies.take(caller, units).await? })
    }

    /// Waits until the body at this place may be parsed and stored.
    pub(super) async fn turn(&self, place: &Place, caller: &str) -> Result<Option<Taken>, Busy> {
        if place.large { self.heavy.take(caller, 1).await.map(Some) } else { Ok(None) }
    }

    /// Waits until a report for `room_list` may use a connection to the database.
    pub(super) async fn connection(&self, room_list: &str) -> Result<Taken, Busy> {
        self.connections.take(room_list, 1).await
    }
}

/// Units that several parties share. None of them has more than its share at a time, and those that wait get theirs in
/// the order in which they came.
#[derive(Debug)]
struct Shares {
    units: Arc<Semaphore>,
    each: usize,
    parties: Mutex<BTreeMap<String, Weak<Semaphore>>>,
}

/// Units taken. Given back when this is dropped.
#[derive(Debug)]
pub(super) struct Taken {
    _of_all: OwnedSemaphorePermit,
    _of_own: OwnedSemaphorePermit,
}

impl Shares {
    fn new(all: usize, each: usize) -> Self {
        Self { units: Arc::new(Semaphore::new(all)), each, parties: Mutex::default() }
    }

    async fn take(&self, party: &str, units: u32) -> Result<Taken, Busy> {
        let own = self.own(party);
        let both = async {
            // The own share first: who has used it up takes no place in the common queue.
            let of_own = own.acquire_many_owned(units).await.map_err(|_closed| Busy)?;
            let of_all = self.units.clone().acquire_many_owned(units).await.map_err(|_closed| Busy)?;
            Ok(Taken { _of_all: of_all, _of_own: of_own })
        };
        timeout(LONGEST_WAIT, both).await.unwrap_or(Err(Busy))
    }

    fn own(&self, party: &str) -> Arc<Semaphore> {
        let mut parties = self.parties.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = parties.get(party).and_then(Weak::upgrade) {
            return own;
        }
        // Room lists come and go: only those that have something taken are kept.
        parties.retain(|_, own| own.strong_count() > 0);
        let own = Arc::new(Semaphore::new(self.each));
        parties.insert(party.to_owned(), Arc::downgrade(&own));
        own
    }
}

#[cfg(test)]
mod tests {
    use super::{Admission, Busy, LARGEST_BODY, LONGEST_WAIT};
    use futures_util::FutureExt as _;

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_has_its_share_waits_and_then_is_refused() {
        let admission = Admission::new(10);
        let first = admission.place("finance", Some(LARGEST_BODY)).await.unwrap();
        let began = tokio::time::Instant::now();
        assert_eq!(admission.place("finance", Some(1_000_000)).await.unwrap_err(), Busy);
        assert_eq!(began.elapsed(), LONGEST_WAIT);
        drop(first);
        admission.place("finance", None).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn others_and_small_bodies_do_not_wait_for_it() {
        let admission = Admission::new(10);
        let finance = admission.place("finance", Some(LARGEST_BODY)).await.unwrap();
        let mut waiting: Vec<_> =
            (0..20).map(|_| Box::pin(admission.place("finance", Some(LARGEST_BODY)))).collect();
        for place in &mut waiting {
            assert!(place.now_or_never().is_none());
        }
        let ops = admission.place("ops", Some(LARGEST_BODY / 2)).now_or_never().unwrap().unwrap();
        admission.place("lab", Some(2_000)).now_or_never().unwrap().unwrap();
        admission.place("finance", Some(2_000)).now_or_never().unwrap().unwrap();
        // The next one of another caller is before the second one of the first caller.
        let mut lab = Box::pin(admission.place("lab", Some(LARGEST_BODY / 2)));
        assert!(lab.as_mut().now_or_never().is_none());
        drop(ops);
        assert!(lab.now_or_never().unwrap().is_ok());
        drop(finance);
    }

    #[tokio::test(start_paused = true)]
    async fn one_large_body_is_handled_at_a_time() {
        let admission = Admission::new(10);
        let large = admission.place("finance", Some(1_000_000)).await.unwrap();
        let small = admission.place("finance", Some(1_000)).await.unwrap();
        let turn = admission.turn(&large, "finance").await.unwrap();
        assert!(admission.turn(&large, "ops").now_or_never().is_none());
        assert!(admission.turn(&small, "finance").await.unwrap().is_none());
        drop(turn);
        assert!(admission.turn(&large, "ops").await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_room_list_takes_half_of_the_connections_and_some_stay_free() {
        let admission = Admission::new(10);
        let mut taken = Vec::new();
        while let Some(connection) = admission.connection("finance").now_or_never() {
            taken.push(connection.unwrap());
        }
        assert_eq!(taken.len(), 3);
        while let Some(connection) = admission.connection("ops").now_or_never() {
            taken.push(connection.unwrap());
        }
        assert_eq!(taken.len(), 6);
        assert_eq!(admission.connection("lab").await.unwrap_err(), Busy);
        // The smallest pool has one for webhooks and one for everything else.
        let smallest = Admission::new(2);
        let _only = smallest.connection("finance").await.unwrap();
        assert_eq!(smallest.connection("ops").await.unwrap_err(), Busy);
    }
}
