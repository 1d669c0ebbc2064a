//! The mention at the start of a message.
//!
//! Clients write one as a link to `https://matrix.to/#/@user:server` in the HTML body (a "pill") and as a display
//! name, a user id or a Markdown link in the text body.

use crate::domain::incoming::LeadingMention;
use ruma::matrix_uri::MatrixId;
use ruma::{MatrixToUri, MatrixUri, OwnedUserId, UserId};

/// The mention at the start of a message with this text body and this HTML body.
pub(super) fn leading(text: &str, html: Option<&str>) -> Option<LeadingMention> {
    html.and_then(|html| pill(text, html)).or_else(|| user_id(text))
}

/// `@user:server: ack 42`
fn user_id(text: &str) -> Option<LeadingMention> {
    let text = text.trim_start();
    let (word, after) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let user = UserId::parse(word.trim_end_matches([':', ','])).ok()?;
    Some(LeadingMention { user, after: without_separator(after) })
}

/// `<a href="https://matrix.to/#/@user:server">Name</a>: ack 42`
fn pill(text: &str, html: &str) -> Option<LeadingMention> {
    let html = match html.split_once("</mx-reply>") {
        Some((_quotation, after)) => after,
        None => html,
    };
    let link = html.trim_start();
    let link = link.strip_prefix("<p>").unwrap_or(link).trim_start().strip_prefix("<a ")?;
    let (attributes, link) = link.split_once('>')?;
    let (label, after) = link.split_once("</a>")?;
    let user = linked_user(&unescape(attribute(attributes, "href")?))?;
    let label = plain(label);
    let text = text.trim_start();
    let markdown =
        || text.strip_prefix(&format!("[{label}]("))?.split_once(')').map(|(_target, after)| after);
    let after = [label.as_str(), user.as_str(), user.localpart()]
        .into_iter()
        .filter(|name| !name.is_empty())
        .find_map(|name| text.strip_prefix(name).or_else(|| text.strip_prefix('@')?.strip_prefix(name)))
        .or_else(markdown)
        .map_or_else(|| plain(after), str::to_owned);
    Some(LeadingMention { user, after: without_separator(&after) })
}

fn linked_user(href: &str) -> Option<OwnedUserId> {
    let id = match MatrixToUri::parse(href) {
        Ok(uri) => uri.id().clone(),
        Err(_) => MatrixUri::parse(href).ok()?.id().clone(),
    };
    match id {
        MatrixId::User(user) => Some(user),
        _ => None,
    }
}

fn attribute<'a>(attributes: &'a str, name: &str) -> Option<&'a str> {
    let (_before, value) = attributes.split_once(name)?;
    let value = value.trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    value.strip_prefix(quote)?.split_once(quote).map(|(value, _after)| value)
}

/// The text after a mention, without a colon or comma between them.
fn without_separator(after: &str) -> String {
    after.trim_start().trim_start_matches([':', ',']).trim().to_owned()
}

/// HTML as text, without tags, with line breaks.
fn plain(html: &str) -> String {
    let mut text = String::new();
    let mut rest = html;
    while let Some((before, tag)) = rest.split_once('<') {
        text.push_str(before);
        let (tag, after) = tag.split_once('>').unwrap_or((tag, ""));
        if tag.starts_with("br") || tag.starts_with("/p") {
            text.push('\n');
        }
        rest = after;
    }
    text.push_str(rest);
    unescape(&text)
}

/// The entities that clients write.
fn unescape(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#39;", "'")
        .replace("&apos;", "'")
        .replace("&nbsp;", " ")
        .replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::leading;

    fn parsed(text: &str, html: Option<&str>) -> Option<(String, String)> {
        leading(text, html).map(|mention| (mention.user.to_string(), mention.after))
    }

    #[test]
    fn a_pill_is_found_however_the_client_writes_the_text() {
        let finance = || Some(("@_alerts_finance:example.org".to_owned(), "ack 42".to_owned()));
        let link = r#"<a href="https://matrix.to/#/@_alerts_finance:example.org">Finance alerts</a>: ack 42"#;
        let encoded = r"<p><a class='x' href='https://matrix.to/#/%40_alerts_finance%3Aexample.org'>Finance alerts</a> ack 42</p>";
        let scheme = r#"<a href="matrix:u/_alerts_finance:example.org">Finance alerts</a>, ack 42"#;
        for html in [link, encoded, scheme] {
            for text in [
                "Finance alerts: ack 42",
                "Finance alerts ack 42",
                "@Finance alerts: ack 42",
                "@_alerts_finance:example.org: ack 42",
                "_alerts_finance: ack 42",
                "[Finance alerts](https://matrix.to/#/@_alerts_finance:example.org): ack 42",
                "something else altogether",
            ] {
                assert_eq!(parsed(text, Some(html)), finance(), "{text} / {html}");
            }
        }
        let reply = format!("<mx-reply><blockquote>quoted</blockquote></mx-reply>{link}");
        assert_eq!(parsed("Finance alerts: ack 42", Some(&reply)), finance());
    }

    #[test]
    fn a_user_id_needs_no_html() {
        let ours = || Some(("@_alerts_finance:example.org".to_owned(), "help".to_owned()));
        assert_eq!(parsed("@_alerts_finance:example.org: help", None), ours());
        assert_eq!(parsed("@_alerts_finance:example.org help", Some("<em>help</em>")), ours());
        assert_eq!(parsed("@_alerts_finance:example.org", None).map(|(_, after)| after), Some(String::new()));
    }

    #[test]
    fn only_a_valid_mention_at_the_start_counts() {
        for (text, html) in [
            ("ack 42", None),
            ("@everybody listen", None),
            ("see Alice", Some(r#"see <a href="https://matrix.to/#/@alice:example.org">Alice</a>"#)),
            ("link", Some(r#"<a href="https://example.org">link</a>"#)),
            ("room", Some(r#"<a href="https://matrix.to/#/%23room:example.org">room</a>"#)),
            ("broken", Some(r#"<a href="https://matrix.to/#/@alice:example.org"#)),
            ("broken", Some("<a >x</a>")),
            ("", Some("")),
        ] {
            assert_eq!(parsed(text, html), None, "{text}");
        }
    }

    #[test]
    fn names_and_texts_are_unescaped() {
        let html =
            r#"<a href="https://matrix.to/#/@a:b.org">R&amp;D &lt;x&gt;</a>: <code>show</code><br/>42"#;
        assert_eq!(parsed("R&D <x>: show 42", Some(html)).unwrap().1, "show 42");
        assert_eq!(parsed("?", Some(html)).unwrap().1, "show\n42");
    }
}
