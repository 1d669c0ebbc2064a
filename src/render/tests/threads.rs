//! Notices in the threads of incidents.

use super::*;
use crate::domain::hold::HeldBy;
use crate::domain::timeline::{AlertsChanged, Place, ResolveReason};
use crate::render::thread;
use insta::assert_snapshot;
use ruma::event_id;
use std::time::Duration;

#[test]
fn the_thread_has_every_kind_of_entry_that_the_page_lacks() {
    let policy = sample::policy();
    let (view, second) = (view(), || vec!["0000000000000002".to_owned()]);
    let until = minutes_ahead(60);
    let by_hand = ResolveReason::ByHand { who: bob(), via: Via::Api, comment: None };
    let lasted = Duration::from_mins(125);
    let by_carol = HeldBy::Silence {
        id: "5f0b".to_owned(),
        created_by: "carol".to_owned(),
        comment: "new disk".to_owned(),
        until,
    };
    let kinds = [
        Kind::PartlySilenced { by: [by_carol].into() },
        Kind::PartlySilenced { by: [].into() },
        Kind::SilencedAgain { alertmanager: "main".to_owned(), until },
        Kind::RunStarted {
            why: RunReason::Fired,
            policy_version: 1,
            suppressed: false,
            from: None,
            held_until: None,
        },
        Kind::RunStarted {
            why: RunReason::Fired,
            policy_version: 1,
            suppressed: true,
            from: None,
            held_until: None,
        },
        Kind::RunStarted {
            why: RunReason::NewAlert { joined: second() },
            policy_version: 1,
            suppressed: false,
            from: None,
            held_until: None,
        },
        Kind::RunStarted {
            why: RunReason::Renewed { fingerprints: second() },
            policy_version: 1,
            suppressed: false,
            from: Some(Place { loop_no: 0, level: 1 }),
            held_until: Some(until),
        },
        Kind::AlertsChanged(AlertsChanged {
            joined: second(),
            cleared: vec!["0000000000000001".to_owned()],
            ..AlertsChanged::default()
        }),
        Kind::AlertsChanged(AlertsChanged {
            cleared: vec!["gone".to_owned()],
            changed: second(),
            ..AlertsChanged::default()
        }),
        Kind::AlertsChanged(AlertsChanged { renewed: second(), ..AlertsChanged::default() }),
        Kind::AlertsChanged(AlertsChanged { left_out: second(), ..AlertsChanged::default() }),
        Kind::AlertsChanged(AlertsChanged { returned: second(), ..AlertsChanged::default() }),
        Kind::Paged { loop_no: 0, level: 0 },
        Kind::Paged { loop_no: 0, level: 1 },
        Kind::Paged { loop_no: 1, level: 0 },
        Kind::PageSent { loop_no: 0, level: 0 },
        Kind::Undeliverable { loop_no: 0, level: 1 },
        Kind::Unanswered,
        Kind::Reminded { number: 2 },
        Kind::Acknowledged { who: alice(), via: Via::Reaction, until: None, comment: None },
        Kind::Acknowledged {
            who: alice(),
            via: Via::Reply,
            until: Some(until),
            comment: Some("on it".to_owned()),
        },
        Kind::JoinedAck { who: bob(), via: Via::Command, comment: None },
        Kind::LateAck { who: bob(), via: Via::Reaction },
        Kind::AckEndsSoon { until },
        Kind::Snoozed { who: alice(), via: Via::Reaction, until, comment: None },
        Kind::EscalationAsked { who: alice(), via: Via::Command },
        Kind::Resolved { why: ResolveReason::Cleared, lasted, since: None },
        Kind::Resolved { why: by_hand, lasted, since: None },
        Kind::Resolved { why: ResolveReason::Stale, lasted, since: None },
        Kind::Resolved { why: ResolveReason::Replaced { by: 43 }, lasted, since: None },
        Kind::RefiredAcknowledged,
        Kind::HoldEnded,
        Kind::Suppressed,
        Kind::Closed,
    ];
    let story: Vec<_> = kinds
        .into_iter()
        .map(|kind| {
            let name = format!("`{}`", kind.as_str());
            let notice = thread::notice(event_id!("$root"), &view, &entry(0, kind), &context(&policy));
            format!(
                "{name:22} {}",
                notice.map_or("(no notice)".to_owned(), |notice| notice.text.plain().to_owned())
            )
        })
        .collect();
    assert_snapshot!(story.join("\n"));
}

#[test]
fn a_thread_notice_is_silent_and_in_the_thread() {
    let policy = sample::policy();
    let entry = acknowledged(0, None);
    let notice = thread::notice(event_id!("$root:example.org"), &view(), &entry, &context(&policy));
    assert_snapshot!(snapshot_of(&notice.unwrap()));
}

#[test]
fn the_ackers_are_reminded_in_the_thread() {
    let policy = sample::policy();
    let mut view = view();
    view.incident.ackers = vec![alice(), bob()];
    let root = event_id!("$root:example.org");
    assert_snapshot!(snapshot_of(&thread::ack_reminder(root, &view, minutes_ahead(10), &context(&policy))));
}
