//! On a stop, matrixbot finishes in-flight work.

use super::Site;
use crate::homeserver::Match;
use crate::waiting::until;
use crate::world::{Group, TOKEN, post};
use futures_util::future::join_all;
use std::net::TcpStream;

#[tokio::test]
async fn a_message_in_flight_at_a_stop_is_settled_after_the_listeners_are_closed() {
    let site = Site::prepare().await;
    let mut program = site.start().await;
    let held = site.homeserver.hold_after(Match::send().in_room(&site.ops));
    // Close all connections, so the requests below open many at once.
    site.database.down().await;
    site.database.up().await;
    let url = format!("http://127.0.0.1:{}/webhook/finance", site.ports[1]);
    let groups = (0..20)
        .map(|number| Group::firing(&format!("Down{number}"), "2026-11-24T12:00:00Z".parse().unwrap()));
    let reports = groups.map(|group| post(&url, TOKEN, group.payload().to_string()));
    for (status, answer) in join_all(reports).await {
        assert_eq!(status, 200, "{answer}");
    }
    held.reached().await;
    program.signal("TERM");
    until("the listeners are closed", async || TcpStream::connect(("127.0.0.1", site.ports[1])).is_err())
        .await;
    held.release();
    until("it has stopped", async || program.log().contains("\"stopped\"")).await;
    assert!(program.child.wait().unwrap().success());
    let log = program.log();
    let (_, stop) = log.split_once("shutting down:").unwrap();
    assert!(!stop.contains("WARN"), "{log}");
    let posted =
        site.homeserver.timeline(&site.ops).iter().filter(|event| event.kind == "m.room.message").count();
    // If the database comes back late, a digest carries the pages.
    let sent =
        "SELECT count(*) FROM outbox WHERE state = 'sent' AND kind IN ('page', 'digest') AND carrier IS NULL";
    let settled = site.count(sent).await;
    assert_eq!(i64::try_from(posted).unwrap(), settled, "{log}");
}
