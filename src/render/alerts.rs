//! Renders the alerts of an incident: labels and annotations that all alerts share appear once, the others with their
//! alert.

use super::Context;
use super::headline::severity_mark;
use super::rich::{Document, Rich, WebLink};
use super::size::Limits;
use super::text::{capitalised, clean, clip_with_count, count, first_lines, one_line, short};
use super::time::instant;
use crate::domain::view::{AlertView, IncidentView, Omitted, Shared};
use crate::domain::webhook::Labels;
use jiff::Timestamp;

/// The annotations that can serve as the summary, best first.
const SUMMARIES: [&str; 3] = ["summary", "title", "message"];
/// The annotation with the description.
const DESCRIPTION: &str = "description";
/// The most lines of a description.
const LINES: usize = 12;
/// The most other annotations of an alert in a message.
const OTHERS: usize = 5;
/// The most links from annotations in a message.
const LINKS: usize = 5;

/// The alerts of a message, and what they share.
pub(super) struct Alerts<'a> {
    view: &'a IncidentView,
    listed: Vec<&'a AlertView>,
    /// What all have in common, also those that the view omits.
    shared: Shared,
    /// How many of them the view omits.
    omitted: usize,
    /// Whether they differ in severity, and are firing.
    severities_differ: bool,
    /// Whether they differ in their `alertname`.
    names_differ: bool,
}

impl<'a> Alerts<'a> {
    /// The firing alerts, or all if none is firing.
    pub(super) fn of(view: &'a IncidentView) -> Self {
        let firing = view.alerts.iter().any(|alert| alert.firing);
        let alerts: Vec<_> = view.alerts.iter().filter(|alert| alert.firing == firing).collect();
        let severity = alerts.first().map(|alert| &alert.severity.name);
        let omitted = if firing { view.omitted.firing } else { view.omitted.cleared };
        Self {
            view,
            shared: Shared::of(alerts.iter().copied(), view.omitted.shared.as_ref()),
            omitted: usize::try_from(omitted).unwrap_or(usize::MAX),
            severities_differ: firing && alerts.iter().any(|alert| Some(&alert.severity.name) != severity),
            names_differ: view.alert_names().len() > 1,
            listed: alerts,
        }
    }

    /// The summary for the line below the headline: that of the only alert, or the one that all alerts share.
    pub(super) fn summary(&self, limits: Limits) -> Rich {
        Rich::from(summary(&self.shared.annotations, limits))
    }

    /// The alerts, without their summary if all share it.
    pub(super) fn describe(&self, document: &mut Document, limits: Limits, context: &Context<'_>) {
        let common_description = description(&self.shared.annotations, limits.text);
        let common_others = others(&self.shared.annotations, limits);
        let common_labels = labels(&self.shared.labels, None, limits, context);
        if let ([alert], 0) = (self.listed.as_slice(), self.omitted) {
            document.paragraph(&[common_description]);
            document.paragraph(&common_others);
            document.paragraph(&[common_labels, defect(alert), self.left_out(0), self.not_reported(context)]);
            return;
        }
        let count = self.listed.len().min(limits.alerts);
        let budget = limits.text / count.max(1);
        let since = since(self.view);
        let items: Vec<_> = self
            .listed
            .iter()
            .take(count)
            .map(|alert| self.item(alert, since, Limits { text: budget, ..limits }, context))
            .collect();
        // What all have in common is read before the list, which may be long.
        document.paragraph(&[common_description]);
        document.paragraph(&common_others);
        if !common_labels.is_empty() {
            document.paragraph(&[Rich::from("All: ").then(&common_labels)]);
        }
        document.list(&items);
        document.paragraph(&[
            self.left_out(self.listed.len().saturating_sub(count).saturating_add(self.omitted))
        ]);
        document.paragraph(&[self.not_reported(context)]);
    }

    /// Links for the whole incident: those of its annotations, the source, the group in Alertmanager, and a silence
    /// for exactly these alerts.
    pub(super) fn links(&self) -> Rich {
        let mut links = link_annotations(&self.shared.annotations);
        let mut add = |name: &str, url: Option<&str>| {
            links.extend(url.and_then(WebLink::parse).map(|link| Rich::new().link(name, &link)));
        };
        add("Source", self.shared.generator_url.as_deref());
        if let Some(url) = self.view.external_url.as_deref() {
            let base = url.trim_end_matches('/');
            let filter =
                matchers(&self.view.group_labels).map(|group| format!("?filter={group}")).unwrap_or_default();
            add("Alertmanager", Some(&format!("{base}/#/alerts{filter}")));
            // Use all shared labels, so the silence covers no other alert.
            if self.view.incident.phase.is_open()
                && !self.shared.labels.is_empty()
                && let Some(exactly) = matchers(&self.shared.labels)
            {
                add("Silence", Some(&format!("{base}/#/silences/new?filter={exactly}")));
            }
        }
        Rich::join_links(&links)
    }

