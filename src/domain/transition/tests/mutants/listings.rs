//! Faults in what polls of Alertmanager change.

use super::{Before, about, and_then};
use crate::domain::input::{Decision, HoldNews, Input, Listing, Surroundings};
use crate::domain::time::later;
use crate::domain::transition::decide;
use std::time::Duration;

mutants! {
    what_has_ended_goes_on
    a_poll_ends_everything
    a_listed_alert_becomes_stale
    a_silence_holds_nothing_back
    a_silenced_incident_pages
    a_silence_never_ends
    an_end_that_is_missed_never_comes
    the_end_of_a_silence_pages_nobody
}

/// Calls `decide` with a changed listing.
fn polled(before: Before<'_>, input: &Input, around: Surroundings<'_>, spoil: fn(&mut Listing)) -> Decision {
    let Input::Listing(listing) = input else { return decide(before, input, around) };
    let mut listing = listing.clone();
    spoil(&mut listing);
    decide(before, &Input::Listing(listing), around)
}

fn what_has_ended_goes_on(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    polled(before, input, around, |listing| listing.ended.clear())
}

fn a_poll_ends_everything(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    polled(before, input, around, |listing| listing.ended.append(&mut listing.listed))
}

fn a_listed_alert_becomes_stale(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    polled(before, input, around, |listing| listing.listed.clear())
}

fn a_silence_holds_nothing_back(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    polled(before, input, around, |listing| {
        if matches!(listing.hold, HoldNews::Held(_)) {
            listing.hold = HoldNews::Unchanged;
        }
    })
}

fn a_silenced_incident_pages(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    let held = before.and_then(|before| before.hold.clone()).filter(|hold| hold.until > around.now);
    match (input, held) {
        (Input::Tick, Some(held)) => {
            let decision = about(before, input, around, |incident| incident.hold = None);
            and_then(decision, |incident| incident.hold = Some(held))
        }
        _ => decide(before, input, around),
    }
}

fn a_silence_never_ends(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    match input {
        Input::Tick => about(before, input, around, |incident| {
            if let Some(hold) = incident.hold.as_mut() {
                hold.until = later(around.now, Duration::from_hours(1));
            }
        }),
        _ => decide(before, input, around),
    }
}

fn an_end_that_is_missed_never_comes(
    before: Before<'_>,
    input: &Input,
    around: Surroundings<'_>,
) -> Decision {
    match input {
        Input::Tick => about(before, input, around, |incident| {
            if let Some(hold) = incident.hold.as_mut() {
                hold.outlasted = false;
            }
        }),
        _ => decide(before, input, around),
    }
}

fn the_end_of_a_silence_pages_nobody(
    before: Before<'_>,
    input: &Input,
    around: Surroundings<'_>,
) -> Decision {
    match input {
        Input::Listing(Listing { hold: HoldNews::Over, .. }) => {
            let decision = polled(before, input, around, |listing| listing.hold = HoldNews::Unchanged);
            and_then(decision, |incident| incident.hold = None)
        }
        _ => decide(before, input, around),
    }
}
