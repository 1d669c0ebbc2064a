//! The rooms of a room list: whether each exists, is joined, grants the needed power levels, and is readable.

use super::Examined;
use super::homeserver::reason;
use super::report::Report;
use crate::cli::rooms::after_undo;
use crate::config::{Config, OnCallConfig, RoomListConfig};
use crate::domain::audience::{self, Members};
use crate::domain::lists::FollowAliases;
use crate::domain::policy::Mention;
use crate::matrix::{Failure, Identity, PowerLevels};
use crate::rooms::mentions::why_absent;
use crate::rooms::{self, Differs, LookedUp};
use crate::store::{Move, RoomTrouble, Store, Strayed};
use ruma::{OwnedRoomId, RoomId};
use std::collections::BTreeSet;
use std::sync::Arc;

/// One room of the list, and what it needs.
struct Wanted {
    /// Its name in the configuration.
    reference: String,
    /// Its places in the list: `level 1`.
    places: Vec<String>,
    /// Whether `@room` is mentioned there.
    mentions_room: bool,
}

/// Checks every room of a list.
pub(super) async fn examine(
    report: &mut Report,
    examined: &Examined<'_>,
    list: &RoomListConfig,
    identity: &Identity,
    store: Option<&Store>,
) {
    let joined = match examined.client.joined_rooms(identity).await {
        Ok(joined) => joined,
        Err(error) => {
            return report.failed("room", Some(&list.name), reason(&error), "See the homeserver's log.");
        }
    };
    let mut entered: Vec<(OwnedRoomId, String)> = Vec::new();
    let mut members = Members::new();
    let troubles = match store {
        // Otherwise each room is tried now.
        Some(store) if examined.read_only => store.troubled_rooms(&list.name).await.unwrap_or_default(),
        _ => Vec::new(),
    };
    for wanted in wanted(examined.config, list) {
        let reference = match store {
            Some(store) if wanted.reference.starts_with('!') => {
                store.room_label(&wanted.reference).await.unwrap_or_else(|_| wanted.reference.clone())
            }
            _ => wanted.reference.clone(),
        };
        let subject = format!("{reference} ({} of {})", wanted.places.join(", "), list.name);
        if let Some(trouble) = troubles.iter().find(|trouble| trouble.reference == wanted.reference) {
            known_trouble(report, identity, trouble, &subject);
        }
        let Some(found) = look_up(report, examined, store, &wanted, &subject).await else { continue };
        if let Some(differs) = &found.differs {
            alias(report, list, identity, store, (&wanted.reference, &subject), (&found.room, differs)).await;
        }
        let Some(room) = enter(report, examined, identity, found, &wanted, &subject, &joined).await else {
            continue;
        };
        if let Some((_, other)) = entered.iter().find(|(known, _)| *known == room) {
            // A room with the same name on two levels is paged on both on purpose.
            let detail = format!(
                "it is the same room as {other}: one level pages it once, another level pages it again"
            );
            let remedy = "Use another room; or, if this is intended, the same name in each place.";
            report.warning("room", Some(&subject), detail, remedy);
        }
        entered.push((room.clone(), wanted.reference.clone()));
        if let Ok(found) = examined.client.joined_members(identity, &room).await {
            members.insert(wanted.reference.clone(), found);
        }
        match examined.client.power_levels(identity, &room).await {
            Ok(levels) => powers(report, list, identity, &wanted, &subject, &levels),
            Err(error) => report.failed("power", Some(&subject), reason(&error), "See the homeserver's log."),
        }
        match examined.client.is_encrypted(identity, &room).await {
            Ok(false) => {}
            Ok(true) => {
                let detail = "it is encrypted: matrixbot posts unencrypted and cannot read messages";
                let remedy = "Use reactions there, which work, or a room without encryption.";
                report.warning("encryption", Some(&subject), detail, remedy);
            }
            Err(error) => {
                report.failed("encryption", Some(&subject), reason(&error), "See the homeserver's log.");
            }
        }
    }
    mentions(report, examined, list, identity, &members).await;
}

