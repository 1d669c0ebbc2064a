//! The endpoints of the homeserver, as metrics and errors name them.

use std::fmt;
use strum::{IntoStaticStr, VariantArray};

/// An endpoint of the Client-Server API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, IntoStaticStr, VariantArray)]
#[expect(missing_docs, reason = "the names explain themselves; `as_str` is the metric's label")]
#[strum(serialize_all = "snake_case")]
pub enum Endpoint {
    Versions,
    #[strum(serialize = "whoami")]
    WhoAmI,
    Ping,
    Register,
    Device,
    Profile,
    Upload,
    Join,
    Leave,
    Alias,
    JoinedRooms,
    #[strum(serialize = "members")]
    JoinedMembers,
    State,
    Send,
    SendState,
    Redact,
    Relations,
    Messages,
}

impl Endpoint {
    /// Every endpoint, so each label value of a metric exists from start-up.
    pub const ALL: &[Self] = Self::VARIANTS;

    /// The name in metrics, logs and errors.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
