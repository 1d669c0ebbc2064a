//! The Client-Server API as a virtual user.
//!
//! One [`Client`] speaks for every virtual user; an [`Identity`] says for which one. Each function is one request:
//! it is tried once, and a [`ClientError`] says who acts next. Trying again, pacing and remembering are duties of
//! the outbox. ruma's request types do not leave this folder.

mod accounts;
mod client;
mod endpoint;
mod failure;
mod history;
mod liveness;
mod power_levels;
mod rooms;
mod sending;
mod tls;

pub use client::{Client, Identity, RequestObserver, SetupError, Timeouts, Unobserved};
pub use endpoint::Endpoint;
pub use failure::{ClientError, Failure};
pub use history::Page;
pub use liveness::{ServerVersions, WhoAmI};
pub use power_levels::PowerLevels;
pub use rooms::ResolvedAlias;
pub use tls::install_tls_provider;