/// Reports the people whom pages mention and do not reach.
async fn mentions(
    report: &mut Report,
    examined: &Examined<'_>,
    list: &RoomListConfig,
    identity: &Identity,
    members: &Members,
) {
    let schedules = examined.config.on_call.iter().map(OnCallConfig::schedule);
    let schedules = schedules.map(|schedule| (schedule.name.clone(), Arc::new(schedule))).collect();
    let policy = audience::with_everybody(&list.policy, &schedules);
    let absent = audience::absent(&policy, members);
    for (user, places) in &absent {
        let subject = format!("{user} ({})", list.name);
        let detail = match why_absent(&examined.client, identity, user, places).await {
            Ok(why) => format!("pages mention this person and do not reach them: {why}"),
            Err(error) => reason(&error),
        };
        let remedy = "Invite the person to the room, or correct `mention` in the configuration.";
        report.warning("mention", Some(&subject), detail, remedy);
    }
    if absent.is_empty() && !audience::mentioned(&policy).is_empty() {
        report.ok("mention", Some(&list.name), "everybody whom pages mention is in a room");
    }
}

/// Reports what a running matrixbot has found of a room, which nothing tries again now.
fn known_trouble(report: &mut Report, identity: &Identity, trouble: &RoomTrouble, subject: &str) {
    let (user, RoomTrouble { why, since, muted, .. }) = (&identity.user_id, trouble);
    let (what, remedy) = if *muted {
        ("may not write there", format!("Give {user} the power level that messages need in the room."))
    } else {
        (
            "cannot reach it",
            format!("Invite it: write `/invite {user}` in the room, or in the room that it moved to."),
        )
    };
    report.failed("room", Some(subject), format!("{user} {what} since {since:.0}: {why}"), remedy);
}

/// The rooms of the list, each once, in the order of the ladder.
fn wanted(config: &Config, list: &RoomListConfig) -> Vec<Wanted> {
    let mut rooms: Vec<Wanted> = Vec::new();
    let mut add = |reference: &String, place: String, mentions_room: bool| match rooms
        .iter_mut()
        .find(|room| room.reference == *reference)
    {
        Some(room) => {
            room.places.push(place);
            room.mentions_room |= mentions_room;
        }
        None => {
            rooms.push(Wanted { reference: reference.clone(), places: vec![place], mentions_room });
        }
    };
    // While nobody is on call, a schedule's pages mention its fallback.
    let fallback = |name: &String| config.on_call.iter().find(|schedule| schedule.name == *name);
    let is_everybody = |mention: &Mention| match mention {
        Mention::Room => true,
        Mention::User(_) => false,
        Mention::OnCall(name) => {
            fallback(name).is_none_or(|schedule| schedule.fallback_mention.contains(&Mention::Room))
        }
    };
    let everybody = |mentions: &[Mention]| mentions.iter().any(is_everybody);
    let by_severity =
        list.policy.severities.values().any(|rule| rule.mention.as_deref().is_some_and(everybody));
    for (level, number) in list.policy.levels.iter().zip(1_u32..) {
        for room in &level.rooms {
            add(room, format!("level {number}"), by_severity || everybody(&level.mention));
        }
    }
    for room in &list.policy.fallback_rooms {
        // Fallback notices mention @room.
        add(room, "fallback".to_owned(), true);
    }
    rooms
}

/// The room that pages go to.
async fn look_up(
    report: &mut Report,
    examined: &Examined<'_>,
    store: Option<&Store>,
    wanted: &Wanted,
    subject: &str,
) -> Option<LookedUp> {
    match rooms::look_up(&examined.client, store, &wanted.reference).await {
        Ok(found) => Some(found),
        Err(error) => {
            let remedy = match error.failure() {
                Failure::NotFound => {
                    "Create the room or its alias, or correct the name in the configuration."
                }
                _ => "See the homeserver's log.",
            };
            report.failed("room", Some(subject), reason(&error), remedy);
            None
        }
    }
}

