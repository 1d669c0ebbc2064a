//! Answers to commands.

use super::*;
use crate::domain::answer::{ActResult, Acted, Answer, Hidden, IncidentLine, Need, Rest};
use crate::domain::hold::HeldAlerts;
use crate::domain::incident::PhaseName;
use crate::domain::lists::Departed;
use crate::domain::policy::{Role, Severity};
use crate::domain::timeline::{AlertsChanged, ResolveReason};
use crate::render::answer::{answer, reply};
use crate::render::page::show;
use insta::assert_snapshot;
use ruma::event_id;
use std::time::Duration;

fn answered(what: &Answer) -> String {
    let policy = sample::policy();
    snapshot_of(&answer(what, &context(&policy)))
}

fn plain_answer(what: &Answer) -> String {
    let policy = sample::policy();
    answer(what, &context(&policy)).text.plain().to_owned()
}

fn incident(number: i64, phase: PhaseName) -> IncidentLine {
    IncidentLine {
        number,
        name: "DiskFull".to_owned(),
        phase,
        severity: Some(Severity { name: Some("critical".to_owned()), rank: 2, escalate: true }),
        alerts: 3,
        level: Some(1),
        levels: 2,
        since: minutes_ago(12),
        ackers: Vec::new(),
        until: None,
        held: None,
    }
}

fn open() -> Vec<IncidentLine> {
    let mut incidents: Vec<_> =
        (42..).zip(PhaseName::ALL.iter().copied()).map(|(number, phase)| incident(number, phase)).collect();
    incidents[1].ackers = vec![alice()];
    incidents[1].until = Some(minutes_ahead(60));
    incidents[2].until = Some(minutes_ahead(24 * 60));
    incidents[3].severity = None;
    incidents[4].alerts = 1;
    incidents[0].held = Some(HeldAlerts::All { until: Some(minutes_ahead(120)) });
    incidents[1].held = Some(HeldAlerts::Some);
    incidents[3].held = Some(HeldAlerts::All { until: None });
    incidents
}

#[test]
fn every_result_of_an_act() {
    let results = [
        ActResult::Acknowledged { until: None },
        ActResult::Acknowledged { until: Some(minutes_ahead(60)) },
        ActResult::Joined { others: vec![alice(), bob()] },
        ActResult::AlreadyYours,
        ActResult::GivenBack { pages_in: Duration::from_secs(10) },
        ActResult::NotAcknowledged,
        ActResult::Snoozed { until: minutes_ahead(120), shortened: false },
        ActResult::Snoozed { until: minutes_ahead(24 * 60), shortened: true },
        ActResult::SnoozeEnded,
        ActResult::NotSnoozed,
        ActResult::Escalated { level: 1, levels: 2 },
        ActResult::LadderEnded,
        ActResult::StalePage,
        ActResult::Resolved { still_firing: 0, for_good: false },
        ActResult::Resolved { still_firing: 1, for_good: false },
        ActResult::Resolved { still_firing: 2, for_good: false },
        ActResult::Resolved { still_firing: 2, for_good: true },
        ActResult::TooLate { resolved_at: Some(minutes_ago(3)) },
        ActResult::TooLate { resolved_at: None },
        ActResult::UnderMaintenance,
        ActResult::Nothing { phase: PhaseName::Firing },
        ActResult::NoRight { needs: Need::Membership },
        ActResult::NoRight {
            needs: Need::PowerLevel { to: "snooze for more than 1 h".to_owned(), level: 50 },
        },
        ActResult::NoRight { needs: Need::Forbidden },
    ];
    let lines: Vec<_> = results
        .into_iter()
        .map(|result| {
            let name = Some("DiskFull".to_owned());
            plain_answer(&Answer::Acted {
                results: vec![Acted { number: 42, name, result }],
                rest: Rest::default(),
            })
        })
        .collect();
    assert_snapshot!(lines.join("\n"));
}

