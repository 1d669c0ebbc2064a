//! Permissions. Only [`allowed`] decides them: the inbox, the shell, `help` and refusals call it.

use super::answer::Need;
use super::command::{Act, Command, Query, Verb};
use super::policy::{Permissions, Policy, Role};
use super::time::lasting;
use ruma::UserId;
use std::collections::BTreeSet;
use std::time::Duration;

/// The right that a verb requires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// None: everyone in the room may read.
    Look,
    /// The role `respond`.
    Respond,
    /// The role `respond` up to this length, `moderate` beyond it.
    RespondUpTo(Duration),
    /// The role `moderate`.
    Moderate,
}

/// How far a role may use a verb.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowed {
    /// Not at all.
    No,
    /// With a length of at most this.
    UpTo(Duration),
    /// Without limits.
    Yes,
}

/// Who gives a command.
#[derive(Debug, Clone, Copy)]
pub enum Caller<'a> {
    /// A member of the room.
    Member {
        /// Their Matrix user.
        user_id: &'a UserId,
        /// Their power level in the room; `None` if it was not fetched or is unknown.
        power_level: Option<i64>,
        /// The schedules in which they are on call now.
        on_call: &'a BTreeSet<String>,
    },
    /// The person who acknowledged and now removes the reaction that did it.
    Acker,
    /// Someone at the command line, who can read the configuration and the database anyway.
    Shell,
}

/// How far a role may use a verb.
pub fn allowed(verb: Verb, role: Role) -> Allowed {
    match (verb.row().right, role) {
        (Right::Look, Role::None | Role::Respond | Role::Moderate)
        | (Right::Respond, Role::Respond | Role::Moderate)
        | (Right::RespondUpTo(_) | Right::Moderate, Role::Moderate) => Allowed::Yes,
        (Right::RespondUpTo(length), Role::Respond) => Allowed::UpTo(length),
        (Right::Respond | Right::RespondUpTo(_), Role::None)
        | (Right::Moderate, Role::None | Role::Respond) => Allowed::No,
    }
}

/// The role of a caller. The operator's setting for a user overrides the user's power level, and whether the user is on call
/// in a schedule that the policy mentions.
pub fn role(caller: Caller<'_>, policy: &Policy) -> Role {
    let permissions = &policy.permissions;
    match caller {
        Caller::Shell => Role::Moderate,
        Caller::Acker => Role::Respond,
        Caller::Member { user_id, power_level, on_call } => match permissions.users.get(user_id) {
            Some(role) => *role,
            None if power_level.is_some_and(|level| level >= permissions.moderate_power_level) => {
                Role::Moderate
            }
            None if policy.schedules().is_disjoint(on_call) => Role::Respond,
            None => permissions.on_call.max(Role::Respond),
        },
    }
}

/// What a role lacks to change who is on call; `None`: nothing. `of_others`: whether shifts of other people change.
pub fn missing_on_call(of_others: bool, role: Role, permissions: &Permissions) -> Option<Need> {
    match role {
        Role::None => Some(Need::Forbidden),
        Role::Respond if of_others => {
            let to = "change the shifts of others".to_owned();
            Some(Need::PowerLevel { to, level: permissions.moderate_power_level })
        }
        Role::Respond | Role::Moderate => None,
    }
}

/// What a role lacks for an act; `None`: nothing.
pub fn missing(act: Act, role: Role, permissions: &Permissions) -> Option<Need> {
    missing_for(act.verb(), act.length(), role, permissions)
}

/// What a role lacks for a verb with this length; `None`: nothing.
pub fn missing_for(
    verb: Verb,
    length: Option<Duration>,
    role: Role,
    permissions: &Permissions,
) -> Option<Need> {
    let power_level = |to| Some(Need::PowerLevel { to, level: permissions.moderate_power_level });
    match allowed(verb, role) {
        allowed if allowed.covers(length) => None,
        Allowed::UpTo(longest) => power_level(format!("{} for more than {}", verb.word(), lasting(longest))),
        Allowed::No | Allowed::Yes if role == Role::None => Some(Need::Forbidden),
        Allowed::No | Allowed::Yes => power_level(verb.word().to_owned()),
    }
}

