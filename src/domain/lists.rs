//! The room lists as configured now: one snapshot, which a reload replaces as a whole.

use super::policy::Policy;
use super::reaction;
use ruma::OwnedUserId;
use secrecy::SecretString;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The room lists by name, and the webhooks that lead to them.
#[derive(Debug, Clone, Default)]
pub struct Lists {
    lists: BTreeMap<String, Arc<ListSettings>>,
    webhooks: Webhooks,
}

/// How webhooks lead to room lists.
#[derive(Debug, Clone, Default)]
pub struct Webhooks {
    /// The token of each room list; `None`: it accepts webhooks without a token, as the operator configured.
    pub tokens: BTreeMap<String, Option<SecretString>>,
    /// The room list of each receiver of Alertmanager that has another name.
    pub receivers: BTreeMap<String, String>,
    /// The room list of each predecessor's path.
    pub compatibility: BTreeMap<String, String>,
}

impl Webhooks {
    /// Adds a room list.
    pub fn add(&mut self, name: &str, token: Option<SecretString>, receivers: &BTreeSet<String>) {
        self.tokens.insert(name.to_owned(), token);
        self.receivers.extend(receivers.iter().map(|receiver| (receiver.clone(), name.to_owned())));
    }
}

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
    /// The newest policy's row; 0 until `Store::configure` has set it.
    pub version: i64,
    /// The newest policy: what a new run begins with.
    pub policy: Arc<Policy>,
    /// The reactions that acknowledge; the first is the one that is placed.
    pub ack_reactions: Vec<String>,
    /// Whether it is placed.
    pub place_reaction: bool,
    /// The operator's message templates.
    pub templates: BTreeMap<String, String>,
}

impl Lists {
    /// These room lists.
    pub fn new(lists: impl IntoIterator<Item = ListSettings>) -> Self {
        let lists = lists.into_iter().map(|list| (list.name.clone(), Arc::new(list))).collect();
        Self { lists, webhooks: Webhooks::default() }
    }

    /// The same room lists with these webhooks.
    #[must_use]
    pub fn with_webhooks(self, webhooks: Webhooks) -> Self {
        Self { webhooks, ..self }
    }

    /// How webhooks lead to room lists. This is known before the room lists are in the database.
    pub fn webhooks(&self) -> &Webhooks {
        &self.webhooks
    }

    /// A room list by its name.
    pub fn get(&self, name: &str) -> Option<&Arc<ListSettings>> {
        self.lists.get(name)
    }

    /// Whether there is none: they are not written to the database yet.
    pub fn is_empty(&self) -> bool {
        self.lists.is_empty()
    }

    /// Every room list, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<ListSettings>> {
        self.lists.values()
    }

    /// The room list that a virtual user speaks for.
    pub fn of_user(&self, user_id: &str) -> Option<&Arc<ListSettings>> {
        self.lists.values().find(|list| list.user_id == user_id)
    }

    /// The room lists that name one of these references, by name.
    pub fn naming(&self, references: &[String]) -> Vec<Arc<ListSettings>> {
        self.lists.values().filter(|list| list.names_any(references)).cloned().collect()
    }

    /// The policy of a version, if it is a list's newest.
    pub fn by_version(&self, version: i64) -> Option<Arc<Policy>> {
        self.lists.values().find(|list| list.version == version).map(|list| list.policy.clone())
    }
}

impl ListSettings {
    /// A list whose virtual user is named after it, without any setting that changes only how messages look.
    pub fn new(name: String, user_id: OwnedUserId, policy: Policy) -> Self {
        Self {
            display_name: name.clone(),
            name,
            user_id,
            avatar: None,
            version: 0,
            policy: Arc::new(policy),
            ack_reactions: Vec::new(),
            place_reaction: true,
            templates: BTreeMap::new(),
        }
    }

    /// The reaction that is placed.
    pub fn ack_reaction(&self) -> &str {
        self.ack_reactions.first().map_or(reaction::default_ack(), String::as_str)
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