#[test]
fn an_incident_of_another_room_stays_nameless() {
    let refused = |why| Acted { number: 7, name: None, result: ActResult::Refused { why } };
    let results =
        vec![refused(Hidden::Unknown), refused(Hidden::NotPostedHere), refused(Hidden::HigherLevel)];
    assert_snapshot!(answered(&Answer::Acted { results, rest: Rest::default() }));
}

#[test]
fn what_is_pending() {
    let incidents = open();
    assert_snapshot!(answered(&Answer::Pending { room_list: "finance".to_owned(), incidents, more: 480 }));
}

#[test]
fn no_pending_and_no_escalated_incidents() {
    let room_list = || "finance".to_owned();
    let nothing = |answer: Answer| plain_answer(&answer);
    let incidents = Vec::new;
    assert_eq!(
        nothing(Answer::Pending { room_list: room_list(), incidents: incidents(), more: 0 }),
        "🟢 finance has no pending incidents."
    );
    assert_eq!(
        nothing(Answer::Escalated { room_list: room_list(), incidents: incidents(), more: 0 }),
        "🟢 finance has no escalated incidents."
    );
    assert_eq!(
        nothing(Answer::NothingOpen { room_list: room_list(), elsewhere: Vec::new(), more: 0, snoozed: 0 }),
        "finance has no open incidents this applies to."
    );
    let elsewhere = |number| Acted {
        number,
        name: Some("DiskFull".to_owned()),
        result: ActResult::Refused {
            why: if number == 1 { Hidden::HigherLevel } else { Hidden::NotPostedHere },
        },
    };
    let elsewhere = (1..8).map(elsewhere).collect();
    assert_snapshot!(
        "what_is_open_elsewhere",
        nothing(Answer::NothingOpen { room_list: room_list(), elsewhere, more: 0, snoozed: 0 })
    );
}

#[test]
fn escalated_incidents() {
    let incidents = vec![incident(42, PhaseName::Firing)];
    let text = plain_answer(&Answer::Escalated { room_list: "finance".to_owned(), incidents, more: 0 });
    assert_eq!(
        text,
        "1 incident escalated · finance\n\n• 🔴 #42 DiskFull · critical · 3 alerts · 12 min · level 2 of 2"
    );
}

#[test]
fn one_incident_in_full() {
    let policy = sample::policy();
    let mut view = view();
    view.incident.ackers = vec![alice()];
    view.incident.phase = crate::domain::incident::Phase::Acknowledged { until: None, reminded: false };
    let story = [fired(5), acknowledged(1, None)];
    assert_snapshot!(snapshot_of(&show(&view, &story, &context(&policy))));
}

#[test]
fn the_timeline_of_an_incident() {
    let cleared =
        Kind::Resolved { why: ResolveReason::Cleared, lasted: Duration::from_mins(30), since: None };
    let joined = vec!["a".to_owned(), "b".to_owned()];
    let entries = vec![
        fired(30),
        entry(30, Kind::Paged { loop_no: 0, level: 0 }),
        entry(29, Kind::PageSent { loop_no: 0, level: 0 }),
        entry(28, Kind::AlertsChanged(AlertsChanged { joined, ..AlertsChanged::default() })),
        acknowledged(20, Some("on it")),
        entry(0, cleared),
        entry(0, Kind::Closed),
    ];
    let name = "DiskFull".to_owned();
    assert_snapshot!(answered(&Answer::Timeline { number: 42, name, levels: 2, entries, earlier: 1 }));
}

#[test]
fn help_says_what_the_reader_may_do() {
    let help = |role| Answer::Help { room_list: "finance".to_owned(), role, others: Vec::new() };
    assert_snapshot!(answered(&help(Role::Respond)));
    let all = plain_answer(&help(Role::Moderate));
    assert!(!all.contains("not allowed for you"), "{all}");
    let none = plain_answer(&help(Role::None));
    assert!(none.contains("acknowledge; escalation stops (not allowed for you)"), "{none}");
}

