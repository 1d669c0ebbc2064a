//! One attempt to send a claimed message. The attempt also fixes problems with the account, the membership and the
//! size.
//!
//! Only `transmit` turns a frozen message into a request. A second transport would be added there.

use super::pacing::must_look_up;
use super::rendering::shrink;
use crate::domain::outgoing::Outgoing;
use crate::matrix::{Client, ClientError, Failure, Identity};
use crate::rooms::{RoomError, Rooms};
use crate::store::{Claimed, StoreError};
use jiff::Timestamp;
use ruma::{OwnedEventId, OwnedTransactionId, OwnedUserId, RoomId, TransactionId, UserId};
use serde_json::value::{RawValue, to_raw_value};
use std::time::Duration;

/// The result of an attempt.
#[derive(Debug)]
pub(super) enum Attempt {
    /// The message was sent as this event.
    Sent(OwnedEventId),
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

    /// Sends a claimed message once. If the homeserver rejects it, joins the room, registers the user or cuts the
    /// message, and retries.
    pub(super) async fn send(&self, claimed: &Claimed, now: Timestamp) -> Attempt {
        match tokio::time::timeout(self.limit, self.try_send(claimed, now)).await {
            Ok(Ok(event_id)) => Attempt::Sent(event_id),
            Ok(Err(failed)) => failed,
            Err(_elapsed) => Attempt::Failed {
                failure: Failure::Temporary,
                uncertain: true,
                error: format!("not finished within {} s", self.limit.as_secs()),
            },
        }
    }

    async fn try_send(&self, claimed: &Claimed, now: Timestamp) -> Result<OwnedEventId, Attempt> {
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
        loop {
            let identity = self.rooms.users().identity(&user_id).await?;
            let error = match self.find_or_transmit(claimed, &identity, &request, now).await {
                Ok(event_id) => return Ok(event_id),
                Err(error) => error,
            };
            match error.failure() {
                Failure::UserNotRegistered | Failure::UnknownDevice if !retried.registered => {
                    retried.registered = true;
                    self.rooms.users().register(&user_id).await?;
                }
                Failure::Forbidden if !retried.joined => {
                    retried.joined = true;
                    self.join_again(&user_id, room, now, error).await?;
                }
                Failure::TooLarge if !retried.shrunk => {
                    retried.shrunk = true;
                    request.content =
                        to_raw_value(&shrink(&claimed.content)).map_err(|error| unsendable(&error))?;
                }
                // The reaction exists: an earlier attempt was accepted.
                _ if error.errcode() == Some("M_DUPLICATE_ANNOTATION") => {
                    return self.existing_reaction(claimed, &identity, error).await;
                }
                _ => return Err(error.into()),
            }
        }
    }

    /// Sends the message. If the homeserver may have forgotten an earlier attempt, looks for the message in the room
    /// first.
    async fn find_or_transmit(
        &self,
        claimed: &Claimed,
        identity: &Identity,
        request: &Request<'_>,
        now: Timestamp,
    ) -> Result<OwnedEventId, ClientError> {
        let client = self.rooms.client();
        let head = &claimed.head;
        if must_look_up(head.uncertain, head.first_tried, identity.device_id.is_some(), now) {
            let since = head.first_tried.unwrap_or(head.created_at);
            let found = client.find_by_transaction_id(identity, request.room, request.txn_id, since).await?;
            if let Some(event_id) = found {
                return Ok(event_id);
            }
        }
        transmit(client, identity, request).await
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
        let (Ok(room), Outgoing::AckReaction { to }) =
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

/// Sends a message without changes. A transport with another form (for example encrypted) would be chosen here, for
/// each room.
async fn transmit(
    client: &Client,
    identity: &Identity,
    request: &Request<'_>,
) -> Result<OwnedEventId, ClientError> {
    let Request { room, event_type, txn_id, content } = request;
    client.send_event(identity, room, event_type, txn_id, content).await
}

/// The result for a stored message that no retry can send.
fn unsendable(error: &dyn std::fmt::Display) -> Attempt {
    Attempt::Failed { failure: Failure::BadRequest, uncertain: false, error: error.to_string() }
}
