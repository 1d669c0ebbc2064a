//! Answers to commands about silences.

use super::*;
use crate::domain::answer::{ActResult, Acted, Answer, Need, Rest};
use crate::domain::silencing::{Failed, Made, SilenceLine, SilenceResult, SilencingAnswer, UnsilenceResult};
use crate::render::answer::answer;
use insta::assert_snapshot;

fn answered(of: SilencingAnswer) -> String {
    let policy = sample::policy();
    answer(&Answer::Silencing { of }, &context(&policy)).text.plain().to_owned()
}

fn silenced(result: SilenceResult) -> String {
    answered(SilencingAnswer::Silence { number: 42, name: "DiskFull".to_owned(), result })
}

fn all(answers: impl IntoIterator<Item = String>) -> String {
    answers.into_iter().collect::<Vec<_>>().join("\n---\n")
}

fn made(alertmanager: &str, until: Timestamp) -> Made {
    let ids = vec!["5f0b1d5c-0000-4000-8000-000000000001".to_owned()];
    Made { alertmanager: alertmanager.to_owned(), ids, until }
}

fn failed() -> Vec<Failed> {
    let why = "it answered 503: Limit of concurrent GET requests reached (8), try again later.".to_owned();
    vec![Failed { alertmanager: "west".to_owned(), why }]
}

fn result(made: Vec<Made>, failed: Vec<Failed>, held: u64, not_held: u64, changed: u64) -> SilenceResult {
    SilenceResult::Made { made, failed, held, not_held, changed }
}

#[test]
fn every_result_of_silence() {
    let east = || vec![made("east", minutes_ahead(120))];
    let both = vec![made("east", minutes_ahead(26 * 60)), made("west", minutes_ahead(26 * 60 + 1))];
    let names = |count: usize| (1..=count).map(|n| format!("DiskFull instance=db-{n}")).collect();
    let not_listed = |failed, foreign| SilenceResult::NotListed {
        asked: vec!["east".to_owned(), "west".to_owned()],
        failed,
        foreign,
    };
    let neither = ["east", "west"]
        .map(|name| Failed { alertmanager: name.to_owned(), why: "it does not answer in time".to_owned() });
    let not_permitted =
        ActResult::NoRight { needs: Need::PowerLevel { to: "silence".to_owned(), level: 50 } };
    let acted = Acted { number: 42, name: Some("DiskFull".to_owned()), result: not_permitted };
    let policy = sample::policy();
    let refused = Answer::Acted { results: vec![acted], rest: Rest::default() };
    let refused = answer(&refused, &context(&policy)).text.plain().to_owned();
    let results = [
        result(east(), Vec::new(), 1, 0, 0),
        result(both, Vec::new(), 6, 0, 0),
        result(east(), failed(), 2, 1, 2),
        result(east(), Vec::new(), 0, 1, 0),
        result(Vec::new(), failed(), 0, 1, 0),
        SilenceResult::TooWide { others: 1, names: names(1) },
        SilenceResult::TooWide { others: 300, names: names(5) },
        not_listed(Vec::new(), false),
        not_listed(Vec::new(), true),
        not_listed(failed(), true),
        not_listed(neither.to_vec(), false),
        SilenceResult::NothingShared,
        SilenceResult::Changed,
        SilenceResult::Over,
    ];
    let answers =
        results.into_iter().map(silenced).chain([answered(SilencingAnswer::NotConfigured), refused]);
    assert_snapshot!(all(answers));
}

#[test]
fn every_result_of_unsilence() {
    let id = "5f0b1d5c-0000-4000-8000-000000000001";
    let ended = UnsilenceResult::Ended { alertmanager: "east".to_owned(), incidents: [42, 43].into() };
    let answers = [
        (id, ended, Vec::new()),
        ("5f0b", UnsilenceResult::Unknown, Vec::new()),
        ("5f0b", UnsilenceResult::Unknown, failed()),
        ("5f", UnsilenceResult::Ambiguous, Vec::new()),
        (id, UnsilenceResult::Failed, failed()),
    ];
    let answers =
        answers.map(|(id, result, failed)| SilencingAnswer::Unsilence { id: id.to_owned(), result, failed });
    assert_snapshot!(all(answers.map(answered)));
}

#[test]
fn a_list_of_silences() {
    let line = |id: &str, incidents: &[i64], comment: &str| SilenceLine {
        id: format!("{id}-0000-4000-8000-000000000001"),
        alertmanager: "east".to_owned(),
        incidents: incidents.iter().copied().collect(),
        created_by: "@alice:example.org".to_owned(),
        comment: comment.to_owned(),
        from: None,
        until: minutes_ahead(60),
    };
    let pending = SilenceLine {
        from: Some(minutes_ahead(30)),
        until: minutes_ahead(26 * 60),
        created_by: "carol".to_owned(),
        ..line("8c6c2a4e", &[42, 43], "maintenance <b>db</b>")
    };
    let silences = vec![line("5f0b1d5c", &[42], "#42 disk swap"), line("5f0b1d5d", &[44], ""), pending];
    let policy = sample::policy();
    let list = |silences, failed| SilencingAnswer::List { room_list: "finance".to_owned(), silences, failed };
    let shown = answer(&Answer::Silencing { of: list(silences, failed()) }, &context(&policy));
    let empty = all([list(Vec::new(), Vec::new()), list(Vec::new(), failed())].map(answered));
    assert_snapshot!(format!("{}\n=====\n{empty}", snapshot_of(&shown)));
}