/// Whether the answer to a command depends on the sender's power level, which matrixbot must fetch from the homeserver.
pub fn depends_on_power_level(command: &Command) -> bool {
    match command {
        Command::Act { act, .. } => !allowed(act.verb(), Role::Respond).covers(act.length()),
        Command::Query(query) => *query == Query::Help,
        Command::Silence { .. } | Command::Unsilence { .. } => true,
        Command::OnCall(on_call) => on_call.is_change(),
        Command::Show { .. } | Command::NotAvailable(_) => false,
    }
}

impl Allowed {
    /// Whether an act of this length is allowed; `None`: an act without a length.
    pub fn covers(self, length: Option<Duration>) -> bool {
        match self {
            Self::No => false,
            Self::UpTo(longest) => length.is_some_and(|length| length <= longest),
            Self::Yes => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::command::{Context, Parsed, VerbEffect, parse};
    use crate::domain::policy::{Level, Mention};
    use proptest::prelude::*;
    use ruma::user_id;
    use std::collections::BTreeMap;

    const ROLES: [Role; 3] = [Role::None, Role::Respond, Role::Moderate];
    const HOUR: Duration = Duration::from_hours(1);

    fn permissions() -> Permissions {
        let users = BTreeMap::from([
            (user_id!("@boss:example.org").to_owned(), Role::Moderate),
            (user_id!("@guest:example.org").to_owned(), Role::None),
        ]);
        Permissions { moderate_power_level: 50, users, on_call: Role::Moderate }
    }

    fn of(permissions: Permissions) -> Policy {
        let mention = vec![Mention::OnCall("primary".to_owned())];
        let level = Level { rooms: Vec::new(), escalate_after: HOUR, mention };
        Policy { permissions, ..Policy::with_levels(vec![level]) }
    }

    fn member(user_id: &UserId, power_level: Option<i64>) -> Role {
        role(Caller::Member { user_id, power_level, on_call: &BTreeSet::new() }, &of(permissions()))
    }

    #[test]
    fn those_on_call_in_a_mentioned_schedule_moderate_if_the_operator_says_so() {
        let in_schedule = |user_id: &UserId, schedule: &str, permissions: Permissions| {
            let on_call = BTreeSet::from([schedule.to_owned()]);
            role(Caller::Member { user_id, power_level: Some(0), on_call: &on_call }, &of(permissions))
        };
        let alice = user_id!("@alice:example.org");
        assert_eq!(in_schedule(alice, "primary", permissions()), Role::Moderate);
        assert_eq!(in_schedule(alice, "of others", permissions()), Role::Respond);
        assert_eq!(in_schedule(alice, "primary", Permissions::default()), Role::Respond);
        assert_eq!(in_schedule(user_id!("@guest:example.org"), "primary", permissions()), Role::None);
    }

    #[test]
    fn shifts_of_others_require_the_role_moderate() {
        let lacks = |of_others| ROLES.map(|role| missing_on_call(of_others, role, &permissions()).is_some());
        assert_eq!((lacks(false), lacks(true)), ([true, false, false], [true, true, false]));
    }

    #[test]
    fn members_respond_and_moderators_do_more() {
        let alice = user_id!("@alice:example.org");
        assert_eq!(member(alice, None), Role::Respond);
        assert_eq!(member(alice, Some(49)), Role::Respond);
        assert_eq!(member(alice, Some(50)), Role::Moderate);
    }

    #[test]
    fn the_operators_setting_overrides_the_power_level() {
        assert_eq!(member(user_id!("@boss:example.org"), Some(0)), Role::Moderate);
        assert_eq!(member(user_id!("@guest:example.org"), Some(100)), Role::None);
        assert_eq!(missing(Act::Acknowledge, Role::None, &permissions()), Some(Need::Forbidden));
        assert_eq!(missing(Act::Snooze(HOUR), Role::None, &permissions()), Some(Need::Forbidden));
        assert_eq!(missing(Act::Resolve, Role::None, &permissions()), Some(Need::Forbidden));
    }

    #[test]
    fn only_a_long_snooze_requires_a_power_level() {
        let longer = HOUR + Duration::from_secs(1);
        assert_eq!(missing(Act::Snooze(HOUR), Role::Respond, &permissions()), None);
        let needs = |to: &str| Some(Need::PowerLevel { to: to.to_owned(), level: 50 });
        assert_eq!(
            missing(Act::Snooze(longer), Role::Respond, &permissions()),
            needs("snooze for more than 1 h")
        );
        assert_eq!(missing(Act::Snooze(longer), Role::Moderate, &permissions()), None);
        assert_eq!(missing(Act::Resolve, Role::Respond, &permissions()), needs("resolve"));
        assert_eq!(missing(Act::Resolve, Role::Moderate, &permissions()), None);
    }

    #[test]
    fn only_acts_and_silences_require_a_right() {
        let is_checked = |verb: Verb| verb.is_act() || matches!(verb, Verb::Silence | Verb::Unsilence);
        for verb in Verb::ALL.iter().filter(|verb| verb.is_available() && !is_checked(**verb)) {
            assert_eq!(verb.row().right, Right::Look, "{verb:?}: nothing checks it");
        }
    }

    #[test]
    fn silences_require_the_role_moderate() {
        for (text, verb) in [("silence 42", Verb::Silence), ("unsilence 8c6c", Verb::Unsilence)] {
            let Parsed::Command(command) = parse(text, Context::default()) else { panic!("{text}") };
            assert!(depends_on_power_level(&command), "{text}");
            let lacks = ROLES.map(|role| missing_for(verb, None, role, &permissions()).is_some());
            assert_eq!(lacks, [true, true, false], "{text}");
        }
    }

    fn any_act() -> impl Strategy<Value = (Act, String)> {
        let verbs: Vec<Verb> =
            Verb::ALL.iter().copied().filter(|verb| verb.is_available() && verb.is_act()).collect();
        (proptest::sample::select(verbs), 1_u64..200_000).prop_map(|(verb, seconds)| {
            let for_a_time = matches!(verb.row().effect, VerbEffect::ActFor(_));
            let length = if for_a_time { format!(" {seconds}s") } else { String::new() };
            let text = format!("{} 42{length}", verb.word());
            let Parsed::Command(Command::Act { act, .. }) = parse(&text, Context::default()) else {
                panic!("{text} is no act")
            };
            (act, text)
        })
    }

    proptest! {
        #[test]
        fn a_higher_role_may_do_everything_that_a_lower_one_may((act, _) in any_act()) {
            let lacks = ROLES.map(|role| missing(act, role, &permissions()).is_some());
            prop_assert!(lacks.is_sorted_by(|lower, higher| lower >= higher), "{act:?}: {lacks:?}");
        }

        #[test]
        fn the_power_level_is_fetched_exactly_when_it_decides(
            (act, text) in any_act(), threshold in -10_i64..110, level in -10_i64..110,
        ) {
            let permissions = Permissions { moderate_power_level: threshold, ..Permissions::default() };
            let (policy, on_call) = (of(permissions.clone()), BTreeSet::new());
            let user_id = user_id!("@alice:example.org");
            let lacks = |power_level| {
                let caller = Caller::Member { user_id, power_level, on_call: &on_call };
                missing(act, role(caller, &policy), &permissions)
            };
            let Parsed::Command(command) = parse(&text, Context::default()) else { panic!() };
            if depends_on_power_level(&command) {
                prop_assert_eq!(lacks(Some(level)).is_some(), level < threshold);
            } else {
                prop_assert_eq!(lacks(Some(level)), lacks(None));
            }
        }

        #[test]
        fn the_shell_may_do_everything((act, _) in any_act()) {
            prop_assert_eq!(missing(act, role(Caller::Shell, &of(permissions())), &permissions()), None);
        }
    }
}