    /// One of several alerts: its summary, its own labels and annotations, and its start if it differs from the
    /// incident's.
    fn item(&self, alert: &AlertView, since: Timestamp, limits: Limits, context: &Context<'_>) -> Vec<Rich> {
        let mut own = alert.annotations.clone();
        own.retain(|key, _| !self.shared.annotations.contains_key(key));
        let labels = labels(&alert.labels, Some(&self.shared.labels), limits, context);
        let summary = Rich::new().strong(&summary(&own, limits));
        let mark = if self.severities_differ {
            Rich::from(format!("{} ", severity_mark(Some(&alert.severity), context.policy)))
        } else {
            Rich::new()
        };
        let name = alert.labels.get("alertname").filter(|_| self.names_differ);
        let name = Rich::new().strong(&name.map(|name| short(name, limits.value)).unwrap_or_default());
        let named = Rich::join(&[name, summary], " · ");
        let mut lines = if !named.is_empty() {
            vec![mark.then(&named), labels]
        } else if !labels.is_empty() {
            vec![mark.then(&labels)]
        } else {
            vec![mark.text("1 alert")]
        };
        lines.push(description(&own, limits.text));
        lines.extend(others(&own, limits));
        lines.push(self.time_and_links(alert, &own, since, limits, context));
        lines.push(defect(alert));
        lines
    }

    fn time_and_links(
        &self,
        alert: &AlertView,
        own: &Labels,
        since: Timestamp,
        limits: Limits,
        context: &Context<'_>,
    ) -> Rich {
        let at = |at: Timestamp| instant(at, context);
        let time = match alert.cleared_at {
            Some(cleared) if self.view.resolved_at.map(at) == Some(at(cleared)) => String::new(),
            Some(cleared) => format!("resolved at {}", at(cleared)),
            None if at(alert.starts_at) == at(since) => String::new(),
            None => format!("since {}", at(alert.starts_at)),
        };
        let mut line = vec![Rich::from(time)];
        if limits.links {
            let source = alert.generator_url.as_deref().filter(|_| self.shared.generator_url.is_none());
            line.extend(source.and_then(WebLink::parse).map(|link| Rich::new().link("Source", &link)));
            line.extend(link_annotations(own));
        }
        Rich::join_links(&line)
    }

    /// How many alerts are missing, omitted by matrixbot or by Alertmanager.
    fn left_out(&self, hidden: usize) -> Rich {
        let ours = (hidden > 0).then(|| format!("… and {}.", count(hidden as u64, "more alert")));
        let theirs = (self.view.truncated > 0).then(|| {
            format!("… and {} that Alertmanager did not send.", count(self.view.truncated, "more alert"))
        });
        let notes: Vec<_> = ours.into_iter().chain(theirs).map(|note| Rich::new().em(&note)).collect();
        Rich::join(&notes, " ")
    }
}

impl Alerts<'_> {
    /// The firing alerts that Alertmanager no longer reports.
    fn not_reported(&self, context: &Context<'_>) -> Rich {
        let firing = &self.view.incident.firing;
        let unreported: Vec<_> =
            firing.iter().filter_map(|(name, alert)| Some((name, alert.left_out_since?))).collect();
        let Some(since) = unreported.iter().map(|(_, since)| *since).min() else { return Rich::new() };
        let names: Vec<_> = unreported.iter().map(|(name, _)| (*name).clone()).collect();
        let names = if firing.len() == 1 {
            "this alert".to_owned()
        } else {
            brief(self.view, &names, ShowSeverity::No, context)
        };
        let it = if unreported.len() == 1 { "It counts" } else { "They count" };
        Rich::new().em(&format!(
            "Since {}, Alertmanager no longer reports {names} (silenced, inhibited or left out). {it} as firing until \
             resolved or stale.",
            instant(since, context)
        ))
    }
}

