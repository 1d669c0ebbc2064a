//! The HTML of messages: what is escaped, and which links there can be.

use url::Url;

/// The longest link that is shown; longer ones are left out.
const LONGEST_LINK: usize = 2000;

/// `text` with everything that HTML could take for markup escaped; fit for element content and for attributes in
/// double quotes.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// A link to a web page, safe to be shown.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct WebLink(String);

impl WebLink {
    /// `text` as a link, if it is one: `http` or `https`, not too long, and not to `matrix.to`, which clients would
    /// show as a mention of somebody. Spaces and quotes come out percent-encoded.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let url = Url::parse(text.trim()).ok()?;
        let host = url.host_str()?.trim_end_matches('.');
        let fits =
            matches!(url.scheme(), "http" | "https") && host != "matrix.to" && !host.ends_with(".matrix.to");
        // A name and password in a link are a secret, or a trick.
        let plain = url.username().is_empty() && url.password().is_none();
        let link = Self(encode_leftovers(url.as_str()));
        (fits && plain && link.0.len() <= LONGEST_LINK).then_some(link)
    }

    /// The link's text.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// What `url` leaves readable in fragments, encoded: some clients end a link at a space, brace or quote.
fn encode_leftovers(url: &str) -> String {
    let mut encoded = String::with_capacity(url.len());
    for character in url.chars() {
        match character {
            '{' => encoded.push_str("%7B"),
            '}' => encoded.push_str("%7D"),
            '|' => encoded.push_str("%7C"),
            '\\' => encoded.push_str("%5C"),
            '^' => encoded.push_str("%5E"),
            '`' => encoded.push_str("%60"),
            '"' => encoded.push_str("%22"),
            '\'' => encoded.push_str("%27"),
            '<' => encoded.push_str("%3C"),
            '>' => encoded.push_str("%3E"),
            ' ' => encoded.push_str("%20"),
            other => encoded.push(other),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_escaped() {
        assert_eq!(escape(r#"<a href="x">'&'"#), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;");
    }

    #[test]
    fn only_web_pages_are_links() {
        assert!(WebLink::parse("https://runbooks.example.org/DiskFull").is_some());
        assert!(WebLink::parse("http://prom:9090/graph?g0.expr=up").is_some());
        for other in
            ["javascript:alert(1)", "data:text/html,x", "ftp://x/y", "mailto:a@b", "/graph", "", "see wiki"]
        {
            assert_eq!(WebLink::parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_link_mentions_nobody_and_carries_no_password() {
        assert_eq!(WebLink::parse("https://matrix.to/#/@bob:example.org"), None);
        assert_eq!(WebLink::parse("https://MATRIX.to./#/@bob:example.org"), None);
        assert_eq!(WebLink::parse("https://me:secret@example.org/"), None);
    }

    #[test]
    fn spaces_braces_and_quotes_are_encoded_everywhere() {
        let link = WebLink::parse(r#"http://am:9093/#/alerts?filter={a="b c"}"#).unwrap();
        assert_eq!(link.as_str(), "http://am:9093/#/alerts?filter=%7Ba=%22b%20c%22%7D");
    }

    #[test]
    fn an_endless_link_is_none() {
        assert_eq!(WebLink::parse(&format!("https://example.org/{}", "x".repeat(3000))), None);
    }
}
