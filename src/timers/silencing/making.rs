//! Makes and prolongs the silences of an incident, and checks what they hold.

use super::carrying_out::{Attempt, Silencer, by_fingerprint};
use crate::alertmanager::NamedAlertmanager;
use crate::alertmanager::api::{ApiError, FullAlert, NewSilence, Silence};
use crate::domain::hold::{HeldBy, Hold};
use crate::domain::incident::{Fingerprint, Incident};
use crate::domain::input::{HoldNews, Listing};
use crate::domain::silencing::{self, Failed, Firing, Made, Plan, Request, SilenceResult, SilencingAnswer};
use crate::domain::webhook::Labels;
use crate::engine::EngineError;
use crate::ids;
use crate::store::incident;
use crate::store::silence::{Order, OwnSilence, Wanted};
use crate::telemetry::logs::causes;
use futures_util::future::join_all;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// How often, and after how long, Alertmanager is asked again whether it holds what it has just been asked to.
const CHECKS: u32 = 4;
const CHECK_PAUSE: Duration = Duration::from_millis(250);

/// What a command wants in all Alertmanagers.
struct Wish<'a> {
    order: &'a Order,
    number: i64,
    comment: String,
    lasting: Duration,
}

/// What one Alertmanager has made.
struct Silenced {
    alertmanager: Arc<NamedAlertmanager>,
    own: BTreeSet<Fingerprint>,
    silences: Vec<(Labels, Silence)>,
}

/// What holds the alerts now.
#[derive(Default)]
struct Checked {
    held: BTreeSet<Fingerprint>,
    not_held: BTreeSet<Fingerprint>,
    /// Whether silences of others hold some of them.
    by_others: bool,
    failed: Vec<Failed>,
}

impl Silencer {
    pub(super) async fn make(&self, order: &Order) -> Result<Attempt, EngineError> {
        let (Some(number), Request::Make { lasting, comment, confirmed }) = (order.incident, &order.request)
        else {
            return Ok(Attempt::last(SilencingAnswer::NotConfigured));
        };
        let mut change = self.engine.begin().await?;
        let stored = incident::load_readable(change.tx(), number).await?;
        drop(change);
        let name = stored.as_ref().map(incident::StoredIncident::name).unwrap_or_default();
        let answer = |result, again| {
            Ok(Attempt { answer: SilencingAnswer::Silence { number, name: name.clone(), result }, again })
        };
        if !stored.is_some_and(|stored| stored.incident.phase.is_open()) {
            return answer(SilenceResult::Over, false);
        }
        let firing = Firing(self.store.firing_labels(number).await?);
        let (mut plans, mut failed) = self.plans(&firing).await;
        let changed: BTreeSet<Fingerprint> =
            plans.iter().flat_map(|(_, plan)| plan.changed.iter().cloned()).collect();
        plans.retain(|(_, plan)| !plan.own.is_empty());
        if plans.is_empty() {
            let again = !failed.is_empty();
            if !again && !changed.is_empty() {
                return answer(SilenceResult::Changed, false);
            }
            let asked = self.alertmanagers.load().iter().map(|one| one.name.clone()).collect();
            return answer(SilenceResult::NotListed { asked, failed, foreign: firing.is_foreign() }, again);
        }
        if let Some(result) = silencing::too_wide(plans.iter().map(|(_, plan)| plan), *confirmed) {
            return answer(result, false);
        }
        let comment = comment.as_deref().map(|comment| format!(" {comment}")).unwrap_or_default();
        let wish = Wish { order, number, comment: format!("#{number}{comment}"), lasting: *lasting };
        let made = join_all(plans.iter().map(|(one, plan)| self.make_on(one, plan, &wish))).await;
        let mut silenced = Vec::new();
        for (result, (one, plan)) in made.into_iter().zip(&plans) {
            match result? {
                Ok(silences) => {
                    let (alertmanager, own) = (Arc::clone(one), plan.own.clone());
                    silenced.push(Silenced { alertmanager, own, silences });
                }
                Err(error) => failed.push(failure(one, &error)),
            }
        }
        let checked = self.check(&firing, &silenced).await;
        failed.extend(checked.failed.iter().cloned());
        if checked.not_held.is_empty() && !checked.by_others && failed.is_empty() {
            self.hold(number, &silenced, &checked.held).await?;
        }
        let again = !failed.is_empty();
        let made = silenced.iter().filter_map(Silenced::made).collect();
        let is_left = |alert: &&Fingerprint| !checked.held.contains(*alert) && !changed.contains(*alert);
        let not_held = firing.0.keys().filter(is_left).count() as u64;
        let (held, changed) = (checked.held.len() as u64, changed.len() as u64);
        answer(SilenceResult::Made { made, failed, held, not_held, changed }, again)
    }

