//! Steps that need more than one line.

use super::{Held, World};
use super::{State, What, user};
use crate::domain::hold::{HeldBy, Hold};
use crate::domain::incident::{Incident, Rung};
use crate::domain::input::{
    Act, Evidence, HoldNews, Input, Listing, PersonAction, Report, ReportedAlert, Via,
};
use crate::domain::time::later;
use crate::domain::transition::tests::history::{self, Does, Who};
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::time::Duration;

impl World {
    /// Alertmanager lists all firing alerts that have not ended.
    pub(super) fn poll(&mut self, ended: &[bool], hold: history::Hold) -> Held {
        let firing: Vec<_> =
            self.incident.iter().flat_map(|incident| incident.firing.keys().cloned()).collect();
        let has_ended =
            |name: &String| ["a", "b", "c"].iter().zip(ended).any(|(one, ended)| one == name && *ended);
        let (ended, listed) = firing.into_iter().partition::<BTreeSet<_>, _>(has_ended);
        let suppressed = if matches!(hold, history::Hold::For(_)) { listed.clone() } else { BTreeSet::new() };
        let hold = match hold {
            history::Hold::Unchanged => HoldNews::Unchanged,
            history::Hold::Over => HoldNews::Over,
            history::Hold::For(seconds) => {
                let until = later(self.now, Duration::from_secs(seconds));
                HoldNews::Held(Hold { by: [HeldBy::Inhibition].into(), until, outlasted: false })
            }
        };
        self.input(&Input::Listing(Listing { ended, listed, suppressed, hold, ..Listing::default() }))
    }

    pub(super) fn sent_again(&mut self, index: proptest::sample::Index) -> Held {
        let sent = self.outbox.iter().filter_map(|message| match (message.what, message.state) {
            (What::Page(rung, _), State::Sent(_)) => Some(rung),
            _ => None,
        });
        let sent = sent.collect::<Vec<_>>();
        if sent.is_empty() { Ok(()) } else { self.input(&Input::PageSent(*index.get(&sent))) }
    }

    pub(super) fn person(&mut self, who: Who, does: Does, acted_at: Timestamp) -> Held {
        let rung = self.incident.as_ref().and_then(Incident::rung);
        let other = Rung { run_no: 1, loop_no: 0, level: rung.map_or(7, |rung| rung.level + 1) };
        let act = match does {
            Does::Acknowledge => Act::Acknowledge,
            Does::Unacknowledge => Act::Unacknowledge,
            Does::Snooze(seconds) => Act::Snooze(Duration::from_secs(seconds)),
            Does::Unsnooze => Act::Unsnooze,
            Does::Escalate => Act::Escalate(None),
            Does::EscalateThis => Act::Escalate(rung),
            Does::EscalateOther => Act::Escalate(Some(other)),
            Does::Resolve => Act::Resolve,
        };
        self.input(&Input::Person(PersonAction {
            who: user(who),
            via: Via::Command,
            act,
            comment: None,
            acted_at,
        }))
    }

    pub(super) fn flap(&mut self, seconds: u64) -> Held {
        let firing = self.incident.iter().flat_map(|incident| incident.firing.clone()).collect::<Vec<_>>();
        for fires in [false, true] {
            let report = firing.iter().map(|(name, alert)| ReportedAlert {
                fingerprint: name.clone(),
                firing: fires,
                severity: alert.severity.clone(),
                starts_at: if fires { self.now } else { alert.starts_at },
                start_known: true,
                ends_at: (!fires).then_some(self.now),
                evidence: Evidence::None,
            });
            let report = Report::from(report.collect::<Vec<_>>());
            self.alertmanager.reported(&report);
            self.reports.push(report.clone());
            self.input(&Input::Report(report))?;
            self.pass(if fires { 0 } else { seconds });
        }
        Ok(())
    }
}
