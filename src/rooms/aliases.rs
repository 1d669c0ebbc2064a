//! Aliases that move to another room. At each visit the homeserver is asked where an alias leads; the pages of its lists
//! follow as the configuration says.
//!
//! The homeserver's directory has authority over its aliases. Only its answer counts: a failed request changes nothing,
//! and neither does a deleted alias.

use super::{RoomError, Rooms, resolve_alias, trouble};
use crate::domain::lists::{FollowAliases, ListSettings, Lists};
use crate::domain::outgoing::Outgoing;
use crate::domain::time::later;
use crate::matrix::{Client, ClientError};
use crate::store::{Move, StoreError, Strayed, Tx, alias, commit, left_room, room, room_name};
use jiff::Timestamp;
use ruma::{RoomId, UserId};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long the homeserver may take to say where an alias leads.
const LOOKUP: Duration = Duration::from_secs(10);
/// How long an alias is not looked up again after a lookup failed.
const PAUSE: Duration = Duration::from_mins(2);

/// Aliases whose lookup failed, and when they are looked up again.
#[derive(Debug, Clone, Default)]
pub(super) struct Pauses(Arc<Mutex<BTreeMap<String, Timestamp>>>);

impl Pauses {
    fn is_paused(&self, alias: &str, now: Timestamp) -> bool {
        let pauses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pauses.get(alias).is_some_and(|until| now < *until)
    }

    fn note(&self, alias: &str, answered: bool, now: Timestamp) {
        let mut pauses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if answered {
            pauses.remove(alias);
        } else {
            pauses.insert(alias.to_owned(), later(now, PAUSE));
        }
    }
}

/// What the homeserver's directory says of an alias.
#[derive(Debug)]
pub(super) enum Directory {
    /// It leads to this room.
    Leads(String),
    /// Nobody has it, with the homeserver's answer.
    Missing(ClientError),
}

/// Asks the homeserver's directory for an alias. Only `M_NOT_FOUND` says that nobody has it: a proxy may answer 404, too.
pub(super) async fn directory(client: &Client, alias: &str) -> Result<Directory, ClientError> {
    match resolve_alias(client, alias).await {
        Ok(room) => Ok(Directory::Leads(room.to_string())),
        Err(error) if error.errcode() == Some("M_NOT_FOUND") => Ok(Directory::Missing(error)),
        Err(error) => Err(error),
    }
}

/// Where the pages of an alias go after a look at the directory.
#[derive(Debug, Default)]
pub(super) struct Followed {
    /// Whether the outbox has new messages to send: they go to another room from now on, or that they do not is posted.
    pub(super) has_messages: bool,
    /// What a person should look after: why they do not follow the alias although they should, or that it was deleted.
    pub(super) waits: Option<String>,
}

/// An alias of a list, and the room that its pages go to.
#[derive(Debug, Clone, Copy)]
struct Known<'a> {
    list: &'a ListSettings,
    alias: &'a str,
    room: &'a str,
}

impl Rooms {
    /// Looks where an alias of a list leads now, and lets its pages follow if they may. `known`: the room that they go to.
    pub(super) async fn follow_alias(
        &self,
        lists: &Lists,
        list: &ListSettings,
        (alias, known): (&str, &str),
        now: Timestamp,
    ) -> Result<Followed, StoreError> {
        let alias = Known { list, alias, room: known };
        let to = match self.look_in_directory(alias.alias, now).await {
            None => return self.as_recorded(alias).await,
            Some(Directory::Missing(_)) => return self.record(alias, Strayed::Missing, now).await,
            Some(Directory::Leads(to)) => to,
        };
        let room = self.store.room_of(&to).await?;
        match self.decided_by_move(known, &to, &room).await? {
            _ if room == known => return self.does_not_stray(alias).await,
            // The room's successor is reported itself.
            Some(Move::Waiting(_)) => return self.does_not_stray(alias).await,
            Some(Move::Undone) => return self.record(alias, Strayed::Kept { leads_to: room }, now).await,
            Some(Move::Followed | Move::Refused(_)) | None => {}
        }
        match list.follow_aliases {
            FollowAliases::Never => return self.record(alias, Strayed::Kept { leads_to: room }, now).await,
            FollowAliases::Always => {
                // If that fails, the room is unreachable like any other.
                if let Err(RoomError::Store(error)) = self.join_by_alias(alias, &room, now).await {
                    return Err(error);
                }
            }
            FollowAliases::WhenMember => {
                let why = match self.join_by_alias(alias, &room, now).await {
                    Ok(true) => self.muted(&list.user_id, &room).await,
                    Ok(false) => return self.as_recorded(alias).await,
                    Err(error) => Err(error),
                };
                let why = match why {
                    Ok(None) => None,
                    Ok(Some(why)) => Some(why),
                    Err(RoomError::Store(error)) => return Err(error),
                    Err(error) if error.is_refusal() => Some(error.to_string()),
                    Err(_) => return self.as_recorded(alias).await,
                };
                if let Some(why) = why {
                    return self.record(alias, Strayed::Waiting { leads_to: room, why }, now).await;
                }
            }
        }
        self.learn_name(&list.user_id, &room, now).await?;
        let moved = self.lead(lists, alias, (&to, &room), now).await?;
        Ok(Followed { has_messages: moved, waits: None })
    }

