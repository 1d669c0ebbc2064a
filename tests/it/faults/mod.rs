//! Stories of failure: whatever breaks, every page is in its room once, and every answer counts once.

mod accounts;
mod crashes;
mod database;
mod dispatch;
mod edits;
mod joining;
mod lost_events;
mod pacing;
mod probes;
mod process;
mod replicas;
mod rooms;
mod transactions;
mod uncertain;

use crate::homeserver::faults::Held;
use crate::homeserver::view::SeenMessage;
use crate::homeserver::{Endpoint, Match, SERVER_NAME};
use crate::world::{TOKEN, World};
use ruma::{OwnedEventId, RoomId};
use std::collections::BTreeSet;
use std::time::Duration;

/// Who is in every room.
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
    /// What the list `finance` says in a room, outside of threads.
    fn said(&self, room: &RoomId) -> Vec<SeenMessage> {
        let mut messages = self.homeserver.messages(room);
        messages.retain(|message| message.sender == Self::virtual_user("finance"));
        messages
    }

    /// The one thing that the list `finance` says in a room.
    fn only(&self, room: &RoomId) -> SeenMessage {
        let mut said = self.said(room);
        assert_eq!(said.len(), 1, "{said:#?}");
        said.remove(0)
    }

    /// The event of the first message in a room, which we may not know yet.
    fn first_event(&self, room: &RoomId) -> OwnedEventId {
        self.only(room).event_id
    }

    /// The transaction ids of the messages that were sent to a room, and how often one was sent.
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

    /// Works until a request is held at the homeserver, and is killed at that moment.
    async fn dies_at(&self, held: &Held) {
        tokio::select! {
            () = held.reached() => {}
            _ = self.bot.work() => panic!("all the work was done before the request that is held"),
        }
        self.bot.kill().await;
    }

    /// The phase of an incident.
    async fn phase(&self, number: i64) -> String {
        let mut connection = self.database.connect().await;
        sqlx::query_scalar("SELECT phase FROM incident WHERE id = $1")
            .bind(number)
            .fetch_one(&mut connection)
            .await
            .unwrap()
    }
}