    /// The attempt took too long.
    pub(super) async fn unanswered(&self, order: &Order) -> Result<Attempt, EngineError> {
        let all = self.alertmanagers.load();
        let why = || "it does not answer in time".to_owned();
        let failed: Vec<Failed> =
            all.iter().map(|one| Failed { alertmanager: one.name.clone(), why: why() }).collect();
        let answer = match (&order.request, order.incident) {
            (Request::Make { .. }, Some(number)) => {
                let mut change = self.engine.begin().await?;
                let stored = incident::load_readable(change.tx(), number).await?;
                let name = stored.map(|stored| stored.name()).unwrap_or_default();
                let (made, held, not_held, changed) = (Vec::new(), 0, 0, 0);
                let result = SilenceResult::Made { made, failed, held, not_held, changed };
                SilencingAnswer::Silence { number, name, result }
            }
            (Request::End { id }, _) => SilencingAnswer::Unsilence {
                id: id.clone(),
                result: silencing::UnsilenceResult::Failed,
                failed,
            },
            _ => {
                SilencingAnswer::List { room_list: order.room_lists.join(", "), silences: Vec::new(), failed }
            }
        };
        Ok(Attempt { answer, again: true })
    }

    /// What to match in each Alertmanager that lists alerts of the incident.
    async fn plans(&self, firing: &Firing) -> (Vec<(Arc<NamedAlertmanager>, Plan)>, Vec<Failed>) {
        let (all, shared, now) = (self.alertmanagers.load(), firing.shared(), self.clock.now());
        let answers = join_all(all.iter().map(|one| one.api.alerts_with(&shared, now))).await;
        let (mut plans, mut failed) = (Vec::new(), Vec::new());
        for (one, answer) in all.iter().zip(answers) {
            match answer {
                Ok(alerts) => {
                    let plan = silencing::plan(firing, &by_fingerprint(alerts));
                    if plan != Plan::default() {
                        plans.push((Arc::clone(one), plan));
                    }
                }
                Err(error) => failed.push(failure(one, &error)),
            }
        }
        (plans, failed)
    }

    async fn make_on(
        &self,
        one: &NamedAlertmanager,
        plan: &Plan,
        wish: &Wish<'_>,
    ) -> Result<Result<Vec<(Labels, Silence)>, ApiError>, EngineError> {
        let mut made = Vec::new();
        for matchers in &plan.matchers {
            match self.make_one(one, matchers, wish).await? {
                Ok(silence) => made.push((matchers.clone(), silence)),
                Err(error) => return Ok(Err(error)),
            }
        }
        Ok(Ok(made))
    }

    /// Makes a silence, or prolongs the one that the incident has.
    async fn make_one(
        &self,
        one: &NamedAlertmanager,
        matchers: &Labels,
        wish: &Wish<'_>,
    ) -> Result<Result<Silence, ApiError>, EngineError> {
        let (mut row, is_new) = self.want(one, matchers, wish).await?;
        let now = self.clock.now();
        let known = match (&row.silence_id, is_new) {
            (Some(id), _) => Some(id.clone()),
            (None, true) => None,
            // An attempt before may have made it, with another length.
            (None, false) => match one.api.silence_with(&row.token.to_string(), now).await {
                Ok(found) => found.map(|silence| silence.id),
                Err(error) => return Ok(Err(error)),
            },
        };
        if let Some(id) = known {
            match one.api.prolong_silence(&id, wish.lasting, now).await {
                Ok(Some(silence)) => return self.made(&row, silence, wish).await,
                Ok(None) => {
                    self.store.silence_ended(row.token).await?;
                    row = self.want(one, matchers, wish).await?.0;
                }
                Err(error) => return Ok(Err(error)),
            }
        }
        let token = row.token.to_string();
        let new = NewSilence {
            labels: matchers,
            lasting: wish.lasting,
            created_by: &wish.order.who,
            comment: &wish.comment,
            token: &token,
        };
        match one.api.make_silence(&new, now).await {
            Ok(silence) => self.made(&row, silence, wish).await,
            Err(error) => Ok(Err(error)),
        }
    }

