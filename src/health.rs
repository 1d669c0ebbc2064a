//! What is known of the homeserver and of our rooms: for readiness, and to notice that an outage is over.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The state of the homeserver and of the rooms, shared by those who find out and those who tell. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    homeserver: Option<Result<(), String>>,
    rooms: BTreeMap<String, String>,
    looked: bool,
}

impl Health {
    /// Notes whether the homeserver answers and can call us. Returns whether an outage has ended, or the first
    /// contact was made.
    pub fn homeserver(&self, state: Result<(), String>) -> bool {
        let mut health = self.lock();
        let was_up = matches!(health.homeserver, Some(Ok(())));
        let is_up = state.is_ok();
        health.homeserver = Some(state);
        is_up && !was_up
    }

    /// Notes which rooms cannot be reached, and why.
    pub fn rooms(&self, unreachable: BTreeMap<String, String>) {
        let mut health = self.lock();
        health.rooms = unreachable;
        health.looked = true;
    }

    /// Whether the homeserver answers and can call us, as far as is known.
    pub fn homeserver_state(&self) -> Result<(), String> {
        match &self.lock().homeserver {
            Some(state) => state.clone(),
            None => Err("no contact yet".to_owned()),
        }
    }

    /// Whether every room of every list can be reached.
    pub fn rooms_state(&self) -> Result<(), String> {
        let health = self.lock();
        if !health.looked {
            return Err("not looked at yet".to_owned());
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
