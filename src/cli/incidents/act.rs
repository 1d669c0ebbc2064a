//! Changes incidents.

use super::{Incidents, Which};
use crate::cli::print;
use crate::domain::answer::{ActResult, Acted, Answer, Hidden};
use crate::domain::input::{Act, PersonAction, Via};
use crate::domain::policy::Policy;
use crate::domain::rights::Caller;
use crate::engine::Change;
use crate::render::answer::answer;
use crate::store::incident;
use ruma::UserId;

/// The most incidents that `all` selects, as in a room.
const MOST: i64 = 100;

impl Incidents {
    /// Changes all incidents in one database transaction. Returns whether every change was made.
    pub(super) async fn act(
        &self,
        which: &[Which],
        act: Act,
        who: &UserId,
        comment: Option<&str>,
    ) -> anyhow::Result<bool> {
        let mut change = self.engine.begin().await?;
        let all = which.contains(&Which::All);
        let mut numbers = if all {
            change.all_of(&self.room_lists, act.verb(), MOST).await?
        } else {
            which
                .iter()
                .filter_map(|which| if let Which::Number(n) = which { Some(*n) } else { None })
                .collect()
        };
        // Lock in ascending order, as rooms do, so two commands cannot deadlock.
        numbers.sort_unstable();
        numbers.dedup();
        let mut results = Vec::with_capacity(numbers.len());
        for number in numbers {
            let action =
                PersonAction { who: who.to_owned(), via: Via::Api, act, comment: comment.map(str::to_owned) };
            results.push(self.act_on(&mut change, number, action).await?);
        }
        change.commit().await?;
        let done = results.iter().all(|acted| acted.result.is_done());
        self.answer(results)?;
        Ok(done)
    }

    async fn act_on(&self, change: &mut Change, number: i64, action: PersonAction) -> anyhow::Result<Acted> {
        let stored =
            incident::lock(change.tx(), number).await?.filter(|stored| self.includes(&stored.room_list));
        let Some(stored) = stored else {
            return Ok(Acted { number, name: None, result: ActResult::Refused { why: Hidden::Unknown } });
        };
        let result = change.person(&stored, action, Caller::Shell, None).await?;
        Ok(Acted { number, name: Some(stored.view(0).name()), result })
    }

    fn answer(&self, results: Vec<Acted>) -> anyhow::Result<()> {
        if self.json {
            print(format!("{:#}\n", serde_json::to_value(&results)?).as_bytes());
            return Ok(());
        }
        if results.is_empty() {
            print("Nothing is open that this could concern.\n".as_bytes());
            return Ok(());
        }
        let policy = Policy::with_levels(Vec::new());
        for acted in results {
            // One answer for each incident: an answer with all of them is cut to the size of a message.
            let line = answer(&Answer::Acted { results: vec![acted] }, &Self::context(&policy));
            print(format!("{}\n", line.text.plain()).as_bytes());
        }
        Ok(())
    }
}
