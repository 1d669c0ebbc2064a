//! YAML as a tree that knows where everything stands, with what YAML itself lets pass: a key given twice, and a
//! value that is lost for want of quotes (see `swallowed`).

use super::swallowed;
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, StrInput};
use std::collections::BTreeMap;

/// A file that repeats itself through anchors is refused beyond this size.
const MOST_NODES: usize = 100_000;
/// No configuration nests so deeply.
const DEEPEST: usize = 64;

/// A place in the file; line and column count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) line: usize,
    pub(super) column: usize,
}

/// Something that is wrong with the file as YAML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) at: Position,
    pub(super) key: String,
    pub(super) message: String,
}

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) at: Position,
    pub(super) value: Value,
}

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// Nothing was written, or a word for it.
    Nothing,
    /// Anything without parts; `plain`: without quotes, so that it may be a number.
    Text { text: String, plain: bool },
    /// Values in order.
    List(Vec<Node>),
    /// Values by key, each key once.
    Table(Vec<Entry>),
    /// A fault was reported here; there is nothing more to say.
    Faulty,
}

/// A key of a table and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) at: Position,
    pub(super) node: Node,
}

impl Node {
    /// The items of a list; none if nothing was written.
    pub(super) fn items(&self) -> Option<&[Node]> {
        match &self.value {
            Value::List(items) => Some(items),
            Value::Nothing => Some(&[]),
            Value::Text { .. } | Value::Table(_) | Value::Faulty => None,
        }
    }

    /// The entries of a table; none if nothing was written.
    pub(super) fn entries(&self) -> Option<&[Entry]> {
        match &self.value {
            Value::Table(entries) => Some(entries),
            Value::Nothing => Some(&[]),
            Value::Text { .. } | Value::List(_) | Value::Faulty => None,
        }
    }
}

/// The file's tree, as far as it can be read, and all that is wrong with it.
pub(super) fn parse(text: &str) -> (Option<Node>, Vec<Fault>) {
    let (root, faults) = build(text);
    if root.is_some() {
        return (root, faults);
    }
    // A file that cannot be read for want of quotes is read once more with them, for the sake of what else is wrong.
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
    /// What can be repeated, with the number of its nodes.
    anchors: BTreeMap<usize, (Node, usize)>,
    nodes: usize,
}

impl<'a> Builder<'a> {
    /// The one document of the file. `None`: it cannot be read on, and the reason is among the faults.
    fn document(&mut self) -> Option<Node> {
        let mut root = None;
        loop {
            let (event, at) = self.next()?;
            match event {
                Event::StreamEnd => break,
                Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
                _ if root.is_some() => {
                    self.fault(at, "", "the file holds a second YAML document: only one is read");
                    break;
                }
                event => root = Some(self.node(event, at, "", 0)?),
            }
        }
        root.or(Some(Node { at: Position { line: 1, column: 1 }, value: Value::Nothing }))
    }

    fn next(&mut self) -> Option<(Event<'a>, Position)> {
        match self.events.next()? {
            Ok((event, span)) => Some((event, position(span.start))),
            Err(error) => {
                self.fault(position(*error.marker()), "", format!("this is not YAML: {}", error.info()));
                None
            }
        }
    }

