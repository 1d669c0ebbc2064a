//! Parses the body of Alertmanager's webhook: bytes → `domain::webhook::Webhook`.
//!
//! A body is unreadable only if it is not JSON, not an object, or has no list of alerts. Otherwise the parser keeps as
//! much as possible: it ignores unknown fields, replaces missing fields by defaults, and records a problem with one
//! alert as that alert's defect. Its result is safe to store and to post: no NUL, no lone surrogate, no unbounded
//! value, only `http(s)` URLs.

mod alert;
mod bounds;
mod fingerprint;
#[cfg(test)]
mod tests;
mod text;
mod unreadable;

use crate::domain::incident::Fingerprint;
use crate::domain::webhook::{AlertGroup, Labels, Webhook, WebhookAlert};
use jiff::Timestamp;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use text::{Fields, kind_of};
pub use unreadable::Unreadable;

/// The largest accepted body, in bytes.
pub const LARGEST_BODY: usize = 8 * 1024 * 1024;
/// The most alerts of one webhook that are parsed; the others count as truncated by Alertmanager.
pub const MOST_ALERTS: usize = 20_000;

/// A parsed body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Its content.
    pub webhook: Webhook,
    /// Problems with it, as sentences for the log and for the answer.
    pub remarks: Vec<String>,
}

/// Parses a webhook's body. `now`: when it arrived.
pub fn parse(body: &[u8], now: Timestamp) -> Result<Report, Unreadable> {
    // Go replaces bytes that are not UTF-8 by U+FFFD. Do the same for senders that do not.
    let text = String::from_utf8_lossy(body);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let fields: Fields<'_> =
        serde_json::from_str(text).map_err(|error| Unreadable::from_json(text, &error))?;
    let Some(alerts) = fields.get("alerts") else {
        return Err(Unreadable::missing("alerts"));
    };
    let alerts: Vec<&RawValue> = serde_json::from_str(alerts.get())
        .map_err(|_not_an_array| Unreadable::unexpected(text, "alerts", alerts, "an array"))?;

    let mut remarks = Vec::new();
    let group_labels = labels(&fields, "groupLabels", &mut remarks);
    let common_labels = labels(&fields, "commonLabels", &mut remarks);
    let text_of = |name: &str| fields.get(name).and_then(|raw| text::read(raw));
    let receiver = text_of("receiver").map_or_else(
        || {
            remarks.push("`receiver` is missing.".to_owned());
            String::new()
        },
        |receiver| bounds::cut(unescape_receiver(receiver), bounds::LABEL_VALUE),
    );
    let mut truncated = fields.get("truncatedAlerts").map_or(0, |raw| count(raw));
    if let Some(over) = alerts.len().checked_sub(MOST_ALERTS).filter(|over| *over > 0) {
        remarks.push(format!("`alerts` has more than {MOST_ALERTS} elements; the last {over} are left out."));
        truncated = truncated.saturating_add(u64::try_from(over).unwrap_or(u64::MAX));
    }
    let mut alerts =
        each_once(alerts.iter().take(MOST_ALERTS).map(|raw| alert::read(raw, now)), &mut remarks);
    let group_key = text_of("groupKey").filter(|key| !key.is_empty()).unwrap_or_else(|| {
        let labels = if group_labels.is_empty() { &common_labels } else { &group_labels };
        let (remark, group_key) = computed_group_key(&receiver, labels, &alerts);
        remarks.push(remark.to_owned());
        if labels.is_empty() {
            alerts.iter_mut().for_each(alert::identify_by_content);
        }
        group_key
    });
    Ok(Report {
        webhook: Webhook {
            group: AlertGroup {
                receiver,
                group_key: bounds::cut_distinctly(group_key, bounds::GROUP_KEY),
                external_url: alertmanager(&fields, &common_labels),
                group_labels,
                common_labels,
                truncated,
            },
            alerts,
        },
        remarks,
    })
}

/// The URL of the Alertmanager that posted a body. `None`: the sender has none of Alertmanager's pages.
///
/// Grafana says version "1", and sends links of its own with each alert (`alert::LINKS`). `SigNoz` posts what Alertmanager
/// posts, but `externalURL` is its own; its alerts have the labels `ruleId` and `ruleSource`.
fn alertmanager(fields: &Fields<'_>, common_labels: &Labels) -> Option<String> {
    let is_grafana =
        fields.get("version").and_then(|raw| text::read(raw)).is_some_and(|version| version == "1");
    let is_signoz = ["ruleId", "ruleSource"].iter().all(|label| common_labels.contains_key(*label));
    let url = fields.get("externalURL").and_then(|raw| text::read_url(raw));
    url.filter(|_| !is_grafana && !is_signoz)
}

fn labels(fields: &Fields<'_>, name: &str, remarks: &mut Vec<String>) -> Labels {
    let Some(raw) = fields.get(name) else { return Labels::new() };
    let Ok((labels, _stringified)) = text::read_labels(raw) else {
        remarks.push(format!("`{name}` is {}, not an object; it counts as empty.", kind_of(raw)));
        return Labels::new();
    };
    bounds::labels(labels, bounds::LABEL_VALUE).0
}

