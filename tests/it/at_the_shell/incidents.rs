//! `matrixbot incidents`: the commands of rooms at the shell.

use super::{ALICE, Site};
use crate::alertmanager::{Alert, Alertmanager};
use crate::waiting::until;
use crate::world::{Group, TOKEN, post, series_of};
use matrixbot::clock::{Clock as _, SystemClock};
use serde_json::Value;

impl Site {
    /// Alertmanager reports a group. Returns the incident's number.
    pub(super) async fn fires(&self, name: &str) -> i64 {
        let body = Group::firing(name, SystemClock.now()).payload().to_string();
        let url = format!("http://127.0.0.1:{}/webhook/finance", self.ports[1]);
        let (status, answer) = post(&url, TOKEN, body).await;
        assert_eq!(status, 200, "{answer}");
        answer["incident"].as_i64().unwrap()
    }

    /// Waits until the first room has a message with the group's name and the wanted text.
    async fn shows(&self, name: &str, wanted: &str) {
        until(wanted, async || {
            let messages = self.homeserver.messages(&self.ops);
            messages.iter().any(|message| message.body.contains(name) && message.body.contains(wanted))
        })
        .await;
    }

    async fn phase(&self, number: i64) -> Value {
        let output = self.run(&["incidents", "show", &number.to_string(), "--json"]).await;
        assert_eq!(output.code, Some(0), "{output:#?}");
        output.json()[0]["state"].clone()
    }
}