    fn node(&mut self, event: Event<'a>, at: Position, path: &str, depth: usize) -> Option<Node> {
        let nodes_before = self.nodes;
        self.nodes = self.nodes.saturating_add(1);
        if depth > DEEPEST || self.nodes > MOST_NODES {
            self.fault(at, path, "the file is too large or too deeply nested");
            return None;
        }
        let (mut value, anchor, tag) = match event {
            Event::Alias(anchor) => {
                let Some((node, nodes)) = self.anchors.get(&anchor) else {
                    self.fault(at, path, "this repeats a value that contains it");
                    return None;
                };
                self.nodes = self.nodes.saturating_add(*nodes);
                return Some(node.clone());
            }
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain;
                let is_nothing = plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                let value = Value::Text { text: text.into_owned(), plain };
                let value = if is_nothing { Value::Nothing } else { value };
                (value, anchor, tag.filter(|tag| !tag.is_yaml_core_schema()))
            }
            Event::SequenceStart(anchor, tag) => (Value::List(self.list(path, depth)?), anchor, tag),
            Event::MappingStart(anchor, tag) => (Value::Table(self.table(path, depth)?), anchor, tag),
            _ => return None,
        };
        let room = match tag {
            // A configuration has no tags, so what looks like one is a room.
            Some(tag) => Some(swallowed::as_tag(&tag.to_string())),
            None if value == Value::Nothing => {
                self.lines.get(at.line.saturating_sub(1)).and_then(|line| swallowed::as_comment(line))
            }
            None => None,
        };
        if let Some(message) = room {
            self.fault(at, path, message);
            value = Value::Faulty;
        }
        let node = Node { at, value };
        if anchor > 0 {
            let nodes = self.nodes.saturating_sub(nodes_before);
            self.anchors.insert(anchor, (node.clone(), nodes));
        }
        Some(node)
    }

    fn list(&mut self, path: &str, depth: usize) -> Option<Vec<Node>> {
        let mut items = Vec::new();
        loop {
            let (event, at) = self.next()?;
            if matches!(event, Event::SequenceEnd) {
                return Some(items);
            }
            let path = format!("{path}[{}]", items.len());
            items.push(self.node(event, at, &path, depth.saturating_add(1))?);
        }
    }

    fn table(&mut self, path: &str, depth: usize) -> Option<Vec<Entry>> {
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let (event, at) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                return Some(entries);
            }
            let key = self.node(event, at, path, depth.saturating_add(1))?;
            let name = match key.value {
                Value::Text { text, .. } => Some(text),
                Value::Faulty => None,
                Value::Nothing | Value::List(_) | Value::Table(_) => {
                    self.fault(at, path, "a key must be a word");
                    None
                }
            };
            let path = join(path, name.as_deref().unwrap_or("?"));
            let (event, place) = self.next()?;
            let node = self.node(event, place, &path, depth.saturating_add(1))?;
            let Some(key) = name else { continue };
            match entries.iter().find(|entry| entry.key == key).map(|first| first.at.line) {
                Some(line) => {
                    self.fault(at, &path, format!("the key is given twice; first in line {line}"));
                }
                None => entries.push(Entry { key, at, node }),
            }
        }
    }

    fn fault(&mut self, at: Position, key: &str, message: impl Into<String>) {
        self.faults.push(Fault { at, key: key.to_owned(), message: message.into() });
    }
}

/// The path of `key` in the table at `path`.
pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn position(at: Marker) -> Position {
    Position { line: at.line(), column: at.col().saturating_add(1) }
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
        fn whatever_is_written_there_is_a_tree_or_a_fault(text in "[-a:#!&*{}\\[\\]\"', \n|~ü]{0,60}") {
            let (root, faults) = parse(&text);
            proptest::prop_assert!(root.is_some() || !faults.is_empty());
        }
    }

    #[test]
    fn values_know_where_they_stand() {
        let (root, faults) = parse("a:\n  - b: 'x'\n");
        assert_eq!(faults, []);
        let Value::Table(entries) = root.unwrap().value else { panic!("a table") };
        assert_eq!((entries[0].at.line, entries[0].at.column), (1, 1));
        let Value::List(items) = &entries[0].node.value else { panic!("a list") };
        let Value::Table(inner) = &items[0].value else { panic!("a table") };
        assert_eq!((inner[0].node.at.line, inner[0].node.at.column), (2, 8));
        assert_eq!(inner[0].node.value, Value::Text { text: "x".into(), plain: false });
    }

    /// Whether another reader of YAML finds the same.
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
    fn another_reader_of_yaml_reads_the_same() {
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
    fn a_room_id_without_quotes_is_found_wherever_it_stands() {
        for text in ["rooms:\n  - !ops:example.org\n", "rooms: [!ops:example.org]\n", "room: !ops\n"] {
            let faults = faults(text);
            assert_eq!(faults.len(), 1, "{faults:?}");
            assert!(faults[0].contains("put it in quotes: \"!ops"), "{faults:?}");
        }
    }

    #[test]
    fn a_room_alias_without_quotes_is_found_wherever_it_stands() {
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
    fn what_brackets_lose_hides_nothing_else() {
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
    fn an_empty_file_is_a_tree_without_anything() {
        let (root, faults) = parse("# nothing yet\n");
        assert_eq!(faults, []);
        assert_eq!(root.unwrap().value, Value::Nothing);
    }

    #[test]
    fn what_is_not_yaml_is_told_with_its_place() {
        let faults = faults("a: 1\nb: c: d\n");
        assert!(faults[0].starts_with("2:"), "{faults:?}");
        assert!(faults[0].contains("this is not YAML"), "{faults:?}");
    }

    #[test]
    fn a_file_that_repeats_itself_without_end_is_refused() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..9 {
            let before = format!("*a{}", n - 1);
            text += &[&format!("a{n}: &a{n} ["), &*vec![before; 9].join(", "), "]\n"].concat();
        }
        assert!(faults(&text)[0].contains("too large"));
    }
}
