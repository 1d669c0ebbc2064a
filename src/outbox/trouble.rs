//! Trouble of a list's virtual user, and rooms that do not let it write.

use super::dispatch::{Outbox, OutboxError};
use super::elsewhere;
use super::pacing::pause;
use super::sending::Attempt;
use crate::domain::time::later;
use crate::engine::{Change, Wake};
use crate::matrix::Concern;
use crate::rooms::trouble;
use crate::store::{Head, user_trouble};

/// The virtual user of a message cannot send: the messages of its list wait from now on. Returns whether that was unknown.
pub(super) async fn hold(change: &mut Change, head: &Head, error: &str) -> Result<bool, OutboxError> {
    let (now, list) = (change.now(), head.room_list.as_str());
    let checks = user_trouble::checks(change.tx(), list).await?;
    let next_check = later(now, pause(checks.unwrap_or(0), rand::random()));
    if checks.is_some() {
        // Messages that were on their way when the trouble began are no checks.
        if head.checks.is_some() {
            user_trouble::goes_on(change.tx(), list, error, next_check).await?;
        }
        return Ok(false);
    }
    change.wake(Wake::Attendance);
    Ok(user_trouble::begins(change.tx(), list, error, next_check, now).await?)
}

/// Ends the trouble of a list's user if an attempt to send shows that it can act again. Returns whether it did.
pub(super) async fn is_over(
    change: &mut Change,
    head: &Head,
    attempt: &Attempt,
) -> Result<bool, OutboxError> {
    let can_act = match attempt {
        Attempt::Sent { .. } => true,
        // The homeserver judged the room or the message; it would have refused the user before.
        Attempt::Failed { failure, .. } => matches!(failure.concerns(), Concern::Room | Concern::Request),
        Attempt::NotFound => false,
    };
    if !can_act {
        return Ok(false);
    }
    change.wake(Wake::Outbox);
    change.wake(Wake::Attendance);
    Ok(user_trouble::ends(change.tx(), &head.room_list).await?)
}

impl Outbox {
    /// The virtual user of a message may not send to its room: reported once like a room that it cannot join. An answer to a
    /// person is posted in another room.
    pub(super) async fn record_muted(
        &self,
        change: &mut Change,
        head: &Head,
        error: &str,
    ) -> Result<(), OutboxError> {
        let now = change.now();
        let lists = self.lists.load();
        let Some(list) = lists.get(&head.room_list) else { return Ok(()) };
        if trouble::muted(change.tx(), list, &head.room, error, now).await? {
            change.wake(Wake::Outbox);
        }
        elsewhere::show(change, head, list).await
    }
}
