//! The rooms of a room list: found, joined, with the power to do what is done there, and readable.

use super::Patient;
use super::homeserver::said;
use super::report::Report;
use crate::config::RoomListConfig;
use crate::domain::policy::Mention;
use crate::matrix::{Failure, Identity, PowerLevels};
use crate::rooms;
use crate::store::Store;
use ruma::OwnedRoomId;
use std::collections::BTreeSet;

/// One room of the list, and what is expected of it.
struct Wanted {
    /// As the configuration names it.
    reference: String,
    /// What it is for, in words: `level 1`.
    places: Vec<String>,
    /// Whether `@room` is mentioned there.
    calls_everybody: bool,
}

/// Looks at every room of a list.
pub(super) async fn examine(
    report: &mut Report,
    patient: &Patient<'_>,
    list: &RoomListConfig,
    identity: &Identity,
    store: Option<&Store>,
) {
    let joined = match patient.client.joined_rooms(identity).await {
        Ok(joined) => joined,
        Err(error) => {
            return report.failed("room", Some(&list.name), said(&error), "See the homeserver's log.");
        }
    };
    let mut entered: Vec<(OwnedRoomId, String)> = Vec::new();
    for wanted in wanted(list) {
        let subject = format!("{} ({} of {})", wanted.reference, wanted.places.join(", "), list.name);
        let Some(room) = enter(report, patient, identity, store, &wanted, &subject, &joined).await else {
            continue;
        };
        if let Some((_, other)) = entered.iter().find(|(known, _)| *known == room) {
            // A room that is named alike on two levels is meant to be paged twice.
            let detail = format!(
                "it is the same room as {other}: on one level it is paged once, on another one again"
            );
            let remedy = "Name another room; or, if this is meant, name it alike in each place.";
            report.warning("room", Some(&subject), detail, remedy);
        }
        entered.push((room.clone(), wanted.reference.clone()));
        match patient.client.power_levels(identity, &room).await {
            Ok(levels) => powers(report, list, identity, &wanted, &subject, &levels),
            Err(error) => report.failed("power", Some(&subject), said(&error), "See the homeserver's log."),
        }
        match patient.client.is_encrypted(identity, &room).await {
            Ok(false) => {}
            Ok(true) => {
                let detail = "it is encrypted: pages are not, and what people write there cannot be read";
                let remedy = "Let people use reactions there, which work, or take a room without encryption.";
                report.warning("encryption", Some(&subject), detail, remedy);
            }
            Err(error) => {
                report.failed("encryption", Some(&subject), said(&error), "See the homeserver's log.");
            }
        }
    }
}

/// The rooms of the list, each once, in the order of the ladder.
fn wanted(list: &RoomListConfig) -> Vec<Wanted> {
    let mut rooms: Vec<Wanted> = Vec::new();
    let mut add = |reference: &String, place: String, calls_everybody: bool| match rooms
        .iter_mut()
        .find(|room| room.reference == *reference)
    {
        Some(room) => {
            room.places.push(place);
            room.calls_everybody |= calls_everybody;
        }
        None => {
            rooms.push(Wanted { reference: reference.clone(), places: vec![place], calls_everybody });
        }
    };
    let everybody = |mentions: &[Mention]| mentions.contains(&Mention::Room);
    let by_severity =
        list.policy.severities.values().any(|rule| rule.mention.as_deref().is_some_and(everybody));
    for (level, number) in list.policy.levels.iter().zip(1_u32..) {
        for room in &level.rooms {
            add(room, format!("level {number}"), by_severity || everybody(&level.mention));
        }
    }
    for room in &list.policy.fallback_rooms {
        // What comes there is the last resort, and calls everybody.
        add(room, "fallback".to_owned(), true);
    }
    rooms
}

/// Finds the room, and makes sure that the user is in it. Returns it if so.
async fn enter(
    report: &mut Report,
    patient: &Patient<'_>,
    identity: &Identity,
    store: Option<&Store>,
    wanted: &Wanted,
    subject: &str,
    joined: &BTreeSet<OwnedRoomId>,
) -> Option<OwnedRoomId> {
    let user = &identity.user_id;
    let found = match rooms::look_up(&patient.client, store, &wanted.reference).await {
        Ok(found) => found,
        Err(error) => {
            let remedy = match error.failure() {
                Failure::NotFound => {
                    "Create the room or its alias, or correct the name in the configuration."
                }
                _ => "See the homeserver's log.",
            };
            report.failed("room", Some(subject), said(&error), remedy);
            return None;
        }
    };
    if joined.contains(&found) {
        report.ok("room", Some(subject), "joined");
        return Some(found);
    }
    if patient.read_only {
        let remedy = "Start `matrixbot run`, or leave out --read-only: either joins it, if it may; otherwise invite it.";
        report.warning("room", Some(subject), format!("{user} is not in it yet"), remedy);
        return None;
    }
    // An alias also says through which servers the room can be joined.
    let target = if wanted.reference.starts_with('#') { wanted.reference.as_str() } else { found.as_str() };
    match rooms::join(&patient.client, identity, target).await {
        Ok(room) => {
            report.ok("room", Some(subject), "joined just now");
            report.changed(format!("{user} joined {}", wanted.reference));
            Some(room)
        }
        Err(error) => {
            let remedy = match error.failure() {
                Failure::Forbidden => format!("Invite it: say `/invite {user}` in the room."),
                Failure::NotFound => "Correct the room's id in the configuration.".to_owned(),
                _ => format!("See the homeserver's log, or invite it: say `/invite {user}` in the room."),
            };
            report.failed("room", Some(subject), said(&error), remedy);
            None
        }
    }
}

/// Whether the user has the power to do what is done in the room.
fn powers(
    report: &mut Report,
    list: &RoomListConfig,
    identity: &Identity,
    wanted: &Wanted,
    subject: &str,
    levels: &PowerLevels,
) {
    let user = &identity.user_id;
    let has = levels.of(user);
    let give = |needed: i64, what: &str| {
        format!("Give {user} power level {needed} in the room (it has {has}), so that it may {what}.")
    };
    if !levels.may_send(user, "m.room.message") {
        let remedy = give(levels.to_send("m.room.message"), "send messages");
        return report.failed("power", Some(subject), "it may not send messages", remedy);
    }
    let mut may = vec!["send messages"];
    if list.place_reaction {
        if levels.may_send(user, "m.reaction") {
            may.push("react");
        } else {
            let detail = "it may not place the reaction that people tap";
            let remedy = give(levels.to_send("m.reaction"), "react");
            report.warning("power", Some(subject), detail, remedy);
        }
    }
    if wanted.calls_everybody {
        if levels.may_mention_room(user) {
            may.push("mention @room");
        } else {
            let detail = "its mention of @room wakes nobody";
            let remedy = give(levels.to_mention_room(), "mention @room");
            report.warning("power", Some(subject), detail, remedy);
        }
    }
    report.ok("power", Some(subject), format!("it may {}", may.join(", ")));
}
