//! Sends messages: claim with a lease, render, send, settle.
//!
//! One process at a time holds a room's gate, and has several messages of different incidents on their way. It commits its
//! lease and their content before the requests. After a request, one transaction under the same lease records the result of
//! the attempt, applies it to the incident, and claims the room's next messages. If the process dies, its lease expires, and
//! another one looks for each of the messages in the room before it sends it again with the same transaction id.

mod claiming;
mod digests;
mod dispatch;
mod elsewhere;
mod gathering;
mod pacing;
mod rendering;
mod searching;
mod sending;
mod serving;
mod settling;
mod sharing;
mod trouble;
mod width;

pub use dispatch::{Outbox, OutboxError, OutboxSettings};
