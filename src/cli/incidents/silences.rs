//! Makes, lists and ends silences in the configured Alertmanagers, whether a process runs or not.

use super::Incidents;
use crate::alertmanager::CurrentAlertmanagers;
use crate::app::alertmanagers;
use crate::cli::print;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::domain::answer::Answer;
use crate::domain::duration;
use crate::domain::policy::Policy;
use crate::domain::silencing::{LONGEST, Request, SHORTEST};
use crate::ids;
use crate::render::answer::answer;
use crate::store::incident;
use crate::store::silence::Order;
use crate::timers::{Attempt, Silencer};
use anyhow::Context as _;
use clap::Args;
use ruma::{OwnedUserId, UserId};
use std::sync::Arc;
use std::time::Duration;

/// How often a command is tried while Alertmanager does not answer, and the pause between two attempts.
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
pub(super) struct Silence {
    /// The incident
    #[arg(value_name = "N", value_parser = super::number)]
    number: i64,
    /// For how long, such as 2h: at least 1m, at most 30d
    #[arg(value_name = "DURATION", value_parser = length, default_value = "2h")]
    length: Duration,
    /// A comment for Alertmanager
    #[arg(value_name = "COMMENT")]
    comment: Vec<String>,
    /// Silence other alerts with the same labels as well
    #[arg(long)]
    confirm: bool,
    /// The Matrix user who does it, such as @alice:example.org; otherwise the user of this shell
    #[arg(long = "as", value_name = "USER", value_parser = super::user)]
    pub(super) who: Option<OwnedUserId>,
}

#[derive(Debug, Args)]
pub(super) struct Unsilence {
    /// The id of the silence, or the beginning of it
    #[arg(value_name = "ID")]
    id: String,
}

fn length(text: &str) -> Result<Duration, String> {
    let length = duration::parse(text)?;
    if (SHORTEST..=LONGEST).contains(&length) {
        Ok(length)
    } else {
        Err("it must be at least 1m and at most 30d".to_owned())
    }
}

impl Incidents {
    /// Silences the alerts of an incident. Returns whether all of them are silenced.
    pub(super) async fn silence(
        &self,
        config: &Config,
        options: &Silence,
        who: &UserId,
    ) -> anyhow::Result<bool> {
        let mut change = self.engine.begin().await?;
        let stored = incident::load_readable(change.tx(), options.number).await?;
        drop(change);
        let stored = stored
            .filter(|stored| self.includes(&stored.room_list))
            .with_context(|| format!("there is no incident {}", options.number))?;
        let comment = Some(options.comment.join(" ")).filter(|comment| !comment.is_empty());
        let request = Request::Make { lasting: options.length, comment, confirmed: options.confirm };
        self.carry_out(config, (vec![stored.room_list], Some(options.number)), request, who).await
    }

    /// Lists silences. Returns whether every Alertmanager answered.
    pub(super) async fn silences(&self, config: &Config, who: &UserId) -> anyhow::Result<bool> {
        self.carry_out(config, (self.room_lists.clone(), None), Request::List, who).await
    }

    /// Ends a silence.
    pub(super) async fn unsilence(
        &self,
        config: &Config,
        options: &Unsilence,
        who: &UserId,
    ) -> anyhow::Result<bool> {
        let request = Request::End { id: options.id.clone() };
        self.carry_out(config, (self.room_lists.clone(), None), request, who).await
    }

    async fn carry_out(
        &self,
        config: &Config,
        (room_lists, incident): (Vec<String>, Option<i64>),
        request: Request,
        who: &UserId,
    ) -> anyhow::Result<bool> {
        let alertmanagers = CurrentAlertmanagers::default();
        alertmanagers.replace(alertmanagers::named(config)?);
        let clock = Arc::new(SystemClock);
        let silencer = Silencer::new(self.engine.clone(), self.store.clone(), clock, alertmanagers);
        let who = who.to_string();
        let mut order = Order { id: ids::unique(), room_lists, incident, who, request, attempts: 1 };
        let of = loop {
            let Attempt { answer, again } = silencer.carry_out(&order).await?;
            if !again || order.attempts >= ATTEMPTS {
                break answer;
            }
            order.attempts = order.attempts.saturating_add(1);
            tokio::time::sleep(PAUSE).await;
        };
        self.store.give_up_silences(order.id).await?;
        let done = of.is_done();
        if self.json {
            print(format!("{:#}\n", serde_json::to_value(&of)?).as_bytes());
        } else {
            let policy = Policy::with_levels(Vec::new());
            let message = answer(&Answer::Silencing { of }, &Self::context(&policy));
            print(format!("{}\n", message.text.plain()).as_bytes());
        }
        Ok(done)
    }
}
