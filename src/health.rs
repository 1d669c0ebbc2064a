//! The state of the homeserver and of our rooms, for `/readyz` and to notice the end of an outage.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The state of the homeserver and of the rooms. Workers record it, and probes report it. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    homeserver: Option<Result<(), String>>,
    rooms: BTreeMap<String, String>,
    checked: bool,
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

    /// Records which rooms are unreachable, and why.
    pub fn set_rooms(&self, unreachable: BTreeMap<String, String>) {
        let mut health = self.lock();
        health.rooms = unreachable;
        health.checked = true;
    }

    /// Whether the homeserver answers and can reach matrixbot, as last recorded; the error is the reason.
    pub fn homeserver(&self) -> Result<(), String> {
        match &self.lock().homeserver {
            Some(state) => state.clone(),
            None => Err("no contact yet".to_owned()),
        }
    }

    /// Whether every room of every list is reachable; the error lists unreachable rooms and reasons.
    pub fn rooms(&self) -> Result<(), String> {
        let health = self.lock();
        if !health.checked {
            return Err("not checked yet".to_owned());
        }
        if health.rooms.is_empty() {
            return Ok(());
        }
        Err(health.rooms.iter().map(|(room, why)| format!("{room}: {why}")).collect::<Vec<_>>().join("; "))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
