//! What stands behind the Application Service API.

use crate::engine::{Engine, EngineError};
use crate::http::MainRuntime;
use crate::rooms::{UserError, VirtualUsers};
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
        events: Vec<Box<RawValue>>,
    ) -> impl Future<Output = Result<u64, EngineError>>;

    /// Registers the user if it is one of our virtual users. Returns whether it is.
    fn ensure_user(&self, user_id: &UserId) -> impl Future<Output = Result<bool, UserError>>;
}

/// The engine and the virtual users, who work on the main runtime.
#[derive(Debug, Clone)]
pub struct Serving {
    engine: Engine,
    users: VirtualUsers,
    runtime: MainRuntime,
}

impl Serving {
    /// Behind the API: this engine, and these virtual users.
    pub fn new(engine: Engine, users: VirtualUsers, runtime: MainRuntime) -> Self {
        Self { engine, users, runtime }
    }
}

impl Serves for Serving {
    async fn accept_events(&self, txn_id: &str, events: Vec<Box<RawValue>>) -> Result<u64, EngineError> {
        let (engine, txn_id) = (self.engine.clone(), txn_id.to_owned());
        self.runtime.run(async move { engine.accept_events(&txn_id, &events).await }).await
    }

    async fn ensure_user(&self, user_id: &UserId) -> Result<bool, UserError> {
        if self.engine.lists().of_user(user_id.as_str()).is_none() {
            return Ok(false);
        }
        // The homeserver does not know the user, whatever we remember.
        let (users, user_id) = (self.users.clone(), user_id.to_owned());
        self.runtime.run(async move { users.register(&user_id).await }).await?;
        Ok(true)
    }
}
