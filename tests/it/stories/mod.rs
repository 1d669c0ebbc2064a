//! Stories of incidents: Alertmanager reports, people act and time passes; then the test checks the rooms, the notified
//! people, the answers and the database.
//!
//! ```text
//! ladder         nobody acknowledges            acknowledging  every way to acknowledge
//! alerts         alerts join, leave, get worse  scope          which rooms and people may act
//! resolving      resolved, and firing again     giving_back    acknowledgements are withdrawn
//! reports        reports of Alertmanager        by_hand        snooze, escalate, resolve
//! routing        which list gets a report       telling        queries, mistakes and chatter
//! deadlines      timeouts and retention         mentions       who is notified
//! sharing        several lists in one room      totals         counters over all processes
//! truth          old, wrong and missing reports  groups         alerts that come in another group
//! polling        what no webhook reports         silences       made, listed and ended from rooms
//! late_events    what people did while it was down
//! recorded       webhooks of a real Alertmanager, one after another
//! silences_elsewhere  other senders, people and processes
//! storms         many pages at once in one room   believed   what people take for commands
//! severities     how an alert of each severity pages
//! on_call        who is on call, and hand-overs  on_call_commands  who is on call is changed from rooms
//! deleted        reactions and messages that are taken away
//! ```

mod acknowledging;
mod alerts;
mod believed;
mod by_hand;
mod deadlines;
mod deleted;
mod giving_back;
mod groups;
mod ladder;
mod late_events;
mod mentions;
mod on_call;
mod on_call_commands;
mod polling;
mod recorded;
mod removed_lists;
mod reports;
mod resolving;
mod routing;
mod scope;
mod severities;
mod sharing;
mod silences;
mod silences_elsewhere;
mod storms;
mod telling;
mod totals;
mod truth;

use crate::homeserver::people::Person;
use crate::homeserver::view::{SeenEvent, SeenMessage};
use crate::world::{Rooms, Setup, World, finance_list};
use ruma::{EventId, OwnedEventId, RoomId, UserId};
use std::time::Duration;

const ALICE: &str = "@alice:example.test";
const BOB: &str = "@bob:example.test";
const CAROL: &str = "@carol:example.test";

const fn minutes(n: u64) -> Duration {
    Duration::from_mins(n)
}

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// One second less.
const fn just_before(time: Duration) -> Duration {
    time.saturating_sub(seconds(1))
}

/// The default list with mentions: alice at the first level, bob at the second, and `@room` works in the fallback room,
/// where carol is. `more` is additional YAML of the list.
async fn with_mentions(more: &str) -> (World, Rooms) {
    let setup = Setup::prepare().await;
    let rooms = setup.rooms();
    setup.homeserver.person(BOB).joins(&rooms.managers);
    setup.homeserver.person(CAROL).joins(&rooms.fallback);
    setup.homeserver.set_power(&rooms.fallback, World::virtual_user("finance").as_str(), 50);
    let list = finance_list(more)
        .replace("escalate_after: 15m", "escalate_after: 15m\n        mention: [\"@alice:example.test\"]")
        .replace("escalate_after: 30m", "escalate_after: 30m\n        mention: [\"@bob:example.test\"]");
    (setup.start(&list).await, rooms)
}

/// A person in a world. Each action settles before the next one.
struct Member<'a> {
    world: &'a World,
    person: Person,
}

fn alice(world: &World) -> Member<'_> {
    member(world, ALICE)
}

fn bob(world: &World) -> Member<'_> {
    member(world, BOB)
}

fn member<'a>(world: &'a World, user_id: &str) -> Member<'a> {
    Member { world, person: world.homeserver.person(user_id) }
}

impl Member<'_> {
    /// Writes a message. Returns the answer, empty if there is none.
    async fn says(&self, room: &RoomId, text: &str) -> String {
        self.answered(&self.person.says(room, text)).await
    }

    /// Writes a message that mentions a user.
    async fn says_to(&self, room: &RoomId, user: &UserId, text: &str) -> String {
        self.answered(&self.person.says_to(room, user, text)).await
    }

    /// Replies to a message.
    async fn replies(&self, to: &EventId, text: &str) -> String {
        self.answered(&self.person.replies(to, text)).await
    }

    /// Writes in the thread of a message.
    async fn says_in_thread(&self, root: &EventId, text: &str) -> String {
        self.answered(&self.person.says_in_thread(root, text)).await
    }

    /// Reacts to a message.
    async fn reacts(&self, to: &EventId, key: &str) -> String {
        self.answered(&self.person.reacts(to, key)).await
    }

    async fn answered(&self, event: &OwnedEventId) -> String {
        self.world.settle().await;
        answers(self.world, event).join("\n---\n")
    }
}

/// The answer to an `ack`.
fn acknowledged(number: i64, name: &str) -> String {
    format!("👀 #{number} {name}: acknowledged. Escalation stops until it is resolved or a new alert fires.")
}

/// The virtual users' answers to an event.
fn answers(world: &World, event: &EventId) -> Vec<String> {
    world.homeserver.replies_to(event).into_iter().map(|reply| reply.body).collect()
}

/// The pages and other notifying messages in a room, after edits.
fn pages(world: &World, room: &RoomId) -> Vec<SeenMessage> {
    let ours = world.homeserver.virtual_users();
    let mut messages = world.homeserver.messages(room);
    messages.retain(|message| ours.contains(&message.sender) && message.msgtype == "m.text");
    messages
}

/// The event of the first page of a room.
fn page(world: &World, room: &RoomId) -> OwnedEventId {
    pages(world, room).first().expect("the room was paged").event_id.clone()
}

/// The first line of each page of a room, after edits.
fn headlines(world: &World, room: &RoomId) -> Vec<String> {
    pages(world, room).iter().map(|page| page.body.lines().next().unwrap_or_default().to_owned()).collect()
}

/// The thread of the first page of a room.
fn thread(world: &World, room: &RoomId) -> Vec<String> {
    pages(world, room)
        .first()
        .map(|page| page.thread.iter().map(|notice| notice.body.clone()).collect())
        .unwrap_or_default()
}

/// The people that each notifying message of a room notified.
fn notified(world: &World, room: &RoomId) -> Vec<String> {
    let ours = world.homeserver.virtual_users();
    let people = |event: SeenEvent| -> Vec<String> {
        let people = event.notifies.into_iter().filter(|user| !ours.contains(user));
        people.map(|user| user.localpart().to_owned()).collect()
    };
    let ringing = world.homeserver.timeline(room).into_iter().map(people);
    ringing.filter(|people| !people.is_empty()).map(|people| people.join(", ")).collect()
}

/// The phase of an incident in the database.
async fn phase(world: &World, number: i64) -> String {
    sqlx::query_scalar("SELECT phase FROM incident WHERE id = $1")
        .bind(number)
        .fetch_one(world.database.reader())
        .await
        .unwrap()
}

/// The kinds of an incident's timeline entries.
async fn history(world: &World, number: i64) -> String {
    let kinds: Vec<String> = sqlx::query_scalar("SELECT kind FROM timeline WHERE incident = $1 ORDER BY id")
        .bind(number)
        .fetch_all(world.database.reader())
        .await
        .unwrap();
    kinds.join(" ")
}
