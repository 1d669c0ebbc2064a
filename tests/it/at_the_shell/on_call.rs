//! `matrixbot oncall`, and what `doctor` says of schedules.

use super::{ALICE, Site};

/// A site with a rotation of two people and a calendar.
async fn site() -> Site {
    let site = Site::prepare().await;
    site.write(
        "on-call.ics",
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nBEGIN:VEVENT\r\nUID:1\r\nDTSTART:20260101T000000Z\r\nDTEND:20260102T000000Z\r\n\
         RRULE:FREQ=DAILY\r\nSUMMARY:On Call - Zoe - Primary\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n",
    );
    let schedules = format!(
        "on_call:\n  - name: primary\n    time_zone: Europe/Berlin\n    rotation: [{{people: ['{ALICE}', '@zoe:example.test'], \
         hand_off: Mon 09:00, starting: 2026-01-05}}]\n  - name: backup\n    calendar: {{file: on-call.ics}}\n"
    );
    let mention = "escalate_after: 15m\n        mention: [primary]";
    let config = site.config().replacen("escalate_after: 15m", mention, 1) + &schedules;
    site.write("config.yaml", &config);
    site
}

#[tokio::test]
async fn who_is_on_call_is_listed_for_any_time() {
    let site = site().await;
    assert_eq!(site.run(&["migrate"]).await.code, Some(0));
    let output = site.run(&["oncall", "primary", "--at", "2026-10-19 09:00", "--weeks", "2"]).await;
    assert_eq!(
        output.out,
        "primary (Europe/Berlin)\n  at Mon 2026-10-19 09:00: @zoe:example.test, until Mon 2026-10-26 09:00\n  \
         Mon 2026-10-19 09:00 - Mon 2026-10-26 09:00  @zoe:example.test\n  \
         Mon 2026-10-26 09:00 - Mon 2026-11-02 08:00  @alice:example.test\n",
        "two weeks are 336 hours, and the clock goes back meanwhile: {output:#?}"
    );
    let json = site.run(&["oncall", "--at", "2026-10-19T07:00:00Z", "--json"]).await.json();
    assert_eq!(json[0]["people"], serde_json::json!(["@zoe:example.test"]));
    assert_eq!(json[1]["people"], serde_json::json!([]), "no process has read its calendar yet");
    let ics = site.run(&["oncall", "primary", "--ics"]).await.out;
    assert!(ics.starts_with("BEGIN:VCALENDAR\r\n") && ics.contains("SUMMARY:@"), "{ics}");
    let unknown = site.run(&["oncall", "nights"]).await;
    assert!(unknown.code == Some(1) && unknown.err.contains("there are: primary, backup"), "{unknown:#?}");
    let wrong = site.run(&["oncall", "--at", "tomorrow"]).await;
    assert!(wrong.code == Some(2) && wrong.err.contains("is no time"), "{wrong:#?}");
}

#[tokio::test]
async fn doctor_reads_calendars_and_names_people_who_are_missing() {
    let site = site().await;
    let output = site.run(&["doctor"]).await;
    for expected in [
        "nobody knows the Matrix user of: Zoe",
        "nobody is on call now: pages mention its fallback_mention instead",
        "@zoe:example.test (finance)",
    ] {
        assert!(output.out.contains(expected), "{expected}: {output:#?}");
    }
    site.write("on-call.ics", "<html>Sign in</html>");
    let output = site.run(&["doctor"]).await;
    assert!(output.out.contains("its calendar cannot be read: what it holds is no calendar"), "{output:#?}");
    assert_eq!(output.code, Some(1));
}
