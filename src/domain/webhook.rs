//! What Alertmanager posts, understood as far as it can be. `alertmanager::payload` makes it from JSON.

use super::incident::Fingerprint;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The predecessors' webhook paths, as routes. The configuration says which room list each is for. A skill of opsdroid
/// is called what its operator calls it.
pub const PREDECESSORS_ROUTES: [&str; 3] =
    ["/webhook-ack", "/skill/{skill}/webhook", "/skill/{skill}/webhook-ack"];

/// The predecessors' webhook paths, as a regular expression.
pub const PREDECESSORS_PATHS: &str = "^(/webhook-ack|/skill/[A-Za-z0-9._~-]+/webhook(-ack)?)$";

/// Labels or annotations.
pub type Labels = BTreeMap<String, String>;

/// One webhook of Alertmanager: a report on one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// The group.
    pub group: AlertGroup,
    /// The alerts, in Alertmanager's order, each fingerprint once.
    pub alerts: Vec<WebhookAlert>,
}

/// A group of alerts, as Alertmanager describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertGroup {
    /// The receiver's name, with Alertmanager's regular-expression escapes undone.
    pub receiver: String,
    /// Alertmanager's identity of the group; may be long.
    pub group_key: String,
    /// The labels the group was made by.
    pub group_labels: Labels,
    /// The labels all its alerts share.
    pub common_labels: Labels,
    /// Where Alertmanager's own page is, if it is an `http(s)` URL.
    pub external_url: Option<String>,
    /// How many alerts Alertmanager left out of the webhook.
    pub truncated: u64,
}

/// One alert of a webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookAlert {
    /// Its identity; computed from the labels if Alertmanager sent none.
    pub fingerprint: Fingerprint,
    /// Whether it fires; `false`: it is resolved.
    pub firing: bool,
    /// Its labels.
    pub labels: Labels,
    /// Its annotations.
    pub annotations: Labels,
    /// When the episode began; when the webhook came, if that is not said.
    pub starts_at: Timestamp,
    /// Where the alert comes from, if it is an `http(s)` URL.
    pub generator_url: Option<String>,
    /// What was wrong with it, in words for the room; `None`: nothing.
    pub defect: Option<String>,
}
