//! The current configuration of the room lists: one snapshot, which a reload replaces as a whole.

use super::policy::Policy;
use super::reaction;
use ruma::OwnedUserId;
use secrecy::SecretString;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The room lists by name, and which webhooks belong to them.
#[derive(Debug, Clone, Default)]
pub struct Lists {
    lists: BTreeMap<String, Arc<ListSettings>>,
    webhooks: Webhooks,
}

/// Which room list a webhook is for.
#[derive(Debug, Clone, Default)]
pub struct Webhooks {
    /// The token of each room list; `None`: the operator configured it to accept webhooks without a token.
    pub tokens: BTreeMap<String, Option<SecretString>>,
    /// The room list of each Alertmanager receiver whose name differs from the list's.
    pub receivers: BTreeMap<String, String>,
    /// The room list of each webhook path of a predecessor.
    pub compatibility: BTreeMap<String, String>,
}

impl Webhooks {
    /// Adds a room list.
    pub fn add(&mut self, name: &str, token: Option<SecretString>, receivers: &BTreeSet<String>) {
        self.tokens.insert(name.to_owned(), token);
        self.receivers.extend(receivers.iter().map(|receiver| (receiver.clone(), name.to_owned())));
    }
}

/// The current settings of one room list.
#[derive(Debug, Clone)]
pub struct ListSettings {
    /// Its name.
    pub name: String,
    /// The virtual user that posts for it.
    pub user_id: OwnedUserId,
    /// That user's display name.
    pub display_name: String,
    /// That user's avatar.
    pub avatar: Option<ruma::OwnedMxcUri>,
    /// The row of the newest policy in `policy_version`; 0 until `Store::configure` sets it.
    pub version: i64,
    /// The newest policy, which new runs use.
    pub policy: Arc<Policy>,
    /// The reactions that acknowledge. matrixbot adds the first one to its pages.
    pub ack_reactions: Vec<String>,
    /// Whether matrixbot adds that reaction.
    pub place_reaction: bool,
    /// The operator's message templates.
    pub templates: BTreeMap<String, String>,
}

impl Lists {
    /// A snapshot of these room lists, without webhooks.
    pub fn new(lists: impl IntoIterator<Item = ListSettings>) -> Self {
        let lists = lists.into_iter().map(|list| (list.name.clone(), Arc::new(list))).collect();
        Self { lists, webhooks: Webhooks::default() }
    }

    /// The same room lists with these webhooks.
    #[must_use]
    pub fn with_webhooks(self, webhooks: Webhooks) -> Self {
        Self { webhooks, ..self }
    }

    /// Which room list a webhook is for. This is set before the room lists are in the database.
    pub fn webhooks(&self) -> &Webhooks {
        &self.webhooks
    }

    /// A room list by its name.
    pub fn get(&self, name: &str) -> Option<&Arc<ListSettings>> {
        self.lists.get(name)
    }

    /// Whether there is no room list, because they are not in the database yet.
    pub fn is_empty(&self) -> bool {
        self.lists.is_empty()
    }

    /// Every room list, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<ListSettings>> {
        self.lists.values()
    }

    /// The room list that a virtual user posts for.
    pub fn of_user(&self, user_id: &str) -> Option<&Arc<ListSettings>> {
        self.lists.values().find(|list| list.user_id == user_id)
    }

    /// The room lists whose configuration names one of these rooms, sorted by name.
    pub fn naming(&self, references: &[String]) -> Vec<Arc<ListSettings>> {
        self.lists.values().filter(|list| list.names_any(references)).cloned().collect()
    }

    /// The policy of a version, if it is the newest of a list.
    pub fn by_version(&self, version: i64) -> Option<Arc<Policy>> {
        self.lists.values().find(|list| list.version == version).map(|list| list.policy.clone())
    }
}

impl ListSettings {
    /// A list with the defaults for how messages look. Its virtual user's display name is the list's name.
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

    /// The reaction that matrixbot adds to its pages.
    pub fn ack_reaction(&self) -> &str {
        self.ack_reactions.first().map_or(reaction::default_ack(), String::as_str)
    }

    /// Whether its configuration names one of these rooms.
    pub fn names_any(&self, references: &[String]) -> bool {
        let levels = self.policy.levels.iter().flat_map(|level| &level.rooms);
        levels.chain(&self.policy.fallback_rooms).any(|named| references.contains(named))
    }

    /// Every room that its configuration names, without duplicates, in the order of the ladder.
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
