//! A page arrives exactly once, wherever matrixbot, the homeserver or the connection between them fails.

use super::{HOUR, MINUTE, messages_to};
use crate::homeserver::{Endpoint, Fault};
use crate::world::{Group, Rooms, Setup, World, finance_list};
use matrixbot::matrix::{Client, Timeouts};
use matrixbot::outbox::{Outbox, OutboxSettings};
use matrixbot::rooms;
use matrixbot::worker::Worker as _;
use secrecy::SecretString;
use std::time::Duration;

/// The failure while the page is sent.
enum Failure {
    /// matrixbot is killed before the homeserver has read the request.
    DiesBefore,
    /// matrixbot is killed, and the homeserver handles the request after that.
    DiesWhile,
    /// matrixbot is killed after the message is in the room.
    DiesAfter,
    /// matrixbot's request times out.
    TimesOut(Fault),
    /// The connection or the homeserver fails.
    Fails(Fault),
}

async fn world(devices: bool) -> (World, Rooms) {
    let setup = Setup::prepare().await;
    if !devices {
        setup.homeserver.without_devices();
    }
    let rooms = setup.rooms();
    (setup.start(&finance_list("")).await, rooms)
}

/// An outbox with short timeouts.
fn outbox_with_short_timeouts(world: &World) -> Outbox {
    let token = SecretString::from(world.homeserver.appservice().as_token);
    let timeouts = Timeouts { connect: Duration::from_millis(200), request: Duration::from_millis(200) };
    let client = Client::new(world.homeserver.url(), token, timeouts).unwrap();
    let parts = &world.bot.parts;
    parts.outbox(rooms::Rooms::new(client, parts.store.clone()), OutboxSettings::default())
}

async fn report_with_failure(world: &mut World, rooms: &Rooms, failure: &Failure) {
    let page = messages_to(&rooms.ops);
    let held = match failure {
        Failure::DiesBefore | Failure::DiesWhile => Some(world.homeserver.hold_before(page)),
        Failure::DiesAfter => Some(world.homeserver.hold_after(page)),
        Failure::TimesOut(fault) | Failure::Fails(fault) => {
            world.homeserver.fail_next(page, fault.clone());
            None
        }
    };
    let (status, answer) = world.post(&Group::firing("DiskFull", world.now()).payload()).await;
    assert_eq!(status, 200, "{answer}");
    if let Some(held) = held {
        world.dies_at(&held).await;
        if matches!(failure, Failure::DiesWhile) {
            held.release();
        }
        world.restart_bot().await;
    } else if matches!(failure, Failure::TimesOut(_)) {
        outbox_with_short_timeouts(world).step().await.unwrap();
    } else {
        world.settle().await;
    }
}

async fn the_page_arrives_once(failure: Failure) {
    for (devices, restarts) in [(true, false), (true, true), (false, false), (false, true)] {
        let (mut world, rooms) = world(devices).await;
        report_with_failure(&mut world, &rooms, &failure).await;
        if restarts {
            world.homeserver.restart().await;
        }
        world.pass(MINUTE * 5).await;
        let posts = world.posts(&rooms.ops);
        assert_eq!(posts.len(), 1, "devices: {devices}, homeserver restarts: {restarts}: {posts:#?}");
        assert_eq!(posts[0].reactions.len(), 1, "it can be acknowledged");
        assert_eq!(world.attempts(&rooms.ops).0.len(), 1, "every attempt has the same transaction id");
        assert_eq!(world.homeserver.faults_left(), 0);
        world.nothing_is_left().await;
    }
}

#[tokio::test]
async fn killed_before_the_page_is_sent() {
    the_page_arrives_once(Failure::DiesBefore).await;
}

#[tokio::test]
async fn killed_while_the_page_is_sent() {
    the_page_arrives_once(Failure::DiesWhile).await;
}

#[tokio::test]
async fn killed_between_sending_and_settling() {
    the_page_arrives_once(Failure::DiesAfter).await;
}

#[tokio::test]
async fn the_reply_is_lost_after_the_page_was_accepted() {
    the_page_arrives_once(Failure::Fails(Fault::DropReplyAfterAccepting)).await;
}

#[tokio::test]
async fn the_connection_breaks_before_the_page_is_accepted() {
    the_page_arrives_once(Failure::Fails(Fault::DropBeforeAccepting)).await;
}

#[tokio::test]
async fn a_proxy_answers_in_place_of_the_homeserver() {
    for status in [200, 404, 502] {
        the_page_arrives_once(Failure::Fails(Fault::NonJson(status))).await;
    }
}

#[tokio::test]
async fn the_homeserver_fails() {
    for status in [500, 503, 504] {
        the_page_arrives_once(Failure::Fails(Fault::Status(status, "M_UNKNOWN"))).await;
    }
}

#[tokio::test]
async fn the_homeserver_does_not_answer_in_time() {
    the_page_arrives_once(Failure::TimesOut(Fault::Hang)).await;
}

#[tokio::test]
async fn a_day_later_matrixbot_searches_the_page_before_it_sends_it_again() {
    for devices in [true, false] {
        let (mut world, rooms) = world(devices).await;
        report_with_failure(&mut world, &rooms, &Failure::DiesAfter).await;
        world.bot.kill().await;
        world.homeserver.restart().await;
        world.clock.advance(HOUR * 25);
        world.restart_bot().await;
        world.settle().await;
        world.pass(MINUTE * 5).await;
        let page = world.only_post(&rooms.ops);
        assert!(page.edited, "the incident is resolved as stale, so the message was edited: {}", page.body);
        assert!(world.homeserver.count(Endpoint::Messages) > 0, "matrixbot searched the room");
        world.nothing_is_left().await;
    }
}

#[tokio::test]
async fn a_page_that_was_not_sent_for_a_day_is_not_sent_once_its_incident_is_resolved_as_stale() {
    let (mut world, rooms) = world(true).await;
    report_with_failure(&mut world, &rooms, &Failure::Fails(Fault::DropBeforeAccepting)).await;
    world.bot.kill().await;
    world.clock.advance(HOUR * 25);
    world.restart_bot().await;
    world.settle().await;
    assert_eq!(world.posts(&rooms.ops), []);
    assert!(world.homeserver.count(Endpoint::Messages) > 0, "matrixbot searched the room");
    world.nothing_is_left().await;
}
