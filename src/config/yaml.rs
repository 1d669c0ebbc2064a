//! Parses YAML into a tree with positions. Also reports problems that YAML allows: duplicate keys, and values that are
//! lost because they have no quotes (see `swallowed`).

use super::swallowed;
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span, StrInput};
use std::collections::BTreeMap;

/// The most nodes of a file: limits repetition through anchors.
const MOST_NODES: usize = 100_000;
/// The deepest accepted nesting.
const DEEPEST: usize = 64;

/// A position in the file; line and column count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) line: usize,
    pub(super) column: usize,
}

/// A problem of the file as YAML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) at: Position,
    pub(super) key: String,
    pub(super) message: String,
}

/// A value and its position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) at: Position,
    pub(super) value: Value,
}

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// No value, or a word such as `null`.
    Nothing,
    /// A scalar; `plain`: without quotes, so it may be a number.
    Text { text: String, plain: bool },
    /// Values in order.
    List(Vec<Node>),
    /// Values by key, each key once.
    Table(Vec<Entry>),
    /// A value with a fault that is already reported.
    Faulty,
}

/// A key of a table and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) at: Position,
    pub(super) node: Node,
}

/// The file's tree, if it can be parsed, and all faults.
pub(super) fn parse(text: &str) -> (Option<Node>, Vec<Fault>) {
    let (root, faults) = build(text);
    if root.is_some() {
        return (root, faults);
    }
    // If missing quotes make the file invalid, parse it again with quotes to find the other faults.
    let (repaired, mut lost) = swallowed::in_brackets(text);
    if lost.is_empty() {
        return (None, faults);
    }
    let (root, faults) = build(&repaired);
    lost.extend(faults);
    (root, lost)
}

fn build(text: &str) -> (Option<Node>, Vec<Fault>) {
    let mut builder = Builder {
        events: Parser::new_from_str(text),
        lines: text.lines().collect(),
        faults: Vec::new(),
        anchors: BTreeMap::new(),
        nodes: 0,
    };
    (builder.document(), builder.faults)
}

struct Builder<'a> {
    events: Parser<'a, StrInput<'a>>,
    lines: Vec<&'a str>,
    faults: Vec<Fault>,
    anchors: BTreeMap<usize, Node>,
    nodes: usize,
}

