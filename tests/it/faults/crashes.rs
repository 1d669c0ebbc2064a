//! A page is one message in its room, wherever we, the homeserver or the wire between us break.

use super::{HOUR, MINUTE, messages_to};
use crate::homeserver::{Endpoint, Fault};
use crate::world::{Group, Rooms, Scenery, World, finance_list};
use matrixbot::matrix::{Client, Timeouts};
use matrixbot::outbox::{Outbox, OutboxSettings};
use matrixbot::rooms;
use matrixbot::worker::Worker as _;
use secrecy::SecretString;
use std::time::Duration;

/// What happens while the page is sent.
enum Blow {
    /// We die before the homeserver has read the request.
    DiesBefore,
    /// We die, and the request is carried out after that.
    DiesWhile,
    /// We die when the message is in the room.
    DiesAfter,
    /// We give up waiting.
    TimesOut(Fault),
    /// The wire or the homeserver fails.
    Fails(Fault),
}

async fn world(devices: bool) -> (World, Rooms) {
    let scenery = Scenery::prepare().await;
    if !devices {
        scenery.homeserver.without_devices();
    }
    let rooms = scenery.rooms();
    (scenery.begin(&finance_list("")).await, rooms)
}

/// An outbox that waits for the homeserver no longer than a moment.
fn impatient(world: &World) -> Outbox {
    let token = SecretString::from(world.homeserver.appservice().as_token);
    let timeouts = Timeouts { connect: Duration::from_millis(200), request: Duration::from_millis(200) };
    let client = Client::new(world.homeserver.url(), token, timeouts).unwrap();
    let parts = &world.bot.parts;
    parts.outbox(rooms::Rooms::new(client, parts.store.clone()), OutboxSettings::default())
}

async fn strike(world: &mut World, rooms: &Rooms, blow: &Blow) {
    let page = messages_to(&rooms.ops);
    let held = match blow {
        Blow::DiesBefore | Blow::DiesWhile => Some(world.homeserver.hold_before(page)),
        Blow::DiesAfter => Some(world.homeserver.hold_after(page)),
        Blow::TimesOut(fault) | Blow::Fails(fault) => {
            world.homeserver.fail_next(page, fault.clone());
            None
        }
    };
    let (status, answer) = world.post(&Group::firing("DiskFull", world.now()).payload()).await;
    assert_eq!(status, 200, "{answer}");
    if let Some(held) = held {
        world.dies_at(&held).await;
        if matches!(blow, Blow::DiesWhile) {
            held.release();
        }
        world.restart_bot().await;
    } else if matches!(blow, Blow::TimesOut(_)) {
        impatient(world).step().await.unwrap();
    } else {
        world.settle().await;
    }
}

async fn the_page_is_there_once(blow: Blow) {
    for (devices, restarts) in [(true, false), (true, true), (false, false), (false, true)] {
        let (mut world, rooms) = world(devices).await;
        strike(&mut world, &rooms, &blow).await;
        if restarts {
            world.homeserver.restart().await;
        }
        world.pass(MINUTE * 5).await;
        let said = world.said(&rooms.ops);
        assert_eq!(said.len(), 1, "devices: {devices}, homeserver restarts: {restarts}: {said:#?}");
        assert_eq!(said[0].reactions.len(), 1, "it can be acknowledged");
        assert_eq!(world.attempts(&rooms.ops).0.len(), 1, "every attempt has the same transaction id");
        assert_eq!(world.homeserver.faults_left(), 0);
        world.nothing_is_left().await;
    }
}

#[tokio::test]
async fn we_die_before_the_page_is_sent() {
    the_page_is_there_once(Blow::DiesBefore).await;
}

#[tokio::test]
async fn we_die_while_the_page_is_sent() {
    the_page_is_there_once(Blow::DiesWhile).await;
}

#[tokio::test]
async fn we_die_between_sending_and_settling() {
    the_page_is_there_once(Blow::DiesAfter).await;
}

#[tokio::test]
async fn the_reply_is_lost_after_the_page_was_accepted() {
    the_page_is_there_once(Blow::Fails(Fault::DropReplyAfterAccepting)).await;
}

#[tokio::test]
async fn the_connection_breaks_before_the_page_is_accepted() {
    the_page_is_there_once(Blow::Fails(Fault::DropBeforeAccepting)).await;
}

#[tokio::test]
async fn a_proxy_answers_in_place_of_the_homeserver() {
    for status in [200, 404, 502] {
        the_page_is_there_once(Blow::Fails(Fault::NonJson(status))).await;
    }
}

#[tokio::test]
async fn the_homeserver_fails() {
    for status in [500, 503, 504] {
        the_page_is_there_once(Blow::Fails(Fault::Status(status, "M_UNKNOWN"))).await;
    }
}

#[tokio::test]
async fn the_homeserver_does_not_answer_in_time() {
    the_page_is_there_once(Blow::TimesOut(Fault::Hang)).await;
}

#[tokio::test]
async fn a_day_later_the_page_is_looked_for_before_it_is_sent_again() {
    for devices in [true, false] {
        let (mut world, rooms) = world(devices).await;
        strike(&mut world, &rooms, &Blow::DiesAfter).await;
        world.bot.kill().await;
        world.homeserver.restart().await;
        world.clock.advance(HOUR * 25);
        world.restart_bot().await;
        world.settle().await;
        world.pass(MINUTE * 5).await;
        let page = world.only(&rooms.ops);
        assert!(page.edited, "nothing was heard of it for a day, which the message says: {}", page.body);
        assert!(world.homeserver.count(Endpoint::Messages) > 0, "it was looked for");
        world.nothing_is_left().await;
    }
}

#[tokio::test]
async fn what_was_not_sent_for_a_day_is_sent_after_looking_in_vain() {
    let (mut world, rooms) = world(true).await;
    strike(&mut world, &rooms, &Blow::Fails(Fault::DropBeforeAccepting)).await;
    world.bot.kill().await;
    world.clock.advance(HOUR * 25);
    world.restart_bot().await;
    world.settle().await;
    world.only(&rooms.ops);
    assert!(world.homeserver.count(Endpoint::Messages) > 0, "it was looked for");
    world.nothing_is_left().await;
}
