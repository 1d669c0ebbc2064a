use super::{Command, Context, Parsed, Verb, View, Which, parse};
use jiff::Timestamp;

pub(super) const BARE: Context<'static> = Context {
    reply_or_thread: false,
    mentioned: false,
    named: false,
    acks: &[],
    // 2026-11-24T12:00:00Z
    at: Timestamp::constant(1_795_521_600, 0),
    now: Timestamp::constant(1_795_521_600, 0),
    zone: None,
};
pub(super) const THREAD: Context<'static> = Context { reply_or_thread: true, ..BARE };
const MENTIONED: Context<'static> = Context { mentioned: true, ..BARE };

/// A parsed text in one line, for the tables below.
pub(super) fn described(parsed: &Parsed) -> String {
    let which = |which: &Which| match which {
        Which::Numbers(numbers) => numbers.iter().map(i64::to_string).collect::<Vec<_>>().join(","),
        Which::Ranges(ranges) => {
            ranges.iter().map(|(first, last)| format!("{first}-{last}")).collect::<Vec<_>>().join(",")
        }
        Which::All => "all".to_owned(),
        Which::This => "this".to_owned(),
    };
    let with = |comment: &Option<String>| comment.as_ref().map(|c| format!(" ({c})")).unwrap_or_default();
    match parsed {
        Parsed::Chatter => "-".to_owned(),
        Parsed::Mistake(mistake) => format!("! {}", mistake.problem),
        Parsed::Command(command) => match command {
            Command::Act { act, which: w, comment } => {
                let length = act.length().map(|length| format!(" {}s", length.as_secs())).unwrap_or_default();
                format!("{} {}{length}{}", act.verb().word(), which(w), with(comment))
            }
            Command::Show { view: View::Incident, which: w } => format!("show {}", which(w)),
            Command::Show { view: View::Timeline, which: w } => format!("timeline {}", which(w)),
            Command::Silence { which: w, lasting, comment, confirmed } => {
                let confirmed = if *confirmed { " confirmed" } else { "" };
                format!("silence {} {}s{confirmed}{}", which(w), lasting.as_secs(), with(comment))
            }
            Command::Unsilence { id } => format!("unsilence {id}"),
            Command::Query(query) => format!("{query:?}").to_lowercase(),
            Command::OnCall(on_call) => format!("oncall {on_call:?}").to_lowercase(),
            Command::NotAvailable(verb) => format!("later {}", verb.word()),
        },
    }
}

pub(super) fn check(context: Context<'_>, table: &[(&str, &str)]) {
    for (text, expected) in table {
        assert_eq!(described(&parse(text, context)), *expected, "{text:?} in {context:?}");
    }
}

#[test]
fn a_text_in_the_room_is_a_command_only_if_it_is_exactly_one() {
    check(
        BARE,
        &[
            ("ack 42", "ack 42"),
            ("  ACK #42  ", "ack 42"),
            ("ack42", "ack 42"),
            ("ACK#42, #43", "ack 42,43"),
            ("**ack 42**", "ack 42"),
            ("`ack 42`", "ack 42"),
            ("Acknowledge 42", "ack 42"),
            ("ack 42.", "ack 42"),
            ("ack 42 looking into it", "ack 42 (looking into it)"),
            ("ack 42, looking", "ack 42 (looking)"),
            ("ack 42 — looking", "ack 42 (looking)"),
            ("ack 42: 3 disks are gone", "ack 42 (3 disks are gone)"),
            ("ack 42\nline two\n  line three", "ack 42 (line two\n  line three)"),
            ("ack 42 43 #44", "ack 42,43,44"),
            ("ack #42,#43, 44 and 45", "ack 42,43,44,45"),
            ("ack 42 42", "ack 42"),
            ("ack 42 and done", "ack 42 (and done)"),
            ("ack all", "ack all"),
            ("unack 42", "unack 42"),
            ("snooze 42 2h", "snooze 42 7200s"),
            ("snooze 42 1h30m", "snooze 42 5400s"),
            ("snooze 42 1h 30m", "snooze 42 5400s"),
            ("snooze 42 2d", "snooze 42 172800s"),
            ("snooze 42 2H", "snooze 42 7200s"),
            ("snooze 42 30M", "snooze 42 1800s"),
            ("snooze 42 43 90s", "snooze 42,43 90s"),
            ("snooze 42 2 hours", "snooze 42 7200s"),
            ("snooze 42 2h until the vendor calls", "snooze 42 7200s (until the vendor calls)"),
            ("snooze all 15m", "snooze all 900s"),
            ("unsnooze 42", "unsnooze 42"),
            ("escalate 42", "escalate 42"),
            ("resolve 42 replaced the disk", "resolve 42 (replaced the disk)"),
            ("pending", "pending"),
            ("Pending!", "pending"),
            ("escalated", "escalated"),
            ("show 42", "show 42"),
            ("timeline 42", "timeline 42"),
            ("help", "help"),
            ("silence 42 2h disk is on order", "silence 42 7200s (disk is on order)"),
            ("silence 42", "silence 42 7200s"),
            ("silence 42 2 hours", "silence 42 7200s"),
            ("silence 42 30d !confirm", "silence 42 2592000s confirmed"),
            ("silence 42 !confirm", "silence 42 7200s confirmed"),
            ("silence 42 disk swap", "! `disk` is not a duration."),
            ("silence 42 31d", "! A silence lasts at least `1m` and at most `30d`."),
            ("silence 42 10s", "! A silence lasts at least `1m` and at most `30d`."),
            ("silences", "silences"),
            (
                "unsilence 8a07086b-74f3-4a78-8f0e-0c1f9d1c2b3a",
                "unsilence 8a07086b-74f3-4a78-8f0e-0c1f9d1c2b3a",
            ),
            ("unsilence 8a07", "unsilence 8a07"),
            ("oncall", "oncall who"),
            ("stats 7d", "later stats"),
            ("maintenance 2h", "later maintenance"),
            ("maintenance end", "later maintenance"),
        ],
    );
}