impl<'a> Builder<'a> {
    /// The only document of the file. `None`: it cannot be parsed, and the reason is in the faults.
    fn document(&mut self) -> Option<Node> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => break,
                Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
                _ if root.is_some() => {
                    self.fault(span.start, "", "the file holds a second YAML document: only one is read");
                    return root;
                }
                event => root = Some(self.node(event, span, "", 0)?),
            }
        }
        Some(root.unwrap_or(Node { at: Position { line: 1, column: 1 }, value: Value::Nothing }))
    }

    fn next(&mut self) -> Option<(Event<'a>, Span)> {
        match self.events.next()? {
            Ok(next) => Some(next),
            Err(error) => {
                self.fault(*error.marker(), "", format!("this is not YAML: {}", error.info()));
                None
            }
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span, path: &str, depth: usize) -> Option<Node> {
        self.nodes = self.nodes.saturating_add(1);
        if depth > DEEPEST || self.nodes > MOST_NODES {
            self.fault(span.start, path, "the file is too large or too deeply nested");
            return None;
        }
        let at = position(span.start);
        let (value, anchor) = match event {
            Event::Alias(anchor) => return self.repeated(anchor, span, path),
            Event::Scalar(text, style, anchor, tag) => {
                let tag = tag.filter(|tag| !tag.is_yaml_core_schema());
                (self.scalar(&text, style, tag.map(|tag| tag.to_string()), at, path), anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                let items = self.list(path, depth)?;
                (self.untagged(Value::List(items), tag.map(|tag| tag.to_string()), at, path), anchor)
            }
            Event::MappingStart(anchor, tag) => {
                let entries = self.table(path, depth)?;
                (self.untagged(Value::Table(entries), tag.map(|tag| tag.to_string()), at, path), anchor)
            }
            _ => return None,
        };
        let node = Node { at, value };
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Some(node)
    }

    fn list(&mut self, path: &str, depth: usize) -> Option<Vec<Node>> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::SequenceEnd) {
                return Some(items);
            }
            let path = format!("{path}[{}]", items.len());
            items.push(self.node(event, span, &path, depth.saturating_add(1))?);
        }
    }

    fn table(&mut self, path: &str, depth: usize) -> Option<Vec<Entry>> {
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                return Some(entries);
            }
            let at = position(span.start);
            let key = self.node(event, span, path, depth.saturating_add(1))?;
            let name = match key.value {
                Value::Text { text, .. } => Some(text),
                Value::Faulty => None,
                Value::Nothing | Value::List(_) | Value::Table(_) => {
                    self.fault(span.start, path, "a key must be a word");
                    None
                }
            };
            let path = join(path, name.as_deref().unwrap_or("?"));
            let (event, span) = self.next()?;
            let node = self.node(event, span, &path, depth.saturating_add(1))?;
            let Some(key) = name else { continue };
            if let Some(first) = entries.iter().find(|entry| entry.key == key) {
                let message = format!("the key is given twice; first in line {}", first.at.line);
                self.faults.push(Fault { at, key: path, message });
            } else {
                entries.push(Entry { key, at, node });
            }
        }
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        tag: Option<String>,
        at: Position,
        path: &str,
    ) -> Value {
        let plain = style == ScalarStyle::Plain;
        let nothing = plain && matches!(text, "" | "~" | "null" | "Null" | "NULL");
        let lost = if text.is_empty() && plain && tag.is_none() {
            swallowed::after(&self.lines, at).map(swallowed::as_comment)
        } else {
            None
        };
        let value = match lost {
            Some(message) => {
                self.faults.push(Fault { at, key: path.to_owned(), message });
                Value::Faulty
            }
            None if nothing => Value::Nothing,
            None => Value::Text { text: text.to_owned(), plain },
        };
        self.untagged(value, tag, at, path)
    }

    /// `value`, unless it has a tag: a configuration uses no tags, so a tag is a room id without quotes.
    fn untagged(&mut self, value: Value, tag: Option<String>, at: Position, path: &str) -> Value {
        let Some(tag) = tag else { return value };
        self.faults.push(Fault { at, key: path.to_owned(), message: swallowed::as_tag(&tag) });
        Value::Faulty
    }

    fn repeated(&mut self, anchor: usize, span: Span, path: &str) -> Option<Node> {
        let Some(node) = self.anchors.get(&anchor).cloned() else {
            self.fault(span.start, path, "this repeats a value that contains it");
            return None;
        };
        self.nodes = self.nodes.saturating_add(size(&node));
        if self.nodes > MOST_NODES {
            self.fault(span.start, path, "the file is too large or too deeply nested");
            return None;
        }
        Some(node)
    }

    fn fault(&mut self, at: Marker, key: &str, message: impl Into<String>) {
        self.faults.push(Fault { at: position(at), key: key.to_owned(), message: message.into() });
    }
}

/// The path of `key` in the table at `path`.
pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn position(at: Marker) -> Position {
    Position { line: at.line(), column: at.col().saturating_add(1) }
}

fn size(node: &Node) -> usize {
    match &node.value {
        Value::Nothing | Value::Text { .. } | Value::Faulty => 1,
        Value::List(items) => items.iter().map(size).fold(1, usize::saturating_add),
        Value::Table(entries) => entries.iter().map(|entry| size(&entry.node)).fold(1, usize::saturating_add),
    }
}

#[cfg(test)]
mod tests {
    use super::{Node, Value, parse};

    fn faults(text: &str) -> Vec<String> {
        let (_, faults) = parse(text);
        faults
            .into_iter()
            .map(|fault| format!("{}:{} {} {}", fault.at.line, fault.at.column, fault.key, fault.message))
            .collect()
    }

    proptest::proptest! {
        #[test]
        fn every_text_gives_a_tree_or_a_fault(text in "[-a:#!&*{}\\[\\]\"', \n|~ü]{0,60}") {
            let (root, faults) = parse(&text);
            proptest::prop_assert!(root.is_some() || !faults.is_empty());
        }
    }

    #[test]
    fn values_have_their_positions() {
        let (root, faults) = parse("a:\n  - b: 'x'\n");
        assert_eq!(faults, []);
        let Value::Table(entries) = root.unwrap().value else { panic!("a table") };
        assert_eq!((entries[0].at.line, entries[0].at.column), (1, 1));
        let Value::List(items) = &entries[0].node.value else { panic!("a list") };
        let Value::Table(inner) = &items[0].value else { panic!("a table") };
        assert_eq!((inner[0].node.at.line, inner[0].node.at.column), (2, 8));
        assert_eq!(inner[0].node.value, Value::Text { text: "x".into(), plain: false });
    }

