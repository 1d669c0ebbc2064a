//! What strangers put into a room.
#![no_main]

use libfuzzer_sys::fuzz_target;
use matrixbot::appservice::events::interpret;
use matrixbot::domain::command::{Context, parse};
use matrixbot::domain::incoming::{Happening, Incoming};
use serde_json::value::RawValue;

fuzz_target!(|event: &str| {
    let Ok(raw) = serde_json::from_str::<&RawValue>(event) else { return };
    if let Incoming::Event(event) = interpret(raw)
        && let Happening::Message(message) = event.what
    {
        let addressed = message.addressed(|_| true, |_| Some("Finance alerts".to_owned()));
        let reply_or_thread = message.reply_to.is_some() || message.thread_root.is_some();
        let (mentioned, named) = (addressed.user.is_some(), addressed.named);
        parse(addressed.text, Context { reply_or_thread, mentioned, named, ..Context::default() });
    }
});
