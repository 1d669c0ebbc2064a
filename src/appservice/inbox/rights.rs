//! Who may do what. Pure.

use crate::domain::answer::Need;
use crate::domain::input::Act;
use crate::domain::policy::{Permissions, Role};
use ruma::UserId;
use std::time::Duration;

/// The longest snooze that takes no more than membership.
const FREE_SNOOZE: Duration = Duration::from_hours(1);

/// What a member of the room may do. `power_level`: theirs in the room, if it was asked for.
pub(super) fn role(permissions: &Permissions, user_id: &UserId, power_level: Option<i64>) -> Role {
    match permissions.users.get(user_id) {
        Some(role) => *role,
        None if power_level.is_some_and(|level| level >= permissions.moderate_power_level) => Role::Moderate,
        None => Role::Respond,
    }
}

/// The role that an act takes.
pub(super) fn needed(act: Act) -> Role {
    match act {
        Act::Acknowledge | Act::Unacknowledge | Act::Unsnooze | Act::Escalate(_) => Role::Respond,
        Act::Snooze(how_long) if how_long <= FREE_SNOOZE => Role::Respond,
        Act::Snooze(_) | Act::Resolve => Role::Moderate,
    }
}

/// What somebody lacks for an act; `None`: nothing.
pub(super) fn lacks(act: Act, role: Role, permissions: &Permissions) -> Option<Need> {
    if role >= needed(act) {
        return None;
    }
    if role == Role::None {
        return Some(Need::Forbidden);
    }
    let to = match act {
        Act::Snooze(_) => "snooze for more than 1 h",
        Act::Resolve => "resolve by hand",
        Act::Acknowledge | Act::Unacknowledge | Act::Unsnooze | Act::Escalate(_) => "respond",
    };
    Some(Need::PowerLevel { to: to.to_owned(), level: permissions.moderate_power_level })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ruma::user_id;
    use std::collections::BTreeMap;

    fn permissions() -> Permissions {
        let users = BTreeMap::from([
            (user_id!("@boss:example.org").to_owned(), Role::Moderate),
            (user_id!("@guest:example.org").to_owned(), Role::None),
        ]);
        Permissions { moderate_power_level: 50, users }
    }

    #[test]
    fn members_respond_and_moderators_do_more() {
        let alice = user_id!("@alice:example.org");
        assert_eq!(role(&permissions(), alice, None), Role::Respond);
        assert_eq!(role(&permissions(), alice, Some(49)), Role::Respond);
        assert_eq!(role(&permissions(), alice, Some(50)), Role::Moderate);
    }

    #[test]
    fn the_operator_has_the_last_word() {
        assert_eq!(role(&permissions(), user_id!("@boss:example.org"), Some(0)), Role::Moderate);
        assert_eq!(role(&permissions(), user_id!("@guest:example.org"), Some(100)), Role::None);
        assert_eq!(lacks(Act::Acknowledge, Role::None, &permissions()), Some(Need::Forbidden));
    }

    #[test]
    fn a_short_snooze_takes_no_power_and_a_long_one_does() {
        let hour = Duration::from_hours(1);
        assert_eq!(lacks(Act::Snooze(hour), Role::Respond, &permissions()), None);
        assert!(lacks(Act::Snooze(hour * 2), Role::Respond, &permissions()).is_some());
        assert!(lacks(Act::Resolve, Role::Respond, &permissions()).is_some());
        assert_eq!(lacks(Act::Resolve, Role::Moderate, &permissions()), None);
    }
}
