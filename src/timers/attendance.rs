//! Makes every virtual user be what and where its room list needs it: registered, named, in each room. At start, after
//! a change of the configuration, and again and again while a room cannot be reached.

use crate::domain::lists::ListSettings;
use crate::engine::Engine;
use crate::health::Health;
use crate::ids;
use crate::rooms::{UserError, VirtualUsers};
use crate::store::enqueue::{self, Draft};
use crate::store::{Payload, StoreError, Tx, commit, room_trouble};
use crate::worker::{Progress, Worker};
use ruma::RoomAliasId;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How often while every room can be reached: somebody may have removed us without our hearing of it.
const EVERY: Duration = Duration::from_mins(5);
/// How often while one cannot.
const ANXIOUS: Duration = Duration::from_secs(20);

/// The worker of attendance.
#[derive(Debug)]
pub struct Attendance {
    engine: Engine,
    users: VirtualUsers,
    health: Health,
    /// What could not be reached the last time, and why: a change is logged.
    unreachable: Mutex<BTreeMap<String, String>>,
}

impl Attendance {
    /// A worker that tells `health` which rooms cannot be reached.
    pub fn new(engine: Engine, users: VirtualUsers, health: Health) -> Self {
        Self { engine, users, health, unreachable: Mutex::default() }
    }

    /// Attends to one list. Returns which of its rooms cannot be reached, and why.
    async fn attend(&self, list: &ListSettings) -> Result<BTreeMap<String, String>, StoreError> {
        let mut unreachable = BTreeMap::new();
        let now = self.engine.clock().now();
        // First: it is noticed here that the account is gone, and with it what it was called and where it was.
        if let Err(error) = self.users.review_rooms(&list.user_id, now).await {
            unreachable.insert(list.user_id.to_string(), no_store(error)?);
        }
        if let Err(error) = self.users.dress(&list.user_id, &list.display_name, list.avatar.as_deref()).await
        {
            unreachable.insert(list.user_id.to_string(), no_store(error)?);
        }
        let mut troubled = self.engine.store().troubled_rooms(&list.name).await?;
        for reference in list.references() {
            let was_troubled = troubled.contains(&reference);
            troubled.retain(|room| *room != reference);
            match self.enter(list, &reference).await {
                Ok((room, joined)) => {
                    if was_troubled {
                        self.tell_reachable(list, &reference).await?;
                    }
                    if was_troubled || joined {
                        self.revive(list, &reference, &room).await?;
                    }
                }
                Err(error) => {
                    let lasts =
                        matches!(&error, UserError::Homeserver(error) if !error.failure().is_temporary());
                    let why = no_store(error)?;
                    if lasts && !was_troubled {
                        self.tell_unreachable(list, &reference, &why).await?;
                    }
                    unreachable.insert(reference, why);
                }
            }
        }
        // Of what is no room of the list any more nothing is told.
        for reference in troubled {
            let mut tx = self.engine.store().begin().await?;
            room_trouble::ends(&mut tx, &list.name, &reference).await?;
            commit(tx).await?;
        }
        self.engine.metrics().set_rooms_unreachable(&list.name, unreachable.len());
        Ok(unreachable)
    }

    fn log_changes(&self, unreachable: &BTreeMap<String, String>) {
        let mut before = self.unreachable.lock().unwrap_or_else(PoisonError::into_inner);
        for (room, why) in unreachable.iter().filter(|(room, why)| before.get(*room) != Some(*why)) {
            tracing::warn!(room, why, "{room} cannot be reached: {why}");
        }
        for room in before.keys().filter(|room| !unreachable.contains_key(*room)) {
            tracing::info!(room, "{room} can be reached again");
        }
        before.clone_from(unreachable);
    }

    async fn tell_unreachable(&self, list: &ListSettings, room: &str, why: &str) -> Result<(), StoreError> {
        let now = self.engine.clock().now();
        let mut tx = self.engine.store().begin().await?;
        if room_trouble::begins(&mut tx, &list.name, room, why, now).await? {
            let payload = Payload::RoomUnreachable { room: room.to_owned(), why: why.to_owned() };
            self.tell(&mut tx, list, room, &payload).await?;
        }
        commit(tx).await
    }

    async fn tell_reachable(&self, list: &ListSettings, room: &str) -> Result<(), StoreError> {
        let mut tx = self.engine.store().begin().await?;
        if room_trouble::ends(&mut tx, &list.name, room).await? {
            self.tell(&mut tx, list, room, &Payload::RoomReachable { room: room.to_owned() }).await?;
        }
        commit(tx).await
    }

    /// Tells the fallback rooms about a room; the first level, if there is no other fallback room.
    async fn tell(
        &self,
        tx: &mut Tx,
        list: &ListSettings,
        about: &str,
        payload: &Payload,
    ) -> Result<(), StoreError> {
        let others = |rooms: &[String]| -> Vec<String> {
            rooms.iter().filter(|room| *room != about).cloned().collect()
        };
        let mut references = others(&list.policy.fallback_rooms);
        if references.is_empty() {
            references = list.policy.levels.first().map(|level| others(&level.rooms)).unwrap_or_default();
        }
        let now = self.engine.clock().now();
        for room in enqueue::rooms_of(tx, &references).await? {
            let draft = Draft {
                id: ids::unique(),
                room_list: &list.name,
                room: &room,
                payload: payload.clone(),
                incident: None,
                rung: None,
                post: None,
                not_before: now,
            };
            enqueue::enqueue(tx, draft, now).await?;
        }
        self.engine.wakers().outbox.notify_one();
        Ok(())
    }

    /// What was given up for a room while it could not be reached comes to it after all.
    async fn revive(&self, list: &ListSettings, reference: &str, room: &str) -> Result<(), StoreError> {
        let now = self.engine.clock().now();
        let revived = self.engine.store().revive(&list.name, reference, room, now).await?;
        if revived > 0 {
            tracing::info!(
                room_list = list.name,
                room,
                revived,
                "{room} can be reached, and gets {revived} messages that were given up"
            );
            self.engine.wakers().outbox.notify_one();
        }
        Ok(())
    }

    /// Brings the list's user into a room. Returns which room that is, and whether the user was not known to be there.
    async fn enter(&self, list: &ListSettings, reference: &str) -> Result<(String, bool), UserError> {
        let now = self.engine.clock().now();
        let store = self.engine.store();
        let mut room = store.room_of(reference).await?;
        if let Ok(alias) = <&RoomAliasId>::try_from(room.as_str()) {
            let found = self.users.client().resolve_alias(alias).await?;
            store.note_alias(&room, found.room_id.as_str(), now).await?;
            self.engine.wakers().outbox.notify_one();
            room = found.room_id.to_string();
        }
        let joined = self.users.ensure_joined(&list.user_id, &room, now).await?;
        Ok((room, joined))
    }
}

impl Worker for Attendance {
    type Error = StoreError;

    fn name(&self) -> &'static str {
        "attendance"
    }

    async fn step(&self) -> Result<Progress, StoreError> {
        let mut unreachable = BTreeMap::new();
        for list in self.engine.lists().iter() {
            unreachable.extend(self.attend(list).await?);
        }
        self.log_changes(&unreachable);
        let wait = if unreachable.is_empty() { EVERY } else { ANXIOUS };
        self.health.set_rooms(unreachable);
        Ok(Progress::Idle(wait))
    }
}

fn no_store(error: UserError) -> Result<String, StoreError> {
    match error {
        UserError::Homeserver(error) => Ok(error.to_string()),
        UserError::Store(error) => Err(error),
    }
}