    /// Whether another YAML parser returns the same value.
    fn same(node: &Node, other: &serde_yaml::Value) -> bool {
        match (&node.value, other) {
            (Value::Nothing, serde_yaml::Value::Null) => true,
            (Value::Text { text, plain: false }, serde_yaml::Value::String(other)) => text == other,
            (Value::Text { text, plain: true }, other) => {
                serde_yaml::from_str(text).is_ok_and(|value: serde_yaml::Value| value == *other)
            }
            (Value::List(items), serde_yaml::Value::Sequence(others)) => {
                items.len() == others.len() && items.iter().zip(others).all(|(item, other)| same(item, other))
            }
            (Value::Table(entries), serde_yaml::Value::Mapping(others)) => {
                entries.len() == others.len()
                    && entries
                        .iter()
                        .all(|entry| others.get(&entry.key).is_some_and(|other| same(&entry.node, other)))
            }
            _ => false,
        }
    }

    #[test]
    fn another_yaml_parser_returns_the_same() {
        for text in [
            include_str!("../../config.yaml.example"),
            include_str!("../../registration.yaml.example"),
            "a: |\n  x\n  y\nb: >-\n  z\n  w\nc: ~\nd: [1, 'two', \"th\\u0072ee\", {e: f}]\n",
            "a: &x {b: [1]}\nc: *x\n",
        ] {
            let (root, faults) = parse(text);
            assert_eq!(faults, []);
            assert!(same(&root.unwrap(), &serde_yaml::from_str(text).unwrap()), "{text}");
        }
    }

    #[test]
    fn a_key_given_twice_is_found_with_both_places() {
        assert_eq!(
            faults("a:\n  b: 1\n  c: 2\n  b: 3\n"),
            ["4:3 a.b the key is given twice; first in line 2"]
        );
    }

    #[test]
    fn a_room_id_without_quotes_is_found_everywhere() {
        for text in ["rooms:\n  - !ops:example.org\n", "rooms: [!ops:example.org]\n", "room: !ops\n"] {
            let faults = faults(text);
            assert_eq!(faults.len(), 1, "{faults:?}");
            assert!(faults[0].contains("put it in quotes: \"!ops"), "{faults:?}");
        }
    }

    #[test]
    fn a_room_alias_without_quotes_is_found_everywhere() {
        for (text, place) in [
            ("rooms:\n  - #ops:example.org\n  - \"#x:y\"\n", "2:"),
            ("a: 1\nroom: #ops:example.org\n", "2:"),
            ("rooms: [#ops:example.org]\n", "1:"),
            ("rooms: [ #ops:example.org ]\nb: 1\n", "1:"),
            ("rooms:\n  - \"#x:y\"\n  - #ops:example.org", "3:"),
        ] {
            let faults = faults(text);
            let fault = faults.iter().find(|fault| fault.contains("\"#ops:example.org\""));
            assert!(fault.is_some_and(|fault| fault.starts_with(place)), "{text}: {faults:?}");
        }
    }

    #[test]
    fn an_alias_without_quotes_in_brackets_hides_no_other_fault() {
        let faults = faults("rooms: [\"#a:b\", #c:d, #e:f]\nb: 1\nb: 2\n");
        assert_eq!(faults.len(), 3, "{faults:?}");
        assert!(faults[0].starts_with("1:17 ") && faults[0].contains("\"#c:d\""), "{faults:?}");
        assert!(faults[1].starts_with("1:23 ") && faults[1].contains("\"#e:f\""), "{faults:?}");
        assert!(faults[2].starts_with("3:1 b the key is given twice"), "{faults:?}");
    }

    #[test]
    fn an_ordinary_comment_is_no_fault() {
        assert_eq!(
            faults("# one\na: 1 #two\nb: # three\n  c: \"#four\" # five\n#d: !six\n"),
            Vec::<String>::new()
        );
    }

    #[test]
    fn an_empty_file_is_a_tree_without_a_value() {
        let (root, faults) = parse("# nothing yet\n");
        assert_eq!(faults, []);
        assert_eq!(root.unwrap().value, Value::Nothing);
    }

    #[test]
    fn a_yaml_error_is_reported_with_its_position() {
        let faults = faults("a: 1\nb: c: d\n");
        assert!(faults[0].starts_with("2:"), "{faults:?}");
        assert!(faults[0].contains("this is not YAML"), "{faults:?}");
    }

    #[test]
    fn excessive_repetition_through_anchors_is_rejected() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..9 {
            let before = format!("*a{}", n - 1);
            text += &[&format!("a{n}: &a{n} ["), &*vec![before; 9].join(", "), "]\n"].concat();
        }
        assert!(faults(&text)[0].contains("too large"));
    }
}
