//! In: Alertmanager's webhook (payload v4), and its authentication. And its own API.

pub mod api;
pub mod auth;
pub mod payload;
mod refusal;
pub mod routing;
pub mod webhook;
