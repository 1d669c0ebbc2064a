//! Registers the virtual user of a room list, sets its profile, and joins it to each room. An unreachable room is reported
//! once in the fallback rooms, and once more when it is reachable again (`trouble`).

use super::{RoomError, Rooms, trouble};
use crate::domain::lists::{ListSettings, Lists};
use crate::domain::outgoing::Outgoing;
use crate::store::{Move, RoomMove, StoreError, commit, room_trouble, user_trouble};
use futures_util::stream::{self, StreamExt as _};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// How many rooms of a list are entered side by side.
const ROOMS_AT_ONCE: usize = 8;
/// How long entering a room may take: long enough to join a room of another server.
const ENTERING: Duration = Duration::from_secs(45);
/// How long giving a user an avatar may take. Nothing waits for it.
const PICTURE: Duration = Duration::from_secs(10);

/// The result of one visit to the rooms of a list.
#[derive(Debug, Default)]
pub struct Visit {
    /// Unreachable rooms (by reference) and virtual users without a profile (by user id), with the reason.
    pub unreachable: BTreeMap<String, String>,
    /// Rooms (by reference) that get their pages, but that a person should look after, with the reason.
    pub wanting: BTreeMap<String, String>,
    /// What people call rooms among these that the configuration names by id.
    pub labels: BTreeMap<String, String>,
    /// Why the virtual user cannot act, if it cannot. Then nothing is known of its rooms.
    pub user_trouble: Option<String>,
    /// Whether the outbox has new messages to send.
    pub can_send: bool,
    /// Whether a room of any level can be reached.
    pub can_page: bool,
    /// The rooms that the virtual user is in: ids by the names of the configuration.
    pub entered: BTreeMap<String, String>,
}

impl Rooms {
    /// Registers the virtual user of a list, sets its profile, and joins it to each of the list's rooms. `lists`: all room
    /// lists, which may share aliases with this one. `reached` is called as soon as pages can arrive in a room.
    pub async fn visit(
        &self,
        (lists, list): (&Lists, &ListSettings),
        reached: &(dyn Fn() + Sync),
        now: Timestamp,
    ) -> Result<Visit, StoreError> {
        let mut visit = Visit::default();
        self.visit_all((lists, list), reached, &mut visit, now).await?;
        if let Some(why) = &visit.user_trouble {
            let mut tx = self.store.begin().await?;
            let is_new = user_trouble::begins(&mut tx, &list.name, why, now, now).await?;
            commit(tx).await?;
            if is_new {
                trouble::log_user_trouble(&list.name, list.user_id.as_str(), why);
            }
        } else if self.store.user_trouble_ends_unless_used(&list.name).await? {
            trouble::log_user_is_back(&list.name, list.user_id.as_str());
        }
        Ok(visit)
    }

