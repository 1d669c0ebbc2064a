//! Text in two forms: plain and HTML. Both have the same content, and all foreign text in the HTML is escaped.

use super::text::clean;
use ruma::{MatrixToUri, RoomAliasId, UserId};
use url::Url;

/// The longest link in a message; longer ones are dropped.
const LONGEST_LINK: usize = 2000;

/// A piece of running text, mostly one line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rich {
    plain: String,
    html: String,
}

impl Rich {
    /// No text.
    pub fn new() -> Self {
        Self::default()
    }

    /// Ordinary text; line breaks become spaces.
    #[must_use]
    pub fn text(self, text: &str) -> Self {
        self.within("", "", text)
    }

    /// Important text.
    #[must_use]
    pub fn strong(self, text: &str) -> Self {
        self.within("<strong>", "</strong>", text)
    }

    /// Stressed text.
    #[must_use]
    pub fn em(self, text: &str) -> Self {
        self.within("<em>", "</em>", text)
    }

    /// Machine-readable text, such as labels.
    #[must_use]
    pub fn code(self, text: &str) -> Self {
        self.within("<code>", "</code>", text)
    }

    /// Something to type; the plain text has it in quotes.
    #[must_use]
    pub fn command(mut self, text: &str) -> Self {
        self.plain.push('"');
        self = self.code(text);
        self.plain.push('"');
        self
    }

    /// Text with its line breaks.
    #[must_use]
    pub fn lines(mut self, text: &str) -> Self {
        let text = clean(text);
        self.html.push_str(&escape(&text).replace('\n', "<br>"));
        self.plain.push_str(&text);
        self
    }

    /// A named link; the plain text also has its URL.
    #[must_use]
    pub(super) fn link(mut self, name: &str, link: &WebLink) -> Self {
        let name = clean(name).replace('\n', " ");
        append(&mut self.plain, &[&name, ": ", link.as_str()]);
        append(&mut self.html, &["<a href=\"", &escape(link.as_str()), "\">", &escape(&name), "</a>"]);
        self
    }

    /// A person, as a link. It does not notify; only the message's `Mentions` do.
    #[must_use]
    pub fn user(self, user: &UserId) -> Self {
        self.matrix_link(&user.matrix_to_uri(), user.as_str())
    }

    /// The room that an alias leads to, as a link with a name.
    #[must_use]
    pub fn room(self, alias: &str, name: &str) -> Self {
        match <&RoomAliasId>::try_from(alias) {
            Ok(alias) => self.matrix_link(&alias.matrix_to_uri(), name),
            Err(_) => self.code(name),
        }
    }

    fn matrix_link(mut self, link: &MatrixToUri, name: &str) -> Self {
        let name = clean(name).replace('\n', " ");
        append(&mut self.html, &["<a href=\"", &escape(&link.to_string()), "\">", &escape(&name), "</a>"]);
        self.plain.push_str(&name);
        self
    }

    /// People: "a", "a and b", "a, b and c".
    #[must_use]
    pub fn users<'a>(mut self, users: impl IntoIterator<Item = &'a UserId>) -> Self {
        let users: Vec<_> = users.into_iter().collect();
        for (place, user) in users.iter().enumerate() {
            if place > 0 {
                self = self.text(if place.saturating_add(1) == users.len() { " and " } else { ", " });
            }
            self = self.user(user);
        }
        self
    }

    /// This text, followed by `other`.
    #[must_use]
    pub fn then(mut self, other: &Self) -> Self {
        self.plain.push_str(&other.plain);
        self.html.push_str(&other.html);
        self
    }

    /// Ordinary text with something to type between backticks.
    #[must_use]
    pub fn marked(mut self, text: &str) -> Self {
        for (place, piece) in text.split('`').enumerate() {
            self = if place % 2 == 1 { self.command(piece) } else { self.text(piece) };
        }
        self
    }

    /// Joins the pieces that are not empty with `between`.
    pub fn join(pieces: &[Self], between: &str) -> Self {
        Self::join_differently(pieces, between, between)
    }

    /// Joins links on one line; in plain text, which has their URLs, on a line each.
    pub fn join_links(links: &[Self]) -> Self {
        Self::join_differently(links, "\n", " · ")
    }

    /// Joins labels with spaces; in plain text with commas.
    pub fn join_labels(labels: &[Self]) -> Self {
        Self::join_differently(labels, ", ", " ")
    }

    fn join_differently(pieces: &[Self], in_plain: &str, in_html: &str) -> Self {
        let mut joined = Self::new();
        for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
            if !joined.is_empty() {
                joined.plain.push_str(in_plain);
                joined.html.push_str(&escape(in_html));
            }
            joined = joined.then(piece);
        }
        joined
    }

    /// Whether it has no text.
    pub fn is_empty(&self) -> bool {
        self.plain.is_empty()
    }

    /// Without markup.
    pub fn plain(&self) -> &str {
        &self.plain
    }

    fn within(mut self, open: &str, close: &str, text: &str) -> Self {
        let text = clean(text).replace('\n', " ");
        if text.is_empty() {
            return self;
        }
        self.plain.push_str(&text);
        append(&mut self.html, &[open, &escape(&text), close]);
        self
    }
}

impl From<&str> for Rich {
    fn from(text: &str) -> Self {
        Self::new().text(text)
    }
}

