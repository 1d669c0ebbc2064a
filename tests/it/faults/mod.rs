//! Stories of failure: whatever fails, every page arrives once and every acknowledgement counts once.

mod accounts;
mod aliases;
mod audit;
mod clocks;
mod copies;
mod crashes;
mod database;
mod dispatch;
mod edits;
mod frozen;
mod joining;
mod left_rooms;
mod lost_events;
mod muted;
mod one_list;
mod own_heartbeat;
mod pacing;
mod probes;
mod process;
mod read_only;
mod replicas;
mod resent;
mod room_names;
mod rooms;
mod sends;
mod set_aside;
mod shared_aliases;
mod storms;
mod strange_events;
mod successors;
mod transactions;
mod uncertain;
mod unreadable;
mod users;

use crate::homeserver::faults::Held;
use crate::homeserver::view::SeenMessage;
use crate::homeserver::{Endpoint, Match, SERVER_NAME};
use crate::world::{TOKEN, World};
use ruma::{OwnedEventId, RoomId};
use std::collections::BTreeSet;
use std::time::Duration;

/// A person who is in every room.
const ALICE: &str = "@alice:example.test";

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

/// Requests that send a message (not a reaction) to a room.
fn messages_to(room: &RoomId) -> Match {
    Match::send().in_room(room).of_type("m.room.message")
}

/// A room list with levels of 15 minutes, each of these rooms (ids or aliases), and a fallback room.
fn list(name: &str, levels: &[&[&str]]) -> String {
    let levels: Vec<String> = levels
        .iter()
        .map(|rooms| format!("      - rooms: {rooms:?}\n        escalate_after: 15m\n"))
        .collect();
    format!(
        "  - name: {name}\n    webhook_token: {TOKEN}\n    levels:\n{}    fallback_rooms: [\"#fallback:{SERVER_NAME}\"]\n",
        levels.concat()
    )
}

impl World {
    /// The messages of the list `finance` in a room, outside threads.
    fn posts(&self, room: &RoomId) -> Vec<SeenMessage> {
        let mut messages = self.homeserver.messages(room);
        messages.retain(|message| message.sender == Self::virtual_user("finance"));
        messages
    }

    /// The only message of the list `finance` in a room.
    fn only_post(&self, room: &RoomId) -> SeenMessage {
        let mut posts = self.posts(room);
        assert_eq!(posts.len(), 1, "{posts:#?}");
        posts.remove(0)
    }

    /// The event of the only message in a room, which matrixbot may not know yet.
    fn first_event(&self, room: &RoomId) -> OwnedEventId {
        self.only_post(room).event_id
    }

    /// The transaction ids of the messages sent to a room, and the number of sends.
    fn attempts(&self, room: &RoomId) -> (BTreeSet<String>, usize) {
        let sent: Vec<String> = self
            .homeserver
            .requests()
            .into_iter()
            .filter(|request| {
                request.endpoint == Endpoint::Send
                    && request.room.as_deref() == Some(room.as_str())
                    && request.event_type.as_deref() == Some("m.room.message")
            })
            .filter_map(|request| request.txn_id)
            .collect();
        (sent.iter().cloned().collect(), sent.len())
    }

    /// Lets matrixbot work until the homeserver holds a request, then kills it.
    async fn dies_at(&self, held: &Held) {
        tokio::select! {
            () = held.reached() => {}
            _ = self.bot.work() => panic!("all work was done before the held request"),
        }
        self.bot.kill().await;
    }

    /// The phase of an incident.
    async fn phase(&self, number: i64) -> String {
        sqlx::query_scalar("SELECT phase FROM incident WHERE id = $1")
            .bind(number)
            .fetch_one(self.database.reader())
            .await
            .unwrap()
    }
}
