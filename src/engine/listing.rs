//! What polls of Alertmanager say about incidents, and what to do if it cannot be polled.

use super::{Engine, EngineError};
use crate::domain::incident::Incident;
use crate::domain::input::{Input, Listing, Outcome};
use crate::domain::outgoing::Outgoing;
use crate::ids;
use crate::store::enqueue::NewMessage;
use crate::store::{alertmanager, incident, room};
use jiff::Timestamp;
use std::collections::BTreeSet;

impl Engine {
    /// Applies what a poll says about an incident. `says` is given its current state, because it may have changed since the
    /// poll. Returns the outcome; `None`: there is no such incident, or it cannot be read.
    pub async fn listing(
        &self,
        number: i64,
        says: impl FnOnce(&Incident, &str) -> Listing,
    ) -> Result<Option<Outcome>, EngineError> {
        let mut change = self.begin().await?;
        let stored = match incident::lock(change.tx(), number).await {
            // Its timer reports that.
            Err(error) if error.is_data_error() => return Ok(None),
            stored => stored?,
        };
        let Some(stored) = stored else { return Ok(None) };
        let listing = says(&stored.incident, &stored.group.receiver);
        if listing == Listing::default() {
            return Ok(Some(Outcome::Nothing));
        }
        let decision = change.decide(&stored, &Input::Listing(listing), None).await?;
        change.commit().await?;
        Ok(Some(decision.outcome))
    }

    /// Notifies the fallback rooms of all room lists, each once, that an Alertmanager has not answered since `since`.
    /// Returns whether that is news.
    pub async fn report_unreachable(
        &self,
        name: &str,
        since: Timestamp,
        why: &str,
    ) -> Result<bool, EngineError> {
        let lists = self.lists.load();
        let mut change = self.begin().await?;
        let now = change.now();
        if !alertmanager::note_report(change.tx(), name, now).await? {
            return Ok(false);
        }
        let mut notified = BTreeSet::new();
        for list in lists.iter() {
            for room in room::rooms_of(change.tx(), &list.policy.fallback_rooms).await? {
                if !notified.insert(room.clone()) {
                    continue;
                }
                let message = NewMessage {
                    id: ids::unique(),
                    room_list: &list.name,
                    room: &room,
                    payload: Outgoing::AlertmanagerUnreachable {
                        name: name.to_owned(),
                        since,
                        why: why.to_owned(),
                    },
                    incident: None,
                    rung: None,
                    post: None,
                    not_before: now,
                };
                change.enqueue(message).await?;
            }
        }
        change.commit().await?;
        Ok(true)
    }
}
