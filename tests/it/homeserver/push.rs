//! Transactions to the application service, as Synapse sends them: one in flight, retried unchanged until the answer is
//! 2xx with JSON.

use super::rules::{Refusal, refuse};
use super::state::Appservice;
use super::{Homeserver, Shared};
use ruma::OwnedEventId;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How many events Synapse puts into one transaction.
const MOST_EVENTS: usize = 100;

/// A transaction in flight.
#[derive(Debug, Clone)]
pub(crate) struct Transaction {
    pub(crate) id: String,
    pub(crate) events: Vec<OwnedEventId>,
}

/// Why the application service did not accept a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It is unreachable, or did not answer.
    Unreachable(String),
    /// Its answer was not 2xx with JSON.
    Answered {
        /// The status.
        status: u16,
        /// The body.
        body: String,
    },
}

/// The result of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Delivered {
    /// How many events were accepted.
    pub(crate) events: usize,
    /// Why it stopped early, if it did. The transaction stays in flight.
    pub(crate) refused: Option<Refused>,
}

impl Homeserver {
    /// Pushes all queued events, and stops at the first transaction that is not accepted.
    pub(crate) async fn deliver(&self) -> Delivered {
        let _one_in_flight = self.0.pushing.lock().await;
        let http = client();
        let mut events = 0;
        loop {
            let next = self.next_transaction();
            let Some(transaction) = next else { return Delivered { events, refused: None } };
            if let Err(refused) = self.put(&http, &transaction.id, &transaction.events).await {
                return Delivered { events, refused: Some(refused) };
            }
            events += transaction.events.len();
            self.state().in_flight = None;
            self.0.shared.notify_unpushed();
        }
    }

    /// Pushes all queued events; a transaction that is not accepted fails the test.
    pub(crate) async fn deliver_all(&self) {
        let delivered = self.deliver().await;
        assert_eq!(delivered.refused, None, "the application service refused a transaction");
    }

    /// Pushes these events with this id, ignoring the queue: for transactions that are repeated, have another id, or
    /// are out of order.
    pub(crate) async fn push(&self, txn_id: &str, events: &[OwnedEventId]) -> Result<(), Refused> {
        self.put(&client(), txn_id, events).await
    }

    /// Pushes earlier versions of events, such as before their redaction.
    pub(crate) async fn push_as_they_were(&self, txn_id: &str, events: &[Value]) -> Result<(), Refused> {
        self.put_json(&client(), txn_id, events).await
    }

    /// Drops the queued events, as Synapse does when it is stopped while a transaction is in flight.
    pub(crate) fn lose_unpushed_events(&self) -> usize {
        let mut state = self.state();
        let lost = state.queue.len();
        state.queue.clear();
        drop(state);
        self.0.shared.notify_unpushed();
        lost
    }

    /// Restarts transaction ids from one, as Synapse does on `SQLite` after a restart.
    pub(crate) fn repeat_transaction_ids(&self) {
        self.state().last_push = 0;
    }

