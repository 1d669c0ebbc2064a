//! In: Alertmanager's webhook (payload v4) with its authentication, and a client for Alertmanager's own API.

mod admission;
pub mod api;
pub mod auth;
mod current;
pub mod payload;
mod refusal;
pub mod routing;
pub mod webhook;

pub use current::{CurrentAlertmanagers, NamedAlertmanager};
