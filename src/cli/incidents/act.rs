//! Changes incidents.

use super::{Incidents, Which};
use crate::cli::{eprint, print};
use crate::domain::answer::{ActResult, Acted, Answer, Hidden, Rest};
use crate::domain::input::{Act, PersonAction, Via};
use crate::domain::policy::Policy;
use crate::domain::rights::Caller;
use crate::engine::Change;
use crate::render::answer::answer;
use crate::store::{StoreError, incident};
use ruma::UserId;

/// How many incidents of `all` are changed in one database transaction.
const AT_ONCE: i64 = 100;

impl Incidents {
    /// Changes all incidents, those that are named in one database transaction. Returns whether every change was made.
    pub(super) async fn act(
        &self,
        which: &[Which],
        act: Act,
        who: &UserId,
        comment: Option<&str>,
    ) -> anyhow::Result<bool> {
        let action = |acted_at| PersonAction {
            who: who.to_owned(),
            via: Via::Api,
            act,
            comment: comment.map(str::to_owned),
            acted_at,
        };
        let (mut results, mut snoozed) = (Vec::new(), 0);
        if which.contains(&Which::All) {
            let mut after = 0;
            if act == Act::Acknowledge {
                snoozed = self.engine.begin().await?.snoozed_of(&self.room_lists).await?;
            }
            loop {
                let mut change = self.engine.begin().await?;
                let numbers = change.all_after(&self.room_lists, act.verb(), after, AT_ONCE).await?;
                let Some(last) = numbers.last() else { break };
                after = *last;
                for number in numbers {
                    let action = action(change.now());
                    results.push(self.act_on(&mut change, number, action).await?);
                }
                change.commit().await?;
            }
        } else {
            let number = |which: &Which| if let Which::Number(n) = which { Some(*n) } else { None };
            let mut numbers: Vec<i64> = which.iter().filter_map(number).collect();
            // Lock in ascending order, as rooms do, so two commands cannot deadlock.
            numbers.sort_unstable();
            numbers.dedup();
            let mut change = self.engine.begin().await?;
            for number in numbers {
                let action = action(change.now());
                results.push(self.act_on(&mut change, number, action).await?);
            }
            change.commit().await?;
        }
        let done = results.iter().all(|acted| acted.result.is_done());
        self.answer(results)?;
        if snoozed > 0 {
            eprint(&format!(
                "Snoozed incidents that stay snoozed: {snoozed}. Name them to acknowledge them."
            ));
        }
        Ok(done)
    }

    async fn act_on(&self, change: &mut Change, number: i64, action: PersonAction) -> anyhow::Result<Acted> {
        let stored = match incident::lock(change.tx(), number).await {
            Err(error @ StoreError::Inconsistent { .. }) => {
                eprint(&format!("error: {error}"));
                let result = ActResult::Refused { why: Hidden::Unreadable };
                return Ok(Acted { number, name: None, result });
            }
            stored => stored?.filter(|stored| self.includes(&stored.room_list)),
        };
        let Some(stored) = stored else {
            return Ok(Acted { number, name: None, result: ActResult::Refused { why: Hidden::Unknown } });
        };
        let result = change.person(&stored, action, Caller::Shell, None).await?;
        Ok(Acted { number, name: Some(stored.name()), result })
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
            let line = answer(
                &Answer::Acted { results: vec![acted], rest: Rest::default() },
                &Self::context(&policy),
            );
            print(format!("{}\n", line.text.plain()).as_bytes());
        }
        Ok(())
    }
}