/// A name or a short text of Alertmanager's API, as a webhook's would be stored: no NUL, not too long.
pub(super) fn clean(text: String) -> String {
    let text = if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text };
    bounds::cut(text, bounds::LABEL_VALUE)
}

/// A fingerprint of Alertmanager's API, in lower case; `None`: it is none.
pub(super) fn valid_fingerprint(text: &str) -> Option<Fingerprint> {
    fingerprint::valid(text)
}

/// An alert that Alertmanager's API lists, as if a webhook had brought it. `now`: when it was read.
pub(super) fn listed_alert(raw: &RawValue, now: Timestamp) -> WebhookAlert {
    alert::read_listed(raw, now)
}

/// Whether the labels of an alert are certainly as they were sent.
pub(super) fn has_exact_labels(alert: &WebhookAlert) -> bool {
    !bounds::may_be_cut(&alert.labels) || fingerprint::computed(&alert.labels) == alert.fingerprint
}

/// Labels of Alertmanager's API, as a webhook's would be stored; anything else counts as none.
pub(super) fn listed_labels(raw: &RawValue) -> Labels {
    let Ok((labels, _stringified)) = text::read_labels(raw) else { return Labels::new() };
    bounds::labels(labels, bounds::LABEL_VALUE).0
}

/// Undoes `regexp.QuoteMeta`, which Alertmanager applies to the receiver's name.
fn unescape_receiver(receiver: String) -> String {
    const META: &[char] = &['\\', '.', '+', '*', '?', '(', ')', '|', '[', ']', '{', '}', '^', '$'];
    if !receiver.contains('\\') {
        return receiver;
    }
    let mut name = String::with_capacity(receiver.len());
    let mut chars = receiver.chars().peekable();
    while let Some(c) = chars.next() {
        let escaped = (c == '\\').then(|| chars.next_if(|next| META.contains(next))).flatten();
        name.push(escaped.unwrap_or(c));
    }
    name
}

/// A remark and a group key, for a body without one. The key has the format of Alertmanager's keys but never equals
/// one.
///
/// A body without group labels was not posted by Alertmanager, but by a program that reports events under always the
/// same labels. Each event must be seen, so there the content of the alerts becomes the key, and identifies each of them.
fn computed_group_key(receiver: &str, labels: &Labels, alerts: &[WebhookAlert]) -> (&'static str, String) {
    let pairs = |labels: &Labels| {
        labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect::<Vec<_>>().join(", ")
    };
    if labels.is_empty() && !alerts.is_empty() {
        let contents =
            alerts.iter().map(|alert| format!("{{{}; {}}}", pairs(&alert.labels), pairs(&alert.annotations)));
        let contents = contents.collect::<Vec<_>>().join(", ");
        let remark =
            "`groupKey` is missing, and so are the group's labels; it is made from what the alerts say.";
        return (remark, format!("computed:{receiver}:[{contents}]"));
    }
    let remark = "`groupKey` is missing; it is made from the receiver and the group's labels.";
    (remark, format!("computed:{receiver}:{{{}}}", pairs(labels)))
}

/// A number that is not negative; 0 for anything else.
fn count(raw: &RawValue) -> u64 {
    text::read(raw).unwrap_or_else(|| raw.get().to_owned()).parse().unwrap_or(0)
}

/// Folds reports of the same alert into one. An alert that has the fingerprint of another one gets its own.
fn each_once(alerts: impl Iterator<Item = WebhookAlert>, remarks: &mut Vec<String>) -> Vec<WebhookAlert> {
    let mut kept: Vec<WebhookAlert> = Vec::new();
    let mut places: BTreeMap<Fingerprint, usize> = BTreeMap::new();
    let mut folded = 0_usize;
    for mut alert in alerts {
        let known = |fingerprint: &str| places.get(fingerprint).copied();
        if known(&alert.fingerprint)
            .and_then(|place| kept.get(place))
            .is_some_and(|k| k.labels != alert.labels)
        {
            alert::give_own_fingerprint(&mut alert);
        }
        if let Some(earlier) = known(&alert.fingerprint).and_then(|place| kept.get_mut(place)) {
            folded = folded.saturating_add(1);
            // A firing alert must not be lost; otherwise the newer episode counts.
            if (alert.firing, alert.starts_at) > (earlier.firing, earlier.starts_at) {
                *earlier = alert;
            }
        } else {
            places.insert(alert.fingerprint.clone(), kept.len());
            kept.push(alert);
        }
    }
    if folded > 0 {
        remarks.push(format!("{folded} of the alerts say again what another one says."));
    }
    let malformed = kept.iter().filter(|alert| alert.defect.is_some()).count();
    if malformed > 0 {
        remarks.push(format!("{malformed} of {} alerts are not as Alertmanager sends them.", kept.len()));
    }
    kept
}
