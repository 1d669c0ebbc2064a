//! Prints incidents.

use super::Incidents;
use super::list::Line;
use crate::cli::{eprint, print};
use crate::domain::timeline::Entry;
use crate::domain::view::IncidentView;
use crate::render::{answer, page};
use crate::store::{StoredIncident, Target, incident, post, room, timeline};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// An incident with its timeline and its posts.
struct Whole {
    stored: StoredIncident,
    levels: u32,
    view: IncidentView,
    timeline: Vec<Entry>,
    posts: Vec<Target>,
    /// What people call the rooms of the posts, if that is known.
    names: BTreeMap<String, String>,
}

impl Incidents {
    /// Prints the current state of incidents. Returns whether each exists.
    pub(super) async fn show(&self, numbers: &[i64]) -> anyhow::Result<bool> {
        let (found, all) = self.find(numbers).await?;
        if self.json {
            let incidents: Vec<Value> = found.iter().map(to_json).collect::<Result<_, _>>()?;
            print(format!("{:#}\n", Value::from(incidents)).as_bytes());
            return Ok(all);
        }
        for (place, one) in found.iter().enumerate() {
            let policy = self
                .engine
                .policy_or_current(&one.stored.room_list, one.stored.incident.run.policy_version)
                .await?;
            let view = &one.view;
            let message = page::show(view, &one.timeline, &Self::context(&policy));
            let rooms: Vec<String> = one.posts.iter().filter_map(|post| in_room(post, &one.names)).collect();
            let rooms = if rooms.is_empty() { "no room yet".to_owned() } else { rooms.join(", ") };
            let gap = if place > 0 { "\n" } else { "" };
            print(format!("{gap}{}\n\nShown in {rooms}.\n", message.text.plain()).as_bytes());
        }
        Ok(all)
    }

    /// Prints the timelines of incidents. Returns whether each exists.
    pub(super) async fn timeline(&self, numbers: &[i64]) -> anyhow::Result<bool> {
        let (found, all) = self.find(numbers).await?;
        if self.json {
            let timelines: Vec<Value> = found
                .iter()
                .map(|one| json!({ "number": one.stored.number, "timeline": one.timeline }))
                .collect();
            print(format!("{:#}\n", Value::from(timelines)).as_bytes());
            return Ok(all);
        }
        for one in &found {
            let policy = self
                .engine
                .policy_or_current(&one.stored.room_list, one.stored.incident.run.policy_version)
                .await?;
            let name = one.stored.name();
            let context = Self::context(&policy);
            let message = answer::timeline(one.stored.number, &name, one.levels, &one.timeline, 0, &context);
            print(format!("{}\n", message.text.plain()).as_bytes());
        }
        Ok(all)
    }

    /// Loads the incidents that exist, and returns whether all do. Prints an error for each missing one.
    async fn find(&self, numbers: &[i64]) -> anyhow::Result<(Vec<Whole>, bool)> {
        let mut tx = self.store.begin().await?;
        let mut found = Vec::with_capacity(numbers.len());
        for number in numbers {
            let stored = incident::load(&mut tx, *number).await?;
            let Some(stored) = stored.filter(|stored| self.includes(&stored.room_list)) else {
                eprint(&format!("error: there is no incident {number}"));
                continue;
            };
            let policy =
                self.engine.policy_or_current(&stored.room_list, stored.incident.run.policy_version).await?;
            let posts = post::of_incident(&mut tx, *number).await?;
            let mut names = BTreeMap::new();
            for post in &posts {
                if let Some(name) = room::called(&mut tx, &post.room).await? {
                    names.insert(post.room.clone(), name);
                }
            }
            let levels = u32::try_from(policy.levels.len()).unwrap_or(u32::MAX);
            found.push(Whole {
                levels,
                view: stored.view(&mut tx, levels, usize::MAX).await?,
                timeline: timeline::read(&mut tx, *number, i64::MAX).await?,
                posts,
                names,
                stored,
            });
        }
        let all = found.len() == numbers.len();
        Ok((found, all))
    }
}

/// The room and the event of a post; `None`: it is not sent yet.
fn in_room(post: &Target, names: &BTreeMap<String, String>) -> Option<String> {
    let name = names.get(&post.room).map(|name| format!("{name} ")).unwrap_or_default();
    post.event_id.as_ref().map(|event| format!("{name}{} ({event})", post.room))
}

fn to_json(one: &Whole) -> serde_json::Result<Value> {
    let mut incident = serde_json::to_value(Line::new(&one.stored.room_list, one.stored.line(one.levels)))?;
    let alerts: Vec<Value> = one
        .view
        .alerts
        .iter()
        .map(|alert| {
            json!({
                "fingerprint": alert.fingerprint, "firing": alert.firing, "severity": alert.severity.name,
                "labels": alert.labels, "annotations": alert.annotations, "starts_at": alert.starts_at,
                "cleared_at": alert.cleared_at, "generator_url": alert.generator_url, "defect": alert.defect,
            })
        })
        .collect();
    let rooms: Vec<Value> = one
        .posts
        .iter()
        .map(
            |post| json!({ "room": post.room, "name": one.names.get(&post.room), "event_id": post.event_id }),
        )
        .collect();
    if let Some(incident) = incident.as_object_mut() {
        incident.insert("resolved_at".to_owned(), json!(one.view.resolved_at));
        incident.insert("group_labels".to_owned(), json!(one.view.group_labels));
        incident.insert("external_url".to_owned(), json!(one.view.external_url));
        incident.insert("alerts".to_owned(), Value::from(alerts));
        incident.insert("rooms".to_owned(), Value::from(rooms));
        incident.insert("timeline".to_owned(), serde_json::to_value(&one.timeline)?);
    }
    Ok(incident)
}
