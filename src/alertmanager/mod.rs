//! In: Alertmanager's webhook (payload v4), and its authentication.

pub mod auth;
pub mod payload;
mod refusal;
pub mod webhook;
