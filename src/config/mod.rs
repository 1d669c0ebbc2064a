//! What the operator writes: `config.yaml`, checked as a whole, every problem found at once.

//!
//! A file is read into a tree that knows where everything stands (`yaml`), and decoded by functions that note what
//! is wrong and go on (`decode`, `table`; one file per part). Adding a key: a field in `types`, a line in its part's
//! decoder, an entry in `config.yaml.example`, without which a test fails.

mod decode;
mod duration;
mod expand;
mod load;
mod problem;
mod registration;
mod room_list;
mod sections;
mod swallowed;
mod table;
mod types;
mod yaml;

pub use decode::Outside;
pub use duration::parse_duration;
pub use load::load;
pub use problem::Problem;
pub use registration::read_registration;
pub use types::{
    AlertmanagerAuth, AlertmanagerConfig, Config, Database, Homeserver, Listen, Listener, Registration,
    Retention, RoomListConfig, TlsFiles,
};

#[cfg(test)]
mod tests;
