//! A sample incident for checks and tests: two disks of a database fill up.

use crate::domain::incident::{Firing, Incident, Phase, Run};
use crate::domain::policy::{Level, Mention, Policy, Severity, SeverityRule};
use crate::domain::view::{AlertView, IncidentView, Omitted};
use crate::domain::webhook::Labels;
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The incident, opened five minutes before `now`.
pub(super) fn view(now: Timestamp) -> IncidentView {
    let starts_at = now.checked_sub(SignedDuration::from_mins(5)).unwrap_or(now);
    let alerts: Vec<_> = ["/var/lib/postgresql", "/srv/backup"]
        .iter()
        .zip(1_u8..)
        .map(|(mountpoint, place)| alert(place, mountpoint, starts_at))
        .collect();
    let firing = alerts.iter().map(|alert| {
        let firing = Firing {
            severity: alert.severity.clone(),
            starts_at,
            start_known: true,
            since: starts_at,
            last_seen: now,
            left_out_since: None,
        };
        (alert.fingerprint.clone(), firing)
    });
    IncidentView {
        number: 42,
        room_list: "finance".to_owned(),
        incident: Incident {
            phase: Phase::Firing,
            run: Run {
                no: 1,
                level: Some(0),
                loop_no: 0,
                notified: false,
                policy_version: 1,
                start_level: 0,
                severities: None,
            },
            next_at: None,
            ackers: Vec::new(),
            flap_count: 0,
            version: 2,
            opened_at: starts_at,
            reopened_at: None,
            firing: firing.collect(),
            cleared: BTreeMap::new(),
            known_at_ack: BTreeMap::new(),
            hold: None,
            partly_silenced: BTreeSet::new(),
        },
        group_labels: labels(&[("alertname", "DiskFull"), ("cluster", "eu")]),
        common_labels: labels(&[
            ("alertname", "DiskFull"),
            ("cluster", "eu"),
            ("instance", "db-1:9100"),
            ("severity", "critical"),
        ]),
        external_url: Some("http://alertmanager.example.org:9093".to_owned()),
        truncated: 0,
        alerts,
        omitted: Omitted::default(),
        began_at: None,
        resolved_at: None,
        levels: 2,
    }
}

/// A policy of two levels.
pub(super) fn policy() -> Policy {
    let level = |room: &str, minutes: u64, mention: Vec<Mention>| Level {
        rooms: vec![room.to_owned()],
        escalate_after: Duration::from_secs(minutes.saturating_mul(60)),
        mention,
    };
    let on_call = ruma::UserId::parse("@alice:example.org").map(Mention::User);
    let mut policy = Policy::with_levels(vec![
        level("#finance-ops:example.org", 15, on_call.into_iter().collect()),
        level("!managers:example.org", 30, vec![Mention::Room]),
    ]);
    let rule = |rank| SeverityRule {
        rank,
        escalate: rank > 0,
        mention: (rank == 0).then(Vec::new),
        ..SeverityRule::default()
    };
    policy.severities = [("critical", 2), ("warning", 1), ("info", 0)]
        .map(|(name, rank)| (name.to_owned(), rule(rank)))
        .into();
    policy
}

/// Labels or annotations.
pub(super) fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn alert(place: u8, mountpoint: &str, starts_at: Timestamp) -> AlertView {
    AlertView {
        fingerprint: format!("{place:016x}"),
        firing: true,
        severity: Severity { name: Some("critical".to_owned()), rank: 2, escalate: true },
        labels: labels(&[
            ("alertname", "DiskFull"),
            ("cluster", "eu"),
            ("instance", "db-1:9100"),
            ("mountpoint", mountpoint),
            ("severity", "critical"),
        ]),
        annotations: labels(&[
            ("summary", &format!("{mountpoint} is 9{place}% full")),
            ("description", "At the present rate it is full in 40 minutes.\nWrites will fail then."),
            ("runbook_url", "https://runbooks.example.org/DiskFull"),
            ("dashboard", "https://grafana.example.org/d/disks?var-instance=db-1"),
        ]),
        starts_at,
        cleared_at: None,
        left_out_since: None,
        generator_url: Some(
            "http://prometheus.example.org:9090/graph?g0.expr=disk_free+%3C+0.1&g0.tab=1".to_owned(),
        ),
        defect: None,
    }
}
