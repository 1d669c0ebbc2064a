//! Messages in the fallback rooms.

use super::incidents::{page_sent, paged};
use super::*;
use crate::render::fallback;
use insta::assert_snapshot;

/// The timeline of an unanswered incident. Its alerts are firing for 46 minutes, its first page was sent 45 minutes
/// ago; an earlier run was paged long before.
fn unanswered_story() -> Vec<Entry> {
    let run =
        [started(46, RunReason::Refired), paged(46, 0), page_sent(45, 0), paged(30, 1), page_sent(30, 1)];
    let earlier = [fired(300), paged(300, 0), page_sent(300, 0)];
    [earlier.as_slice(), &run, &[entry(0, Kind::Unanswered)]].concat()
}

#[test]
fn the_fallback_room_learns_that_nobody_answered() {
    let policy = sample::policy();
    let unanswered = fallback::unanswered(&single(), &unanswered_story(), &context(&policy));
    assert_snapshot!(snapshot_of(&unanswered));
}

#[test]
fn a_reminder_mentions_the_given_people() {
    let policy = sample::policy();
    let called = context(&policy).on_call.resolve(&policy.levels[0].mention);
    let mut story = unanswered_story();
    story.extend([entry(0, Kind::Reminded { number: 1 }), entry(0, Kind::Reminded { number: 2 })]);
    assert_snapshot!(snapshot_of(&fallback::reminder(&single(), &story, 2, &called, &context(&policy))));
}

#[test]
fn without_a_sent_page_no_waiting_time_is_named() {
    let policy = sample::policy();
    let lost = |level| entry(45, Kind::Undeliverable { loop_no: 0, level });
    let story = [fired(45), paged(45, 0), lost(0), paged(45, 1), lost(1), entry(45, Kind::Unanswered)];
    let message = fallback::unanswered(&single(), &story, &context(&policy));
    let reason = message.text.plain().split("\n\n").nth(1).unwrap().to_owned();
    assert_eq!(reason, "Nobody acknowledged. There is no level after level 2.");
}

#[test]
fn the_fallback_room_learns_which_rooms_are_unreachable() {
    let policy = sample::policy();
    assert_snapshot!(snapshot_of(&fallback::unreachable(&single(), 1, &context(&policy))));
}

#[test]
fn an_incident_that_is_set_aside_calls_the_whole_room() {
    let message =
        fallback::set_aside("finance", 42, Some("DiskFull"), "incident.phase of 42 cannot be read: parked");
    assert!(message.mentions.room);
    assert_eq!(
        message.text.plain(),
        "⚠️ NOT ESCALATING #42 DiskFull · finance\n\nmatrixbot cannot use what it has stored about this incident. Until it \
         can, this incident pages nobody and sends no reminders, so please look after its alerts. Other incidents are not \
         affected. The operators find the cause in the log: incident.phase of 42 cannot be read: parked\n\n@room"
    );
    let unnamed = fallback::set_aside("finance", 42, None, "");
    assert!(unnamed.text.plain().starts_with("⚠️ NOT ESCALATING #42 unnamed · finance"));
}

#[test]
fn people_whom_pages_mention_in_vain_are_named_with_the_reason() {
    let people = [
        ("@bob:example.org", "not in #ops:example.org"),
        ("@bov:example.org", "example.org has no such user"),
    ];
    let people = people.map(|(user, why)| (user.to_owned(), why.to_owned()));
    assert_eq!(
        fallback::mentions_absent("finance", &people).text.plain(),
        "⚠️ Pages of finance mention people whom they do not reach:\n\n• @bob:example.org: not in #ops:example.org\n• \
         @bov:example.org: example.org has no such user\n\nInvite them to the room, or ask the operators to correct \
         \"mention\" in the configuration. The pages themselves arrive."
    );
}

#[test]
fn a_moved_alias_is_a_link_to_its_new_room() {
    let message = fallback::alias_moved("finance", "#ops:example.org", "\"New <ops>\" (!new)");
    assert_eq!(
        message.text.plain(),
        "#ops:example.org leads to another room. Alerts of finance are now posted in \"New <ops>\" (!new)."
    );
    let html = message.content().unwrap()["formatted_body"].as_str().unwrap().to_owned();
    assert!(
        html.ends_with(
            "<a href=\"https://matrix.to/#/%23ops:example.org\">&quot;New &lt;ops&gt;&quot; (!new)</a>."
        ),
        "{html}"
    );
}

#[test]
fn an_alias_that_pages_cannot_follow_asks_for_an_invitation() {
    let waits = fallback::AliasWaits {
        alias: "#ops:example.org",
        from: "!old",
        to: "!new",
        user: ruma::user_id!("@_alerts_finance:example.org"),
        why: "join: M_FORBIDDEN (403)",
    };
    assert_eq!(
        fallback::alias_waits("finance", &waits).text.plain(),
        "⚠️ #ops:example.org leads to another room, !new, but @_alerts_finance:example.org cannot post there: join: \
         M_FORBIDDEN (403). Alerts of finance stay in !old. They follow once @_alerts_finance:example.org is invited to the \
         new room and may post there."
    );
}

#[test]
fn a_room_that_was_closed_without_a_successor_is_named() {
    let why = "it does not name this room as its predecessor";
    assert_eq!(
        fallback::successor_refused("finance", "#ops:example.org (!old)", "!new", why).text.plain(),
        "⚠️ #ops:example.org (!old) was closed and names !new as its successor, but it does not name this room as its \
         predecessor. Alerts of finance are still posted in the closed room, as long as it is not read-only. Upgrade the \
         room again, or ask the operators to configure the new room."
    );
}

#[test]
fn a_successor_that_cannot_be_joined_leaves_the_pages_where_they_are() {
    let user = ruma::user_id!("@_alerts_finance:example.org");
    let rooms = ("#ops:example.org (!old)", "!new");
    assert_eq!(
        fallback::successor_waits("finance", rooms, user, "join: M_FORBIDDEN (403).").text.plain(),
        "⚠️ #ops:example.org (!old) moved to !new, but @_alerts_finance:example.org cannot join that room: join: M_FORBIDDEN \
         (403). Alerts of finance are still posted in the old room. They follow once @_alerts_finance:example.org is invited \
         to the new room."
    );
}
