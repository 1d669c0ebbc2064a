//! Checks whether the homeserver answers and can call matrixbot. A successful ping also makes Synapse retry the
//! transactions that it holds back after an outage. When an outage ends, this also ends the pauses that it caused in
//! rooms.

use crate::clock::SharedClock;
use crate::engine::Wakers;
use crate::health::Health;
use crate::ids;
use crate::matrix::{Client, ClientError, Failure};
use crate::store::{Store, StoreError};
use crate::worker::{HOMESERVER_STEP_LIMIT, Progress, Worker};
use ruma::OwnedTransactionId;
use std::time::Duration;

/// The interval while the homeserver answers.
const EVERY: Duration = Duration::from_secs(30);
/// The interval while it does not.
const EVERY_IN_OUTAGE: Duration = Duration::from_secs(3);

/// The worker that pings.
#[derive(Debug)]
pub struct Liveness {
    client: Client,
    appservice_id: String,
    health: Health,
    store: Store,
    clock: SharedClock,
    wakers: Wakers,
}

impl Liveness {
    /// A worker that pings as the application service with this id, and records the result in `health`.
    pub fn new(
        client: Client,
        appservice_id: String,
        health: Health,
        store: Store,
        clock: SharedClock,
        wakers: Wakers,
    ) -> Self {
        Self { client, appservice_id, health, store, clock, wakers }
    }

    async fn ping(&self) -> Result<(), ClientError> {
        let txn_id = OwnedTransactionId::from(ids::unique().to_string());
        match self.client.ping(&self.appservice_id, Some(&txn_id)).await {
            Ok(_) => Ok(()),
            // The homeserver does not support pings: any answer counts.
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

    fn limit(&self) -> Duration {
        HOMESERVER_STEP_LIMIT
    }

    async fn step(&self) -> Result<Progress, StoreError> {
        match self.ping().await {
            Ok(()) => {
                if self.health.homeserver().is_err() {
                    self.store.end_pauses(self.clock.now()).await?;
                    self.wakers.outbox.notify_one();
                }
                if self.health.set_homeserver(Ok(())) {
                    tracing::info!("the homeserver answers and can call us");
                    self.wakers.reconcile.notify_one();
                }
                Ok(Progress::Idle(EVERY))
            }
            Err(error) => {
                let was_up = self.health.homeserver().is_ok();
                self.health.set_homeserver(Err(error.to_string()));
                if was_up {
                    tracing::error!(%error, "the homeserver does not answer, or cannot call us: {error}");
                }
                Ok(Progress::Idle(EVERY_IN_OUTAGE))
            }
        }
    }
}