#[test]
fn help_in_a_room_of_several_lists_names_all_and_separates_them_where_rights_differ() {
    let help = |other| {
        let others = vec![("network".to_owned(), other)];
        plain_answer(&Answer::Help { room_list: "finance".to_owned(), role: Role::Respond, others })
    };
    let same = help(Role::Respond);
    assert!(same.starts_with("Commands in this room · finance, network\n"), "{same}");
    assert!(same.contains("Only the list that a command is about answers it."), "{same}");
    assert!(same.ends_with("\nYou may ack, unack, snooze for up to 1 h, unsnooze and escalate."), "{same}");
    let more = help(Role::Moderate);
    assert!(!more.contains("not allowed for you"), "one of them allows it: {more}");
    assert!(more.contains("\nfinance: You may ack, "), "{more}");
    assert!(more.ends_with("\nnetwork: You may use all commands."), "{more}");
}

#[test]
fn mistakes_get_a_hint() {
    let mistake = Answer::Mistake {
        problem: "Unknown command `akc`.".to_owned(),
        hint: "Did you mean `ack 42`? Type `help` for the list of commands.".to_owned(),
    };
    assert_snapshot!(answered(&mistake));
    assert_eq!(
        plain_answer(&Answer::NotAvailable { command: "oncall".to_owned() }),
        "\"oncall\" is not available in this release. Type \"help\" for the list of commands."
    );
    assert_eq!(
        plain_answer(&Answer::NotShown { number: 7, why: Hidden::Unknown }),
        "#7: there is no such incident."
    );
}

#[test]
fn an_answer_is_a_reply_and_stays_in_its_thread() {
    let policy = sample::policy();
    let message = answer(
        &Answer::NothingOpen { room_list: "finance".to_owned(), elsewhere: Vec::new(), more: 0, snoozed: 0 },
        &context(&policy),
    );
    let command = event_id!("$command:example.org");
    let reply_to = message.clone().at(reply(command, None)).content().unwrap();
    assert_eq!(reply_to["m.relates_to"]["m.in_reply_to"]["event_id"], "$command:example.org");
    let root = event_id!("$root:example.org").to_owned();
    let in_thread = message.at(reply(command, Some(root))).content().unwrap();
    assert_eq!(in_thread["m.relates_to"]["rel_type"], "m.thread");
    assert_eq!(in_thread["m.relates_to"]["event_id"], "$root:example.org");
    assert_eq!(in_thread["m.relates_to"]["m.in_reply_to"]["event_id"], "$command:example.org");
    assert_eq!(in_thread["m.relates_to"]["is_falling_back"], false);
}

#[test]
fn what_all_left_is_counted_and_some_of_it_is_named() {
    let acted = |number, result| Acted { number, name: Some("DiskFull".to_owned()), result };
    let refused = || ActResult::Refused { why: Hidden::NotPostedHere };
    let rest = Rest {
        elsewhere: vec![acted(7, refused()), acted(8, refused())],
        more: 40,
        repeat: 1,
        snoozed: 0,
        skipped: 2,
    };
    let results = vec![acted(1, ActResult::SnoozeEnded)];
    assert_eq!(
        plain_answer(&Answer::Acted { results, rest }),
        "• 🔁 #1 DiskFull: snooze ended. It pages again.\n\n\
         1 more incident of this room: too many for one command. Send it again to continue.\n\n\
         2 numbers of the range were not posted in this room.\n\n\
         Not changed, because this room cannot act on it:\n\n\
         • #7 DiskFull: it has not been posted in this room yet, so you cannot act on it here.\n\
         • #8 DiskFull: it has not been posted in this room yet, so you cannot act on it here.\n\n\
         … and 40 more"
    );
}

#[test]
fn a_room_that_was_left_learns_where_alerts_are_posted() {
    let departed = |room_list: &str, posts_in: Option<&str>| Departed {
        room_list: room_list.to_owned(),
        posts_in: posts_in.map(str::to_owned),
    };
    let lists = vec![departed("finance", Some("#ops:example.org")), departed("lab", None)];
    assert_eq!(
        plain_answer(&Answer::LeftRoom { lists }),
        "Alerts of finance are posted in #ops:example.org now, no longer in this room.\n\n\
         Alerts of lab are no longer posted in this room.\n\n\
         Here you can only act on what was posted here: by its number, or in a reply to it."
    );
}