    async fn visit_all(
        &self,
        (lists, list): (&Lists, &ListSettings),
        reached: &(dyn Fn() + Sync),
        visit: &mut Visit,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.review_user(list, visit, now).await?;
        if visit.user_trouble.is_some() {
            return Ok(());
        }
        let mut troubled = self.store.troubled_rooms(&list.name).await?;
        let reach = |visit: &mut Visit, reference: &String| {
            if list.policy.levels.iter().any(|level| level.rooms.contains(reference)) {
                visit.can_page = true;
                reached();
            }
        };
        // Side by side, because a slow room must not delay the others.
        let references = list.references().into_iter().map(|reference| {
            let was_troubled = troubled.iter().any(|room| room.reference == reference);
            (reference, was_troubled)
        });
        let references: Vec<_> = references.collect();
        let entering = references.into_iter().map(|(reference, was_troubled)| async move {
            let entered =
                tokio::time::timeout(ENTERING, self.enter((lists, list), &reference, was_troubled, now))
                    .await;
            let entered = entered.unwrap_or_else(|_elapsed| {
                let why = format!("the homeserver did not answer within {} s", ENTERING.as_secs());
                Ok(Entered::No { why, lasts: false })
            });
            (reference, was_troubled, entered)
        });
        let mut entering = stream::iter(entering).buffer_unordered(ROOMS_AT_ONCE);
        while let Some((reference, was_troubled, entered)) = entering.next().await {
            let was_muted = troubled.iter().any(|room| room.reference == reference && room.muted);
            troubled.retain(|room| room.reference != reference);
            match entered? {
                Entered::Muted { why } => {
                    visit.can_send |= self.trouble_begins(list, &reference, (true, &why), now).await?;
                    visit.unreachable.insert(reference, why);
                }
                Entered::Old { room, successor, why } => {
                    let waits =
                        self.successor_waits(list, &reference, (&room, &successor, &why), now).await?;
                    visit.can_send |= waits;
                    if was_muted {
                        visit.can_send |= self.revive(list, &reference, &room, now).await?;
                    }
                    reach(visit, &reference);
                    let successor = self.store.room_label(&successor).await?;
                    let why =
                        format!("it moved to {successor}, which cannot be joined: {why}; pages stay there");
                    visit.unreachable.insert(reference, why);
                }
                Entered::Yes { room, joined, is_new, left, wants } => {
                    visit.can_send |= is_new;
                    if let Some(why) = wants {
                        visit.wanting.insert(reference.clone(), why);
                    }
                    reach(visit, &reference);
                    visit.entered.insert(reference.clone(), room.clone());
                    if was_troubled {
                        visit.can_send |= self.trouble_ends(list, &reference, now).await?;
                    }
                    if was_troubled || joined {
                        visit.can_send |= self.revive(list, &reference, &room, now).await?;
                    }
                    if let Some(left) = left {
                        visit.can_send |= self.revive(list, &left, &room, now).await?;
                    }
                }
                Entered::UserCannotAct { why } => {
                    visit.user_trouble = Some(why);
                    return Ok(());
                }
                Entered::No { why, lasts } => {
                    if lasts && !was_troubled {
                        visit.can_send |= self.trouble_begins(list, &reference, (false, &why), now).await?;
                    }
                    visit.unreachable.insert(reference, why);
                }
            }
        }
        drop(entering);
        for reference in visit.unreachable.keys().chain(visit.wanting.keys()) {
            if reference.starts_with('!') {
                visit.labels.insert(reference.clone(), self.store.room_label(reference).await?);
            }
        }
        visit.can_send |= self.review_mentions((lists, list), &visit.entered, now).await?;
        let aliases: Vec<String> =
            list.references().into_iter().filter(|reference| reference.starts_with('#')).collect();
        self.store.forget_other_aliases(&list.name, &aliases).await?;
        // A room that is no longer in the list is not reported as reachable.
        for room in troubled {
            let mut tx = self.store.begin().await?;
            room_trouble::ends(&mut tx, &list.name, &room.reference).await?;
            commit(tx).await?;
        }
        Ok(())
    }

    /// Corrects what is known about the list's user, and sets its profile.
    async fn review_user(
        &self,
        list: &ListSettings,
        visit: &mut Visit,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        // This comes first: it detects that the homeserver lost the account, with its profile and its rooms; and that the
        // account may not act, which says nothing about its rooms.
        let reviewed = self.review_memberships(&list.user_id, now).await;
        let avatar = list.avatar.as_deref();
        let profile = self.users.set_profile(&list.user_id, &list.display_name, avatar);
        let known = match reviewed {
            Ok(()) => profile.await,
            failed => failed,
        };
        if let Err(error) = known {
            if error.is_about_the_user() {
                visit.user_trouble = Some(reason(error)?);
                return Ok(());
            }
            visit.unreachable.insert(list.user_id.to_string(), reason(error)?);
            return Ok(());
        }
        if list.avatar.is_none() {
            let given = tokio::time::timeout(PICTURE, self.users.set_default_avatar(&list.user_id));
            return given.await.unwrap_or(Ok(()));
        }
        Ok(())
    }

    /// Joins the list's user to a room, or to the successor of the room if that could not be joined before. In a room that is
    /// new or was in trouble, also checks whether it may send messages.
    async fn enter(
        &self,
        (lists, list): (&Lists, &ListSettings),
        reference: &str,
        was_troubled: bool,
        now: Timestamp,
    ) -> Result<Entered, StoreError> {
        let resolved = match self.resolve(reference, now).await {
            Ok(resolved) => resolved,
            Err(error) => return Entered::not(error),
        };
        let (mut room, mut is_new, mut left, mut wants) = (resolved.room, resolved.is_new, None, None);
        if reference.starts_with('#') && !is_new {
            let followed = self.follow_alias(lists, list, (reference, &room), now).await?;
            (is_new, wants) = (followed.has_messages, followed.waits);
            // Another list may have made it move.
            room = self.store.room_of(reference).await?;
        }
        if let Some(moved) = self.store.room_move(&room).await?
            && let RoomMove { room: from, successor, is: known, .. } = moved
            && matches!(known, Move::Waiting(_) | Move::Refused(_))
        {
            let is = match known {
                Move::Waiting(_) => self.follow(lists, list, (&from, &successor), now).await?,
                other => other,
            };
            match is {
                Move::Followed => {
                    (room, is_new, left) = (successor, true, Some(from));
                }
                Move::Refused(why) => {
                    let successor = self.store.room_label(&successor).await?;
                    wants =
                        Some(format!("it names {successor} as its successor, but {why}; pages stay there"));
                }
                Move::Waiting(why) => {
                    return self.stay(list, (room, successor), why, now).await;
                }
                Move::Undone => {}
            }
        }
        let joined = match self.ensure_joined(&list.user_id, &room, now).await {
            Ok(joined) => joined,
            Err(error) => return Entered::not(error),
        };
        if was_troubled || joined || wants.is_some() {
            match self.muted(&list.user_id, &room).await {
                Ok(None) => {}
                Ok(Some(why)) => return Ok(Entered::Muted { why }),
                Err(error) => return Entered::not(error),
            }
        }
        Ok(Entered::Yes { room, joined, is_new, left, wants })
    }

