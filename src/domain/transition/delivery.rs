//! What became of a page.

use super::draft::{Draft, unchanged};
use crate::domain::incident::{Incident, Phase, Rung};
use crate::domain::input::{Decision, Effect, Outcome, Surroundings, Urgency};
use crate::domain::time::later;
use crate::domain::timeline::Kind;

/// The first page of the current rung that reaches a room arms the ladder; further rooms change nothing.
pub(super) fn page_sent(incident: Option<&Incident>, rung: Rung, around: Surroundings<'_>) -> Decision {
    let Some(incident) = waits_for(incident, rung) else {
        return unchanged(incident, Outcome::Nothing);
    };
    let mut draft = Draft::of(incident, around);
    draft.incident.run.told = true;
    draft.incident.next_at = Some(later(around.now, draft.time_to_answer()));
    draft.record(Kind::Told { loop_no: rung.loop_no, level: rung.level });
    draft.decided(Outcome::Done)
}

/// Nobody can be told at this level: the ladder goes on at once, and says so where it still can.
pub(super) fn page_undeliverable(
    incident: Option<&Incident>,
    rung: Rung,
    around: Surroundings<'_>,
) -> Decision {
    let Some(incident) = waits_for(incident, rung) else {
        return unchanged(incident, Outcome::Nothing);
    };
    let mut draft = Draft::of(incident, around);
    draft.incident.next_at = Some(around.now);
    let entry = draft.record(Kind::Undeliverable { loop_no: rung.loop_no, level: rung.level });
    draft.effect(Effect::TellFallback(entry.clone()));
    draft.show_and_tell(Urgency::Soon, entry);
    draft.decided(Outcome::Done)
}

/// The incident, if it waits for the page of this rung to reach a room.
fn waits_for(incident: Option<&Incident>, rung: Rung) -> Option<&Incident> {
    incident.filter(|incident| {
        incident.phase == Phase::Firing && incident.rung() == Some(rung) && !incident.run.told
    })
}