/// The start of the incident: the earliest start of its firing alerts; if none is firing, of those that have resolved since it
/// opened, whatever later reports say about them.
pub(super) fn since(view: &IncidentView) -> Timestamp {
    let IncidentView { incident, .. } = view;
    if let Some(first) = incident.firing.values().map(|alert| alert.starts_at).min() {
        return first;
    }
    let resolved = incident.cleared.values().filter(|cleared| cleared.at >= incident.opened_at);
    let known = resolved.map(|cleared| cleared.starts_at).chain(view.began_at);
    known.fold(incident.opened_at, Timestamp::min)
}

/// Whether the severity follows the name of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ShowSeverity {
    Yes,
    No,
}

/// Short names of alerts on one line, from the labels that distinguish them: `db-1:9100 /data1, db-2:9100 /data2`.
pub(super) fn brief(
    view: &IncidentView,
    fingerprints: &[String],
    severity: ShowSeverity,
    context: &Context<'_>,
) -> String {
    let shared = Shared::of(&view.alerts, view.omitted.shared.as_ref()).labels;
    let several = view.alerts.len() > 1 || view.omitted != Omitted::default();
    let wanted = |alert: &&AlertView| fingerprints.contains(&alert.fingerprint);
    let mut names: Vec<_> = view
        .alerts
        .iter()
        .filter(wanted)
        .take(5)
        .map(|alert| {
            let name = own_name(alert, several.then_some(&shared), context);
            match alert.severity.name.as_deref().filter(|_| severity == ShowSeverity::Yes) {
                Some(severity) => format!("{name} ({})", short(severity, 20)),
                None => name,
            }
        })
        .collect();
    match fingerprints.len().saturating_sub(names.len()) {
        0 => {}
        unnamed if names.is_empty() => names.push(count(unnamed as u64, "alert")),
        unnamed => names.push(format!("{unnamed} more")),
    }
    names.join(", ")
}

/// The values of the labels that an alert does not share with the others, otherwise its `alertname`. `shared` is `None`
/// if there are no others.
fn own_name(alert: &AlertView, shared: Option<&Labels>, context: &Context<'_>) -> String {
    let elsewhere =
        |key: &str| key == context.policy.severity_label || (shared.is_none() && key == "alertname");
    let own: Vec<_> = alert
        .labels
        .iter()
        .filter(|(key, value)| !elsewhere(key) && shared.is_none_or(|shared| shared.get(*key) != Some(value)))
        .map(|(_, value)| short(value, 40))
        .collect();
    let name = if own.is_empty() { alert.labels.get("alertname").cloned() } else { Some(own.join(" ")) };
    let name = short(&name.unwrap_or_default(), 80);
    if name.is_empty() { "1 alert".to_owned() } else { name }
}

/// Labels, without those that the message shows elsewhere.
fn labels(labels: &Labels, except: Option<&Labels>, limits: Limits, context: &Context<'_>) -> Rich {
    let elsewhere = |key: &str| {
        key == "alertname"
            || key == context.policy.severity_label
            || except.is_some_and(|except| except.contains_key(key))
    };
    let own: Vec<_> = labels.iter().filter(|(key, _)| !elsewhere(key)).collect();
    let pair = |key: &str, value: &str| {
        let (key, value) = (short(key, 40), short(value, limits.value));
        Rich::new().code(&format!("{key}={value}"))
    };
    let mut pieces: Vec<_> = own.iter().take(limits.labels).map(|(key, value)| pair(key, value)).collect();
    match own.len().saturating_sub(limits.labels) {
        0 => {}
        more => pieces.push(Rich::new().em(&format!("and {more} more labels"))),
    }
    Rich::join_labels(&pieces)
}

/// The problem that an alert had when it arrived.
fn defect(alert: &AlertView) -> Rich {
    match &alert.defect {
        Some(defect) => Rich::from("⚠️ ").em(&short(defect, 200)),
        None => Rich::new(),
    }
}

/// The summary; empty if the annotations have none.
fn summary(annotations: &Labels, limits: Limits) -> String {
    let text = summary_key(annotations).and_then(|key| annotations.get(key));
    text.map(|text| clip_with_count(&one_line(text), limits.value.max(60))).unwrap_or_default()
}

