//! Out: claim with a lease, render, send, settle.
//!
//! A room has one message in flight. Its lease, and the message's content, are committed before the request; what
//! became of it is recorded under the same lease, together with what follows for the incident, and the room's next
//! message is claimed in that same transaction. A worker that dies leaves a lease that runs out; whoever finds it
//! sends the same body under the same transaction id.

mod dispatch;
mod pacing;
mod rendering;
mod sending;
mod settling;

pub use dispatch::{Outbox, OutboxError, OutboxSettings};