#[test]
fn chatter_gets_no_answer() {
    check(
        BARE,
        &[
            ("", "-"),
            ("pending stuff is fun", "-"),
            ("acknowledge that we are late", "-"),
            ("ack, looking", "-"),
            ("ack all good here", "! Unexpected `good here` after `ack all`."),
            ("ack 3-5", "ack 3-5"),
            ("ack #3..#5 disks", "ack 3-5 (disks)"),
            ("ack 40-95, 97 and #99", "ack 40-95,97-97,99-99"),
            ("ack #40–#95", "ack 40-95"),
            ("ack 5-3", "! `5-3` is not an incident number."),
            ("ack 1-9999", "! `1-9999` has more than 2000 numbers."),
            ("snooze 4-6 2h", "snooze 4-6 7200s"),
            ("show 3-5", "! `show` takes no range."),
            ("show storm", "storm"),
            ("resolve all the things", "-"),
            ("resolve 3-5 of them", "-"),
            ("ack3 and move on", "ack 3 (and move on)"),
            ("*sigh*", "-"),
            ("resolve this please", "-"),
            ("show me", "-"),
            ("show 42 people the door", "-"),
            ("help me", "-"),
            ("escalated again, sigh", "-"),
            ("escalate it to Bob", "-"),
            ("silence please", "-"),
            ("silence is golden", "-"),
            ("stats look fine", "-"),
            ("maintenance is on Friday", "-"),
            ("snooze button", "-"),
            ("I will ack 42", "-"),
            ("42", "-"),
            ("!!!", "-"),
            ("!", "-"),
            ("! ", "-"),
            ("backpack 42", "-"),
        ],
    );
    check(
        THREAD,
        &[
            ("", "-"),
            ("looks like the disk again", "-"),
            ("can somebody escalate?", "-"),
            ("escalate this to Bob please", "-"),
            ("show must go on", "-"),
            ("help is on the way", "-"),
            ("pending on the vendor", "-"),
            ("timeline of the outage follows", "-"),
            ("silence it?", "-"),
            ("42", "-"),
        ],
    );
}

#[test]
fn in_a_reply_or_thread_the_number_is_optional() {
    check(
        THREAD,
        &[
            ("ack", "ack this"),
            ("Ack!", "ack this"),
            ("ack looking into it", "ack this (looking into it)"),
            ("ack, looking", "ack this (looking)"),
            ("ack all good, I am on it", "ack this (all good, I am on it)"),
            ("ack all", "ack all"),
            ("ack 43", "ack 43"),
            ("unack", "unack this"),
            ("snooze 2h", "snooze this 7200s"),
            ("snooze 5 minutes", "snooze this 300s"),
            ("snooze 1 hour 30 minutes", "snooze this 5400s"),
            ("snooze 43 2h", "snooze 43 7200s"),
            ("escalate", "escalate this"),
            ("resolve", "resolve this"),
            ("resolve replaced the disk", "resolve this (replaced the disk)"),
            ("show", "show this"),
            ("timeline", "timeline this"),
            ("pending", "pending"),
            ("!ack", "ack this"),
        ],
    );
}

