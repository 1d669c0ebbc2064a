//! Makes every virtual user be what and where its room list needs it: registered, named, in each room. At start, after
//! a change of the configuration, and again and again while a room cannot be reached.

use super::health::Health;
use crate::engine::{Engine, ListSettings};
use crate::matrix::{UserError, VirtualUsers};
use crate::store::StoreError;
use crate::worker::{Progress, Worker};
use ruma::RoomAliasId;
use std::collections::BTreeMap;
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
}

impl Attendance {
    /// A worker that tells `health` which rooms cannot be reached.
    pub fn new(engine: Engine, users: VirtualUsers, health: Health) -> Self {
        Self { engine, users, health }
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
        for reference in list.references() {
            if let Err(error) = self.enter(list, &reference).await {
                unreachable.insert(reference, no_store(error)?);
            }
        }
        Ok(unreachable)
    }

    async fn enter(&self, list: &ListSettings, reference: &str) -> Result<(), UserError> {
        let now = self.engine.clock().now();
        let store = self.engine.store();
        let mut room = store.room_of(reference).await?;
        if let Ok(alias) = <&RoomAliasId>::try_from(room.as_str()) {
            let found = self.users.client().resolve_alias(alias).await?;
            store.note_alias(&room, found.room_id.as_str(), now).await?;
            self.engine.wakers().outbox.notify_one();
            room = found.room_id.to_string();
        }
        self.users.ensure_joined(&list.user_id, &room, now).await
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
        for (room, why) in &unreachable {
            tracing::warn!(room, why, "{room} cannot be reached: {why}");
        }
        let wait = if unreachable.is_empty() { EVERY } else { ANXIOUS };
        self.health.rooms(unreachable);
        Ok(Progress::Idle(wait))
    }
}

fn no_store(error: UserError) -> Result<String, StoreError> {
    match error {
        UserError::Homeserver(error) => Ok(error.to_string()),
        UserError::Store(error) => Err(error),
    }
}