/// Reports an alias that does not lead to the room that pages go to.
async fn alias(
    report: &mut Report,
    list: &RoomListConfig,
    identity: &Identity,
    store: Option<&Store>,
    (reference, subject): (&str, &str),
    (room, differs): (&RoomId, &Differs),
) {
    let user = &identity.user_id;
    let recorded = match store {
        Some(store) => store.strayed(&list.name, reference).await.ok().flatten(),
        None => None,
    };
    let label = async |room: &str| match store {
        Some(store) => store.room_label(room).await.unwrap_or_else(|_| room.to_owned()),
        None => room.to_owned(),
    };
    let (detail, remedy) = match differs {
        Differs::Leads(to) => {
            let detail = format!("it leads to {} now, but pages go to {room}", label(to).await);
            let moved = match store {
                Some(store) => store.room_move(room.as_str()).await.ok().flatten(),
                None => None,
            };
            match (list.follow_aliases, recorded) {
                _ if moved
                    .as_ref()
                    .is_some_and(|moved| moved.is == Move::Undone && moved.successor == *to) =>
                {
                    (
                        format!(
                            "{detail}, because the move there was taken back (`matrixbot rooms undo-move`)"
                        ),
                        format!("To end this, {}.", after_undo(room.as_str(), to)),
                    )
                }
                _ if moved
                    .as_ref()
                    .is_some_and(|moved| matches!(moved.is, Move::Waiting(_)) && moved.successor == *to) =>
                {
                    (
                        format!("{detail}, because {user} cannot join the successor yet"),
                        format!("Write `/invite {user}` in {to}."),
                    )
                }
                (FollowAliases::Never, _) => (
                    format!("{detail}, because follow_aliases is never"),
                    "Move the alias back, or change follow_aliases.".to_owned(),
                ),
                (_, Some(Strayed::Waiting { why, .. })) => (
                    format!("{detail}, because {user} cannot post there: {why}"),
                    format!("Write `/invite {user}` in the new room, and let it send messages there."),
                ),
                _ => (
                    detail,
                    "A running matrixbot follows within five minutes if the virtual user can post there."
                        .to_owned(),
                ),
            }
        }
        Differs::Missing => (
            format!("the alias does not exist any more; pages stay in {room}"),
            "Create the alias again, or configure the room by its id.".to_owned(),
        ),
        Differs::Failed(error) => (
            format!("the homeserver does not say where it leads: {}; pages go to {room}", reason(error)),
            "See the homeserver's log.".to_owned(),
        ),
    };
    report.warning("alias", Some(subject), detail, remedy);
}

/// Makes sure that the user has joined the room. Returns it if so.
async fn enter(
    report: &mut Report,
    examined: &Examined<'_>,
    identity: &Identity,
    looked_up: LookedUp,
    wanted: &Wanted,
    subject: &str,
    joined: &BTreeSet<OwnedRoomId>,
) -> Option<OwnedRoomId> {
    let user = &identity.user_id;
    let LookedUp { room: found, differs } = looked_up;
    if joined.contains(&found) {
        report.ok("room", Some(subject), "joined");
        return Some(found);
    }
    if examined.read_only {
        let remedy = "Start `matrixbot run`, or leave out --read-only, to join it; if that is not allowed, invite the user.";
        report.warning("room", Some(subject), format!("{user} is not in it yet"), remedy);
        return None;
    }
    // An alias also has the servers through which the room can be joined.
    let by_alias = wanted.reference.starts_with('#') && differs.is_none();
    let target = if by_alias { wanted.reference.as_str() } else { found.as_str() };
    match rooms::join(&examined.client, identity, target).await {
        Ok(room) => {
            report.ok("room", Some(subject), "joined just now");
            report.changed(format!("{user} joined {}", wanted.reference));
            Some(room)
        }
        Err(error) if error.failure() == Failure::UserBlocked => {
            report.skipped("room", Some(subject), format!("skipped: {user} may not act: {}", reason(&error)));
            None
        }
        Err(error) => {
            let remedy = match error.failure() {
                Failure::Forbidden => format!("Invite it: write `/invite {user}` in the room."),
                Failure::NotFound => "Correct the room's id in the configuration.".to_owned(),
                _ => format!("See the homeserver's log, or invite it: write `/invite {user}` in the room."),
            };
            report.failed("room", Some(subject), reason(&error), remedy);
            None
        }
    }
}

/// Whether the user has the power levels for what matrixbot does in the room.
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
            let detail = "it may not place the reaction that people click";
            let remedy = give(levels.to_send("m.reaction"), "react");
            report.warning("power", Some(subject), detail, remedy);
        }
    }
    if wanted.mentions_room {
        if levels.may_mention_room(user) {
            may.push("mention @room");
        } else {
            let detail = "its mention of @room notifies nobody";
            let remedy = give(levels.to_mention_room(), "mention @room");
            report.warning("power", Some(subject), detail, remedy);
        }
    }
    report.ok("power", Some(subject), format!("it may {}", may.join(", ")));
}
