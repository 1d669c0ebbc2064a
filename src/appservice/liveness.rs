//! Whether the homeserver answers us and reaches us. A ping that comes through also makes Synapse deliver at once what
//! it holds back after an outage; and when an outage is over, no room goes on waiting because of it.

use crate::engine::Engine;
use crate::health::Health;
use crate::ids;
use crate::matrix::{Client, ClientError, Failure};
use crate::store::StoreError;
use crate::worker::{Progress, Worker};
use ruma::OwnedTransactionId;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// How often while all is well.
const EVERY: Duration = Duration::from_secs(30);
/// How often while it is not.
const ANXIOUS: Duration = Duration::from_secs(3);

/// The worker that pings.
#[derive(Debug)]
pub struct Liveness {
    client: Client,
    appservice_id: String,
    health: Health,
    engine: Engine,
    reconcile: Arc<Notify>,
}

impl Liveness {
    /// Pings as the application service of this id; wakes `reconcile` when an outage is over.
    pub fn new(
        client: Client,
        appservice_id: String,
        health: Health,
        engine: Engine,
        reconcile: Arc<Notify>,
    ) -> Self {
        Self { client, appservice_id, health, engine, reconcile }
    }

    async fn ask(&self) -> Result<(), ClientError> {
        let txn_id = OwnedTransactionId::from(ids::unique().to_string());
        match self.client.ping(&self.appservice_id, Some(&txn_id)).await {
            Ok(_) => Ok(()),
            // A homeserver without ping: that it answers at all must do.
            Err(error) if error.failure() == Failure::NotFound && error.errcode() != Some("M_NOT_FOUND") => {
                self.client.versions().await.map(|_| ())
            }
            Err(error) => Err(error),
        }
    }
}

impl Worker for Liveness {
    type Error = StoreError;

    fn name(&self) -> &'static str {
        "liveness"
    }

    async fn step(&self) -> Result<Progress, StoreError> {
        match self.ask().await {
            Ok(()) => {
                if self.health.homeserver_state().is_err() {
                    self.engine.store().end_pauses(self.engine.clock().now()).await?;
                    self.engine.wakers().outbox.notify_one();
                }
                if self.health.homeserver(Ok(())) {
                    tracing::info!("the homeserver answers and reaches us");
                    self.reconcile.notify_one();
                }
                Ok(Progress::Idle(EVERY))
            }
            Err(error) => {
                let was_up = self.health.homeserver_state().is_ok();
                self.health.homeserver(Err(error.to_string()));
                if was_up {
                    tracing::error!(%error, "the homeserver does not answer, or cannot reach us: {error}");
                }
                Ok(Progress::Idle(ANXIOUS))
            }
        }
    }
}
