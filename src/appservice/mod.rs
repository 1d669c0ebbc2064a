//! In: the homeserver's transactions, queries and ping, and what their events mean.

pub mod events;
pub mod http;
pub mod inbox;
mod mention;
