//! What virtual users are called: the one place that names, namespace and registration come from.

use ruma::{IdParseError, OwnedUserId, ServerName, UserId};

/// The device of every virtual user.
pub const DEVICE_ID: &str = "MATRIXBOT";

/// The virtual user of a room list.
pub fn user_id_for(
    room_list: &str,
    user_prefix: &str,
    server_name: &ServerName,
) -> Result<OwnedUserId, IdParseError> {
    UserId::parse(format!("@{user_prefix}{room_list}:{server_name}"))
}

/// The users namespace as the registration has it. Anchored at its end, because Synapse anchors only the start.
pub fn namespace_regex(user_prefix: &str, server_name: &ServerName) -> String {
    format!("@{}.*:{}$", escape(user_prefix), escape(server_name.as_str()))
}

/// Escapes for the regular expressions of Python and Rust alike.
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
