//! Requests that read rooms: state, members, events.

use super::call::Call;
use super::faults::Endpoint;
use super::routes::event_id;
use super::rules::{Refusal, refuse};
use super::state::{Event, State};
use ruma::{RoomId, UserId};
use serde_json::{Value, json};
use std::collections::BTreeMap;

impl Call {
    pub(super) fn read(
        &self,
        state: &State,
        endpoint: Endpoint,
        room: &RoomId,
        rest: &[&str],
        reader: (&UserId, Option<&str>),
    ) -> Result<Value, Refusal> {
        match (endpoint, rest) {
            (Endpoint::JoinedMembers, _) => {
                let joined: BTreeMap<_, _> = state
                    .joined(room)
                    .into_iter()
                    .map(|user| {
                        let name = state.users[&user].display_name.clone();
                        (user, json!({"display_name": name, "avatar_url": null}))
                    })
                    .collect();
                Ok(json!({"joined": joined}))
            }
            (Endpoint::State, ["state", kind, key @ ..]) => {
                let key = key.first().copied().unwrap_or_default();
                let Some(event) = state.state_event(room, kind, key) else {
                    return refuse(404, "M_NOT_FOUND", "Event not found.");
                };
                let whole = self.query("format") == Some("event");
                Ok(if whole { state.event_json(event, None) } else { event.content.clone() })
            }
            (Endpoint::Event, ["event", id]) => {
                let id = event_id(id)?;
                match state.events.get(&id).filter(|event| event.room == room) {
                    Some(event) => Ok(state.event_json(event, Some(reader))),
                    None => refuse(404, "M_NOT_FOUND", "Event not found."),
                }
            }
            (Endpoint::Relations, ["relations", target, kind @ ..]) => {
                if !state.events.contains_key(&event_id(target)?) {
                    return refuse(404, "M_UNKNOWN", "Unknown parent event.");
                }
                let wanted = |event: &&Event| {
                    event.redacted_by.is_none()
                        && event.relation().is_some_and(|(of, rel_type)| {
                            of == *target
                                && kind.first().is_none_or(|kind| *kind == rel_type)
                                && kind.get(1).is_none_or(|kind| *kind == event.kind)
                        })
                };
                let (chunk, next) =
                    self.page(&state.timeline(room).rev().filter(wanted).collect::<Vec<_>>(), "r");
                let chunk: Vec<_> = chunk.iter().map(|event| state.event_json(event, Some(reader))).collect();
                let mut answer = json!({"chunk": chunk});
                if let Some(next) = next {
                    answer["next_batch"] = json!(next);
                }
                Ok(answer)
            }
            (Endpoint::Messages, _) => {
                let filter: Value = self
                    .query("filter")
                    .map_or_else(|| json!({}), |filter| serde_json::from_str(filter).unwrap_or_default());
                let wanted = |event: &&Event| {
                    let among = |list: &Value, value: &str| {
                        list.as_array().is_none_or(|list| list.iter().any(|item| item == value))
                    };
                    among(&filter["senders"], event.sender.as_str()) && among(&filter["types"], &event.kind)
                };
                let backwards = self.query("dir") == Some("b");
                let events: Vec<_> = if backwards {
                    state.timeline(room).rev().filter(wanted).collect()
                } else {
                    state.timeline(room).filter(wanted).collect()
                };
                let direction = if backwards { "b" } else { "f" };
                let (chunk, end) = self.page(&events, direction);
                let chunk: Vec<_> = chunk.iter().map(|event| state.event_json(event, Some(reader))).collect();
                let start = self.query("from").unwrap_or("start");
                let mut answer = json!({"start": start, "chunk": chunk});
                if let Some(end) = end {
                    answer["end"] = json!(end);
                }
                Ok(answer)
            }
            _ => refuse(404, "M_UNRECOGNIZED", "Unrecognized request"),
        }
    }

    /// The page after the event that the token `from` names, and the token of its end. Tokens stay valid when events
    /// are added.
    fn page<'a>(&self, events: &[&'a Event], kind: &str) -> (Vec<&'a Event>, Option<String>) {
        let limit = self.query("limit").and_then(|limit| limit.parse().ok()).unwrap_or(10).clamp(1, 100);
        let after = self.query("from").and_then(|from| from.strip_prefix(kind));
        let first = after.map_or(0, |after| {
            events.iter().position(|event| event.id.as_str() == after).map_or(events.len(), |place| place + 1)
        });
        let chunk: Vec<_> = events.iter().skip(first).take(limit).copied().collect();
        let more = events.len() > first + chunk.len();
        let next = chunk.last().filter(|_| more).map(|last| format!("{kind}{}", last.id));
        (chunk, next)
    }
}
