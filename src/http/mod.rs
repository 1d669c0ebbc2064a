//! Listeners, TLS, tokens, error answers and probes.

mod access_log;
pub mod answer;
mod listening;
mod main_runtime;
mod probes;
mod tls;
pub mod token;

pub use listening::{Binding, ListenError, Listening, Services, bind};
pub use main_runtime::MainRuntime;
pub use probes::{Check, Found, Probes};
pub use tls::{Certificate, Tls, TlsError};
