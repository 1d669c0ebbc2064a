//! The current configuration of the room lists: one snapshot, which a reload replaces as a whole.

use super::on_call::Schedules;
use super::policy::{DigestRule, Policy};
use super::reaction;
use super::zone::Zone;
use ruma::OwnedUserId;
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The room lists by name, and which webhooks belong to them.
#[derive(Debug, Clone, Default)]
pub struct Lists {
    configured: BTreeMap<String, Arc<ListSettings>>,
    others: BTreeMap<String, Arc<ListSettings>>,
    unknown_users: BTreeSet<String>,
    webhooks: Webhooks,
    schedules: Arc<Schedules>,
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

/// Whether the pages of a list follow an alias that moves to another room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FollowAliases {
    /// Once the virtual user can post in the new room.
    #[default]
    WhenMember,
    /// At once, whether it can post there or not.
    Always,
    /// Never: they stay in the room that the alias led to first.
    Never,
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
    /// Whether its pages follow an alias that moves to another room.
    pub follow_aliases: FollowAliases,
    /// When a room gets a digest; `None`: never.
    pub digest: Option<DigestRule>,
    /// The operator's message templates.
    pub templates: BTreeMap<String, String>,
    /// The zone of times of day in messages and commands.
    pub time_zone: Zone,
}

/// A room list that has left a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Departed {
    /// Its name.
    pub room_list: String,
    /// The room that it posts in instead, as people know it. `None`: none is known.
    pub posts_in: Option<String>,
}

impl Lists {
    /// A snapshot of these room lists, without webhooks.
    pub fn new(lists: impl IntoIterator<Item = ListSettings>) -> Self {
        let configured = lists.into_iter().map(|list| (list.name.clone(), Arc::new(list))).collect();
        Self {
            configured,
            others: BTreeMap::new(),
            unknown_users: BTreeSet::new(),
            webhooks: Webhooks::default(),
            schedules: Arc::default(),
        }
    }

    /// The same room lists with these webhooks.
    #[must_use]
    pub fn with_webhooks(self, webhooks: Webhooks) -> Self {
        Self { webhooks, ..self }
    }

    /// The same room lists with these schedules.
    #[must_use]
    pub fn with_schedules(self, schedules: Schedules) -> Self {
        Self { schedules: Arc::new(schedules), ..self }
    }

    /// The schedules, by name.
    pub fn schedules(&self) -> &Arc<Schedules> {
        &self.schedules
    }

    /// Which room list a webhook is for. This is set before the room lists are in the database.
    pub fn webhooks(&self) -> &Webhooks {
        &self.webhooks
    }

    /// The same room lists, with these beside them: lists of the database that this configuration does not have, and the
    /// virtual users of those of which this process cannot know more.
    #[must_use]
    pub fn with_others(
        self,
        others: impl IntoIterator<Item = ListSettings>,
        unknown_users: BTreeSet<String>,
    ) -> Self {
        let others = others.into_iter().filter(|list| !self.configured.contains_key(&list.name));
        let others = others.map(|list| (list.name.clone(), Arc::new(list))).collect();
        Self { others, unknown_users, ..self }
    }

    /// The virtual users of lists that only another process knows: events of their rooms wait for it.
    pub fn unknown_users(&self) -> &BTreeSet<String> {
        &self.unknown_users
    }

    /// A configured room list by its name.
    pub fn configured(&self, name: &str) -> Option<&Arc<ListSettings>> {
        self.configured.get(name)
    }

    /// A room list by its name, configured or not.
    pub fn get(&self, name: &str) -> Option<&Arc<ListSettings>> {
        self.configured.get(name).or_else(|| self.others.get(name))
    }

    /// Whether no room list is configured, because they are not in the database yet.
    pub fn is_empty(&self) -> bool {
        self.configured.is_empty()
    }

    /// Every configured room list, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<ListSettings>> {
        self.configured.values()
    }

    /// The lists of the database that this configuration does not have, but that have open incidents or that another
    /// process has configured. People's events count for them as for all others.
    pub fn others(&self) -> impl Iterator<Item = &Arc<ListSettings>> {
        self.others.values()
    }

    /// Every room list whose rooms this process listens to.
    pub fn all(&self) -> impl Iterator<Item = &Arc<ListSettings>> {
        self.configured.values().chain(self.others.values())
    }

    /// The room list that a virtual user posts for.
    pub fn of_user(&self, user_id: &str) -> Option<&Arc<ListSettings>> {
        self.all().find(|list| list.user_id == user_id)
    }

    /// The room lists whose configuration names one of these rooms: the configured ones sorted by name, then the others.
    pub fn naming(&self, references: &[String]) -> Vec<Arc<ListSettings>> {
        self.all().filter(|list| list.names_any(references)).cloned().collect()
    }

    /// The policy of a version, if it is the newest of a list.
    pub fn by_version(&self, version: i64) -> Option<Arc<Policy>> {
        self.all().find(|list| list.version == version).map(|list| list.policy.clone())
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
            follow_aliases: FollowAliases::default(),
            digest: Some(DigestRule::default()),
            templates: BTreeMap::new(),
            time_zone: Zone::UTC,
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
