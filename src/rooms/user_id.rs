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

/// The room list whose virtual user this would be; `None` if the user is outside the namespace.
pub fn room_list_of<'a>(user_id: &'a UserId, user_prefix: &str, server_name: &ServerName) -> Option<&'a str> {
    if user_id.server_name() != server_name {
        return None;
    }
    user_id.localpart().strip_prefix(user_prefix).filter(|room_list| !room_list.is_empty())
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
    use super::{namespace_regex, room_list_of, user_id_for};
    use ruma::{server_name, user_id};

    #[test]
    fn a_room_list_names_its_virtual_user_and_is_found_back() {
        let server = server_name!("example.org");
        let user = user_id_for("finance", "_alerts_", server).unwrap();
        assert_eq!(user, "@_alerts_finance:example.org");
        assert_eq!(room_list_of(&user, "_alerts_", server), Some("finance"));
    }

    #[test]
    fn users_outside_the_namespace_belong_to_no_room_list() {
        let server = server_name!("example.org");
        for user in [
            user_id!("@alice:example.org"),
            user_id!("@_alerts_finance:elsewhere.org"),
            user_id!("@_alerts_:example.org"),
        ] {
            assert_eq!(room_list_of(user, "_alerts_", server), None, "{user}");
        }
    }

    #[test]
    fn the_namespace_is_escaped_and_anchored() {
        assert_eq!(namespace_regex("_alerts_", server_name!("example.org")), r"@_alerts_.*:example\.org$");
        assert_eq!(namespace_regex("_a.b_", server_name!("[::1]:8448")), r"@_a\.b_.*:\[::1\]:8448$");
    }
}
