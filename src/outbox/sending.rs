//! One attempt to send a claimed message, with what can be mended on the spot.

use super::dispatch::Outbox;
use super::pacing::must_look_up;
use super::rendering::shrink;
use crate::matrix::{ClientError, Failure, Identity, UserError};
use crate::store::{Claimed, StoreError};
use jiff::Timestamp;
use ruma::{EventId, OwnedEventId, OwnedTransactionId, OwnedUserId, RoomId, TransactionId, UserId};
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

impl From<StoreError> for Attempt {
    fn from(error: StoreError) -> Self {
        Self::Failed { failure: Failure::Temporary, uncertain: false, error: error.to_string() }
    }
}

impl From<UserError> for Attempt {
    fn from(error: UserError) -> Self {
        match error {
            // A lost answer to joining says nothing about the message, which was not sent.
            UserError::Homeserver(error) => {
                Self::Failed { failure: error.failure(), uncertain: false, error: error.to_string() }
            }
            UserError::Store(error) => error.into(),
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

impl Outbox {
    /// Sends a claimed message once. Joins the room, registers the user or cuts the message if that is what it takes.
    pub(super) async fn send(&self, claimed: &Claimed) -> Attempt {
        match self.try_send(claimed).await {
            Ok(event_id) => Attempt::Sent(event_id),
            Err(failed) => failed,
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
        self.users.ensure_joined(&user_id, room.as_str(), now).await?;
        let identity = self.users.identity(&user_id).await?;
        if must_look_up(head.uncertain, head.first_tried, identity.device_id.is_some(), now) {
            let since = head.first_tried.unwrap_or(head.created_at);
            if let Some(event_id) =
                self.users.client().find_by_transaction_id(&identity, room, &txn_id, since).await?
            {
                return Ok(event_id);
            }
        }
        let first = match self.post(&identity, &letter).await {
            Ok(event_id) => return Ok(event_id),
            Err(error) => error,
        };
        match first.failure() {
            Failure::UserNotRegistered | Failure::UnknownDevice => {
                let identity = self.users.register(&user_id).await?;
                Ok(self.post(&identity, &letter).await?)
            }
            Failure::Forbidden => self.join_and_send(&user_id, &letter, now, first).await,
            Failure::TooLarge => {
                letter.content = to_raw_value(&shrink(&claimed.content)).map_err(|error| never(&error))?;
                Ok(self.post(&identity, &letter).await?)
            }
            // The reaction is there already: somebody else's clock, or our own earlier attempt.
            _ if first.errcode() == Some("M_DUPLICATE_ANNOTATION") => {
                self.reaction_there(claimed, &identity, first).await
            }
            _ => Err(first.into()),
        }
    }

    async fn join_and_send(
        &self,
        user_id: &OwnedUserId,
        letter: &Letter<'_>,
        now: Timestamp,
        first: ClientError,
    ) -> Result<OwnedEventId, Attempt> {
        match self.users.join(user_id, letter.room.as_str(), now).await {
            Ok(()) => {
                let identity = self.users.identity(user_id).await?;
                Ok(self.post(&identity, letter).await?)
            }
            Err(UserError::Homeserver(error)) if !error.failure().is_temporary() => Err(Attempt::Failed {
                failure: Failure::Forbidden,
                uncertain: false,
                error: format!("{first}; and {error}"),
            }),
            Err(error) => Err(error.into()),
        }
    }

    /// The event of a reaction that the homeserver says is there.
    async fn reaction_there(
        &self,
        claimed: &Claimed,
        identity: &Identity,
        first: ClientError,
    ) -> Result<OwnedEventId, Attempt> {
        let (Ok(room), Some(root)) = (
            <&RoomId>::try_from(claimed.head.room.as_str()),
            claimed.head.root.as_deref().and_then(|root| <&EventId>::try_from(root).ok()),
        ) else {
            return Err(first.into());
        };
        let page = self.users.client().relations(identity, room, root, None).await?;
        page.events
            .iter()
            .filter_map(|event| serde_json::from_str::<Hanging>(event.get()).ok())
            .find(|event| event.sender == identity.user_id && event.event_type == "m.reaction")
            .map(|event| event.event_id)
            .ok_or_else(|| first.into())
    }

    async fn post(&self, identity: &Identity, letter: &Letter<'_>) -> Result<OwnedEventId, ClientError> {
        self.users
            .client()
            .send_event(identity, letter.room, letter.event_type, letter.txn_id, &letter.content)
            .await
    }
}

/// What our own rows cannot say: reported, and not tried again.
fn never(error: &dyn std::fmt::Display) -> Attempt {
    Attempt::Failed { failure: Failure::BadRequest, uncertain: false, error: error.to_string() }
}
