//! Sends messages: claim with a lease, render, send, settle.
//!
//! A room has one message in flight. The outbox commits its lease and content before the request. After the request, one
//! transaction under the same lease records the result of the attempt, applies it to the incident, and claims the room's
//! next message. If a worker dies, its lease expires, and another worker looks for the message in the room before it sends it
//! again with the same transaction id.

mod claiming;
mod digests;
mod dispatch;
mod elsewhere;
mod gathering;
mod pacing;
mod rendering;
mod searching;
mod sending;
mod settling;
mod sharing;
mod trouble;

pub use dispatch::{Outbox, OutboxError, OutboxSettings};
