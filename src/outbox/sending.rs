//! One attempt to send a claimed message, with what can be mended on the spot.

use super::dispatch::Outbox;
use super::pacing::must_look_up;
use super::rendering::shrink;
use crate::matrix::{ClientError, Failure, Identity};
use crate::rooms::RoomError;
use crate::store::{Claimed, Payload, StoreError};
use jiff::Timestamp;
use ruma::{OwnedEventId, OwnedTransactionId, OwnedUserId, RoomId, TransactionId, UserId};
use serde_json::value::{RawValue, to_raw_value};

/// What became of an attempt.
#[derive(Debug)]
pub(super) enum Attempt {
    /// The message is in the room as this event.
    Sent(OwnedEventId),
    /// It is not.
    Failed {
        /// Who acts next.
        failure: Failure,
        /// Whether it may be in the room nevertheless.
        uncertain: bool,
        /// What went wrong, fit for logs.
        error: String,
    },
}

impl From<ClientError> for Attempt {
    fn from(error: ClientError) -> Self {
        Self::Failed { failure: error.failure(), uncertain: error.may_have_acted(), error: error.to_string() }
    }
}

impl Attempt {
    /// Something failed that comes before sending: the message is not in the room.
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

/// What is looked at of the events that hang on a page.
#[derive(serde::Deserialize)]
struct Hanging {
    event_id: OwnedEventId,
    sender: OwnedUserId,
    #[serde(rename = "type")]
    event_type: String,
}

/// A message as it goes over the wire.
struct Letter<'a> {
    room: &'a RoomId,
    event_type: &'a str,
    txn_id: &'a TransactionId,
    content: Box<RawValue>,
}

/// What was mended in the course of an attempt: each thing once.
#[derive(Debug, Default)]
struct Mended {
    registered: bool,
    joined: bool,
    shrunk: bool,
}

impl Outbox {
    /// Sends a claimed message once. Joins the room, registers the user or cuts the message if that is what it takes.
    pub(super) async fn send(&self, claimed: &Claimed) -> Attempt {
        match tokio::time::timeout(self.settings.attempt, self.try_send(claimed)).await {
            Ok(Ok(event_id)) => Attempt::Sent(event_id),
            Ok(Err(failed)) => failed,
            Err(_elapsed) => Attempt::Failed {
                failure: Failure::Temporary,
                uncertain: true,
                error: format!("not done in {} s", self.settings.attempt.as_secs()),
            },
        }
    }

    async fn try_send(&self, claimed: &Claimed) -> Result<OwnedEventId, Attempt> {
        let head = &claimed.head;
        let now = self.engine.clock().now();
        let user_id = UserId::parse(&head.user_id).map_err(|error| never(&error))?;
        let room = <&RoomId>::try_from(head.room.as_str()).map_err(|error| never(&error))?;
        let txn_id = OwnedTransactionId::from(head.id.to_string());
        let mut letter = Letter {
            room,
            event_type: &claimed.event_type,
            txn_id: &txn_id,
            content: to_raw_value(&claimed.content).map_err(|error| never(&error))?,
        };
        if !head.joined {
            self.rooms.ensure_joined(&user_id, room.as_str(), now).await?;
        }
        let mut mended = Mended::default();
        loop {
            let identity = self.rooms.users().identity(&user_id).await?;
            let error = match self.find_or_post(claimed, &identity, &letter, now).await {
                Ok(event_id) => return Ok(event_id),
                Err(error) => error,
            };
            match error.failure() {
                Failure::UserNotRegistered | Failure::UnknownDevice if !mended.registered => {
                    mended.registered = true;
                    self.rooms.users().register(&user_id).await?;
                }
                Failure::Forbidden if !mended.joined => {
                    mended.joined = true;
                    self.join_again(&user_id, room, now, error).await?;
                }
                Failure::TooLarge if !mended.shrunk => {
                    mended.shrunk = true;
                    letter.content =
                        to_raw_value(&shrink(&claimed.content)).map_err(|error| never(&error))?;
                }
                // The reaction is there already: somebody else's clock, or our own earlier attempt.
                _ if error.errcode() == Some("M_DUPLICATE_ANNOTATION") => {
                    return self.reaction_there(claimed, &identity, error).await;
                }
                _ => return Err(error.into()),
            }
        }
    }

    /// Sends the letter; but where the homeserver may not remember an earlier attempt, it is looked for in the room
    /// first.
    async fn find_or_post(
        &self,
        claimed: &Claimed,
        identity: &Identity,
        letter: &Letter<'_>,
        now: Timestamp,
    ) -> Result<OwnedEventId, ClientError> {
        let client = self.rooms.client();
        let head = &claimed.head;
        if must_look_up(head.uncertain, head.first_tried, identity.device_id.is_some(), now) {
            let since = head.first_tried.unwrap_or(head.created_at);
            let found = client.find_by_transaction_id(identity, letter.room, letter.txn_id, since).await?;
            if let Some(event_id) = found {
                return Ok(event_id);
            }
        }
        client.send_event(identity, letter.room, letter.event_type, letter.txn_id, &letter.content).await
    }

    /// Joins the room although we believed to be in it. `refused`: why.
    async fn join_again(
        &self,
        user_id: &UserId,
        room: &RoomId,
        now: Timestamp,
        refused: ClientError,
    ) -> Result<(), Attempt> {
        match self.rooms.join(user_id, room.as_str(), now).await {
            Err(RoomError::Homeserver(error)) if !error.failure().is_temporary() => Err(Attempt::Failed {
                failure: Failure::Forbidden,
                uncertain: false,
                error: format!("{refused}; and {error}"),
            }),
            joined => Ok(joined?),
        }
    }

    /// The event of a reaction that the homeserver says is there.
    async fn reaction_there(
        &self,
        claimed: &Claimed,
        identity: &Identity,
        first: ClientError,
    ) -> Result<OwnedEventId, Attempt> {
        let (Ok(room), Payload::AckReaction { to }) =
            (<&RoomId>::try_from(claimed.head.room.as_str()), &claimed.head.payload)
        else {
            return Err(first.into());
        };
        let page = self.rooms.client().relations(identity, room, to, None).await?;
        page.events
            .iter()
            .filter_map(|event| serde_json::from_str::<Hanging>(event.get()).ok())
            .find(|event| event.sender == identity.user_id && event.event_type == "m.reaction")
            .map(|event| event.event_id)
            .ok_or_else(|| first.into())
    }
}

/// What our own rows cannot say: reported, and not tried again.
fn never(error: &dyn std::fmt::Display) -> Attempt {
    Attempt::Failed { failure: Failure::BadRequest, uncertain: false, error: error.to_string() }
}
