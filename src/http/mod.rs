//! Listeners, TLS, errors and probes.

mod access_log;
pub mod answer;
mod listening;
mod probes;
mod tls;
pub mod token;

pub use listening::{Binding, ListenError, Listening, Services, bind};
pub use probes::{Check, Probes};
pub use tls::{Certificate, Tls, TlsError};
