//! Compares our silences with what Alertmanager lists: a process that restarts without its disk forgets silences, and one that
//! restarts with an old copy of it revives them.

use super::{LIMIT, Silencing};
use crate::alertmanager::NamedAlertmanager;
use crate::alertmanager::api::{ApiError, NewSilence, Silence, SilenceState};
use crate::domain::incident::Incident;
use crate::domain::input::{Listing, MadeAgain};
use crate::domain::time::{between, later};
use crate::engine::EngineError;
use crate::store::StoreError;
use crate::store::silence::Compared;
use crate::telemetry::SilenceEvent;
use crate::telemetry::logs::causes;
use futures_util::future::BoxFuture;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How often: between two polls, so that a silence that was lost is back before the second one finds its alert active. Also
/// how long a process has for it before another one may.
const EVERY: Duration = Duration::from_secs(20);
/// How often a silence is made again. One that is lost more often ends: people are paged again, and see it.
const MOST_AGAIN: u32 = 3;

impl Silencing {
    /// Takes the silences to compare, for each Alertmanager.
    pub(super) async fn to_compare(&self) -> Result<Vec<BoxFuture<'_, Result<(), EngineError>>>, StoreError> {
        let now = self.clock.now();
        let mut of_each = BTreeMap::<String, Vec<Compared>>::new();
        for compared in self.store.take_silences_to_compare(now, later(now, EVERY)).await? {
            of_each.entry(compared.silence.alertmanager.clone()).or_default().push(compared);
        }
        let known = of_each.into_iter().filter_map(|(name, all)| Some((self.silencer.named(&name)?, all)));
        Ok(known.map(|(one, all)| Box::pin(self.compare_in_time(one, all)) as BoxFuture<'_, _>).collect())
    }

    async fn compare_in_time(
        &self,
        one: Arc<NamedAlertmanager>,
        all: Vec<Compared>,
    ) -> Result<(), EngineError> {
        // One that does not answer is asked again later.
        tokio::time::timeout(LIMIT, self.compare(&one, &all)).await.unwrap_or(Ok(()))
    }

    async fn compare(&self, one: &NamedAlertmanager, all: &[Compared]) -> Result<(), EngineError> {
        // The polls report an Alertmanager that does not answer.
        let Ok(listed) = one.api.silences(self.clock.now()).await else { return Ok(()) };
        for compared in all {
            let id = compared.silence.silence_id.as_deref();
            let found = listed.iter().find(|silence| Some(silence.id.as_str()) == id);
            self.follow(one, compared, found).await?;
        }
        Ok(())
    }

    /// What is listed is right, except that ours end and come back as people asked.
    async fn follow(
        &self,
        one: &NamedAlertmanager,
        compared: &Compared,
        found: Option<&Silence>,
    ) -> Result<(), EngineError> {
        let Compared { silence: ours, holds, .. } = compared;
        match found {
            Some(found) if found.state == SilenceState::Expired && *holds => {
                // Somebody ended it elsewhere, or replaced it.
                self.store.silence_ended(ours.token).await?;
                self.metrics.silenced(SilenceEvent::EndedElsewhere, 1);
            }
            Some(found) if found.state != SilenceState::Expired && !*holds => {
                let ended = one.api.end_silence(&found.id).await.map(drop);
                self.metrics.silenced(SilenceEvent::of_end(ended.is_ok()), 1);
                report(one, "ended again", "is active again", ended);
            }
            Some(found) if *holds && Some(found.ends_at) != ours.ends_at => {
                self.store.silence_made(ours.token, &found.id, found.ends_at, ours.ordered_by).await?;
            }
            None if *holds && compared.made_again < MOST_AGAIN => self.make_again(one, compared).await?,
            None if *holds => {
                self.store.silence_ended(ours.token).await?;
                report(one, "not made again", "is lost time and again", Ok(()));
            }
            Some(_) | None => {}
        }
        Ok(())
    }

    /// Makes a silence that Alertmanager has forgotten, until its old end.
    async fn make_again(&self, one: &NamedAlertmanager, compared: &Compared) -> Result<(), EngineError> {
        let ours = &compared.silence;
        let (token, now) = (ours.token.to_string(), self.clock.now());
        let Some(ends_at) = ours.ends_at else { return Ok(()) };
        let new = NewSilence {
            labels: &ours.matchers,
            lasting: between(now, ends_at),
            created_by: &compared.who,
            comment: &compared.comment,
            token: &token,
        };
        let made = match one.api.silence_with(&token, now).await {
            Ok(Some(made)) => Ok(made),
            Ok(None) => one.api.make_silence(&new, now).await,
            Err(error) => Err(error),
        };
        if let Ok(made) = &made {
            self.store.silence_made_again(ours.token, &made.id, made.ends_at).await?;
            self.metrics.silenced(SilenceEvent::MadeAgain, 1);
            let again = MadeAgain { alertmanager: one.name.clone(), until: made.ends_at };
            let says = |_: &Incident, _: &str| Listing { again: Some(again), ..Listing::default() };
            self.engine.listing(compared.incident, says).await?;
        }
        report(one, "made again", "is not listed any more", made.map(drop));
        Ok(())
    }
}

fn report(one: &NamedAlertmanager, done: &str, what: &str, result: Result<(), ApiError>) {
    let result = result.map_or_else(|error| causes(&error), |()| done.to_owned());
    tracing::warn!(
        alertmanager = one.name,
        "a silence of ours in Alertmanager {} {what}: {result}",
        one.name
    );
}
