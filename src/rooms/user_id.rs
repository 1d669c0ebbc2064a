//! User ids of virtual users: the only source of their names, of the namespace and of the registration.

use ruma::{IdParseError, OwnedUserId, ServerName, UserId};

/// The device id of every virtual user.
pub const DEVICE_ID: &str = "MATRIXBOT";

/// The user id of a room list's virtual user.
pub fn user_id_for(
    room_list: &str,
    user_prefix: &str,
    server_name: &ServerName,
) -> Result<OwnedUserId, IdParseError> {
    UserId::parse(format!("@{user_prefix}{room_list}:{server_name}"))
}

/// The users namespace of the registration. Its end is anchored because Synapse anchors only the start.
pub fn namespace_regex(user_prefix: &str, server_name: &ServerName) -> String {
    format!("@{}.*:{}$", escape(user_prefix), escape(server_name.as_str()))
}

/// Escapes `text` for regular expressions of both Python and Rust.
fn escape(text: &str) -> String {
    text.chars().fold(String::new(), |mut escaped, c| {
        if !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '=' | '/' | ':')) {
            escaped.push('\\');
        }
        escaped.push(c);
        escaped
    })
}

#[cfg(test)]
mod tests {
    use super::{namespace_regex, user_id_for};
    use ruma::server_name;

    #[test]
    fn a_room_list_names_its_virtual_user() {
        let server = server_name!("example.org");
        let user = user_id_for("finance", "_alerts_", server).unwrap();
        assert_eq!(user, "@_alerts_finance:example.org");
    }

    #[test]
    fn the_namespace_is_escaped_and_anchored() {
        assert_eq!(namespace_regex("_alerts_", server_name!("example.org")), r"@_alerts_.*:example\.org$");
        assert_eq!(namespace_regex("_a.b_", server_name!("[::1]:8448")), r"@_a\.b_.*:\[::1\]:8448$");
    }
}
