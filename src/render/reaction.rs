//! The reaction that the virtual user places on its pages, so that acknowledging is one tap.

use ruma::EventId;
use serde_json::{Value, json};

/// The content of an `m.reaction` event on `page`.
pub fn reaction(page: &EventId, key: &str) -> Value {
    json!({ "m.relates_to": { "rel_type": "m.annotation", "event_id": page, "key": key } })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ruma::event_id;
    use ruma::events::reaction::ReactionEventContent;

    #[test]
    fn ruma_reads_the_reaction() {
        let content: ReactionEventContent =
            serde_json::from_value(reaction(event_id!("$page"), "✅")).unwrap();
        assert_eq!(content.relates_to.event_id, "$page");
        assert_eq!(content.relates_to.key, "✅");
    }
}