#[test]
fn every_addressed_text_gets_an_answer() {
    for context in [BARE, THREAD] {
        check(
            context,
            &[
                ("!ack 42", "ack 42"),
                ("! ack 42", "ack 42"),
                ("!HELP", "help"),
                ("!frobnicate", "! Unknown command `frobnicate`."),
                ("!pending 3", "! Unexpected `3` after `pending`."),
                ("!silence 42", "silence 42 7200s"),
            ],
        );
    }
    check(
        MENTIONED,
        &[
            ("ack 42", "ack 42"),
            ("", "help"),
            ("!ack 42", "ack 42"),
            ("thanks!", "! Unknown command `thanks!`."),
            ("ack", "! `ack` needs an incident number."),
            ("ack the disk", "! `the` is not an incident number."),
            ("ack all good", "! Unexpected `good` after `ack all`."),
            ("show me", "! `me` is not an incident number."),
        ],
    );
}

#[test]
fn a_mistake_names_the_problem() {
    check(
        BARE,
        &[
            ("ack", "! `ack` needs an incident number."),
            ("snooze", "! `snooze` needs an incident number."),
            ("snooze 2h", "! `snooze` needs an incident number."),
            ("snooze 42", "! `snooze` needs a duration."),
            ("snooze 42 tomorrow", "! `tomorrow` is not a duration."),
            ("snooze 42 0s", "! `0s` is not a duration."),
            ("snooze 42 1.5h", "! `1.5h` is not a duration."),
            ("snooze 42 30m1h", "! `30m1h` is not a duration."),
            ("ack 0", "! `0` is not an incident number."),
            ("ack 99999999999999999999", "! `99999999999999999999` is not an incident number."),
            (
                "acknowledge 123e4567-e89b-12d3-a456-426614174000",
                "! `123e4567-e89b-12d3-a456-426614174000` is an id of another bot. Incidents have numbers here.",
            ),
            (
                "acknowledge 123E4567E89B12D3A456426614174000",
                "! `123E4567E89B12D3A456426614174000` is an id of another bot. Incidents have numbers here.",
            ),
        ],
    );
    check(
        THREAD,
        &[
            ("snooze tomorrow", "! `tomorrow` is not a duration."),
            ("unack please", "! Unexpected `please` after `unack`."),
            ("snooze 42", "! `snooze` needs a duration."),
        ],
    );
    let Parsed::Mistake(mistake) = parse("!akc 42", BARE) else { panic!("not a mistake") };
    assert_eq!(mistake.hint, "Did you mean `ack 42 [comment]`? Type `help` for the list of commands.");
    let Parsed::Mistake(mistake) = parse("snooze 42 1.5h", BARE) else { panic!("not a mistake") };
    assert!(mistake.hint.starts_with("Did you mean `1h30m`? "), "{}", mistake.hint);
    let many = (1..=101).map(|n| n.to_string()).collect::<Vec<_>>().join(" ");
    assert_eq!(
        described(&parse(&format!("ack {many}"), BARE)),
        "! One command can name at most 100 incidents."
    );
}

#[test]
fn quoted_text_is_short_and_stays_within_its_backticks() {
    let Parsed::Mistake(mistake) = parse(&format!("!x`{}", "y".repeat(1000)), BARE) else {
        panic!("no mistake")
    };
    assert_eq!(mistake.problem.matches('`').count(), 2);
    assert!(mistake.problem.chars().count() < 80, "{}", mistake.problem);
}

#[test]
fn every_usage_parses_and_every_typo_gets_a_suggestion() {
    for verb in Verb::ALL.iter().copied() {
        let usage = verb
            .row()
            .usage
            .replace(" [comment]", " a comment")
            .replace(" [7d]", "")
            .replace(" [next]", "")
            .replace("ID", "a1b2");
        assert!(matches!(parse(&usage, BARE), Parsed::Command(_)), "{usage}");
        for word in verb.row().words {
            assert_eq!(Verb::from_word(word), Some(verb));
            assert!(Verb::nearest(&format!("{word}x")).is_some(), "{word}");
        }
    }
    assert_eq!(Verb::nearest("frobnicate"), None);
}
