//! What people live through: each test is a story of an incident, told in what Alertmanager reports, what people do and
//! how time passes, and held to what the rooms show, whose clients ring, what is answered and what the database says.
//!
//! ```text
//! ladder         nobody answers                 acknowledging  somebody takes it, in every way there is
//! alerts         alerts join, leave, get worse  scope          from which room, and by whom
//! resolving      it is over, and comes back     giving_back    it is given back
//! reports        what Alertmanager really sends by_hand        snooze, escalate, resolve
//! routing        for which list                 telling        what can be asked; what is chatter
//! deadlines      what time alone does           mentions       whose clients ring
//! sharing        several lists                  totals         what is counted, whoever counts it
//! ```

mod acknowledging;
mod alerts;
mod by_hand;
mod deadlines;
mod giving_back;
mod ladder;
mod mentions;
mod reports;
mod resolving;
mod routing;
mod scope;
mod sharing;
mod telling;
mod totals;

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

/// A second less.
const fn just_before(time: Duration) -> Duration {
    time.saturating_sub(seconds(1))
}

/// The usual list whose pages call alice at the first level and bob, who is in the managers' room, at the second; the
/// fallback room lets itself be called as a whole, with carol in it. `more` is further YAML of the list.
async fn calling(more: &str) -> (World, Rooms) {
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

/// A person, and the world that they act in: everything they do settles before anything else is done.
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
    /// Says something in a room. Returns what was answered; nothing if nothing was.
    async fn says(&self, room: &RoomId, text: &str) -> String {
        self.answered(&self.person.says(room, text)).await
    }

    /// Says something to a user.
    async fn says_to(&self, room: &RoomId, user: &UserId, text: &str) -> String {
        self.answered(&self.person.says_to(room, user, text)).await
    }

    /// Replies to a message.
    async fn replies(&self, to: &EventId, text: &str) -> String {
        self.answered(&self.person.replies(to, text)).await
    }

    /// Says something in the thread of a message.
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

/// What is answered to whoever takes an incident.
fn taken(number: i64, name: &str) -> String {
    format!("👀 #{number} {name}: acknowledged. Escalation stops until it is resolved or a new alert fires.")
}

/// What the virtual users answered to an event.
fn answers(world: &World, event: &EventId) -> Vec<String> {
    world.homeserver.replies_to(event).into_iter().map(|reply| reply.body).collect()
}

/// The messages that page a room, as they show now: the one that shows the incident, and what pages it again.
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

/// The first line of each page of a room, as it shows now.
fn headlines(world: &World, room: &RoomId) -> Vec<String> {
    pages(world, room).iter().map(|page| page.body.lines().next().unwrap_or_default().to_owned()).collect()
}

/// The thread of the first page of a room.
fn thread(world: &World, room: &RoomId) -> Vec<String> {
    pages(world, room)
        .first()
        .map(|page| page.thread.iter().map(|said| said.body.clone()).collect())
        .unwrap_or_default()
}

/// Who was rung in a room, message by message.
fn rung(world: &World, room: &RoomId) -> Vec<String> {
    let ours = world.homeserver.virtual_users();
    let people = |event: SeenEvent| -> Vec<String> {
        let people = event.notifies.into_iter().filter(|user| !ours.contains(user));
        people.map(|user| user.localpart().to_owned()).collect()
    };
    let ringing = world.homeserver.timeline(room).into_iter().map(people);
    ringing.filter(|people| !people.is_empty()).map(|people| people.join(", ")).collect()
}

/// Where an incident stands, according to the database.
async fn phase(world: &World, number: i64) -> String {
    let mut connection = world.database.connect().await;
    sqlx::query_scalar("SELECT phase FROM incident WHERE id = $1")
        .bind(number)
        .fetch_one(&mut connection)
        .await
        .unwrap()
}

/// What happened to an incident, in words of its timeline.
async fn history(world: &World, number: i64) -> String {
    let mut connection = world.database.connect().await;
    let kinds: Vec<String> = sqlx::query_scalar("SELECT kind FROM timeline WHERE incident = $1 ORDER BY id")
        .bind(number)
        .fetch_all(&mut connection)
        .await
        .unwrap();
    kinds.join(" ")
}
