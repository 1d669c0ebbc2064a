//! Who is on call: hand-overs, changes, and answers to `oncall`.

use super::lists::incident_line;
use super::{line, no_right};
use crate::domain::on_call::planning::{NewOverride, NoPlan};
use crate::domain::on_call::words::{Ahead, Changed, HandOver, Now, OnCallAnswer, ShiftSpan};
use crate::domain::policy::Mention;
use crate::domain::zone::Zone;
use crate::render::Context;
use crate::render::message::{Message, mentions};
use crate::render::rich::{Document, Rich};
use crate::render::size::fit_lines;
use crate::render::text::{count, short};
use jiff::Timestamp;
use ruma::{OwnedUserId, UserId};

/// Posted when another person is on call. Notifies that person, or if there is nobody the schedule's fallback.
pub fn hand_over(of: &HandOver, context: &Context<'_>) -> Message {
    let users = of.people.iter().cloned().map(Mention::User);
    let called: Vec<Mention> = if of.people.is_empty() { of.fallback.clone() } else { users.collect() };
    let headline = if of.people.is_empty() {
        let fallback = called.iter().map(|mention| match mention {
            Mention::User(user) => Rich::new().user(user),
            Mention::Room => Rich::from("@room"),
            Mention::OnCall(name) => Rich::from(name.clone()),
        });
        let nobody = Rich::from("⚠️ ").strong(&format!("Nobody is on call in {}", of.schedule));
        Rich::join(
            &[nobody.then(&unknown(&of.unknown)).text("."), Rich::join(&fallback.collect::<Vec<_>>(), " ")],
            " ",
        )
    } else {
        let now =
            Rich::from("📟 ").strong(&format!("On call in {}: ", of.schedule)).then(&people(&of.people));
        let until =
            of.until.map(|until| Rich::from(format!(" until {}", local(until, &of.zone, context.now))));
        now.then(&until.unwrap_or_default()).text(".")
    };
    let before = match of.before.as_slice() {
        [] => Rich::new(),
        before => Rich::from("Before: ").then(&people(before)).text("."),
    };
    let all = (of.incidents.len() as u64).saturating_add(of.more);
    let open = match all {
        0 => Rich::from("🟢 No open incidents."),
        all => Rich::from(format!("{}:", count(all, "open incident"))),
    };
    fit_lines(of.incidents.len().min(30), |kept| {
        let mut text = Document::default();
        text.paragraph(&[headline.clone(), before.clone(), open.clone()]);
        let items: Vec<_> =
            of.incidents.iter().take(kept).map(|incident| vec![incident_line(incident, context)]).collect();
        text.list(&items);
        if let more @ 1.. = all.saturating_sub(kept as u64) {
            text.paragraph(&[Rich::new().em(&format!("… and {more} more"))]);
        }
        Message::text(text, mentions(&called))
    })
}

/// Posted in other rooms when somebody changed who is on call. Notifies those who serve because of it.
pub fn changed(of: &Changed, context: &Context<'_>) -> Message {
    let mut called: Vec<Mention> = Vec::new();
    for made in &of.overrides {
        for user in std::iter::once(&made.person).chain(&made.instead_of) {
            let mention = Mention::User(user.clone());
            if *user != of.by && !called.contains(&mention) {
                called.push(mention);
            }
        }
    }
    Message::text(change(of, Some(&of.by), context.now), mentions(&called))
}

/// The answer to a command about who is on call.
pub(super) fn answer(of: &OnCallAnswer, context: &Context<'_>) -> Message {
    match of {
        OnCallAnswer::Who { schedules } => {
            let mut text = Document::default();
            for now in schedules {
                text.paragraph(&now_lines(now, context.now));
            }
            Message::notice(text)
        }
        OnCallAnswer::Next { schedules } => {
            let mut text = Document::default();
            for ahead in schedules {
                next(&mut text, ahead, context.now);
            }
            Message::notice(text)
        }
        OnCallAnswer::Changed { of } => Message::notice(change(of, None, context.now)),
        OnCallAnswer::NoPlan { schedule, zone, of } => line(&no_plan(schedule, zone, of, context.now)),
        OnCallAnswer::NothingToUndo => line(&Rich::new().marked(
            "You have made no change that still counts. Type `oncall` to see who is on call.",
        )),
        OnCallAnswer::NotPermitted { needs, others } => {
            let words = Rich::from("⛔ ").then(&no_right(needs));
            let give = Rich::from(" Or ask ").then(&people(others)).text(" to type ").command("oncall give").text(".");
            line(&if others.is_empty() { words } else { words.then(&give) })
        }
        OnCallAnswer::NoSchedule => line(&Rich::new().marked(
            "No schedule belongs to this room: no list of this room mentions one, and none announces here. The operators \
             configure schedules under `on_call`.",
        )),
        OnCallAnswer::WhichSchedule { typed, names } => {
            let first = names.first().map(String::as_str).unwrap_or_default();
            let problem = match typed {
                Some(typed) => format!("This room has no schedule `{}`.", short(&typed.replace('`', " "), 60)),
                None => "This room has several schedules: name one at the end.".to_owned(),
            };
            let hint = format!(" Schedules: {}. Type for example `oncall take 4h {first}`.", names.join(", "));
            line(&Rich::new().marked(&problem).marked(&hint))
        }
        OnCallAnswer::WhoIsThat { typed } => {
            let typed = short(&typed.replace('`', " "), 80);
            line(&Rich::new().marked(&format!(
                "Nobody in this room is called `{typed}`, or several are. Type a full user id such as `@bob:example.org`, \
                 or mention the person."
            )))
        }
    }
}

