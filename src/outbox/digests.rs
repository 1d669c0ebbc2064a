//! Settling a message of a digest: with it, the pages that it carries.

use super::dispatch::{Outbox, OutboxError};
use super::sending::Attempt;
use crate::domain::digest::EDIT_PAUSE;
use crate::domain::incident::Rung;
use crate::domain::outgoing::Outgoing;
use crate::domain::time::later;
use crate::domain::totals::Counted;
use crate::engine::Change;
use crate::ids;
use crate::store::digest::{self, Carried, Digest};
use crate::store::{Claimed, Head, StoredIncident, incident, settle};
use jiff::Timestamp;
use ruma::{EventId, OwnedEventId};

/// The pages that a message carries, with their incidents, which are locked.
#[derive(Debug, Default)]
pub(super) struct Carriage {
    pub(super) pages: Vec<(Carried, Option<StoredIncident>)>,
}

impl Carriage {
    /// Reads what a message carries, and locks its incidents by rising number: they come before their messages.
    pub(super) async fn lock(change: &mut Change, head: &Head) -> Result<Self, OutboxError> {
        let mut pages = Vec::new();
        if !head.payload.carries_pages() {
            return Ok(Self::default());
        }
        for page in digest::carried(change.tx(), head.id).await? {
            let stored = match incident::lock(change.tx(), page.incident).await {
                // It must not stop the others. Its own timer decides once it can be read.
                Err(error) if error.is_unreadable() => None,
                locked => locked?,
            };
            pages.push((page, stored));
        }
        Ok(Self { pages })
    }

    /// What the pages add to the totals once they are sent.
    pub(super) fn counted(&self, room_list: &str) -> Vec<Counted> {
        let paged = |rung: Rung| Counted::Paged { room_list: room_list.to_owned(), level: rung.level };
        self.pages.iter().filter(|(page, _)| page.is_page).map(|(page, _)| paged(page.rung)).collect()
    }

    /// When each of the pages was enqueued.
    pub(super) fn enqueued(&self) -> impl Iterator<Item = Timestamp> {
        self.pages.iter().filter(|(page, _)| page.is_page).map(|(page, _)| page.created_at)
    }
}

impl Outbox {
    /// A message of a digest is in its room, and so are the pages that it carries.
    pub(super) async fn digest_sent(
        &self,
        change: &mut Change,
        claimed: &Claimed,
        (event_id, copies): (&EventId, &[OwnedEventId]),
        carriage: &Carriage,
    ) -> Result<(), OutboxError> {
        let (now, head) = (change.now(), &claimed.head);
        let Some(id) = head.digest else { return Ok(()) };
        digest::sent(change.tx(), head, event_id.as_str(), claimed.version, now).await?;
        for copy in copies {
            digest::add_copy(change.tx(), head, copy.as_str(), ids::unique(), now).await?;
        }
        change.find_answers(copies.iter().map(AsRef::as_ref).chain([event_id])).await?;
        for (page, stored) in &carriage.pages {
            if let Some(stored) = stored.as_ref().filter(|_| page.is_page) {
                change.page_sent(stored, page.rung).await?;
            }
        }
        let digest = Digest { id, room_list: head.room_list.clone(), room: head.room.clone() };
        if head.payload == Outgoing::Digest {
            let wanted = self.lists.load().get(&head.room_list).is_none_or(|list| list.place_reaction);
            if wanted {
                let reaction = Outgoing::DigestReaction { to: event_id.to_owned() };
                digest::enqueue(change.tx(), &digest, ids::unique(), &reaction, now, now).await?;
            }
        }
        // What has changed since it was rendered. If nothing has, this edit is obsolete.
        let at = later(now, EDIT_PAUSE);
        Ok(digest::refresh(change.tx(), &digest, ids::unique(), at, now).await?)
    }
}

/// A message of a digest is given up: each page that it carries is tried by itself.
pub(super) async fn given_up(change: &mut Change, head: &Head) -> Result<(), OutboxError> {
    let now = change.now();
    digest::let_go(change.tx(), head, true, now).await?;
    if head.payload == Outgoing::RefreshDigest {
        settle::cancelled(change.tx(), head, now).await?;
    }
    Ok(())
}

/// An attempt failed, and the message is tried again. If it is a digest's and certainly not in its room, the pages that it
/// carries wait again: the next message may carry others as well.
pub(super) async fn failed(change: &mut Change, head: &Head, attempt: &Attempt) -> Result<(), OutboxError> {
    let is_certain = matches!(attempt, Attempt::Failed { uncertain: false, .. }) && !head.uncertain;
    if is_certain && head.payload.carries_pages() {
        let now = change.now();
        digest::let_go(change.tx(), head, false, now).await?;
    }
    Ok(())
}