#[tokio::test]
async fn a_change_at_the_shell_is_visible_in_the_room_with_its_user() {
    let site = Site::prepare().await;
    let _program = site.start().await;
    assert_eq!(site.run(&["incidents"]).await.out, "There are no open incidents.\n");
    let (disk, host) = (site.fires("DiskFull").await, site.fires("HostDown").await);
    site.shows("DiskFull", "FIRING").await;
    site.shows("HostDown", "FIRING").await;
    let listed = site.run(&["incidents"]).await;
    let rows: Vec<&str> = listed.out.lines().collect();
    assert_eq!(rows.len(), 3, "{listed:#?}");
    assert!(rows[1].starts_with("#1  firing  critical  1       1/2    "), "{listed:#?}");
    assert!(rows[2].ends_with("finance    HostDown"), "{listed:#?}");

    let acked = site.run(&["incidents", "ack", "1", "--comment", "on my way"]).await;
    assert_eq!(acked.code, Some(0), "{acked:#?}");
    assert!(acked.out.starts_with("👀 #1 DiskFull: acknowledged"), "{acked:#?}");
    site.shows("DiskFull", "ACKNOWLEDGED").await;
    site.shows("DiskFull", "on my way").await;
    let timeline = site.run(&["incidents", "timeline", "1"]).await;
    assert!(timeline.out.contains(" acknowledged from the command line: “on my way”"), "{timeline:#?}");
    let as_alice = site.run(&["incidents", "ack", "#2", "--as", ALICE, "--json"]).await;
    assert_eq!(as_alice.json()[0]["result"], "acknowledged", "{as_alice:#?}");
    site.shows("HostDown", "Acknowledged by @alice:example.test").await;
    let admin = format!("http://127.0.0.1:{}", site.ports[2]);
    let counted = r#"matrixbot_acknowledgements_total{room_list="finance",via="api"}"#;
    until("the running process counts them", async || series_of(&admin, counted).await == Some(2.0)).await;
    let listed = site.run(&["incidents", "list", "--state=acknowledged", "--json"]).await.json();
    assert_eq!(listed[1]["acknowledged_by"][0], ALICE, "{listed:#}");

    for (act, words) in [
        (vec!["unack", "1"], "acknowledgement withdrawn. It pages again in 10 s."),
        (vec!["escalate", "1"], "escalated. Now paging level 1 of 2."),
        (vec!["snooze", "1", "--for=2h"], "snoozed until"),
        (vec!["unsnooze", "1"], "snooze ended."),
        (vec!["resolve", "all"], "resolved by hand. 1 alert is still firing."),
    ] {
        let output = site.run(&[&["incidents"], &act[..]].concat()).await;
        assert!(output.code == Some(0) && output.out.contains(words), "{act:?}: {output:#?}");
    }
    site.shows("DiskFull", "RESOLVED").await;
    assert_eq!((site.phase(disk).await, site.phase(host).await), ("resolved".into(), "resolved".into()));
    assert_eq!(site.run(&["incidents"]).await.out, "There are no open incidents.\n");
    assert_eq!(site.run(&["incidents", "list", "--all", "--json"]).await.json().as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn an_incident_acknowledged_while_the_homeserver_is_down_is_never_paged() {
    let site = Site::prepare().await;
    let program = site.start().await;
    site.homeserver.down().await;
    site.fires("DiskFull").await;
    let output = site.run(&["incidents", "show", "1"]).await;
    assert!(
        output.out.contains("#1 DiskFull") && output.out.contains("Shown in no room yet."),
        "{output:#?}"
    );
    // The command needs no running process.
    drop(program);
    let acked = site.run(&["incidents", "ack", "all", "--room-list=finance"]).await;
    assert_eq!(acked.code, Some(0), "{acked:#?}");
    site.homeserver.up().await;
    let _program = site.start().await;
    until("nothing waits", async || {
        site.count("SELECT count(*) FROM outbox WHERE state IN ('pending', 'sending')").await == 0
    })
    .await;
    let messages = site.homeserver.messages(&site.ops);
    assert!(!messages.iter().any(|message| message.body.contains("FIRING")), "{messages:#?}");
    assert_eq!(site.phase(1).await, "acknowledged");
}

#[tokio::test]
async fn an_impossible_command_fails_with_the_reason() {
    let site = Site::prepare().await;
    let program = site.start().await;
    site.fires("DiskFull").await;
    drop(program);
    for (arguments, words) in [
        (vec!["ack", "7"], "#7: there is no such incident."),
        (vec!["unack", "1"], "nobody has acknowledged it"),
        (vec!["show", "7"], "there is no incident 7"),
        (vec!["list", "--room-list=nobody"], "the database knows no room list nobody; it knows finance"),
    ] {
        let output = site.run(&[&["incidents"], &arguments[..]].concat()).await;
        assert_eq!(output.code, Some(1), "{output:#?}");
        assert!(format!("{}{}", output.out, output.err).contains(words), "{words}: {output:#?}");
    }
    assert_eq!(site.run(&["incidents", "ack", "fortytwo"]).await.code, Some(2));
    let nothing = site.run(&["incidents", "unsnooze", "all"]).await;
    assert_eq!((nothing.code, nothing.out.as_str()), (Some(0), "Nothing is open that this could concern.\n"));
    site.database.down().await;
    let output = site.run(&["incidents"]).await;
    assert!(
        output.code == Some(1) && output.err.contains("`matrixbot doctor` says how to fix it"),
        "{output:#?}"
    );
    site.database.up().await;
}

#[tokio::test]
async fn silences_are_made_listed_and_ended_at_the_shell() {
    let site = Site::prepare().await;
    let alertmanager = Alertmanager::start();
    let more = format!("\nalertmanagers:\n  - name: main\n    url: {}\n", alertmanager.url());
    let _program = site.start().await;
    let disk = Alert::new("DiskFull", "finance").with_label("instance", "db-1");
    alertmanager.fire(disk.clone());
    let body = Group::of(&disk, SystemClock.now()).payload().to_string();
    let url = format!("http://127.0.0.1:{}/webhook/finance", site.ports[1]);
    assert_eq!(post(&url, TOKEN, body).await.0, 200);
    let output = site.run(&["incidents", "silence", "1", "2h"]).await;
    assert_eq!(output.code, Some(1), "{output:#?}");
    assert!(output.out.contains("matrixbot knows no Alertmanager"), "{output:#?}");
    site.write("config.yaml", &(site.config() + &more));
    let output = site.run(&["incidents", "silence", "1", "2h", "disk", "swap", "--as", ALICE]).await;
    assert_eq!(output.code, Some(0), "{output:#?}");
    assert!(output.out.starts_with("🔇 #1 DiskFull: silenced in Alertmanager main until"), "{output:#?}");
    let made = alertmanager.silences();
    assert!(made.len() == 1 && made[0].comment.starts_with("#1 disk swap ["), "{made:#?}");
    let listed = site.run(&["incidents", "silences", "--json"]).await.json();
    assert_eq!(listed["silences"][0]["created_by"], ALICE, "{listed:#}");
    let id = listed["silences"][0]["id"].as_str().unwrap().to_owned();
    let output = site.run(&["incidents", "unsilence", &id]).await;
    assert!(output.code == Some(0) && output.out.contains("ended in Alertmanager main"), "{output:#?}");
    assert_eq!(site.run(&["incidents", "unsilence", &id]).await.code, Some(1));
    assert_eq!(site.run(&["incidents", "silence", "1", "40d"]).await.code, Some(2));
}