    /// Pushes queued events in the background from now on, and retries soon after a failure. Stops with the test.
    pub(crate) fn push_in_background(&self) {
        let weak = Arc::downgrade(&self.0);
        let mut unpushed = self.0.shared.unpushed.subscribe();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                // The sender is dropped with the last clone of the homeserver.
                while unpushed.wait_for(|unpushed| *unpushed > 0).await.is_ok() {
                    let Some(inner) = weak.upgrade() else { return };
                    if Self(inner).deliver().await.refused.is_some() {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                }
            });
        });
    }

    /// Waits until the application service has accepted all events.
    pub(crate) async fn delivered(&self) {
        let mut unpushed = self.0.shared.unpushed.subscribe();
        tokio::time::timeout(Duration::from_secs(20), unpushed.wait_for(|unpushed| *unpushed == 0))
            .await
            .expect("the application service did not accept all events")
            .expect("the homeserver is here");
    }

    fn next_transaction(&self) -> Option<Transaction> {
        let mut state = self.state();
        if state.in_flight.is_none() && !state.queue.is_empty() {
            let count = state.queue.len().min(MOST_EVENTS);
            state.last_push += 1;
            let transaction =
                Transaction { id: state.last_push.to_string(), events: state.queue.drain(..count).collect() };
            state.in_flight = Some(transaction);
        }
        state.in_flight.clone()
    }

    async fn put(
        &self,
        http: &reqwest::Client,
        txn_id: &str,
        events: &[OwnedEventId],
    ) -> Result<(), Refused> {
        let events: Vec<Value> = {
            let state = self.state();
            let pushed = events.iter().map(|event| {
                let mut json = state.event_json(&state.events[event], None);
                // Older fields that Synapse still sends.
                json["age"] = json["unsigned"]["age"].clone();
                json["user_id"] = json["sender"].clone();
                if let (true, Some(txn)) = (state.is_continuwuity, &state.events[event].txn) {
                    json["unsigned"]["transaction_id"] = json!(txn.id);
                }
                json
            });
            pushed.collect()
        };
        self.put_json(http, txn_id, &events).await
    }

    async fn put_json(&self, http: &reqwest::Client, txn_id: &str, events: &[Value]) -> Result<(), Refused> {
        let Appservice { url, hs_token, .. } = self.appservice();
        let Some(url) = url else {
            return Err(Refused::Unreachable("the application service has no address".to_owned()));
        };
        let body = json!({
            "events": events, "ephemeral": [],
            "de.sorunome.msc2409.ephemeral": [], "de.sorunome.msc2409.to_device": [],
        });
        let answer = http
            .put(format!("{url}/_matrix/app/v1/transactions/{txn_id}"))
            .header("Authorization", format!("Bearer {hs_token}"))
            .header("Content-Type", "application/json")
            .body(body.to_string())
            .send()
            .await
            .map_err(|error| Refused::Unreachable(error.to_string()))?;
        let status = answer.status();
        let body = answer.text().await.map_err(|error| Refused::Unreachable(error.to_string()))?;
        if status.is_success() && serde_json::from_str::<Value>(&body).is_ok() {
            return Ok(());
        }
        Err(Refused::Answered { status: status.as_u16(), body })
    }
}

/// `POST /appservice/{id}/ping`: calls the application service back.
pub(super) async fn ping(home: &Shared, id: &str, body: &Value) -> Result<Value, Refusal> {
    let appservice = home.state().appservice.clone();
    if appservice.id != id {
        return refuse(403, "M_FORBIDDEN", "Mismatching application service ID in path");
    }
    let Some(url) = appservice.url else {
        return refuse(400, "M_URL_NOT_SET", "The application service does not have a URL set");
    };
    let started = Instant::now();
    let answer = client()
        .post(format!("{url}/_matrix/app/v1/ping"))
        .header("Authorization", format!("Bearer {}", appservice.hs_token))
        .header("Content-Type", "application/json")
        .body(json!({"transaction_id": body["transaction_id"]}).to_string())
        .send()
        .await;
    let in_words = home.state().is_continuwuity;
    match answer {
        Err(error) if in_words => refuse(500, "M_UNKNOWN", format!("tcp connect error: {error}")),
        Ok(answer) if in_words && !answer.status().is_success() => {
            let error =
                format!("Appservice \"{id}\" returned unsuccessful HTTP response {}", answer.status());
            refuse(500, "M_UNKNOWN", error)
        }
        Err(error) if error.is_timeout() => refuse(504, "M_CONNECTION_TIMEOUT", error.to_string()),
        Err(error) => refuse(502, "M_CONNECTION_FAILED", error.to_string()),
        Ok(answer) if !answer.status().is_success() => {
            // The error has Synapse's format.
            let (status, error) = (answer.status().as_u16(), format!("HTTP {}", answer.status()));
            let more = json!({"status": status, "body": answer.text().await.unwrap_or_default()});
            Err(Refusal { status: 502, errcode: "M_BAD_STATUS", error, more })
        }
        Ok(_) => {
            // After a successful ping, Synapse retries immediately.
            home.notify_unpushed();
            Ok(json!({"duration_ms": u64::try_from(started.elapsed().as_millis()).unwrap()}))
        }
    }
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().tls_certs_only([]).timeout(Duration::from_mins(1)).build().unwrap()
}
