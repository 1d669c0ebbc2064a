//! A fake homeserver over HTTP, for tests: it implements the Client-Server API, pushes transactions like Synapse, and
//! fails on request.
//!
//! ```text
//! state   users, rooms, events               people  actions of people
//! rules   rejections and their errors        view    rooms as people see them
//! routes  HTTP; call, reading, server        faults  planned faults
//! push    transactions to the application service
//! ```
//!
//! A test creates a [`Homeserver`], lets a [`people::Person`] act, and reads rooms as people see them. Nothing runs in
//! the background: the homeserver pushes transactions when the test calls [`Homeserver::deliver`], unless the test has
//! called [`Homeserver::push_in_background`].

#![allow(
    dead_code,
    reason = "it implements the actions of people and homeservers; each story uses some of them"
)]

mod call;
pub(crate) mod faults;
pub(crate) mod people;
pub(crate) mod push;
mod reading;
mod routes;
pub(crate) mod rules;
mod server;
pub(crate) mod state;
pub(crate) mod view;

pub(crate) use faults::{Endpoint, Fault, Match};
pub(crate) use push::Refused;
pub(crate) use state::{Blocked, RoomKind};

use state::{Appservice, SeenRequest};
use view::{SeenEvent, SeenMessage};

use matrixbot::clock::{SharedClock, SystemClock};
use ruma::{EventId, OwnedEventId, OwnedRoomId, OwnedUserId, RoomAliasId, RoomId, UserId};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The server name of every fake homeserver.
pub(crate) const SERVER_NAME: &str = "example.test";

/// A running fake homeserver. Clones share it; it stops with the last clone.
#[derive(Clone)]
pub(crate) struct Homeserver(Arc<Inner>);

struct Inner {
    url: url::Url,
    shared: Arc<Shared>,
    server: tokio::sync::Mutex<server::Server>,
    pushing: tokio::sync::Mutex<()>,
}

/// The state that the listener's thread and the test share.
pub(crate) struct Shared {
    state: Mutex<state::State>,
    /// How many events wait to be pushed.
    unpushed: tokio::sync::watch::Sender<usize>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, state::State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notifies waiting tasks of the number of unpushed events.
    fn notify_unpushed(&self) {
        let unpushed = self.state().unpushed();
        self.unpushed.send_replace(unpushed);
    }
}

impl Homeserver {
    /// Starts a homeserver on the machine's clock.
    pub(crate) fn start() -> Self {
        Self::start_on(Arc::new(SystemClock))
    }

    /// Starts a homeserver on the test's clock.
    pub(crate) fn start_on(clock: SharedClock) -> Self {
        matrixbot::matrix::install_tls_provider();
        let shared = Arc::new(Shared {
            state: Mutex::new(state::State::new(clock)),
            unpushed: tokio::sync::watch::Sender::new(0),
        });
        let server = server::Server::start(Arc::clone(&shared));
        Self(Arc::new(Inner {
            url: server.url(),
            shared,
            server: tokio::sync::Mutex::new(server),
            pushing: tokio::sync::Mutex::new(()),
        }))
    }