fn people(users: &[OwnedUserId]) -> Rich {
    let names: Vec<_> = users.iter().map(|user| Rich::new().user(user)).collect();
    Rich::join(&names, " and ")
}

fn unknown(names: &[String]) -> Rich {
    match names {
        [] => Rich::new(),
        names => {
            let names: Vec<String> = names.iter().map(|name| short(name, 60)).collect();
            Rich::from(format!(
                ": the calendar names {}, whose Matrix user is not configured",
                names.join(" and ")
            ))
        }
    }
}

/// Who serves, or that nobody does.
fn serving(users: &[OwnedUserId], names: &[String]) -> Rich {
    if users.is_empty() {
        return Rich::new().strong("nobody").then(&unknown(names));
    }
    people(users)
}

fn now_lines(now: &Now, at: Timestamp) -> Vec<Rich> {
    let mark = if now.people.is_empty() { "⚠️ " } else { "📟 " };
    let headline =
        Rich::from(mark).strong(&format!("{}: ", now.schedule)).then(&serving(&now.people, &now.unknown));
    let headline = if now.instead { headline.em(" (changed by hand)") } else { headline };
    let next = match &now.next {
        Some(next) => Rich::from(format!("From {} ", local(next.starts_at, &now.zone, at)))
            .then(&serving(&next.people, &next.unknown))
            .text("."),
        None => Rich::from("Nobody else is planned."),
    };
    let failing = now.failing_since.map(|since| {
        Rich::from(format!(
            "⚠️ Its calendar cannot be read since {}: this is the last known state.",
            local(since, &now.zone, at)
        ))
    });
    [Some(headline), Some(next), failing].into_iter().flatten().collect()
}

fn next(text: &mut Document, ahead: &Ahead, now: Timestamp) {
    text.paragraph(&[Rich::new().strong(&ahead.schedule).text(&format!(" ({})", ahead.zone.name()))]);
    let items: Vec<_> = ahead.shifts.iter().map(|shift| vec![shift_line(shift, &ahead.zone, now)]).collect();
    text.list(&items);
}

fn shift_line(shift: &ShiftSpan, zone: &Zone, now: Timestamp) -> Rich {
    let span =
        format!("{} – {}: ", short_local(shift.starts_at, zone, now), short_local(shift.ends_at, zone, now));
    Rich::from(span).then(&serving(&shift.people, &shift.unknown))
}

/// What changed, and for the same person or others how to undo it.
fn change(of: &Changed, by: Option<&UserId>, now: Timestamp) -> Document {
    let mut text = Document::default();
    let done = match (by, of.undone) {
        (Some(by), false) => Rich::new().user(by).text(" changed who is on call in "),
        (Some(by), true) => Rich::new().user(by).text(" undid a change of who is on call in "),
        (None, false) => Rich::from("Changed who is on call in "),
        (None, true) => Rich::from("Undone in "),
    };
    text.paragraph(&[Rich::from("🔁 ").then(&done).strong(&of.schedule).text(":")]);
    let items: Vec<_> = of.overrides.iter().map(|made| vec![override_line(made, of, now)]).collect();
    text.list(&items);
    if by.is_none() && !of.undone {
        text.paragraph(&[Rich::from("To undo this, type ").command("oncall undo").text(".")]);
    }
    text
}

fn override_line(made: &NewOverride, of: &Changed, now: Timestamp) -> Rich {
    let span = format!(
        "{} – {}: ",
        short_local(made.starts_at, &of.zone, now),
        short_local(made.ends_at, &of.zone, now)
    );
    let line = Rich::from(span).user(&made.person);
    match (&made.instead_of, of.others.as_slice()) {
        (Some(replaced), _) => line.text(" instead of ").user(replaced),
        (None, []) => line,
        (None, others) => line.text(" instead of ").then(&people(others)),
    }
}

fn no_plan(schedule: &str, zone: &Zone, why: &NoPlan, now: Timestamp) -> Rich {
    match why {
        NoPlan::AlreadyYours => {
            Rich::from("You are on call in ").strong(schedule).text(" for all of that time already.")
        }
        NoPlan::Yourself => Rich::new().marked("Name somebody else, for example `oncall give @bob 2d`."),
        NoPlan::NoShift { user, from, to, next } => {
            let words = Rich::new().user(user).text(" has no shift in ").strong(schedule).text(&format!(
                " from {} to {}.",
                local(*from, zone, now),
                local(*to, zone, now)
            ));
            match next {
                Some(next) => words.text(&format!(" The next one begins {}.", local(*next, zone, now))),
                None => words.text(" ").marked("Type `oncall next` to see the shifts."),
            }
        }
        NoPlan::TooFew { user, has, needed } => Rich::new().user(user).text(&format!(
            " has {} on such days in the next months; the swap needs {needed}.",
            count(*has, "shift")
        )),
    }
}

/// An instant on the clocks of a schedule: `Mon 30 Nov 09:00 CET`.
fn local(at: Timestamp, zone: &Zone, now: Timestamp) -> String {
    format!("{} {}", short_local(at, zone, now), zone.abbreviation(at))
}

fn short_local(at: Timestamp, zone: &Zone, now: Timestamp) -> String {
    let (at, now) = (at.to_zoned(zone.time_zone().clone()), now.to_zoned(zone.time_zone().clone()));
    let format = if at.year() == now.year() { "%a %-d %b %H:%M" } else { "%a %-d %b %Y %H:%M" };
    at.strftime(format).to_string()
}
