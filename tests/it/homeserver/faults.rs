//! What goes wrong, when a test says so.

use super::Homeserver;
use super::state::{SeenRequest, State};
use ruma::{RoomId, UserId};
use std::time::Duration;
use tokio::sync::watch;

/// The requests that the homeserver understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Endpoint {
    Versions,
    WhoAmI,
    Ping,
    Register,
    Device,
    Profile,
    CreateRoom,
    Join,
    Leave,
    Invite,
    Alias,
    JoinedRooms,
    JoinedMembers,
    State,
    Send,
    SendState,
    Redact,
    Event,
    Relations,
    Messages,
    Unknown,
}

/// Which requests a fault strikes. Everything that is not said matches.
#[derive(Debug, Clone, Default)]
pub(crate) struct Match {
    endpoint: Option<Endpoint>,
    room: Option<String>,
    user: Option<String>,
    event_type: Option<String>,
}

impl Match {
    /// Every request.
    pub(crate) fn any() -> Self {
        Self::default()
    }

    /// Requests to an endpoint.
    pub(crate) fn to(endpoint: Endpoint) -> Self {
        Self { endpoint: Some(endpoint), ..Self::default() }
    }

    /// Requests that send an event: messages, edits, reactions.
    pub(crate) fn send() -> Self {
        Self::to(Endpoint::Send)
    }

    /// Only in this room.
    pub(crate) fn in_room(self, room: &RoomId) -> Self {
        Self { room: Some(room.to_string()), ..self }
    }

    /// Only about this alias.
    pub(crate) fn about(self, alias: &str) -> Self {
        Self { room: Some(alias.to_owned()), ..self }
    }

    /// Only by this virtual user.
    pub(crate) fn by(self, user: &UserId) -> Self {
        Self { user: Some(user.to_string()), ..self }
    }

    /// Only events of this type.
    pub(crate) fn of_type(self, event_type: &str) -> Self {
        Self { event_type: Some(event_type.to_owned()), ..self }
    }

    fn matches(&self, request: &SeenRequest) -> bool {
        let same = |wanted: &Option<String>, got: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| got == Some(wanted))
        };
        self.endpoint.is_none_or(|endpoint| endpoint == request.endpoint)
            && same(&self.room, request.room.as_deref())
            && same(&self.user, request.user.as_ref().map(|user| user.as_str()))
            && same(&self.event_type, request.event_type.as_deref())
    }
}

/// What goes wrong with a request.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// Refused with a status and an error code; nothing is done.
    Status(u16, &'static str),
    /// 429; nothing is done.
    RateLimit {
        /// How long to wait: in the header in whole seconds, in the body in milliseconds.
        retry_after: Duration,
    },
    /// The request is carried out, then the connection is cut.
    DropReplyAfterAccepting,
    /// The connection is cut before anything is done.
    DropBeforeAccepting,
    /// Never answered, and nothing is done.
    Hang,
    /// A proxy on the way answers with this status and a page of HTML; nothing is done.
    NonJson(u16),
    /// Stopped until the test lets it go on; then it fails in this way.
    HoldThen(Gate, Box<Fault>),
    /// Stopped before anything is done, until the test lets it go on.
    HoldBefore(Gate),
    /// Carried out, but not answered until the test lets it go on.
    HoldAfter(Gate),
}

/// A fault, and how often it strikes.
#[derive(Debug)]
pub(crate) struct Planned {
    wanted: Match,
    fault: Fault,
    times_left: Option<usize>,
}

/// The request's end of a [`Held`].
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    reached: watch::Sender<bool>,
    released: watch::Sender<bool>,
}

impl Gate {
    /// Waits until the test lets the request go on.
    pub(crate) async fn wait(&self) {
        self.reached.send_replace(true);
        let mut released = self.released.subscribe();
        if released.wait_for(|released| *released).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// A request that a test holds at the homeserver.
#[derive(Debug)]
pub(crate) struct Held(Gate);

impl Held {
    /// Waits until the request has come.
    pub(crate) async fn reached(&self) {
        let mut reached = self.0.reached.subscribe();
        tokio::time::timeout(Duration::from_secs(20), reached.wait_for(|reached| *reached))
            .await
            .expect("the held request never came")
            .expect("the gate is here");
    }

    /// Lets the request go on.
    pub(crate) fn release(&self) {
        self.0.released.send_replace(true);
    }
}

impl State {
    /// The fault that strikes this request, if one does.
    pub(super) fn strike(&mut self, request: &SeenRequest) -> Option<Fault> {
        let place = self.planned.iter().position(|planned| planned.wanted.matches(request))?;
        let planned = &mut self.planned[place];
        let fault = planned.fault.clone();
        if let Some(left) = &mut planned.times_left {
            *left -= 1;
            if *left == 0 {
                self.planned.remove(place);
            }
        }
        Some(fault)
    }
}

impl Homeserver {
    /// Makes the next matching request fail.
    pub(crate) fn fail_next(&self, wanted: Match, fault: Fault) {
        self.fail_times(1, wanted, fault);
    }

    /// Makes the next so many matching requests fail.
    pub(crate) fn fail_times(&self, times: usize, wanted: Match, fault: Fault) {
        self.state().planned.push(Planned { wanted, fault, times_left: Some(times) });
    }

    /// Makes every matching request fail until [`Self::clear_faults`].
    pub(crate) fn fail_until_cleared(&self, wanted: Match, fault: Fault) {
        self.state().planned.push(Planned { wanted, fault, times_left: None });
    }

    /// Holds the next matching request before anything is done.
    pub(crate) fn hold_before(&self, wanted: Match) -> Held {
        let gate = Gate { reached: watch::Sender::new(false), released: watch::Sender::new(false) };
        self.fail_next(wanted, Fault::HoldBefore(gate.clone()));
        Held(gate)
    }

    /// Holds the answer to the next matching request, after it was carried out.
    pub(crate) fn hold_after(&self, wanted: Match) -> Held {
        let gate = Gate { reached: watch::Sender::new(false), released: watch::Sender::new(false) };
        self.fail_next(wanted, Fault::HoldAfter(gate.clone()));
        Held(gate)
    }

    /// Holds the next matching request before anything is done, and lets it fail then.
    pub(crate) fn hold_then(&self, wanted: Match, fault: Fault) -> Held {
        let gate = Gate { reached: watch::Sender::new(false), released: watch::Sender::new(false) };
        self.fail_next(wanted, Fault::HoldThen(gate.clone(), Box::new(fault)));
        Held(gate)
    }

    /// Nothing goes wrong any more.
    pub(crate) fn clear_faults(&self) {
        self.state().planned.clear();
    }

    /// How many planned faults have not struck as often as they should: zero at the end of a story.
    pub(crate) fn faults_left(&self) -> usize {
        self.state().planned.iter().filter_map(|planned| planned.times_left).sum()
    }
}
