//! One attempt to send a claimed message. The attempt also fixes problems with the account, the membership and the size.
//!
//! Only `transmit` turns a frozen message into a request. A second transport would be added there.

use super::rendering::shrink;
use crate::domain::outgoing::Outgoing;
use crate::matrix::{Client, ClientError, Concern, Endpoint, Failure, Identity};
use crate::rooms::{RoomError, Rooms};
use crate::store::{Claimed, StoreError};
use jiff::Timestamp;
use ruma::{EventId, OwnedEventId, OwnedTransactionId, OwnedUserId, RoomId, TransactionId, UserId};
use serde_json::value::{RawValue, to_raw_value};
use std::time::Duration;

/// The result of an attempt.
#[derive(Debug)]
pub(super) enum Attempt {
    /// The message was sent as this event.
    Sent {
        /// The event. If there are several, the oldest.
        event_id: OwnedEventId,
        /// More events of the same message: the homeserver accepted it again.
        copies: Vec<OwnedEventId>,
    },
    /// An earlier attempt may have been accepted, but no event of it is in the room. The message is rendered again before it
    /// is sent again.
    NotFound,
    /// The attempt failed.
    Failed {
        /// The kind of failure, which decides whether to retry.
        failure: Failure,
        /// Whether the message may be in the room nevertheless.
        uncertain: bool,
        /// The error, for the log.
        error: String,
    },
}

impl From<ClientError> for Attempt {
    fn from(error: ClientError) -> Self {
        Self::Failed { failure: error.failure(), uncertain: error.may_have_acted(), error: error.to_string() }
    }
}

impl Attempt {
    /// A step before the request failed, so the message is not in the room.
    pub(super) fn unsent(error: &ClientError) -> Self {
        Self::Failed { failure: error.failure(), uncertain: false, error: error.to_string() }
    }
}

impl From<StoreError> for Attempt {
    fn from(error: StoreError) -> Self {
        Self::Failed { failure: Failure::Temporary, uncertain: false, error: error.to_string() }
    }
}

impl From<RoomError> for Attempt {
    fn from(error: RoomError) -> Self {
        match error {
            RoomError::Homeserver(error) => Self::unsent(&error),
            RoomError::Store(error) => error.into(),
        }
    }
}

/// The fields that `existing_reaction` reads of an event that relates to a page.
#[derive(serde::Deserialize)]
struct Related {
    event_id: OwnedEventId,
    sender: OwnedUserId,
    #[serde(rename = "type")]
    event_type: String,
}

/// The content of a frozen redaction.
#[derive(serde::Deserialize)]
struct Removal {
    redacts: OwnedEventId,
}

/// A frozen message that is ready to be sent.
struct Request<'a> {
    room: &'a RoomId,
    event_type: &'a str,
    txn_id: &'a TransactionId,
    content: Box<RawValue>,
}

/// The fixes that an attempt has already tried. It tries each only once.
#[derive(Debug, Default)]
struct Retried {
    registered: bool,
    joined: bool,
    shrunk: bool,
}

/// Sends claimed messages.
#[derive(Debug)]
pub(super) struct Sender {
    rooms: Rooms,
    /// The timeout of an attempt.
    limit: Duration,
}

impl Sender {
    pub(super) fn new(rooms: Rooms, limit: Duration) -> Self {
        Self { rooms, limit }
    }

    /// Sends a claimed message once. If the homeserver rejects it, joins the room, registers the user or cuts the message,
    /// and retries. If an earlier attempt may have been accepted, only looks for its event at first.
    pub(super) async fn send(&self, claimed: &Claimed, now: Timestamp) -> Attempt {
        let sending = async {
            match self.try_send(claimed, now).await {
                Ok(sent) => sent,
                Err(Attempt::Failed { failure, uncertain, error }) if failure.concerns() == Concern::Room => {
                    self.judge(claimed, failure, uncertain, error).await
                }
                Err(failed) => failed,
            }
        };
        tokio::time::timeout(self.limit, sending).await.unwrap_or_else(|_elapsed| Attempt::Failed {
            failure: Failure::Temporary,
            uncertain: true,
            error: format!("not finished within {} s", self.limit.as_secs()),
        })
    }

    async fn try_send(&self, claimed: &Claimed, now: Timestamp) -> Result<Attempt, Attempt> {
        let head = &claimed.head;
        let user_id = UserId::parse(&head.user_id).map_err(|error| unsendable(&error))?;
        let room = <&RoomId>::try_from(head.room.as_str()).map_err(|error| unsendable(&error))?;
        let txn_id = OwnedTransactionId::from(head.id.to_string());
        let mut request = Request {
            room,
            event_type: &claimed.event_type,
            txn_id: &txn_id,
            content: to_raw_value(&claimed.content).map_err(|error| unsendable(&error))?,
        };
        if !head.joined {
            self.rooms.ensure_joined(&user_id, room.as_str(), now).await?;
        }
        let mut retried = Retried::default();
        let mut look = head.uncertain && !claimed.searched;
        loop {
            let identity = self.rooms.users().identity(&user_id).await?;
            let error = match self.find_or_transmit(claimed, &identity, &request, look).await {
                Ok(Some(sent)) => return Ok(sent),
                Ok(None) => return Err(Attempt::NotFound),
                Err(error) => error,
            };
            match error.failure() {
                Failure::UserNotRegistered | Failure::UnknownDevice if !retried.registered => {
                    retried.registered = true;
                    self.rooms.users().register(&user_id).await?;
                }
                Failure::Forbidden if !retried.joined => {
                    retried.joined = true;
                    // Outside of the room nothing was found: continuwuity answers with an empty page.
                    look = head.uncertain;
                    self.join_again(&user_id, room, now, error).await?;
                }
                Failure::TooLarge if !retried.shrunk => {
                    retried.shrunk = true;
                    request.content =
                        to_raw_value(&shrink(&claimed.content)).map_err(|error| unsendable(&error))?;
                }
                // The reaction exists: an earlier attempt was accepted.
                _ if error.errcode() == Some("M_DUPLICATE_ANNOTATION") => {
                    let event_id = self.existing_reaction(claimed, &identity, error).await?;
                    return Ok(Attempt::Sent { event_id, copies: Vec::new() });
                }
                // Nothing is sent before it is known that nothing was sent.
                Failure::NotFound | Failure::TooLarge | Failure::BadRequest
                    if error.endpoint() == Endpoint::Messages =>
                {
                    let error = error.to_string();
                    return Err(Attempt::Failed { failure: Failure::Temporary, uncertain: true, error });
                }
                _ => return Err(error.into()),
            }
        }
    }

