//! What a room is called by its own members: foreign text, which people read beside the room's id.

/// The longest name that is shown, in characters.
const LONGEST: usize = 80;

/// What a room is called by its own members. Nobody has checked that the alias leads to the room.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoomName {
    /// Its name.
    pub name: Option<String>,
    /// The alias that it presents as its main one.
    pub alias: Option<String>,
}

impl RoomName {
    /// The name in quotation marks, or else the alias.
    pub fn text(&self) -> Option<String> {
        let name = self.name.as_ref().map(|name| format!("\"{name}\""));
        name.or_else(|| self.alias.clone())
    }
}

/// A name as it is shown: on one line, without invisible characters and quotation marks, not too long. `None`: nothing is
/// left of it.
pub fn readable(name: &str) -> Option<String> {
    let shown = name.chars().take(LONGEST.saturating_mul(2)).filter(|character| !is_hidden(*character));
    let spaced: String =
        shown.map(|character| if character.is_whitespace() { ' ' } else { character }).collect();
    let words = spaced.split_whitespace().collect::<Vec<_>>().join(" ");
    let short: String = words.chars().take(LONGEST).collect();
    (!short.is_empty()).then_some(short)
}

/// Control characters, quotation marks, and characters without width or that change the direction of text.
fn is_hidden(character: char) -> bool {
    (character.is_control() && !character.is_whitespace())
        || matches!(
            character,
            '"' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}'
        )
}

#[cfg(test)]
mod tests {
    use super::{RoomName, readable};

    #[test]
    fn a_name_is_one_short_line_of_visible_characters() {
        assert_eq!(readable(" Finance\n\tops ").as_deref(), Some("Finance ops"));
        assert_eq!(readable("a\u{202E}b\u{200B}\"c\0").as_deref(), Some("abc"));
        assert_eq!(readable(&"ä".repeat(1_000)).map(|name| name.chars().count()), Some(80));
        assert_eq!(readable("\u{200B}\n"), None);
    }

    #[test]
    fn the_name_comes_before_the_alias() {
        let alias = Some("#ops:example.org".to_owned());
        let called = RoomName { name: Some("Ops".to_owned()), alias };
        assert_eq!(called.text().as_deref(), Some("\"Ops\""));
        assert_eq!(RoomName { name: None, ..called }.text().as_deref(), Some("#ops:example.org"));
        assert_eq!(RoomName::default().text(), None);
    }
}
