//! What the operator writes: `config.yaml`, checked as a whole, every problem found at once.

pub mod problem;
pub mod types;

pub use problem::Problem;
pub use types::{
    AlertmanagerAuth, AlertmanagerConfig, Config, Database, Homeserver, Listen, Listener, Registration,
    Retention, RoomListConfig, TlsFiles,
};
