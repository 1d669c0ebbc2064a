//! The endpoints of the homeserver, as metrics and errors name them.

use std::fmt;

/// An endpoint of the Client-Server API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names explain themselves; `as_str` is the metric's label")]
pub enum Endpoint {
    Versions,
    WhoAmI,
    Ping,
    Register,
    Device,
    Profile,
    Join,
    Leave,
    Alias,
    JoinedRooms,
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
    pub const ALL: [Self; 17] = [
        Self::Versions,
        Self::WhoAmI,
        Self::Ping,
        Self::Register,
        Self::Device,
        Self::Profile,
        Self::Join,
        Self::Leave,
        Self::Alias,
        Self::JoinedRooms,
        Self::JoinedMembers,
        Self::State,
        Self::Send,
        Self::SendState,
        Self::Redact,
        Self::Relations,
        Self::Messages,
    ];

    /// The name in metrics, logs and errors.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Versions => "versions",
            Self::WhoAmI => "whoami",
            Self::Ping => "ping",
            Self::Register => "register",
            Self::Device => "device",
            Self::Profile => "profile",
            Self::Join => "join",
            Self::Leave => "leave",
            Self::Alias => "alias",
            Self::JoinedRooms => "joined_rooms",
            Self::JoinedMembers => "members",
            Self::State => "state",
            Self::Send => "send",
            Self::SendState => "send_state",
            Self::Redact => "redact",
            Self::Relations => "relations",
            Self::Messages => "messages",
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