    /// Where an alias leads. `None`: the homeserver did not say, or did not a moment ago.
    async fn look_in_directory(&self, alias: &str, now: Timestamp) -> Option<Directory> {
        if self.pauses.is_paused(alias, now) {
            return None;
        }
        let answer = match tokio::time::timeout(LOOKUP, directory(&self.client, alias)).await {
            Ok(Ok(answer)) => Some(answer),
            Ok(Err(error)) => {
                tracing::debug!(alias, %error, "{alias} cannot be looked up: {error}");
                None
            }
            Err(_elapsed) => {
                tracing::debug!(alias, "{alias} was not looked up within {} s", LOOKUP.as_secs());
                None
            }
        };
        self.pauses.note(alias, answer.is_some(), now);
        answer
    }

    /// Whether one of the aliases of a list leads to a room that is not known yet, or waits to lead there. For an invitation.
    pub(super) async fn leads_now(
        &self,
        list: &ListSettings,
        room: &RoomId,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        if list.follow_aliases == FollowAliases::Never {
            return Ok(false);
        }
        let mut aliases = list.references();
        aliases.retain(|reference| reference.starts_with('#'));
        for alias in &aliases {
            let known = self.store.strayed(&list.name, alias).await?;
            if known.is_some_and(|strayed| strayed.leads_to() == Some(room.as_str())) {
                return Ok(true);
            }
        }
        let lookups = aliases.iter().map(|alias| self.look_in_directory(alias, now));
        for answer in futures_util::future::join_all(lookups).await {
            if let Some(Directory::Leads(to)) = answer
                && self.store.room_of(&to).await? == room.as_str()
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What is known about a tombstone that names the alias's new room: until that can be joined, and after an operator took
    /// the move back, the alias decides nothing.
    async fn decided_by_move(&self, known: &str, to: &str, room: &str) -> Result<Option<Move>, StoreError> {
        let moved = self.store.room_move(known).await?;
        Ok(moved.filter(|moved| moved.successor == to || moved.successor == room).map(|moved| moved.is))
    }

    /// Joins the room that an alias leads to, through the servers that the directory names. Returns whether the user is in
    /// that room; the alias may lead to yet another one by now.
    async fn join_by_alias(&self, alias: Known<'_>, room: &str, now: Timestamp) -> Result<bool, RoomError> {
        let user: &UserId = &alias.list.user_id;
        if self.store.membership(user.as_str(), room).await?.as_deref() == Some("join") {
            return Ok(true);
        }
        let request = |identity| async move { super::join(&self.client, &identity, alias.alias).await };
        let joined = self.users.as_user(user, request).await?;
        self.store.note_membership(user.as_str(), joined.as_str(), "join", now).await?;
        Ok(joined.as_str() == room)
    }

    /// What is known without an answer of the directory.
    async fn as_recorded(&self, alias: Known<'_>) -> Result<Followed, StoreError> {
        let waits = match self.store.strayed(&alias.list.name, alias.alias).await? {
            Some(Strayed::Waiting { leads_to, why }) => {
                let mut tx = self.store.begin().await?;
                Some(alias.waits(&mut tx, &leads_to, &why).await?)
            }
            Some(Strayed::Missing) => {
                let mut tx = self.store.begin().await?;
                Some(alias.is_missing(&mut tx).await?)
            }
            Some(Strayed::Kept { .. }) | None => None,
        };
        Ok(Followed { has_messages: false, waits })
    }

    async fn does_not_stray(&self, alias: Known<'_>) -> Result<Followed, StoreError> {
        let (list, Known { alias, room, .. }) = (&alias.list.name, alias);
        if self.store.strayed(list, alias).await?.is_some() {
            let mut tx = self.store.begin().await?;
            let has_strayed = alias::is_back(&mut tx, list, alias).await?;
            commit(tx).await?;
            if has_strayed {
                tracing::info!(room_list = list, alias, room, "{alias} leads to {room} again");
            }
        }
        Ok(Followed::default())
    }

    /// Records an alias whose pages stay where they are, and logs it; if they should follow, posts it. Each once.
    async fn record(&self, alias: Known<'_>, is: Strayed, now: Timestamp) -> Result<Followed, StoreError> {
        let Known { list, alias: name, room } = alias;
        let mut tx = self.store.begin().await?;
        let is_new = alias::strays(&mut tx, &list.name, name, &is, now).await?;
        let is_posted = is_new && matches!(is, Strayed::Waiting { .. });
        if is_posted && let Strayed::Waiting { leads_to, why } = &is {
            let payload = Outgoing::AliasWaits {
                alias: name.to_owned(),
                from: own_label(&mut tx, room).await?,
                to: own_label(&mut tx, leads_to).await?,
                user: list.user_id.clone(),
                why: why.clone(),
            };
            trouble::notify(&mut tx, list, name, &payload, now).await?;
            if room::is_member(&mut tx, list.user_id.as_str(), room).await? {
                trouble::post(&mut tx, list, room, payload, now).await?;
            }
        }
        let waits = match &is {
            Strayed::Waiting { leads_to, why } => Some(alias.waits(&mut tx, leads_to, why).await?),
            Strayed::Missing => Some(alias.is_missing(&mut tx).await?),
            Strayed::Kept { .. } => None,
        };
        let label = own_label(&mut tx, room).await?;
        let leads = match &is {
            Strayed::Waiting { leads_to, .. } | Strayed::Kept { leads_to } => {
                own_label(&mut tx, leads_to).await?
            }
            Strayed::Missing => String::new(),
        };
        commit(tx).await?;
        let room_list = list.name.as_str();
        match &is {
            Strayed::Waiting { leads_to, why } if is_new => {
                tracing::warn!(
                    room_list,
                    alias = name,
                    room,
                    leads_to,
                    why,
                    "{name} leads to {leads} now, where {} cannot post; pages stay in {label}: {why}",
                    list.user_id
                );
            }
            Strayed::Kept { leads_to } if is_new => {
                let why = match list.follow_aliases {
                    FollowAliases::Never => "follow_aliases is never",
                    FollowAliases::WhenMember | FollowAliases::Always => "the move there was taken back",
                };
                tracing::warn!(
                    room_list,
                    alias = name,
                    room,
                    leads_to,
                    why,
                    "{name} leads to {leads} now; pages stay in {label}, because {why}"
                );
            }
            Strayed::Missing if is_new => {
                tracing::warn!(room_list, alias = name, room, "{name} was deleted; pages stay in {label}");
            }
            Strayed::Waiting { .. } | Strayed::Kept { .. } | Strayed::Missing => {}
        }
        Ok(Followed { has_messages: is_posted, waits })
    }

    /// Lets an alias lead to another room from now on, for every list that has it. A list that has the old room by another
    /// name keeps what waits there. Returns whether this process did it.
    async fn lead(
        &self,
        lists: &Lists,
        alias: Known<'_>,
        (to, room): (&str, &str),
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let (name, from) = (alias.alias, alias.room);
        let mut tx = self.store.begin().await?;
        if !alias::lead(&mut tx, name, (from, to), now).await? {
            return Ok(false);
        }
        let label = own_label(&mut tx, room).await?;
        let lists = lists.naming(std::slice::from_ref(&name.to_owned()));
        for list in &lists {
            alias::is_back(&mut tx, &list.name, name).await?;
            if !room::rooms_of(&mut tx, &list.references()).await?.iter().any(|known| known == from) {
                left_room::leave(&mut tx, &list.name, (from, room), now).await?;
            }
            if room::is_member(&mut tx, list.user_id.as_str(), from).await? {
                let payload = Outgoing::AliasMoved { alias: name.to_owned(), to: label.clone() };
                trouble::post(&mut tx, list, from, payload, now).await?;
            }
        }
        commit(tx).await?;
        tracing::info!(
            alias = name,
            from,
            to = room,
            "{name} leads to {label} now, no longer to {from}: pages follow"
        );
        for list in &lists {
            if self.store.membership(list.user_id.as_str(), room).await?.as_deref() == Some("join") {
                self.revive(list, room, room, now).await?;
            }
        }
        Ok(true)
    }
}

impl Known<'_> {
    async fn is_missing(&self, tx: &mut Tx) -> Result<String, StoreError> {
        Ok(format!("the alias was deleted; pages stay in {}", own_label(tx, self.room).await?))
    }

    async fn waits(&self, tx: &mut Tx, leads_to: &str, why: &str) -> Result<String, StoreError> {
        let (user, leads_to, room) =
            (&self.list.user_id, own_label(tx, leads_to).await?, own_label(tx, self.room).await?);
        Ok(format!("it leads to {leads_to} now, where {user} cannot post: {why}; pages stay in {room}"))
    }
}

/// A room as its members know it, because an alias says nothing about it at the moment.
async fn own_label(tx: &mut Tx, room: &str) -> Result<String, StoreError> {
    let own = room_name::find(tx, room).await?.and_then(|known| known.text());
    Ok(own.map_or_else(|| room.to_owned(), |own| format!("{own} ({room})")))
}
