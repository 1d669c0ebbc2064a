//! What the fake Alertmanager knows.

use jiff::{Timestamp, ToSpan as _};
use matrixbot::clock::SharedClock;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// How far ahead Prometheus reports an alert's end.
const PROMISE: Duration = Duration::from_mins(4);

/// How requests fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// This status and body.
    Status(u16, String),
    /// 200 with a body that is not JSON.
    NotJson,
    /// The answer to `GET /alerts` ends in the middle of an alert.
    CutListing,
    /// The answer comes after this time.
    Slow(Duration),
    /// No silence holds an alert.
    HoldsNothing,
    /// A POST is carried out, and answered 503.
    LostAnswer,
}

/// A request that it received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Path and query, decoded.
    pub(crate) target: String,
    pub(crate) authorization: Option<String>,
}

/// An alert. Its labels have to have an `alertname`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Alert {
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) starts_at: Timestamp,
    pub(crate) ends_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    /// The receivers of the routes that match it; one route each.
    pub(crate) receivers: Vec<String>,
    pub(crate) inhibited_by: Vec<String>,
    /// The time intervals that mute its group.
    pub(crate) muted_by: Vec<String>,
    /// A fingerprint that is no hash of the labels, as others make it.
    pub(crate) own_fingerprint: Option<String>,
}

impl Alert {
    /// An alert for one receiver that starts when it is reported.
    pub(crate) fn new(alertname: &str, receiver: &str) -> Self {
        let labels = [("alertname", alertname), ("severity", "critical")];
        Self {
            labels: labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            annotations: BTreeMap::from([("summary".to_owned(), format!("{alertname} is down"))]),
            starts_at: Timestamp::UNIX_EPOCH,
            ends_at: Timestamp::UNIX_EPOCH,
            updated_at: Timestamp::UNIX_EPOCH,
            receivers: vec![receiver.to_owned()],
            inhibited_by: Vec::new(),
            muted_by: Vec::new(),
            own_fingerprint: None,
        }
    }

    pub(crate) fn with_label(mut self, name: &str, value: &str) -> Self {
        self.labels.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(crate) fn with_fingerprint(mut self, fingerprint: &str) -> Self {
        self.own_fingerprint = Some(fingerprint.to_owned());
        self
    }

    /// Alertmanager's fingerprint: FNV-1a over names and values, each followed by 0xff.
    pub(crate) fn fingerprint(&self) -> String {
        if let Some(own) = &self.own_fingerprint {
            return own.clone();
        }
        let texts = self.labels.iter().flat_map(|(name, value)| [name, value]);
        let bytes = texts.flat_map(|text| text.bytes().chain([0xff]));
        let hash = bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        format!("{hash:016x}")
    }
}

/// A silence as Alertmanager keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Silence {
    pub(crate) id: String,
    /// `name`, `value`, `isRegex`, `isEqual`, in their order.
    pub(crate) matchers: Vec<Value>,
    pub(crate) starts_at: Timestamp,
    pub(crate) ends_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    pub(crate) created_by: String,
    pub(crate) comment: String,
    pub(crate) annotations: Value,
}

pub(crate) struct State {
    pub(crate) clock: SharedClock,
    /// How far its clock is ahead of the test's.
    pub(crate) ahead: jiff::Span,
    pub(crate) version: String,
    /// Its process in the cluster, and all processes that it knows; without others it has no cluster.
    pub(crate) name: String,
    pub(crate) members: Vec<String>,
    pub(crate) started_at: Timestamp,
    pub(crate) configuration: String,
    /// Where its API begins: `/am`, or nothing.
    pub(crate) prefix: String,
    /// The required `Authorization` header.
    pub(crate) authorization: Option<String>,
    pub(crate) alerts: Vec<Alert>,
    pub(crate) silences: Vec<Silence>,
    pub(crate) fault: Option<Fault>,
    pub(crate) requests: Vec<Request>,
    /// How many slow requests wait, and how many did at once.
    pub(crate) waiting: usize,
    pub(crate) most_waiting: usize,
}

impl State {
    pub(super) fn new(clock: SharedClock) -> Self {
        let now = clock.now();
        Self {
            clock,
            ahead: 0.seconds(),
            version: "0.33.1".to_owned(),
            name: "process-0".to_owned(),
            members: Vec::new(),
            started_at: now - 1.hour(),
            configuration: "route:\n  receiver: finance\nreceivers:\n- name: finance\n".to_owned(),
            prefix: String::new(),
            authorization: None,
            alerts: Vec::new(),
            silences: Vec::new(),
            fault: None,
            requests: Vec::new(),
            waiting: 0,
            most_waiting: 0,
        }
    }

    /// Its clock, in milliseconds.
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_millisecond((self.clock.now() + self.ahead).as_millisecond()).unwrap()
    }

    pub(crate) fn report(&mut self, mut alert: Alert) {
        let now = self.now();
        let known = self.alerts.iter().position(|known| known.labels == alert.labels);
        let earlier = known.map(|index| self.alerts.remove(index).starts_at);
        if alert.starts_at == Timestamp::UNIX_EPOCH {
            alert.starts_at = earlier.unwrap_or(now);
        }
        (alert.updated_at, alert.ends_at) = (now, now + PROMISE);
        self.alerts.push(alert);
    }

    pub(super) fn report_again(&mut self) {
        for alert in std::mem::take(&mut self.alerts) {
            self.report(alert);
        }
    }

    pub(super) fn restart(&mut self) {
        self.started_at = self.now();
        self.alerts.clear();
        let old = std::mem::replace(&mut self.name, format!("process-{}", self.started_at));
        for member in self.members.iter_mut().filter(|member| **member == old) {
            member.clone_from(&self.name);
        }
    }

    /// The alerts that it lists now.
    pub(super) fn listed(&self) -> impl Iterator<Item = &Alert> {
        let now = self.now();
        self.alerts.iter().filter(move |alert| alert.ends_at > now)
    }

    /// An alert as `GET /alerts` lists it, or as `GET /alerts/groups` does.
    pub(super) fn alert(&self, alert: &Alert, in_group: bool) -> Value {
        let silenced_by = self.silenced_by(alert);
        let muted_by = if in_group { alert.muted_by.clone() } else { Vec::new() };
        let is_held_back = !(silenced_by.is_empty() && alert.inhibited_by.is_empty() && muted_by.is_empty());
        let state = if is_held_back { "suppressed" } else { "active" };
        let mut status =
            json!({"state": state, "silencedBy": silenced_by, "inhibitedBy": alert.inhibited_by});
        if !self.version.starts_with("0.25") {
            status["mutedBy"] = json!(muted_by);
        }
        let receivers: Vec<Value> = alert.receivers.iter().map(|name| json!({"name": name})).collect();
        json!({
            "annotations": alert.annotations,
            "endsAt": api_time(alert.ends_at),
            "fingerprint": alert.fingerprint(),
            "receivers": receivers,
            "startsAt": api_time(alert.starts_at),
            "status": status,
            "updatedAt": api_time(alert.updated_at),
            "generatorURL": "http://prometheus.example.test/graph?g0.expr=up",
            "labels": alert.labels,
        })
    }
}

/// A time as the API writes it.
pub(super) fn api_time(at: Timestamp) -> String {
    format!("{:.3}", Timestamp::from_millisecond(at.as_millisecond()).unwrap())
}
