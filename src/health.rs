//! The state of the homeserver and of our rooms, for `/readyz` and to notice the end of an outage.

use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

/// The state of the homeserver and of the rooms. Workers record it, and probes report it. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    homeserver: Option<Result<(), String>>,
    rooms: Option<RoomHealth>,
    /// The room lists of which the first visit has reached no room so far. `None`: it has not begun.
    unvisited: Option<BTreeSet<String>>,
    rooms_read_at: Option<Timestamp>,
    alertmanagers: BTreeMap<String, Result<(), String>>,
    audit: Option<(Timestamp, Vec<String>)>,
}

/// What a visit to all rooms found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoomHealth {
    /// The rooms and virtual users that are unreachable, and why.
    pub unreachable: BTreeMap<String, String>,
    /// Rooms that get their pages, but that a person should look after, and why.
    pub wanting: BTreeMap<String, String>,
    /// The room lists of which no level has a reachable room: none of their pages can arrive.
    pub silent_lists: BTreeSet<String>,
}

impl Health {
    /// Records whether the homeserver answers and can reach matrixbot. Returns whether this ends an outage or is the
    /// first contact.
    pub fn set_homeserver(&self, state: Result<(), String>) -> bool {
        let mut health = self.lock();
        let was_up = matches!(health.homeserver, Some(Ok(())));
        let is_up = state.is_ok();
        health.homeserver = Some(state);
        is_up && !was_up
    }

    /// Records that the rooms of these lists are being visited.
    pub fn begin_visit(&self, lists: impl IntoIterator<Item = String>) {
        let mut health = self.lock();
        if health.rooms.is_none() && health.unvisited.is_none() {
            health.unvisited = Some(lists.into_iter().collect());
        }
    }

    /// Records that pages of a list can arrive in a room.
    pub fn reached(&self, list: &str) {
        if let Some(unvisited) = &mut self.lock().unvisited {
            unvisited.remove(list);
        }
    }

    /// The room lists of which no room has been reached while the first visit lasts. `None`: it has not begun.
    pub fn unvisited(&self) -> Option<BTreeSet<String>> {
        self.lock().unvisited.clone()
    }

    /// Records when all rooms were last read for events that the homeserver had not pushed.
    pub fn set_rooms_read(&self, at: Timestamp) {
        self.lock().rooms_read_at = Some(at);
    }

    /// When all rooms were last read, as last recorded.
    pub fn rooms_read_at(&self) -> Option<Timestamp> {
        self.lock().rooms_read_at
    }

    /// Records whether all peers of an Alertmanager answer polls; the error is the reason.
    pub fn set_alertmanager(&self, name: &str, state: Result<(), String>) {
        self.lock().alertmanagers.insert(name.to_owned(), state);
    }

    /// Forgets the Alertmanagers that are no longer configured.
    pub fn keep_alertmanagers(&self, configured: &BTreeSet<String>) {
        self.lock().alertmanagers.retain(|name, _| configured.contains(name));
    }

    /// Why Alertmanagers do not answer, by name; how many are polled.
    pub fn alertmanagers(&self) -> (BTreeMap<String, String>, usize) {
        let health = self.lock();
        let silent = health.alertmanagers.iter();
        let silent = silent.filter_map(|(name, state)| Some((name.clone(), state.clone().err()?)));
        (silent.collect(), health.alertmanagers.len())
    }

    /// Records when the audit ran, and what it found, in words.
    pub fn set_audit(&self, at: Timestamp, found: Vec<String>) {
        self.lock().audit = Some((at, found));
    }

    /// When the audit ran last, and what it found, in words; `None`: it has not run.
    pub fn audit(&self) -> Option<(Timestamp, Vec<String>)> {
        self.lock().audit.clone()
    }

    /// Records the state of the rooms.
    pub fn set_rooms(&self, rooms: RoomHealth) {
        self.lock().rooms = Some(rooms);
    }

    /// Whether the homeserver answers and can reach matrixbot, as last recorded; the error is the reason.
    pub fn homeserver(&self) -> Result<(), String> {
        match &self.lock().homeserver {
            Some(state) => state.clone(),
            None => Err("no contact yet".to_owned()),
        }
    }

    /// The state of the rooms, as last recorded.
    pub fn rooms(&self) -> Option<RoomHealth> {
        self.lock().rooms.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
