//! An alert's annotations as people read them: what is wrong in a few words, at length, and where to read on.

use super::html::WebLink;
use super::rich::Rich;
use super::size::Limits;
use super::text::{capitalised, clean, clip_loudly, one_line, short};
use crate::domain::webhook::Labels;

/// The annotations that say in a few words what is wrong, best first.
const SUMMARIES: [&str; 3] = ["summary", "title", "message"];
/// The annotation that says it at length.
const DESCRIPTION: &str = "description";
/// How many annotations are shown besides.
const OTHERS: usize = 5;
/// How many links are shown.
const LINKS: usize = 5;

/// What is wrong, in a few words; nothing if the annotations do not say.
pub(super) fn summary(annotations: &Labels, limits: Limits) -> String {
    let text = summary_key(annotations).and_then(|key| annotations.get(key));
    text.map(|text| clip_loudly(&one_line(text), limits.value.max(60))).unwrap_or_default()
}

/// What is wrong, at length and in at most `most` characters; nothing if the summary says it already.
pub(super) fn description(annotations: &Labels, most: usize) -> Rich {
    let Some(text) = annotations.get(DESCRIPTION).filter(|_| most > 0) else { return Rich::new() };
    let repeated = SUMMARIES.iter().any(|key| annotations.get(*key) == Some(text));
    if repeated { Rich::new() } else { Rich::new().lines(&clip_loudly(clean(text).trim(), most)) }
}

/// The annotations that are neither summary nor description nor a link.
pub(super) fn others(annotations: &Labels, limits: Limits) -> Vec<Rich> {
    let told = |key: &str| key == DESCRIPTION || summary_key(annotations) == Some(key);
    annotations
        .iter()
        .filter(|(key, value)| !told(key) && !value.trim().is_empty() && WebLink::parse(value).is_none())
        .take(OTHERS)
        .map(|(key, value)| {
            let (key, value) = (short(key, 40), clip_loudly(&one_line(value), limits.value));
            Rich::from(format!("{key}: {value}"))
        })
        .collect()
}

/// The annotations that are links, named after their keys: `runbook_url` is the "Runbook".
pub(super) fn links(annotations: &Labels) -> Vec<Rich> {
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
    fn a_link_that_leads_nowhere_safe_is_shown_as_text() {
        let annotations =
            labels(&[("runbook_url", "javascript:alert(1)"), ("dashboard", "https://grafana.example.org")]);
        assert_eq!(links(&annotations).len(), 1);
        let others = others(&annotations, Limits::FULL);
        assert_eq!(others, [Rich::from("runbook_url: javascript:alert(1)")]);
    }

    #[test]
    fn a_description_that_repeats_the_summary_is_left_out() {
        let annotations = labels(&[("summary", "full"), ("description", "full")]);
        assert!(description(&annotations, 100).is_empty());
    }

    #[test]
    fn an_empty_summary_gives_way_to_the_next_best() {
        let annotations = labels(&[("summary", " "), ("message", "full")]);
        assert_eq!(summary(&annotations, Limits::FULL), "full");
    }
}
