//! What stands behind the Application Service API.

use crate::engine::{Engine, EngineError};
use crate::matrix::{UserError, VirtualUsers};
use ruma::UserId;
use serde_json::value::RawValue;
use std::future::Future;

/// Takes what the homeserver gives and knows what it asks for.
pub trait Serves: 'static {
    /// Keeps the events of a transaction, each event id once. When this returns `Ok`, they are committed; returns
    /// how many were new.
    fn accept_events(
        &self,
        txn_id: &str,
        events: &[Box<RawValue>],
    ) -> impl Future<Output = Result<u64, EngineError>>;

    /// Registers the user if it is one of our virtual users. Returns whether it is.
    fn ensure_user(&self, user_id: &UserId) -> impl Future<Output = Result<bool, UserError>>;
}

/// The engine and the virtual users.
#[derive(Debug, Clone)]
pub struct Serving {
    engine: Engine,
    users: VirtualUsers,
}

impl Serving {
    /// Behind the API: this engine, and these virtual users.
    pub fn new(engine: Engine, users: VirtualUsers) -> Self {
        Self { engine, users }
    }
}

impl Serves for Serving {
    fn accept_events(
        &self,
        txn_id: &str,
        events: &[Box<RawValue>],
    ) -> impl Future<Output = Result<u64, EngineError>> {
        self.engine.accept_events(txn_id, events)
    }

    async fn ensure_user(&self, user_id: &UserId) -> Result<bool, UserError> {
        if self.engine.lists().of_user(user_id.as_str()).is_none() {
            return Ok(false);
        }
        // The homeserver does not know the user, whatever we remember.
        self.users.register(user_id).await?;
        Ok(true)
    }
}