    async fn want(
        &self,
        one: &NamedAlertmanager,
        matchers: &Labels,
        wish: &Wish<'_>,
    ) -> Result<(OwnSilence, bool), EngineError> {
        let wanted = Wanted {
            token: ids::unique(),
            incident: wish.number,
            alertmanager: &one.name,
            matchers,
            who: &wish.order.who,
            comment: &wish.comment,
            lasting: wish.lasting,
            order: wish.order.id,
        };
        let row = self.store.want_silence(wanted, self.clock.now()).await?;
        let is_new = row.token == wanted.token;
        Ok((row, is_new))
    }

    async fn made(
        &self,
        row: &OwnSilence,
        silence: Silence,
        wish: &Wish<'_>,
    ) -> Result<Result<Silence, ApiError>, EngineError> {
        self.store.silence_made(row.token, &silence.id, silence.ends_at, wish.order.id).await?;
        Ok(Ok(silence))
    }

    /// Which alerts the silences hold, as Alertmanager says. The other peer of a pair learns of a silence within some tenths
    /// of a second, and it may be the one that lists the alert.
    async fn check(&self, firing: &Firing, silenced: &[Silenced]) -> Checked {
        let mut checked = self.check_once(firing, silenced).await;
        for _ in 1..CHECKS {
            if checked.not_held.is_empty() {
                break;
            }
            tokio::time::sleep(CHECK_PAUSE).await;
            checked = self.check_once(firing, silenced).await;
        }
        checked
    }

    async fn check_once(&self, firing: &Firing, silenced: &[Silenced]) -> Checked {
        let (shared, now) = (firing.shared(), self.clock.now());
        let mut checked = Checked::default();
        let asked = silenced.iter().map(|one| one.alertmanager.api.alerts_with(&shared, now));
        for (one, answer) in silenced.iter().zip(join_all(asked).await) {
            match answer {
                Ok(alerts) => checked.add(one, &alerts),
                Err(error) => checked.failed.push(failure(&one.alertmanager, &error)),
            }
        }
        let Checked { held, not_held, .. } = &mut checked;
        held.retain(|alert| !not_held.contains(alert));
        checked
    }

    /// The incident is held back from now on. The next poll would find the same.
    async fn hold(
        &self,
        number: i64,
        silenced: &[Silenced],
        held: &BTreeSet<Fingerprint>,
    ) -> Result<(), EngineError> {
        let [only] = silenced else { return Ok(()) };
        let silences = only.silences.iter().map(|(_, silence)| silence);
        let Some(until) = silences.clone().map(|silence| silence.ends_at).min() else { return Ok(()) };
        let by = silences.map(|silence| HeldBy::Silence {
            id: silence.id.clone(),
            created_by: silence.created_by.clone(),
            comment: silence.comment_for_people().to_owned(),
            until: silence.ends_at,
        });
        let hold = Hold { by: by.collect(), until, outlasted: false };
        let says = |incident: &Incident, _: &str| {
            let is_whole = !incident.firing.is_empty()
                && incident.phase.is_open()
                && incident.firing.keys().all(|alert| held.contains(alert))
                && incident.hold.as_ref() != Some(&hold);
            if !is_whole {
                return Listing::default();
            }
            Listing { suppressed: held.clone(), hold: HoldNews::Held(hold.clone()), ..Listing::default() }
        };
        self.engine.listing(number, says).await?;
        Ok(())
    }
}

impl Silenced {
    fn made(&self) -> Option<Made> {
        let silences = || self.silences.iter().map(|(_, silence)| silence);
        Some(Made {
            alertmanager: self.alertmanager.name.clone(),
            ids: silences().map(|silence| silence.id.clone()).collect(),
            until: silences().map(|silence| silence.ends_at).min()?,
        })
    }
}

impl Checked {
    fn add(&mut self, one: &Silenced, alerts: &[FullAlert]) {
        let ids: BTreeSet<&str> = one.silences.iter().map(|(_, silence)| silence.id.as_str()).collect();
        for alert in alerts.iter().filter(|alert| one.own.contains(&alert.alert.fingerprint)) {
            let fingerprint = alert.alert.fingerprint.clone();
            if alert.silenced_by.iter().any(|id| ids.contains(id.as_str())) {
                self.held.insert(fingerprint);
            } else {
                self.not_held.insert(fingerprint);
            }
            self.by_others |= alert.silenced_by.iter().any(|id| !ids.contains(id.as_str()));
        }
    }
}

fn failure(one: &NamedAlertmanager, error: &ApiError) -> Failed {
    Failed { alertmanager: one.name.clone(), why: causes(error) }
}
