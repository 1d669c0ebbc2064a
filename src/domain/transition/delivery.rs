//! The result of sending a page.

use super::draft::{Draft, unchanged};
use crate::domain::incident::{Incident, Phase, Rung};
use crate::domain::input::{Decision, Effect, Outcome, Surroundings, Urgency};
use crate::domain::time::later;
use crate::domain::timeline::Kind;

/// The first page of the current rung that is sent arms the ladder. The pages for the level's other rooms change
/// nothing.
pub(super) fn page_sent(incident: Option<&Incident>, rung: Rung, around: Surroundings<'_>) -> Decision {
    let Some(incident) = waits_for(incident, rung) else {
        return unchanged(incident, Outcome::Nothing);
    };
    let mut draft = Draft::of(incident, around);
    draft.incident.run.notified = true;
    draft.incident.next_at = Some(later(around.now, draft.time_to_answer()));
    draft.record(Kind::PageSent { loop_no: rung.loop_no, level: rung.level });
    draft.decided(Outcome::Done)
}

/// No room of this level is reachable: the ladder escalates immediately and notifies the fallback rooms.
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
    draft.effect(Effect::NotifyFallback(entry.clone()));
    draft.refresh_and_post(Urgency::Soon, entry);
    draft.decided(Outcome::Done)
}

/// The incident, if it waits until the page of this rung is sent.
fn waits_for(incident: Option<&Incident>, rung: Rung) -> Option<&Incident> {
    incident.filter(|incident| {
        incident.phase == Phase::Firing && incident.rung() == Some(rung) && !incident.run.notified
    })
}
