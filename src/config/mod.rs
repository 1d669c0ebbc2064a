//! What the operator writes: `config.yaml`, checked as a whole, every problem found at once.
//!
//! A file is read into a tree that knows where everything stands (`yaml`), and decoded by functions that note what
//! is wrong and go on (`decode`, `table`; one file per part). The same functions say what they read (`outline`), for
//! the documents and the JSON Schema. Adding a key: a field in `types`, and a call of `Table::key` in its part's
//! decoder with all there is to say of it.

mod decode;
mod expand;
mod load;
mod outline;
mod policy;
mod problem;
mod registration;
mod room_list;
mod sections;
mod swallowed;
mod table;
mod types;
mod yaml;

pub use decode::Outside;
pub use load::{load, load_listen};
pub use outline::{example, reference, schema};
pub use problem::Problem;
pub use registration::{appservice_address, read_registration};
pub use types::{
    AlertmanagerAuth, AlertmanagerConfig, Config, Database, Homeserver, Listen, Listener, Registration,
    Retention, RoomListConfig, TlsFiles,
};

#[cfg(test)]
mod tests;
