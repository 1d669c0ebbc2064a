//! Where to read on: the links that concern the whole incident.

use super::alerts::Shared;
use super::annotations;
use super::html::WebLink;
use super::rich::Rich;
use crate::domain::view::IncidentView;
use crate::domain::webhook::Labels;

/// The source, what the annotations link to, the group in Alertmanager, and a silence that matches just it.
pub(super) fn links(view: &IncidentView) -> Rich {
    let shared = Shared::of_shown(view);
    let mut links = Vec::new();
    let mut add = |name: &str, url: Option<String>| {
        links.extend(url.and_then(|url| WebLink::parse(&url)).map(|link| Rich::new().link(name, &link)));
    };
    add("Source", shared.generator_url.map(str::to_owned));
    let base = view.external_url.as_deref().map(|url| url.trim_end_matches('/'));
    add("Alertmanager", base.map(|base| format!("{base}/#/alerts?filter={}", matchers(&view.group_labels))));
    // With all labels that the alerts share, so that the silence holds nothing else back.
    if view.incident.phase.is_open() && !shared.labels.is_empty() {
        add("Silence", base.map(|base| format!("{base}/#/silences/new?filter={}", matchers(&shared.labels))));
    }
    let mut all = annotations::links(&shared.annotations);
    all.extend(links);
    Rich::join_links(&all)
}

/// Labels as Alertmanager's pages take them in a link: `{a="b",c="d"}`, percent-encoded.
fn matchers(labels: &Labels) -> String {
    let quoted = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let pairs: Vec<_> = labels.iter().map(|(key, value)| format!("{key}=\"{}\"", quoted(value))).collect();
    let matchers = format!("{{{}}}", pairs.join(","));
    url::form_urlencoded::byte_serialize(matchers.as_bytes()).collect::<String>().replace('+', "%20")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::sample::labels;

    #[test]
    fn matchers_are_encoded_as_a_whole() {
        let encoded = matchers(&labels(&[("a", "b c"), ("d", "\"+\"")]));
        assert_eq!(encoded, "%7Ba%3D%22b%20c%22%2Cd%3D%22%5C%22%2B%5C%22%22%7D");
    }
}
