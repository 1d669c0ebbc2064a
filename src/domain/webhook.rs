//! The webhooks of Alertmanager. `alertmanager::payload` parses them from JSON.

use super::incident::Fingerprint;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The predecessors' webhook paths, as routes. The configuration maps each to a room list. `{skill}` is the name that
/// the operator gave to a skill of opsdroid.
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
    /// The alerts, in Alertmanager's order, without duplicate fingerprints.
    pub alerts: Vec<WebhookAlert>,
}

/// A group of alerts, as Alertmanager describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertGroup {
    /// The receiver's name, with Alertmanager's regular-expression escapes undone.
    pub receiver: String,
    /// Alertmanager's identity of the group; may be long.
    pub group_key: String,
    /// The labels that Alertmanager grouped by.
    pub group_labels: Labels,
    /// The labels that all its alerts share.
    pub common_labels: Labels,
    /// The URL of Alertmanager, if it is an `http(s)` URL.
    pub external_url: Option<String>,
    /// How many alerts Alertmanager left out of the webhook.
    pub truncated: u64,
}

/// One alert of a webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookAlert {
    /// Its identity; computed from the labels if Alertmanager sent none.
    pub fingerprint: Fingerprint,
    /// Whether it is firing; `false`: it is resolved.
    pub firing: bool,
    /// Its labels.
    pub labels: Labels,
    /// Its annotations.
    pub annotations: Labels,
    /// When the episode started; if the webhook does not contain that, when the webhook arrived.
    pub starts_at: Timestamp,
    /// Whether `starts_at` is what the webhook contains.
    pub start_known: bool,
    /// When the episode ended, if it is resolved and the webhook contains that.
    pub ends_at: Option<Timestamp>,
    /// The URL of the alert's source, if it is an `http(s)` URL.
    pub generator_url: Option<String>,
    /// The problem with the alert, in words for the room; `None`: it has none.
    pub defect: Option<String>,
}