    fn state(&self) -> MutexGuard<'_, state::State> {
        self.0.shared.state()
    }

    /// The avatar of a user.
    pub(crate) fn avatar(&self, user: &UserId) -> Option<String> {
        self.state().users.get(user).and_then(|user| user.avatar_url.clone())
    }

    /// Gives a user an avatar.
    pub(crate) fn set_avatar(&self, user: &UserId, avatar: &str) {
        self.state().users.entry(user.to_owned()).or_default().avatar_url = Some(avatar.to_owned());
    }

    /// Forgets an event, as Synapse does after the time that a room keeps its history.
    pub(crate) fn purges(&self, event: &EventId) {
        let mut state = self.state();
        let room = state.events.remove(event).unwrap().room;
        state.rooms.get_mut(&room).unwrap().timeline.retain(|id| id != event);
    }

    /// The URL of the Client-Server API.
    pub(crate) fn url(&self) -> &url::Url {
        &self.0.url
    }

    /// The registered application service.
    pub(crate) fn appservice(&self) -> Appservice {
        self.state().appservice.clone()
    }

    /// Sets the URL of the application service; without it nothing is pushed.
    pub(crate) fn set_appservice_url(&self, url: &str) {
        self.state().appservice.url = Some(url.trim_end_matches('/').to_owned());
        self.0.shared.notify_unpushed();
    }

    /// Rejects devices of virtual users from now on, as servers before v1.17 of the specification do.
    pub(crate) fn without_devices(&self) {
        self.state().supports_devices = false;
    }

    /// Whether it answers in the words of continuwuity.
    pub(crate) fn is_like_continuwuity(&self) -> bool {
        self.state().is_continuwuity
    }

    /// Answers in the words of continuwuity from now on, where they differ from Synapse's.
    pub(crate) fn like_continuwuity(&self) {
        self.state().is_continuwuity = true;
    }

    /// The administrator blocks an account, or lets it act again.
    pub(crate) fn blocks(&self, user: &UserId, blocked: Option<Blocked>) {
        self.state().users.get_mut(user).unwrap().blocked = blocked;
    }

    /// Forgets which transaction ids it has accepted, as continuwuity does for an event that it stores right before a
    /// crash. The events keep them.
    pub(crate) fn forgets_transactions(&self) {
        let mut state = self.state();
        state.txns_in_memory.clear();
        state.txns_stored.clear();
    }

    /// Stops listening: connections are refused. Accepted events are kept.
    pub(crate) async fn down(&self) {
        self.0.server.lock().await.stop().await;
    }

    /// Listens again, at the same address.
    pub(crate) async fn up(&self) {
        self.0.server.lock().await.listen(Arc::clone(&self.0.shared));
    }

    /// Restarts, and forgets what Synapse keeps only in memory, such as most transaction ids.
    pub(crate) async fn restart(&self) {
        self.down().await;
        self.state().forget_memory();
        self.up().await;
    }

    /// A public room with an alias, created by a person.
    pub(crate) fn public_room(&self, creator: &str, alias: &str) -> OwnedRoomId {
        self.room(creator, &RoomKind { alias: Some(alias.to_owned()), ..RoomKind::default() })
    }

    /// A room that can only be joined after an invite, created by a person.
    pub(crate) fn private_room(&self, creator: &str) -> OwnedRoomId {
        self.room(creator, &RoomKind { public: false, ..RoomKind::default() })
    }

    /// A room of any kind.
    pub(crate) fn room(&self, creator: &str, kind: &RoomKind) -> OwnedRoomId {
        let creator = self.person(creator).user_id;
        let room = self.state().create_room(&creator, kind, None);
        self.0.shared.notify_unpushed();
        room
    }

    /// Creates a public room of an earlier homeserver again, by its id. New ids are numbered far above.
    pub(crate) fn restore_room(&self, creator: &str, room: &RoomId, alias: Option<&str>) {
        let creator = self.person(creator).user_id;
        let kind = RoomKind { alias: alias.map(str::to_owned), ..RoomKind::default() };
        let mut state = self.state();
        let above = 1_000_000 + u64::try_from(state.events.len()).unwrap();
        state.number_from(above);
        state.create_room_as(room, &creator, &kind, None);
    }

    /// Restores an event of an earlier homeserver in its room; it is not pushed.
    pub(crate) fn restore_event(
        &self,
        event_id: &str,
        room: &RoomId,
        sender: &UserId,
        kind: &str,
        content: Value,
    ) {
        let mut state = self.state();
        let event = state.make(room, sender, kind, content);
        state.append(state::Event { id: EventId::parse(event_id).unwrap(), ..event });
        state.queue.clear();
    }

    /// The room behind an alias.
    pub(crate) fn room_of(&self, alias: &str) -> OwnedRoomId {
        let alias = RoomAliasId::parse(alias).unwrap();
        self.state().aliases.get(&alias).cloned().unwrap()
    }

    /// Lets an alias lead to another room; `None`: nobody has it any more. No event shows that.
    pub(crate) fn set_alias(&self, alias: &str, room: Option<&RoomId>) {
        let alias = RoomAliasId::parse(alias).unwrap();
        let mut state = self.state();
        match room {
            Some(room) => state.aliases.insert(alias, room.to_owned()),
            None => state.aliases.remove(&alias),
        };
    }

    /// Gives a user a power level in a room.
    pub(crate) fn set_power(&self, room: &RoomId, user: &str, level: i64) {
        self.change_power_levels(room, |levels| levels["users"][user] = json!(level));
    }

    /// Changes the power levels of a room, as its creator.
    pub(crate) fn change_power_levels(&self, room: &RoomId, change: impl FnOnce(&mut Value)) {
        let mut state = self.state();
        let creator = state.room(room).unwrap().creator.clone();
        let mut levels = state.state_content(room, "m.room.power_levels", "").unwrap_or_else(|| json!({}));
        change(&mut levels);
        state.set_state(room, &creator, "m.room.power_levels", "", levels);
        drop(state);
        self.0.shared.notify_unpushed();
    }

    /// Gives a room a name, as its creator.
    pub(crate) fn name_room(&self, room: &RoomId, name: &str) {
        let mut state = self.state();
        let creator = state.room(room).unwrap().creator.clone();
        state.set_state(room, &creator, "m.room.name", "", json!({ "name": name }));
        drop(state);
        self.0.shared.notify_unpushed();
    }

    /// Whether a user is in a room.
    pub(crate) fn is_joined(&self, room: &RoomId, user: &str) -> bool {
        let user = UserId::parse(user).unwrap();
        self.state().is_joined(room, &user)
    }

    /// The display name of a user, if set.
    pub(crate) fn display_name(&self, user: &str) -> Option<String> {
        self.state().users.get(&UserId::parse(user).unwrap()).and_then(|user| user.display_name.clone())
    }

    /// Forgets a user with its devices and memberships, as after the restore of an old backup.
    pub(crate) fn forgets(&self, user: &UserId) {
        let mut state = self.state();
        state.users.remove(user);
        for room in state.rooms.values_mut() {
            room.state.remove(&("m.room.member".to_owned(), user.to_string()));
        }
    }

    /// Forgets the devices of a user.
    pub(crate) fn forgets_devices(&self, user: &UserId) {
        self.state().users.get_mut(user).unwrap().devices.clear();
    }

    /// Every registered virtual user.
    pub(crate) fn virtual_users(&self) -> Vec<OwnedUserId> {
        let state = self.state();
        state.users.keys().filter(|user| state.appservice.owns(user)).cloned().collect()
    }

    /// A person of this homeserver; creates the account if needed.
    pub(crate) fn person(&self, user_id: &str) -> people::Person {
        let user_id = UserId::parse(user_id).unwrap();
        self.state().users.entry(user_id.clone()).or_default();
        people::Person { user_id, homeserver: self.clone() }
    }

    /// Every request so far, oldest first.
    pub(crate) fn requests(&self) -> Vec<SeenRequest> {
        self.state().requests.clone()
    }

    /// How many requests to an endpoint have arrived so far.
    pub(crate) fn count(&self, endpoint: Endpoint) -> usize {
        self.state().requests.iter().filter(|request| request.endpoint == endpoint).count()
    }

    /// The events of a room in order, before edits and redactions are applied.
    pub(crate) fn timeline(&self, room: &RoomId) -> Vec<SeenEvent> {
        view::timeline(&self.state(), room)
    }

    /// The messages of a room after edits and redactions, with their threads and reactions.
    pub(crate) fn messages(&self, room: &RoomId) -> Vec<SeenMessage> {
        view::messages(&self.state(), room)
    }

    /// The messages of a room as text; see [`view::rendered`].
    pub(crate) fn rendered(&self, room: &RoomId) -> String {
        view::rendered(&self.state(), room)
    }

    /// The replies to an event, inside or outside its thread.
    pub(crate) fn replies_to(&self, event: &EventId) -> Vec<SeenEvent> {
        let state = self.state();
        let room = state.events[event].room.clone();
        let mut timeline = view::timeline(&state, &room);
        timeline.retain(|reply| reply.content["m.relates_to"]["m.in_reply_to"]["event_id"] == event.as_str());
        timeline
    }

    /// The event's JSON as clients get it.
    pub(crate) fn event(&self, event_id: &OwnedEventId) -> Value {
        let state = self.state();
        state.event_json(state.events.get(event_id).unwrap(), None)
    }
}
