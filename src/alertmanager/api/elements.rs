//! Splits a JSON array into its elements while it arrives, so that a long list never lies in memory as a whole.

/// The state between two pieces of an array.
#[derive(Debug)]
pub(super) struct Elements {
    largest: usize,
    place: Place,
    /// Open brackets and braces of the element.
    depth: usize,
    in_string: bool,
    escaped: bool,
    /// What has arrived of the element.
    element: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Before,
    BetweenElements,
    InElement,
    After,
}

/// Why an array cannot be split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotSplit {
    /// It is no array of objects.
    Malformed,
    /// An element has more bytes than allowed.
    TooLarge,
}

impl Elements {
    /// Of an array whose elements have at most so many bytes.
    pub(super) fn new(largest: usize) -> Self {
        Self {
            largest,
            place: Place::Before,
            depth: 0,
            in_string: false,
            escaped: false,
            element: Vec::new(),
        }
    }

    /// Adds the next piece, and passes each element that it completes to `found`. `E`: what `found` fails with.
    pub(super) fn add<E: From<NotSplit>>(
        &mut self,
        piece: &[u8],
        mut found: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        // The start of the element within this piece.
        let mut start = 0;
        for (index, byte) in piece.iter().copied().enumerate() {
            if self.place != Place::InElement {
                start = index;
                self.outside(byte)?;
                continue;
            }
            if self.inside(byte) {
                let end = piece.get(start..=index).unwrap_or_default();
                if self.element.is_empty() {
                    found(end)?;
                } else {
                    self.append(end)?;
                    found(&self.element)?;
                    self.element.clear();
                }
                self.place = Place::BetweenElements;
            }
        }
        if self.place == Place::InElement {
            self.append(piece.get(start..).unwrap_or_default())?;
        }
        Ok(())
    }

    /// The array has to be complete.
    pub(super) fn end(&self) -> Result<(), NotSplit> {
        if self.place == Place::After { Ok(()) } else { Err(NotSplit::Malformed) }
    }

    fn append(&mut self, piece: &[u8]) -> Result<(), NotSplit> {
        if self.element.len().saturating_add(piece.len()) > self.largest {
            return Err(NotSplit::TooLarge);
        }
        self.element.extend_from_slice(piece);
        Ok(())
    }

    fn outside(&mut self, byte: u8) -> Result<(), NotSplit> {
        self.place = match (self.place, byte) {
            (place, b' ' | b'\n' | b'\r' | b'\t') => place,
            (Place::Before, b'[') | (Place::BetweenElements, b',') => Place::BetweenElements,
            (Place::BetweenElements, b'{') => {
                self.depth = 1;
                Place::InElement
            }
            (Place::BetweenElements, b']') => Place::After,
            _ => return Err(NotSplit::Malformed),
        };
        Ok(())
    }

    /// Whether this byte completes the element.
    fn inside(&mut self, byte: u8) -> bool {
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
            return false;
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth = self.depth.saturating_add(1),
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        self.depth == 0
    }
}

#[cfg(test)]
mod tests {
    use super::{Elements, NotSplit};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn split(text: &[u8], piece: usize) -> Result<Vec<Value>, NotSplit> {
        let (mut elements, mut found) = (Elements::new(1000), Vec::new());
        for piece in text.chunks(piece) {
            elements.add(piece, |element| {
                found.push(serde_json::from_slice(element).map_err(|_not_json| NotSplit::Malformed)?);
                Ok::<(), NotSplit>(())
            })?;
        }
        elements.end()?;
        Ok(found)
    }

    #[test]
    fn only_complete_arrays_of_objects_are_split() {
        assert_eq!(split(b" []\n", 1), Ok(Vec::new()));
        assert_eq!(split(br#"[{"a": "]}\"\\"}, {}]"#, 3), Ok(vec![json!({"a": "]}\"\\"}), json!({})]));
        for text in
            ["", "[", "{}", "null", "[1]", r#"[{"a": 1}"#, "[{}] {}", "<html>", r#"[{"a": "}]"#, "[[]]"]
        {
            assert_eq!(split(text.as_bytes(), 2), Err(NotSplit::Malformed), "{text}");
        }
        let large = json!([{"a": "x".repeat(1000)}]).to_string();
        assert_eq!(split(large.as_bytes(), 100), Err(NotSplit::TooLarge));
    }

    proptest! {
        #[test]
        fn the_pieces_do_not_matter(
            texts in proptest::collection::vec((".{0,20}", ".{0,20}"), 0..8),
            piece in 1_usize..40,
        ) {
            let elements: Vec<Value> =
                texts.iter().map(|(a, b)| json!({a: [{"x": b}, b], "n": {}})).collect();
            let text = serde_json::to_vec(&elements).unwrap();
            prop_assert_eq!(split(&text, piece), Ok(elements));
        }
    }
}
