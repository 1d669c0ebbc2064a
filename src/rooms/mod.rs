//! Rooms and the virtual users in them: where references lead, who is in a room, and what cannot be reached.

pub mod user_id;
mod virtual_users;

pub use virtual_users::{UserError, VirtualUsers};
