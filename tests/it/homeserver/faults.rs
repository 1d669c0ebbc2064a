//! Faults that a test plans.

use super::Homeserver;
use super::state::{SeenRequest, State};
use ruma::{RoomId, UserId};
use std::time::Duration;
use tokio::sync::watch;

/// The requests that the homeserver supports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Endpoint {
    Versions,
    WhoAmI,
    Ping,
    Register,
    Device,
    Profile,
    Upload,
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

/// The requests that a fault affects. A field that is not set matches everything.
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

/// A failure of a request.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// Rejected with a status and an error code, without effect.
    Status(u16, &'static str),
    /// 429, without effect.
    RateLimit {
        /// How long to wait: in the header in whole seconds, in the body in milliseconds.
        retry_after: Duration,
    },
    /// The request takes effect, then the connection is cut.
    DropReplyAfterAccepting,
    /// The connection is cut before the request takes effect.
    DropBeforeAccepting,
    /// Never answered, without effect.
    Hang,
    /// A page of events that has none, as if the homeserver did not show them yet.
    EmptyPage,
    /// A proxy answers with this status and an HTML page, without effect.
    NonJson(u16),
    /// Held until the test releases it; then it fails with this fault.
    HoldThen(Gate, Box<Fault>),
    /// Held before it takes effect, until the test releases it.
    HoldBefore(Gate),
    /// Takes effect, but is not answered until the test releases it.
    HoldAfter(Gate),
}

/// A fault, and how often it occurs.
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
    /// Waits until the test releases the request.
    pub(crate) async fn wait(&self) {
        self.reached.send_replace(true);
        let mut released = self.released.subscribe();
        if released.wait_for(|released| *released).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// A request that the homeserver holds for a test.
#[derive(Debug)]
pub(crate) struct Held(Gate);

impl Held {
    /// Waits until the request has arrived.
    pub(crate) async fn reached(&self) {
        let mut reached = self.0.reached.subscribe();
        tokio::time::timeout(Duration::from_secs(20), reached.wait_for(|reached| *reached))
            .await
            .expect("the held request never came")
            .expect("the gate is here");
    }

    /// Releases the request.
    pub(crate) fn release(&self) {
        self.0.released.send_replace(true);
    }
}

impl State {
    /// The planned fault for this request, if there is one.
    pub(super) fn fault_for(&mut self, request: &SeenRequest) -> Option<Fault> {
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

    /// Makes the next `times` matching requests fail.
    pub(crate) fn fail_times(&self, times: usize, wanted: Match, fault: Fault) {
        self.state().planned.push(Planned { wanted, fault, times_left: Some(times) });
    }

    /// Makes every matching request fail until [`Self::clear_faults`].
    pub(crate) fn fail_until_cleared(&self, wanted: Match, fault: Fault) {
        self.state().planned.push(Planned { wanted, fault, times_left: None });
    }

    /// Holds the next matching request before it takes effect.
    pub(crate) fn hold_before(&self, wanted: Match) -> Held {
        let gate = Gate { reached: watch::Sender::new(false), released: watch::Sender::new(false) };
        self.fail_next(wanted, Fault::HoldBefore(gate.clone()));
        Held(gate)
    }

    /// Holds the answer to the next matching request, after it took effect.
    pub(crate) fn hold_after(&self, wanted: Match) -> Held {
        let gate = Gate { reached: watch::Sender::new(false), released: watch::Sender::new(false) };
        self.fail_next(wanted, Fault::HoldAfter(gate.clone()));
        Held(gate)
    }

    /// Holds the next matching request before it takes effect, then lets it fail.
    pub(crate) fn hold_then(&self, wanted: Match, fault: Fault) -> Held {
        let gate = Gate { reached: watch::Sender::new(false), released: watch::Sender::new(false) };
        self.fail_next(wanted, Fault::HoldThen(gate.clone(), Box::new(fault)));
        Held(gate)
    }

    /// Removes all planned faults.
    pub(crate) fn clear_faults(&self) {
        self.state().planned.clear();
    }

    /// How many planned faults have not occurred yet: zero at the end of a story.
    pub(crate) fn faults_left(&self) -> usize {
        self.state().planned.iter().filter_map(|planned| planned.times_left).sum()
    }
}
