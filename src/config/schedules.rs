//! Rules between the keys of schedules, and between schedules and room lists.

use super::checks::items;
use super::on_call::DAY;
use super::read::{Reader, nearest};
use crate::domain::duration;
use serde::Deserialize;
use serde_json::Value as Json;
use std::collections::BTreeSet;
use std::time::Duration;

/// A calendar is not read more often.
const MOST_OFTEN: Duration = Duration::from_mins(1);

/// Checks the schedules. `names`: theirs.
pub(super) fn check(reader: &mut Reader<'_>, config: &Json, names: &BTreeSet<String>) {
    let rooms = rooms(config);
    for (index, schedule) in items(&config["on_call"]) {
        let path = format!("on_call[{index}]");
        if schedule["name"] == "room" {
            reader.note(&format!("{path}.name"), "must not be `room`, which could be taken for @room");
        }
        let given = |reader: &Reader<'_>, key: &str| reader.places.contains_key(&format!("{path}.{key}"));
        match (given(reader, "rotation"), given(reader, "calendar")) {
            (true, true) => {
                reader
                    .note(&format!("{path}.calendar"), "cannot be combined with rotation: give one of them");
            }
            (false, false) => reader.note(&path, "needs a rotation or a calendar"),
            _ => {}
        }
        if schedule["rotation"].as_array().is_some_and(Vec::is_empty) && given(reader, "rotation") {
            reader.note(&format!("{path}.rotation"), "must hold at least one layer");
        }
        for (layer, of) in items(&schedule["rotation"]) {
            self::layer(reader, of, &format!("{path}.rotation[{layer}]"));
        }
        if schedule.get("calendar").is_some() {
            calendar(reader, &schedule["calendar"], &format!("{path}.calendar"));
        }
        for (room, reference) in items(&schedule["announce"]) {
            if let Some(reference) = reference.as_str().filter(|reference| !rooms.contains(*reference)) {
                let message = format!(
                    "`{reference}` is no room of a room list: only a list's virtual user can post there"
                );
                reader.note(&format!("{path}.announce[{room}]"), message);
            }
        }
    }
    mentions(reader, config, names);
}

fn rooms(config: &Json) -> BTreeSet<&str> {
    let lists = items(&config["room_lists"]).map(|(_, list)| list);
    lists
        .flat_map(|list| {
            let levels = items(&list["levels"]).flat_map(|(_, level)| items(&level["rooms"]));
            levels.chain(items(&list["fallback_rooms"])).filter_map(|(_, room)| room.as_str())
        })
        .collect()
}

/// The turns of a layer.
fn layer(reader: &mut Reader<'_>, layer: &Json, path: &str) {
    let given = |reader: &Reader<'_>, key: &str| reader.places.contains_key(&format!("{path}.{key}"));
    let (shifts, hand_off) = (given(reader, "shifts"), given(reader, "hand_off"));
    if shifts {
        for key in ["hand_off", "every"] {
            if !given(reader, key) {
                continue;
            }
            reader.note(&format!("{path}.{key}"), "cannot be combined with shifts: each shift is a turn");
        }
        if layer["shifts"].as_array().is_some_and(Vec::is_empty) {
            reader.note(&format!("{path}.shifts"), "must hold at least one time such as \"08:00\"");
        }
        return;
    }
    if !hand_off {
        reader.note(&format!("{path}.hand_off"), "is missing, and so are shifts: when does a turn end?");
    }
    let Some(every) = Option::<Duration>::deserialize(&layer["every"]).ok().flatten() else { return };
    let with_day = layer["hand_off"].as_str().is_some_and(|text| text.trim().contains(' '));
    let days = every.as_secs() / DAY;
    if days == 0 || every != Duration::from_secs(days.saturating_mul(DAY)) {
        let message = format!(
            "must be whole days or weeks, such as 1d or 1w, not {}; for shorter turns use shifts",
            duration::format(every)
        );
        reader.note(&format!("{path}.every"), message);
    } else if with_day && !days.is_multiple_of(7) {
        let message = format!(
            "names a day, so every must be whole weeks, not {}; a time alone, such as 09:00, ends any turn",
            duration::format(every)
        );
        reader.note(&format!("{path}.hand_off"), message);
    }
}

fn calendar(reader: &mut Reader<'_>, calendar: &Json, path: &str) {
    let given = |reader: &Reader<'_>, key: &str| reader.places.contains_key(&format!("{path}.{key}"));
    let url = given(reader, "url") || given(reader, "url_file");
    match (url, given(reader, "file")) {
        (true, true) => reader.note(&format!("{path}.file"), "cannot be combined with url: give one of them"),
        (false, false) => reader.note(&format!("{path}.url"), "is missing, and so are url_file and file"),
        _ => {}
    }
    let refresh = Option::<Duration>::deserialize(&calendar["refresh"]).ok().flatten();
    if let Some(refresh) = refresh.filter(|refresh| *refresh < MOST_OFTEN) {
        let message = format!("must be at least 1m, not {}", duration::format(refresh));
        reader.note(&format!("{path}.refresh"), message);
    }
}

/// A mention that is no user and not `@room` must name a schedule.
fn mentions(reader: &mut Reader<'_>, config: &Json, names: &BTreeSet<String>) {
    let known: Vec<String> = names.iter().cloned().collect();
    for (list_index, list) in items(&config["room_lists"]) {
        let path = format!("room_lists[{list_index}]");
        let levels =
            items(&list["levels"]).map(|(index, level)| (format!("{path}.levels[{index}].mention"), level));
        let severities = list["severities"].as_object().into_iter().flatten();
        let severities =
            severities.map(|(name, severity)| (format!("{path}.severities.{name}.mention"), severity));
        for (path, of) in levels.chain(severities).collect::<Vec<_>>() {
            for (index, mention) in items(&of["mention"]) {
                let Some(name) = mention["on_call"].as_str().filter(|name| !names.contains(*name)) else {
                    continue;
                };
                let message = match nearest(name, &known) {
                    Some(near) => {
                        format!("there is no schedule named `{name}` in on_call; did you mean {near}?")
                    }
                    None => format!("there is no schedule named `{name}` in on_call"),
                };
                reader.note(&format!("{path}[{index}]"), message);
            }
        }
    }
}