    /// Pages stay in a room whose successor cannot be joined, unless nothing can be sent there either.
    async fn stay(
        &self,
        list: &ListSettings,
        (room, successor): (String, String),
        why: String,
        now: Timestamp,
    ) -> Result<Entered, StoreError> {
        let may_send = match self.ensure_joined(&list.user_id, &room, now).await {
            Ok(_) => self.muted(&list.user_id, &room).await,
            Err(error) => Err(error),
        };
        let label = self.store.room_label(&successor).await?;
        let moved = format!("it moved to {label}, which cannot be joined: {}", why.trim_end_matches('.'));
        Ok(match may_send {
            Ok(None) => Entered::Old { room, successor, why },
            Ok(Some(muted)) => Entered::Muted { why: format!("{moved}; and in the old room {muted}") },
            Err(error) if error.is_about_the_user() => Entered::UserCannotAct { why: reason(error)? },
            Err(error) => {
                let lasts = error.is_refusal();
                Entered::No { why: format!("{moved}; and the old room: {}", reason(error)?), lasts }
            }
        })
    }

    async fn successor_waits(
        &self,
        list: &ListSettings,
        reference: &str,
        (room, successor, why): (&str, &str, &str),
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let payload = Outgoing::SuccessorWaits {
            room: self.store.room_label(room).await?,
            successor: self.store.room_label(successor).await?,
            user: list.user_id.clone(),
            why: why.to_owned(),
        };
        let mut tx = self.store.begin().await?;
        let is_new = trouble::successor_waits(&mut tx, list, reference, (&payload, why), now).await?;
        commit(tx).await?;
        Ok(is_new)
    }

    async fn trouble_begins(
        &self,
        list: &ListSettings,
        reference: &str,
        (muted, why): (bool, &str),
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut tx = self.store.begin().await?;
        let is_new = trouble::begins(&mut tx, list, reference, (muted, why), now).await?;
        commit(tx).await?;
        Ok(is_new)
    }

    async fn trouble_ends(
        &self,
        list: &ListSettings,
        reference: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut tx = self.store.begin().await?;
        let was_recorded = trouble::ends(&mut tx, list, reference, now).await?;
        commit(tx).await?;
        Ok(was_recorded)
    }

    /// Makes the messages pending again that were given up while the room was unreachable. Returns whether there are any.
    pub(super) async fn revive(
        &self,
        list: &ListSettings,
        reference: &str,
        room: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let revived = self.store.revive(&list.name, reference, room, now).await?;
        if revived > 0 {
            tracing::info!(
                room_list = list.name,
                room,
                revived,
                "{room} can be reached: sending {revived} messages that were given up"
            );
        }
        Ok(revived > 0)
    }
}

/// Whether a list's user is in a room.
enum Entered {
    Yes {
        /// The room's id.
        room: String,
        /// Whether the user was not recorded as joined before.
        joined: bool,
        /// Whether the outbox did not know before where the reference leads.
        is_new: bool,
        /// The room that was left behind just now, because it moved.
        left: Option<String>,
        /// Why a person should look after it.
        wants: Option<String>,
    },
    /// It is in a room whose successor it cannot join.
    Old {
        /// The old room.
        room: String,
        successor: String,
        /// Why the successor cannot be joined.
        why: String,
    },
    /// It is in the room, but may not send messages.
    Muted { why: String },
    /// The homeserver does not let the user act anywhere.
    UserCannotAct { why: String },
    No {
        why: String,
        /// Whether that lasts until a person acts.
        lasts: bool,
    },
}

impl Entered {
    /// A database error is returned as an error: it is not the room's fault.
    fn not(error: RoomError) -> Result<Self, StoreError> {
        let (lasts, of_user) = (error.is_refusal(), error.is_about_the_user());
        let why = reason(error)?;
        Ok(if of_user { Self::UserCannotAct { why } } else { Self::No { why, lasts } })
    }
}

/// Why a room is unreachable. A database error is returned as an error: it is not the room's fault.
fn reason(error: RoomError) -> Result<String, StoreError> {
    match error {
        RoomError::Homeserver(error) => Ok(error.to_string()),
        RoomError::Store(error) => Err(error),
    }
}
