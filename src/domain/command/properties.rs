//! What holds for every text.

use super::tests::{BARE, described};
use super::{Act, Command, Context, Parsed, Verb, Which, loose, parse};
use proptest::prelude::*;
use std::time::Duration;

fn any_context() -> impl Strategy<Value = Context<'static>> {
    (any::<bool>(), any::<bool>()).prop_map(|(reply_or_thread, mentioned)| Context {
        reply_or_thread,
        mentioned,
        ..BARE
    })
}

/// Texts that are similar to commands.
fn near_commands() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        proptest::sample::select(
            Verb::ALL.iter().flat_map(|verb| verb.row().words).map(|w| (*w).to_owned()).collect::<Vec<_>>()
        ),
        proptest::sample::select(
            [
                "!",
                "#",
                "42",
                "#7,8",
                "all",
                "and",
                "2h",
                "1h",
                "30m",
                "0",
                "end",
                ":",
                "-",
                "ß",
                "İ",
                "\u{a0}",
                "9999999999999999999999"
            ]
            .map(str::to_owned)
            .to_vec()
        ),
        "[a-zA-Z0-9µ.,:!#-]{0,6}",
    ];
    proptest::collection::vec(word, 0..8).prop_map(|words| words.join(" "))
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in prop_oneof![any::<String>(), near_commands()], context in any_context()) {
        parse(&text, context);
    }

    #[test]
    fn case_does_not_matter(text in near_commands().prop_filter("ASCII", |text| text.is_ascii()), context in any_context()) {
        let lower = described(&parse(&text.to_lowercase(), context)).to_lowercase();
        prop_assert_eq!(described(&parse(&text.to_uppercase(), context)).to_lowercase(), lower);
    }

    #[test]
    fn a_text_that_does_not_start_with_a_command_is_chatter(text in any::<String>(), reply_or_thread in any::<bool>()) {
        let first = text.trim().split(char::is_whitespace).next().unwrap_or_default();
        prop_assume!(!text.trim().starts_with('!') && Verb::from_word(first).is_none() && loose::verb(first).is_none());
        prop_assert_eq!(parse(&text, Context { reply_or_thread, ..BARE }), Parsed::Chatter);
    }

    #[test]
    fn only_a_reply_or_thread_names_an_incident_without_a_number(text in near_commands(), mentioned in any::<bool>()) {
        let parsed = parse(&text, Context { mentioned, ..BARE });
        let described = described(&parsed);
        prop_assert!(
            described.split_whitespace().nth(1) != Some("this") || matches!(parsed, Parsed::Mistake(_)),
            "{}",
            described
        );
    }

    #[test]
    fn numbers_are_positive_and_without_duplicates(text in near_commands(), context in any_context()) {
        if let Parsed::Command(Command::Act { act: Act::Acknowledge, which: Which::Numbers(numbers), .. }) = parse(&text, context) {
            let mut once = numbers.clone();
            once.sort_unstable();
            once.dedup();
            prop_assert_eq!(once.len(), numbers.len());
            prop_assert!(numbers.iter().all(|number| *number > 0));
        }
    }

    #[test]
    fn a_snooze_has_the_typed_length(number in 1_i64.., minutes in 1_u64..100_000) {
        let parsed = parse(&format!("snooze {number} {minutes}m"), BARE);
        prop_assert_eq!(parsed, Parsed::Command(Command::Act {
            act: Act::Snooze(Duration::from_mins(minutes)),
            which: Which::Numbers(vec![number]),
            comment: None,
        }));
    }
}
