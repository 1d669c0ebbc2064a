//! The client of the homeserver's Client-Server API.
//!
//! One [`Client`] makes the requests of every virtual user; an [`Identity`] names the user. Each function makes one
//! request and does not retry; a [`ClientError`] says who acts next. The outbox paces, retries and stores results. No
//! other folder uses ruma's request types of the Client-Server API.

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
pub use failure::{ClientError, Concern, Failure};
pub use history::Page;
pub use liveness::{ServerVersions, WhoAmI};
pub use power_levels::PowerLevels;
pub use rooms::ResolvedAlias;
pub use tls::install_tls_provider;
