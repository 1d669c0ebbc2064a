//! What an incident's ladder will do if nobody acts and nothing changes: the rules themselves, played forward.

use super::incident::{Incident, Rung};
use super::input::{Decision, Effect, Input, PolicyInForce, Report, ReportedAlert, Surroundings};
use super::policy::Policy;
use super::time::later;
use super::transition::decide;
use super::webhook::WebhookAlert;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::time::Duration;

/// How far a forecast looks.
const HORIZON: Duration = Duration::from_hours(7 * 24);
/// The most timers that it plays.
const MOST_TIMERS: usize = 500;

/// A step of the ladder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// When it is due.
    pub at: Timestamp,
    /// What happens.
    pub what: Happens,
}

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happens {
    /// The incident is posted to the rooms of a rung's level, without mentions.
    Announcement(Rung),
    /// The rooms of a rung's level are paged.
    Page(Rung),
    /// The fallback rooms are notified that nobody acknowledged.
    Fallback,
    /// The rooms of the last level and the fallback rooms are reminded; counts from 1.
    Reminder(u32),
}

/// A new incident, and the steps of its ladder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forecast {
    /// The incident when its first page is sent.
    pub incident: Incident,
    /// Its steps, in order.
    pub steps: Vec<Step>,
}

/// What a report opens that no incident holds yet; `None`: nothing, as none of its alerts is firing. Every page is sent as
/// soon as it is due. `zone`: that of times of day.
pub fn forecast(
    policy: &Policy,
    zone: &TimeZone,
    alerts: &[WebhookAlert],
    now: Timestamp,
) -> Option<Forecast> {
    let in_force = PolicyInForce { version: 1, policy };
    let decided = |incident: Option<&Incident>, input: &Input, now| {
        decide(
            incident,
            input,
            Surroundings { of_run: in_force, newest: in_force, zone, maintenance: false, now },
        )
    };
    let opened = decided(None, &Input::Report(report(policy, alerts)), now);
    let mut incident = opened.incident.clone()?;
    let mut paged = None;
    let mut steps = Vec::new();
    let mut at = now;
    let mut decision = opened;
    for _ in 0..MOST_TIMERS {
        let happening = happens(&decision);
        steps.extend(happening.iter().map(|&what| Step { at, what }));
        incident = decision.incident.unwrap_or(incident);
        for what in happening {
            if let Happens::Page(rung) = what {
                incident = decided(Some(&incident), &Input::PageSent(rung), at).incident.unwrap_or(incident);
                paged.get_or_insert_with(|| incident.clone());
            }
        }
        let Some(next) = incident.next_at.filter(|next| *next <= later(now, HORIZON)) else { break };
        at = next.max(at);
        decision = decided(Some(&incident), &Input::Tick, at);
    }
    Some(Forecast { incident: paged.unwrap_or(incident), steps })
}

fn happens(decision: &Decision) -> Vec<Happens> {
    let happens = |effect: &Effect| match effect {
        Effect::Announce(rung) => Some(Happens::Announcement(*rung)),
        Effect::Page(rung) => Some(Happens::Page(*rung)),
        Effect::Fallback => Some(Happens::Fallback),
        Effect::Reminder(number) => Some(Happens::Reminder(*number)),
        Effect::CancelUnsent
        | Effect::AckReminder
        | Effect::Refresh(_)
        | Effect::PostInThread(_)
        | Effect::NotifyFallback(_) => None,
    };
    decision.effects.iter().filter_map(happens).collect()
}

fn report(policy: &Policy, alerts: &[WebhookAlert]) -> Report {
    let reported = |alert: &WebhookAlert| ReportedAlert {
        fingerprint: alert.fingerprint.clone(),
        firing: alert.firing,
        severity: policy.severity_of(&alert.labels),
        starts_at: alert.starts_at,
        start_known: alert.start_known,
        ends_at: alert.ends_at,
        evidence: super::input::Evidence::None,
    };
    let pages = |alert: &&WebhookAlert| !alert.firing || policy.pages(&alert.labels);
    alerts.iter().filter(pages).map(reported).collect::<Vec<_>>().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::policy::Level;
    use crate::domain::webhook::Labels;

    fn minutes(minutes: u64) -> Duration {
        Duration::from_mins(minutes)
    }

    fn ladder() -> Policy {
        let level = |room: &str, wait| Level {
            rooms: vec![room.to_owned()],
            escalate_after: minutes(wait),
            mention: vec![],
        };
        Policy {
            fallback_rooms: vec!["#last:example.org".to_owned()],
            max_reminders: 1,
            ..Policy::with_levels(vec![level("#first:example.org", 15), level("#second:example.org", 30)])
        }
    }

    fn alert(severity: &str, firing: bool) -> WebhookAlert {
        WebhookAlert {
            fingerprint: "a".to_owned(),
            firing,
            labels: Labels::from([("severity".to_owned(), severity.to_owned())]),
            annotations: Labels::new(),
            starts_at: Timestamp::UNIX_EPOCH,
            start_known: true,
            ends_at: None,
            generator_url: None,
            defect: None,
        }
    }

    /// The steps with the minutes until each.
    fn steps(policy: &Policy, alert: WebhookAlert) -> Vec<(i64, Happens)> {
        let forecast = forecast(policy, &TimeZone::UTC, &[alert], Timestamp::UNIX_EPOCH).unwrap();
        forecast.steps.into_iter().map(|step| (step.at.as_second() / 60, step.what)).collect()
    }

    #[test]
    fn the_ladder_is_played_to_its_end() {
        let page = |level| Happens::Page(Rung { run_no: 1, loop_no: 0, level });
        let expected = [(0, page(0)), (15, page(1)), (45, Happens::Fallback), (105, Happens::Reminder(1))];
        assert_eq!(steps(&ladder(), alert("critical", true)), expected);
    }

    #[test]
    fn a_severity_that_does_not_escalate_stays_at_the_first_level() {
        let mut policy = ladder();
        policy.severities.get_mut("info").unwrap().escalate = false;
        let steps = steps(&policy, alert("info", true));
        assert!(
            steps.iter().all(|(_, what)| !matches!(what, Happens::Page(rung) if rung.level > 0)),
            "{steps:?}"
        );
    }

    #[test]
    fn an_alert_that_waits_for_the_morning_is_posted_before_it_pages() {
        let mut policy = ladder();
        policy.severities.get_mut("info").unwrap().hold_until = Some(jiff::civil::time(9, 0, 0, 0));
        let rung = Rung { run_no: 1, loop_no: 0, level: 0 };
        let expected = [(0, Happens::Announcement(rung)), (540, Happens::Page(rung))];
        assert_eq!(steps(&policy, alert("info", true))[..2], expected);
        assert_eq!(forecast(&policy, &TimeZone::UTC, &[alert("none", true)], Timestamp::UNIX_EPOCH), None);
    }

    #[test]
    fn a_resolved_alert_opens_nothing() {
        assert_eq!(
            forecast(&ladder(), &TimeZone::UTC, &[alert("critical", false)], Timestamp::UNIX_EPOCH),
            None
        );
    }
}
