//! `matrixbot test-alert`: sends an alert through the whole path, and explains why a page does not arrive.

use super::Site;
use crate::homeserver::{Endpoint, Fault, Match};
use crate::waiting::until;

const FINANCE: [&str; 3] = ["test-alert", "--room-list", "finance"];

#[tokio::test]
async fn a_test_alert_is_paged_as_a_test_and_resolved() {
    let site = Site::prepare().await;
    let _program = site.start().await;
    let output = site.run(&FINANCE).await;
    assert_eq!(output.code, Some(0), "{output:#?}");
    let page = site.homeserver.messages(&site.ops).remove(0);
    assert!(page.body.contains("This is a test, nothing is wrong."), "{}", page.body);
    assert!(page.body.contains("tries the room list finance"), "{}", page.body);
    for line in [
        format!("http://127.0.0.1:{}/webhook/finance accepted it as incident 1, in 0.", site.ports[1]),
        format!("level 1: #ops:example.test {} after 0.", page.event_id),
        "It is resolved.".to_owned(),
    ] {
        assert!(output.out.contains(&line), "{line}\n{}", output.out);
    }
    assert_eq!(site.count("SELECT count(*) FROM incident WHERE phase = 'resolved'").await, 1);
    until("the room sees that it is resolved", async || {
        site.homeserver.messages(&site.ops)[0].body.contains("RESOLVED")
    })
    .await;
    assert!(site.homeserver.messages(&site.managers).is_empty());
}

#[tokio::test]
async fn a_second_level_is_paged_by_escalating_and_an_incident_can_be_kept() {
    let site = Site::prepare().await;
    let _program = site.start().await;
    let arguments = [&FINANCE[..], &["--level=2", "--severity=critical", "--keep", "--json"]].concat();
    let output = site.run(&arguments).await;
    assert_eq!(output.code, Some(0), "{output:#?}");
    let report = output.json();
    let pages = report["pages"].as_array().unwrap();
    assert_eq!((pages.len(), &pages[1]["room"]), (2, &"#managers:example.test".into()), "{report:#}");
    let page = site.homeserver.messages(&site.managers).remove(0);
    assert_eq!(pages[1]["event_id"], page.event_id.as_str());
    assert!(page.body.contains("critical"), "{}", page.body);
    assert_eq!(site.count("SELECT count(*) FROM incident WHERE phase = 'firing' AND level = 1").await, 1);
}

#[tokio::test]
async fn a_rejected_test_alert_is_explained() {
    let site = Site::prepare().await;
    let output = site.run(&FINANCE).await;
    assert_eq!(output.code, Some(1), "{output:#?}");
    assert!(output.err.contains("start `matrixbot run`"), "{output:#?}");
    let program = site.start().await;
    site.write("config.yaml", &site.config().replace("t0ken-of-the-webhook", "another"));
    let output = site.run(&FINANCE).await;
    assert!(
        output.code == Some(1) && output.err.contains("another webhook token for finance"),
        "{output:#?}"
    );
    drop(program);
    let unknown = site.run(&["test-alert", "--room-list", "nobody"]).await;
    assert_eq!(unknown.code, Some(2), "{unknown:#?}");
    assert!(unknown.err.contains("there are: finance"), "{unknown:#?}");
    assert_eq!(site.run(&[&FINANCE[..], &["--level=3"]].concat()).await.code, Some(2));
    assert_eq!(site.count("SELECT count(*) FROM incident").await, 0);
}

#[tokio::test]
async fn a_missing_page_is_explained_and_the_incident_is_resolved() {
    let site = Site::prepare().await;
    let _program = site.start().await;
    let sends = || Match::to(Endpoint::Send);
    site.homeserver.fail_until_cleared(sends(), Fault::Status(500, "M_UNKNOWN"));
    let output = site.run(&[&FINANCE[..], &["--timeout=1s"]].concat()).await;
    assert_eq!(output.code, Some(1), "{output:#?}");
    assert!(output.err.contains("is not in ") && output.err.contains("500 M_UNKNOWN"), "{output:#?}");
    until("it is resolved", async || {
        site.count("SELECT count(*) FROM incident WHERE phase = 'resolved'").await == 1
    })
    .await;
}

#[tokio::test]
async fn an_undeliverable_page_is_reported_immediately() {
    let site = Site::prepare().await;
    let _program = site.start().await;
    site.homeserver.change_power_levels(&site.ops, |levels| levels["events_default"] = 10.into());
    let output = site.run(&FINANCE).await;
    assert_eq!(output.code, Some(1), "{output:#?}");
    assert!(
        output.err.contains("cannot be delivered to ") && output.err.contains("M_FORBIDDEN"),
        "{output:#?}"
    );
}