    /// Sends the message; with `look`, only if the room has no event of an earlier attempt. `None`: it has none, and the message
    /// is to be rendered again first.
    async fn find_or_transmit(
        &self,
        claimed: &Claimed,
        identity: &Identity,
        request: &Request<'_>,
        look: bool,
    ) -> Result<Option<Attempt>, ClientError> {
        let client = self.rooms.client();
        if look {
            let since = claimed.head.first_tried.unwrap_or(claimed.head.created_at);
            let Request { room, txn_id, .. } = request;
            let mut found = client.find_all_by_transaction_id(identity, room, txn_id, since).await?;
            // What the homeserver pushed is in the room, whether the search shows it or not.
            let seen = claimed.head.seen_event.as_deref().and_then(|seen| EventId::parse(seen).ok());
            found.extend(seen.filter(|seen| !found.contains(seen)));
            if let Some(event_id) = found.pop() {
                return Ok(Some(Attempt::Sent { event_id, copies: found }));
            }
            if !claimed.searched {
                return Ok(None);
            }
        }
        let event_id = transmit(client, identity, request).await?;
        Ok(Some(Attempt::Sent { event_id, copies: Vec::new() }))
    }

    /// What a refusal that seems to concern the room is about: the virtual user itself, its power level, or the room.
    /// Homeservers use the same answer for all three.
    async fn judge(&self, claimed: &Claimed, failure: Failure, uncertain: bool, error: String) -> Attempt {
        let failed = |failure, error| Attempt::Failed { failure, uncertain, error };
        let Ok(user_id) = UserId::parse(&claimed.head.user_id) else { return failed(failure, error) };
        match self.rooms.users().check(&user_id).await {
            Err(RoomError::Homeserver(of_user))
                if matches!(of_user.failure().concerns(), Concern::User | Concern::Homeserver) =>
            {
                return failed(of_user.failure(), format!("{error}; and {of_user}"));
            }
            Err(RoomError::Store(of_user)) => return of_user.into(),
            Err(RoomError::Homeserver(_)) | Ok(()) => {}
        }
        if failure != Failure::Forbidden {
            return failed(failure, error);
        }
        match self.rooms.muted(&user_id, &claimed.head.room).await {
            Ok(Some(why)) => failed(Failure::Muted, format!("{error}; {why}")),
            Err(RoomError::Homeserver(unknown)) if unknown.failure().concerns() == Concern::Homeserver => {
                failed(unknown.failure(), format!("{error}; and {unknown}"))
            }
            Err(RoomError::Store(unknown)) => unknown.into(),
            Err(RoomError::Homeserver(_)) | Ok(None) => failed(failure, error),
        }
    }

    /// Joins the room although the database lists the user as joined. `refused`: the homeserver's error.
    async fn join_again(
        &self,
        user_id: &UserId,
        room: &RoomId,
        now: Timestamp,
        refused: ClientError,
    ) -> Result<(), Attempt> {
        match self.rooms.join(user_id, room.as_str(), now).await {
            Err(error) if error.is_refusal() => Err(Attempt::Failed {
                failure: Failure::Forbidden,
                uncertain: false,
                error: format!("{refused}; and {error}"),
            }),
            joined => Ok(joined?),
        }
    }

    /// Finds the event of a reaction that already exists according to the homeserver.
    async fn existing_reaction(
        &self,
        claimed: &Claimed,
        identity: &Identity,
        first: ClientError,
    ) -> Result<OwnedEventId, Attempt> {
        let (Ok(room), Outgoing::AckReaction { to } | Outgoing::DigestReaction { to }) =
            (<&RoomId>::try_from(claimed.head.room.as_str()), &claimed.head.payload)
        else {
            return Err(first.into());
        };
        let page = self.rooms.client().relations(identity, room, to, None).await?;
        page.events
            .iter()
            .filter_map(|event| serde_json::from_str::<Related>(event.get()).ok())
            .find(|event| event.sender == identity.user_id && event.event_type == "m.reaction")
            .map(|event| event.event_id)
            .ok_or_else(|| first.into())
    }
}

/// Sends a message without changes. A transport with another form (for example encrypted) would be chosen here, for each
/// room.
async fn transmit(
    client: &Client,
    identity: &Identity,
    request: &Request<'_>,
) -> Result<OwnedEventId, ClientError> {
    let Request { room, event_type, txn_id, content } = request;
    // Synapse accepts the redaction of an event that it does not have any more.
    if *event_type == "m.room.redaction"
        && let Ok(Removal { redacts }) = serde_json::from_str(content.get())
    {
        return client.redact(identity, room, &redacts, txn_id, None).await;
    }
    client.send_event(identity, room, event_type, txn_id, content).await
}

/// The result for a stored message that no retry can send.
fn unsendable(error: &dyn std::fmt::Display) -> Attempt {
    Attempt::Failed { failure: Failure::BadRequest, uncertain: false, error: error.to_string() }
}
