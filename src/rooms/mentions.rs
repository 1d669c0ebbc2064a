//! Looks for people whom pages mention, and who are not in the room or do not exist. The fallback rooms are notified once.

use super::{RoomError, Rooms, trouble};
use crate::domain::audience::{Members, absent, mentioned, with_everybody};
use crate::domain::lists::{ListSettings, Lists};
use crate::domain::outgoing::Outgoing;
use crate::domain::policy::RoomReference;
use crate::matrix::{Client, ClientError, Identity};
use crate::store::{StoreError, absent_mention, commit};
use jiff::Timestamp;
use ruma::{RoomId, UserId};
use std::collections::{BTreeMap, BTreeSet};

impl Rooms {
    /// Reviews the people whom pages of a list mention. `rooms`: the rooms that its user is in, by the names of the
    /// configuration. Returns whether the outbox has new messages to send.
    pub(super) async fn review_mentions(
        &self,
        (lists, list): (&Lists, &ListSettings),
        rooms: &BTreeMap<RoomReference, String>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let absent = match self.absent((lists, list), rooms).await {
            Ok(absent) => absent,
            Err(RoomError::Store(error)) => return Err(error),
            // The homeserver does not answer, so nothing is known.
            Err(RoomError::Homeserver(_)) => return Ok(false),
        };
        let mut tx = self.store.begin().await?;
        let news = absent_mention::remember(&mut tx, &list.name, &absent, now).await?;
        if !news.is_empty() {
            let people = absent.iter().filter(|(user, _)| news.contains(user));
            let people = people.map(|(user, why)| (user.clone(), why.clone())).collect();
            trouble::notify(&mut tx, list, "", &Outgoing::MentionsAbsent { people }, now).await?;
        }
        commit(tx).await?;
        for user in &news {
            let why = absent.get(user).map_or("", String::as_str);
            let room_list = &list.name;
            tracing::warn!(
                room_list,
                user,
                why,
                "pages of {room_list} mention {user} and do not reach that person: {why}"
            );
        }
        Ok(!news.is_empty())
    }

    async fn absent(
        &self,
        (lists, list): (&Lists, &ListSettings),
        rooms: &BTreeMap<RoomReference, String>,
    ) -> Result<BTreeMap<String, String>, RoomError> {
        let policy = with_everybody(&list.policy, lists.schedules());
        let wanted: BTreeSet<RoomReference> = mentioned(&policy).into_values().flatten().flatten().collect();
        if wanted.is_empty() {
            return Ok(BTreeMap::new());
        }
        let identity = self.users.identity(&list.user_id).await?;
        let mut members = Members::new();
        for (reference, room) in rooms.iter().filter(|(reference, _)| wanted.contains(*reference)) {
            if let Ok(room) = <&RoomId>::try_from(room.as_str()) {
                members.insert(reference.clone(), self.client.joined_members(&identity, room).await?);
            }
        }
        let mut reasons = BTreeMap::new();
        for (user, rooms) in absent(&policy, &members) {
            let why = why_absent(&self.client, &identity, &user, &rooms).await?;
            reasons.insert(user.to_string(), why);
        }
        Ok(reasons)
    }
}

/// Why pages do not reach a person who is in none of these rooms. `identity`: a user of the own homeserver, which knows its
/// own users.
pub async fn why_absent(
    client: &Client,
    identity: &Identity,
    user: &UserId,
    rooms: &BTreeSet<RoomReference>,
) -> Result<String, ClientError> {
    let is_ours = user.server_name() == identity.user_id.server_name();
    if is_ours && !client.may_have_account(user).await? {
        return Ok(format!("{} has no such user", user.server_name()));
    }
    let rooms: Vec<&str> = rooms.iter().map(String::as_str).collect();
    Ok(format!("not in {}", rooms.join(", ")))
}
