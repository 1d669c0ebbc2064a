//! Listeners, TLS, errors and probes.

mod access_log;
mod answer;
mod listening;
mod probes;
mod tls;

pub use answer::error;
pub use listening::{Binding, ListenError, Listening, Services, bind};
pub use probes::{Check, Probes};
pub use tls::{Tls, TlsError};
