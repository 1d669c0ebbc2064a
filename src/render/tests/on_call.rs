//! What rooms read about who is on call.

use super::{context, now, sample};
use crate::domain::answer::{Answer, Need};
use crate::domain::on_call::planning::{NewOverride, NoPlan};
use crate::domain::on_call::words::{Changed, OnCallAnswer};
use crate::domain::zone::Zone;
use crate::render::answer::{answer, on_call};
use jiff::SignedDuration;
use ruma::{OwnedUserId, user_id};

fn user(name: &str) -> OwnedUserId {
    format!("@{name}:example.org").try_into().unwrap()
}

fn changed() -> Changed {
    let over = |person: &str, instead_of: Option<&str>, days: i64| NewOverride {
        person: user(person),
        instead_of: instead_of.map(user),
        starts_at: now() + SignedDuration::from_hours(24 * days),
        ends_at: now() + SignedDuration::from_hours(24 * days + 8),
    };
    Changed {
        schedule: "finance-primary".to_owned(),
        zone: "Europe/Berlin".parse::<Zone>().unwrap(),
        by: user("alice"),
        overrides: vec![over("bob", Some("alice"), 0), over("alice", Some("bob"), 45)],
        others: Vec::new(),
        undone: false,
    }
}

#[test]
fn every_answer_about_who_is_on_call() {
    let policy = sample::policy();
    let zone: Zone = "Europe/Berlin".parse().unwrap();
    let no_plan =
        |of| OnCallAnswer::NoPlan { schedule: "finance-primary".to_owned(), zone: zone.clone(), of };
    let (from, to) = (now(), now() + SignedDuration::from_hours(48));
    let needs = Need::PowerLevel { to: "change the shifts of others".to_owned(), level: 50 };
    let names = vec!["backup".to_owned(), "primary".to_owned()];
    let answers = [
        OnCallAnswer::Changed { of: changed() },
        OnCallAnswer::Changed { of: Changed { undone: true, ..changed() } },
        no_plan(NoPlan::AlreadyYours),
        no_plan(NoPlan::Yourself),
        no_plan(NoPlan::NoShift { user: user("bob"), from, to, next: Some(to) }),
        no_plan(NoPlan::NoShift { user: user("bob"), from, to, next: None }),
        no_plan(NoPlan::TooFew { user: user("bob"), has: 1, needed: 2 }),
        OnCallAnswer::NothingToUndo,
        OnCallAnswer::NotPermitted { needs, others: vec![user("bob")] },
        OnCallAnswer::NotPermitted { needs: Need::Forbidden, others: Vec::new() },
        OnCallAnswer::NoSchedule,
        OnCallAnswer::WhichSchedule { typed: None, names: names.clone() },
        OnCallAnswer::WhichSchedule { typed: Some("nights`".to_owned()), names },
        OnCallAnswer::WhoIsThat { typed: "Zoe `x`".to_owned() },
    ];
    let texts = answers.map(|of| answer(&Answer::OnCall { of }, &context(&policy)).text.plain().to_owned());
    insta::assert_snapshot!(texts.join("\n---\n"));
}

#[test]
fn a_change_is_announced_to_those_whom_it_concerns() {
    let policy = sample::policy();
    let message = on_call::changed(&changed(), &context(&policy));
    assert_eq!(message.mentions.user_ids.iter().collect::<Vec<_>>(), [user_id!("@bob:example.org")]);
    let text = message.text.plain();
    assert!(text.starts_with("🔁 @alice:example.org changed who is on call in finance-primary:"), "{text}");
    assert!(!text.contains("oncall undo"), "only the person who made it can undo it");
}
