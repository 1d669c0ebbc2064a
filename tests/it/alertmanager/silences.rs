//! The silences of the fake Alertmanager: which edits keep the id, and which errors there are, as measured.

use super::routes::Answer;
use super::state::{Alert, Fault, Silence, State, api_time};
use jiff::Timestamp;
use regex::Regex;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};

/// Ids are unique, also among all fakes.
static IDS: AtomicU64 = AtomicU64::new(1);

impl Silence {
    fn is_active(&self, now: Timestamp) -> bool {
        self.starts_at <= now && now < self.ends_at
    }

    pub(crate) fn state(&self, now: Timestamp) -> &'static str {
        match () {
            () if now >= self.ends_at => "expired",
            () if now < self.starts_at => "pending",
            () => "active",
        }
    }

    fn holds(&self, alert: &Alert) -> bool {
        self.matchers.iter().all(|matcher| {
            let value = alert.labels.get(matcher["name"].as_str().unwrap()).map_or("", String::as_str);
            let pattern = matcher["value"].as_str().unwrap();
            let matches = if matcher["isRegex"] == true {
                Regex::new(&format!("^(?:{pattern})$")).unwrap().is_match(value)
            } else {
                value == pattern
            };
            matches == (matcher["isEqual"] != false)
        })
    }

    fn to_json(&self, now: Timestamp) -> Value {
        json!({
            "id": self.id,
            "status": {"state": self.state(now)},
            "updatedAt": api_time(self.updated_at),
            "comment": self.comment,
            "createdBy": self.created_by,
            "startsAt": api_time(self.starts_at),
            "endsAt": api_time(self.ends_at),
            "matchers": self.matchers,
            "annotations": self.annotations,
        })
    }
}

impl State {
    /// The ids of the active silences that hold an alert.
    pub(super) fn silenced_by(&self, alert: &Alert) -> Vec<String> {
        let now = self.now();
        if self.fault == Some(Fault::HoldsNothing) {
            return Vec::new();
        }
        let active = self.silences.iter().filter(|silence| silence.is_active(now) && silence.holds(alert));
        active.map(|silence| silence.id.clone()).collect()
    }

    /// Forgets silences that ended 120 h ago.
    pub(super) fn settle_silences(&mut self) {
        let now = self.now();
        let retention = jiff::SignedDuration::from_hours(120);
        self.silences.retain(|silence| silence.ends_at + retention > now);
    }
}

/// Active ones first, those that end first before the others; then pending, then expired ones.
pub(super) fn list(state: &State) -> Value {
    let now = state.now();
    let mut all: Vec<&Silence> = state.silences.iter().collect();
    all.sort_by_key(|silence| match silence.state(now) {
        "active" => (0, silence.ends_at.as_millisecond()),
        "pending" => (1, silence.starts_at.as_millisecond()),
        _ => (2, -silence.ends_at.as_millisecond()),
    });
    all.into_iter().map(|silence| silence.to_json(now)).collect()
}

pub(super) fn get(state: &State, id: &str) -> Answer {
    match state.silences.iter().find(|silence| silence.id == id) {
        Some(silence) => (200, silence.to_json(state.now())),
        None => (404, Value::Null),
    }
}

/// Ends a silence. Release 0.25 answers 500 for an unknown one, later ones 404 without a body.
pub(super) fn end(state: &mut State, id: &str) -> Answer {
    let (now, is_old) = (state.now(), state.version.starts_with("0.25"));
    match state.silences.iter_mut().find(|silence| silence.id == id) {
        Some(silence) => {
            if silence.ends_at > now {
                (silence.starts_at, silence.ends_at) = (silence.starts_at.min(now), now);
                silence.updated_at = now;
            }
            (200, Value::Null)
        }
        None if is_old => (500, json!("silence not found")),
        None => (404, Value::Null),
    }
}

/// Makes a silence, or changes one. The id stays only if it is active, its matchers are the same in the same order, and
/// its start is in the same second; otherwise it ends and another one begins.
pub(super) fn post(state: &mut State, body: &[u8]) -> Answer {
    let Ok(body) = serde_json::from_slice::<Value>(body) else {
        return (400, json!({"code": 400, "message": "parsing body failed"}));
    };
    for required in ["matchers", "startsAt", "endsAt", "createdBy", "comment"] {
        if body.get(required).is_none() {
            return (422, json!({"code": 602, "message": format!("{required} in body is required")}));
        }
    }
    let now = state.now();
    let time = |name: &str| body[name].as_str().and_then(|text| text.parse::<Timestamp>().ok());
    let (Some(starts_at), Some(ends_at)) = (time("startsAt"), time("endsAt")) else {
        return (422, json!({"code": 601, "message": "startsAt must be of type date-time"}));
    };
    if ends_at <= now {
        return (400, json!("failed to create silence: end time can't be in the past"));
    }
    if ends_at <= starts_at {
        return (400, json!("failed to create silence: start time must be before end time"));
    }
    let mut matchers = body["matchers"].as_array().cloned().unwrap_or_default();
    if matchers.iter().all(|matcher| matcher["value"] == "") {
        return (400, json!("invalid silence: at least one matcher must not match the empty string"));
    }
    for matcher in &mut matchers {
        *matcher = json!({"name": matcher["name"], "value": matcher["value"], "isRegex": matcher["isRegex"],
            "isEqual": matcher["isEqual"] != false});
    }
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    let has_annotations = !state.version.starts_with("0.25");
    let annotations =
        body.get("annotations").filter(|_| has_annotations).cloned().unwrap_or_else(|| json!({}));
    let mut silence = Silence {
        id: text("id"),
        matchers,
        starts_at: starts_at.max(now),
        ends_at,
        updated_at: now,
        created_by: text("createdBy"),
        comment: text("comment"),
        annotations,
    };
    if !silence.id.is_empty() {
        let Some(known) = state.silences.iter_mut().find(|known| known.id == silence.id) else {
            return (404, json!("silence not found"));
        };
        let keeps = known.is_active(now)
            && known.matchers == silence.matchers
            && known.starts_at.as_second() == starts_at.as_second();
        if keeps {
            silence.starts_at = starts_at;
            *known = silence.clone();
            return (200, json!({"silenceID": silence.id}));
        }
        if known.ends_at > now {
            (known.ends_at, known.updated_at) = (now, now);
        }
    }
    silence.id = format!("5f0b1d5c-0000-4000-8000-{:012}", IDS.fetch_add(1, Ordering::Relaxed));
    let id = silence.id.clone();
    state.silences.push(silence);
    (200, json!({"silenceID": id}))
}
