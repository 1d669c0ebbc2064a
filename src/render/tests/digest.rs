use super::snapshot_of;
use crate::domain::digest::{Class, Member};
use crate::domain::incident::PhaseName;
use crate::domain::on_call::Called;
use crate::domain::policy::{Mention, Policy, Severity};
use crate::render::digest::{Words, digest, edit};
use crate::render::size::{MOST_BYTES, visible_characters};
use ruma::{event_id, user_id};
use std::sync::LazyLock;

fn member(number: i64, name: &str, place: &str, severity: (&str, i32), phase: PhaseName) -> Member {
    Member {
        number,
        name: name.to_owned(),
        place: place.to_owned(),
        phase,
        severity: Some(Severity { name: Some(severity.0.to_owned()), rank: severity.1, escalate: true }),
        ackers: Vec::new(),
        escalated: false,
        mentions: Vec::new(),
    }
}

/// A failed rack: many instances, and what depends on them.
fn storm(phase: PhaseName) -> Vec<Member> {
    let load = (40..70).map(|n| member(n, "HighLoad", &format!("instance=db-{n}"), ("warning", 1), phase));
    let disk = (70..75)
        .map(|n| member(n, "InstanceDown", &format!("instance=db-{n}, job=node"), ("critical", 2), phase));
    let quiet = [member(77, "BackupLate", "", ("info", 0), PhaseName::Acknowledged)];
    load.chain(disk).chain(quiet).collect()
}

fn words(class: Class) -> Words<'static> {
    static POLICY: LazyLock<Policy> = LazyLock::new(Policy::default);
    Words { room_list: "finance", class, is_over: false, ack_reaction: "✅", policy: &POLICY }
}

#[test]
fn a_digest_shows_what_how_often_where_and_the_numbers() {
    let called = Mention::User(user_id!("@alice:example.org").to_owned()).into();
    let message = digest(&storm(PhaseName::Firing), &called, &words(Class::First));
    insta::assert_snapshot!(snapshot_of(&message));
}

#[test]
fn a_digest_of_what_nobody_acknowledged() {
    let message = digest(&storm(PhaseName::Firing), &Mention::Room.into(), &words(Class::Escalation));
    insta::assert_snapshot!(message.text.plain());
    let message = digest(&storm(PhaseName::Unanswered), &Called::default(), &words(Class::Fallback));
    assert!(message.text.plain().starts_with("🔴 🚨 UNANSWERED: 36 incidents"), "{}", message.text.plain());
}

#[test]
fn an_edit_is_quiet_once_nobody_has_to_acknowledge() {
    let root = event_id!("$digest");
    insta::assert_snapshot!(snapshot_of(&edit(root, &storm(PhaseName::Acknowledged), &words(Class::First))));
    let over = Words { is_over: true, ..words(Class::First) };
    let message = edit(root, &storm(PhaseName::Resolved), &over);
    assert!(message.text.plain().contains("The storm has ended."), "{}", message.text.plain());
}

#[test]
fn the_head_counts_snoozed_and_escalated_incidents_and_names_who_acknowledged() {
    let mut members = storm(PhaseName::Firing);
    for member in members.iter_mut().take(10) {
        member.escalated = true;
    }
    for (place, member) in members.iter_mut().rev().enumerate().take(9) {
        member.phase = if place < 4 { PhaseName::Snoozed } else { PhaseName::Acknowledged };
        member.ackers = vec![if place < 6 { "@bob:example.org" } else { "@alice:example.org" }.to_owned()];
    }
    let message = edit(event_id!("$digest"), &members, &words(Class::First));
    insta::assert_snapshot!(snapshot_of(&message));
    for member in &mut members {
        member.phase = PhaseName::Snoozed;
    }
    let message = edit(event_id!("$digest"), &members, &words(Class::First));
    assert!(message.text.plain().starts_with("💤 SNOOZED: 36 incidents"), "{}", message.text.plain());
}

#[test]
fn however_large_the_storm_a_digest_fits_and_is_read_on_a_phone() {
    let long = "<name>".repeat(60);
    let members: Vec<_> = (0..500)
        .map(|n| {
            member(n * 3 + 1, &format!("{n}{long}"), &long, ("critical & <worse>", 2), PhaseName::Firing)
        })
        .collect();
    for message in [
        digest(&members, &Called::default(), &words(Class::First)),
        edit(event_id!("$digest"), &members, &words(Class::First)),
    ] {
        assert!(message.bytes() <= MOST_BYTES, "{}", message.bytes());
        assert!(visible_characters(&message) <= 7_000, "{}", visible_characters(&message));
    }
}