impl From<String> for Rich {
    fn from(text: String) -> Self {
        Self::new().text(&text)
    }
}

/// A message's text: paragraphs and lists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Document {
    plain: String,
    html: String,
}

impl Document {
    /// A document of one line, without a paragraph around it.
    pub fn line(line: &Rich) -> Self {
        Self { plain: line.plain.clone(), html: line.html.clone() }
    }

    /// A document from its two forms. The HTML must be sanitised.
    pub fn from_parts(plain: String, html: String) -> Self {
        Self { plain, html }
    }

    /// Adds a paragraph of the lines that are not empty; no paragraph if all are.
    pub fn paragraph(&mut self, lines: &[Rich]) {
        let lines: Vec<_> = lines.iter().filter(|line| !line.is_empty()).collect();
        if lines.is_empty() {
            return;
        }
        self.start_block();
        let plain: Vec<_> = lines.iter().map(|line| line.plain.as_str()).collect();
        let html: Vec<_> = lines.iter().map(|line| line.html.as_str()).collect();
        self.plain.push_str(&plain.join("\n"));
        append(&mut self.html, &["<p>", &html.join("<br>"), "</p>"]);
    }

    /// Adds a list. Each item consists of lines; empty lines are dropped.
    pub fn list(&mut self, items: &[Vec<Rich>]) {
        if items.is_empty() {
            return;
        }
        self.start_block();
        self.html.push_str("<ul>");
        for (place, item) in items.iter().enumerate() {
            let lines: Vec<_> = item.iter().filter(|line| !line.is_empty()).collect();
            if place > 0 {
                self.plain.push('\n');
            }
            let plain: Vec<_> = lines.iter().map(|line| line.plain.replace('\n', "\n  ")).collect();
            append(&mut self.plain, &["• ", &plain.join("\n  ")]);
            let html: Vec<_> = lines.iter().map(|line| line.html.as_str()).collect();
            append(&mut self.html, &["<li>", &html.join("<br>"), "</li>"]);
        }
        self.html.push_str("</ul>");
    }

    /// Without markup.
    pub fn plain(&self) -> &str {
        &self.plain
    }

    /// As HTML.
    pub fn html(&self) -> &str {
        &self.html
    }

    fn start_block(&mut self) {
        if !self.plain.is_empty() {
            self.plain.push_str("\n\n");
        }
    }
}

fn append(to: &mut String, pieces: &[&str]) {
    for piece in pieces {
        to.push_str(piece);
    }
}

/// Escapes HTML markup in `text`, for element content and for attributes in double quotes.
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

/// A safe link to a web page.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct WebLink(String);

impl WebLink {
    /// Parses a link: `http` or `https`, not longer than `LONGEST_LINK`, and not to `matrix.to`, which clients would
    /// render as a mention. Spaces and quotes are percent-encoded.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let url = Url::parse(text.trim()).ok()?;
        let host = url.host_str()?.trim_end_matches('.');
        let fits =
            matches!(url.scheme(), "http" | "https") && host != "matrix.to" && !host.ends_with(".matrix.to");
        // A user name or password in a link is a secret, or hides the real host.
        let plain = url.username().is_empty() && url.password().is_none();
        let link = Self(encode_leftovers(url.as_str()));
        (fits && plain && link.0.len() <= LONGEST_LINK).then_some(link)
    }

    /// The link's text.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Encodes characters that `url` does not encode in fragments: some clients end a link at a space, brace or quote.
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
    use ruma::user_id;

    #[test]
    fn both_forms_have_the_same_content() {
        let line = Rich::new()
            .strong("#42")
            .text(" by ")
            .user(user_id!("@alice:example.org"))
            .text(": ")
            .command("ack");
        assert_eq!(line.plain, "#42 by @alice:example.org: \"ack\"");
        assert_eq!(
            line.html,
            "<strong>#42</strong> by <a href=\"https://matrix.to/#/@alice:example.org\">@alice:example.org</a>: \
             <code>ack</code>"
        );
    }

    #[test]
    fn text_between_backticks_is_rendered_as_a_command() {
        let line = Rich::new().marked("Say `ack 42`, or `help`.");
        assert_eq!(line.plain, "Say \"ack 42\", or \"help\".");
        assert_eq!(line.html, "Say <code>ack 42</code>, or <code>help</code>.");
    }

    #[test]
    fn people_are_joined_with_commas_and_and() {
        let people = [user_id!("@a:x"), user_id!("@b:x"), user_id!("@c:x")];
        assert_eq!(Rich::new().users(people).plain, "@a:x, @b:x and @c:x");
    }

    #[test]
    fn a_document_has_blocks_and_indents_lists() {
        let mut document = Document::default();
        document.paragraph(&["one".into(), Rich::new(), "two".into()]);
        document.list(&[vec!["a".into(), Rich::new().lines("b\nc")], vec!["d".into()]]);
        assert_eq!(document.plain, "one\ntwo\n\n• a\n  b\n  c\n• d");
        assert_eq!(document.html, "<p>one<br>two</p><ul><li>a<br>b<br>c</li><li>d</li></ul>");
    }

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
    fn a_link_that_is_too_long_is_rejected() {
        assert_eq!(WebLink::parse(&format!("https://example.org/{}", "x".repeat(3000))), None);
    }
}
