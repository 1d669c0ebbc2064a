//! What people type.
#![no_main]

use libfuzzer_sys::fuzz_target;
use matrixbot::domain::command::{Context, Parsed, parse};

fuzz_target!(|text: &str| {
    for reply_or_thread in [false, true] {
        for mentioned in [false, true] {
            if let Parsed::Mistake(mistake) = parse(text, Context { reply_or_thread, mentioned, ..Context::default() }) {
                assert!(mistake.problem.len() < 400 && mistake.hint.len() < 400, "answers are short");
            }
        }
    }
});
