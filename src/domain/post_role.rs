//! What a message is to the post of its incident.

use strum::IntoStaticStr;

/// The relation of a sent message to its post.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum PostRole {
    /// The post itself.
    Root,
    /// A later page of the incident.
    Again,
    /// An edit of the post.
    Edit,
    /// An edit of the newest later page.
    EditAgain,
}

impl PostRole {
    /// The name in queries.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}
