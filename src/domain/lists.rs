//! The room lists as configured now.

use super::policy::Policy;
use ruma::OwnedUserId;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The room lists, by name.
#[derive(Debug, Clone, Default)]
pub struct Lists(BTreeMap<String, Arc<ListSettings>>);

/// One room list, as far as what happens now depends on it.
#[derive(Debug, Clone)]
pub struct ListSettings {
    /// Its name.
    pub name: String,
    /// The virtual user that speaks for it.
    pub user_id: OwnedUserId,
    /// What rooms see that user called.
    pub display_name: String,
    /// That user's picture.
    pub avatar: Option<ruma::OwnedMxcUri>,
    /// The newest policy's row.
    pub version: i64,
    /// The newest policy: what a new run begins with.
    pub policy: Arc<Policy>,
    /// The reactions that acknowledge; the first is the one that is placed. Never empty.
    pub ack_reactions: Vec<String>,
    /// Whether it is placed.
    pub place_reaction: bool,
    /// The operator's message templates.
    pub templates: BTreeMap<String, String>,
}

impl Lists {
    /// These room lists.
    pub fn new(lists: impl IntoIterator<Item = ListSettings>) -> Self {
        Self(lists.into_iter().map(|list| (list.name.clone(), Arc::new(list))).collect())
    }

    /// A room list by its name.
    pub fn get(&self, name: &str) -> Option<&Arc<ListSettings>> {
        self.0.get(name)
    }

    /// Whether there is none: they are not written to the database yet.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Every room list, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<ListSettings>> {
        self.0.values()
    }

    /// The room list that a virtual user speaks for.
    pub fn of_user(&self, user_id: &str) -> Option<&Arc<ListSettings>> {
        self.0.values().find(|list| list.user_id == user_id)
    }

    /// The room lists that name one of these references, by name.
    pub fn naming(&self, references: &[String]) -> Vec<Arc<ListSettings>> {
        self.0.values().filter(|list| list.names_any(references)).cloned().collect()
    }

    /// The policy of a version, if it is a list's newest.
    pub fn by_version(&self, version: i64) -> Option<Arc<Policy>> {
        self.0.values().find(|list| list.version == version).map(|list| list.policy.clone())
    }
}

impl ListSettings {
    /// The reaction that is placed.
    pub fn ack_reaction(&self) -> &str {
        self.ack_reactions.first().map_or("✅", String::as_str)
    }

    /// Whether its configuration names one of these references.
    pub fn names_any(&self, references: &[String]) -> bool {
        let levels = self.policy.levels.iter().flat_map(|level| &level.rooms);
        levels.chain(&self.policy.fallback_rooms).any(|named| references.contains(named))
    }

    /// Every room that its configuration names, each once, in the order of the ladder.
    pub fn references(&self) -> Vec<String> {
        let mut references: Vec<String> = Vec::new();
        let levels = self.policy.levels.iter().flat_map(|level| &level.rooms);
        for reference in levels.chain(&self.policy.fallback_rooms) {
            if !references.contains(reference) {
                references.push(reference.clone());
            }
        }
        references
    }
}