/// The description, in at most `most` characters; empty if it equals the summary.
fn description(annotations: &Labels, most: usize) -> Rich {
    let Some(text) = annotations.get(DESCRIPTION).filter(|_| most > 0) else { return Rich::new() };
    let repeated = SUMMARIES.iter().any(|key| annotations.get(*key) == Some(text));
    if repeated {
        Rich::new()
    } else {
        Rich::new().lines(&clip_with_count(&first_lines(clean(text).trim(), LINES), most))
    }
}

/// The annotations that are neither summary nor description nor a link.
fn others(annotations: &Labels, limits: Limits) -> Vec<Rich> {
    let summary = summary_key(annotations);
    annotations
        .iter()
        .filter(|(key, value)| {
            *key != DESCRIPTION
                && summary != Some(key.as_str())
                && !value.trim().is_empty()
                && WebLink::parse(value).is_none()
        })
        .take(OTHERS)
        .map(|(key, value)| {
            let (key, value) = (short(key, 40), clip_with_count(&one_line(value), limits.value));
            Rich::from(format!("{key}: {value}"))
        })
        .collect()
}

/// The annotations that are links, named after their keys: `runbook_url` becomes "Runbook".
fn link_annotations(annotations: &Labels) -> Vec<Rich> {
    annotations
        .iter()
        .filter_map(|(key, value)| WebLink::parse(value).map(|link| Rich::new().link(&link_name(key), &link)))
        .take(LINKS)
        .collect()
}

fn summary_key(annotations: &Labels) -> Option<&'static str> {
    let usable = |key: &&str| annotations.get(*key).is_some_and(|text| !text.trim().is_empty());
    SUMMARIES.into_iter().find(usable)
}

fn link_name(key: &str) -> String {
    let words = short(&key.replace(['_', '-'], " "), 40).to_lowercase();
    let name = words.trim_end_matches(" url").trim_end_matches(" link").trim_end_matches(" uri");
    capitalised(name)
}

/// Labels as a filter for a link to Alertmanager's pages: `{a="b",c="d"}`, percent-encoded. `None`: the pages cannot read a
/// name. They take names without quotes, and values as JSON strings (read in the page of Alertmanager 0.33.1).
fn matchers(labels: &Labels) -> Option<String> {
    let bare = |name: &str| {
        name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    let pair = |(name, value): (&String, &String)| {
        bare(name).then(|| format!("{name}={}", serde_json::Value::from(value.as_str())))
    };
    let pairs: Vec<_> = labels.iter().map(pair).collect::<Option<_>>()?;
    let matchers = format!("{{{}}}", pairs.join(","));
    Some(url::form_urlencoded::byte_serialize(matchers.as_bytes()).collect::<String>().replace('+', "%20"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::sample::labels;

    #[test]
    fn links_are_named_after_their_keys() {
        assert_eq!(link_name("runbook_url"), "Runbook");
        assert_eq!(link_name("grafana-dashboard-link"), "Grafana dashboard");
        assert_eq!(link_name("url"), "Url");
    }

    #[test]
    fn an_unsafe_link_is_rendered_as_text() {
        let annotations =
            labels(&[("runbook_url", "javascript:alert(1)"), ("dashboard", "https://grafana.example.org")]);
        assert_eq!(link_annotations(&annotations).len(), 1);
        let others = others(&annotations, Limits::FULL);
        assert_eq!(others, [Rich::from("runbook_url: javascript:alert(1)")]);
    }

    #[test]
    fn a_description_that_repeats_the_summary_is_left_out() {
        let annotations = labels(&[("summary", "full"), ("description", "full")]);
        assert!(description(&annotations, 100).is_empty());
    }

    #[test]
    fn an_empty_summary_is_replaced_by_the_next_annotation() {
        let annotations = labels(&[("summary", " "), ("message", "full")]);
        assert_eq!(summary(&annotations, Limits::FULL), "full");
    }

    #[test]
    fn matchers_are_encoded_as_a_whole() {
        let encoded = matchers(&labels(&[("a", "b c"), ("d", "\"+\"")])).unwrap();
        assert_eq!(encoded, "%7Ba%3D%22b%20c%22%2Cd%3D%22%5C%22%2B%5C%22%22%7D");
        // A tab ends the filter that Alertmanager's page reads, unless it is escaped.
        assert_eq!(matchers(&labels(&[("a", "\t\u{1}")])).unwrap(), "%7Ba%3D%22%5Ct%5Cu0001%22%7D");
        assert_eq!(matchers(&labels(&[("a", "b"), ("service.name", "x")])), None);
    }
}
