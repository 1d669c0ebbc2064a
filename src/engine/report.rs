//! Reports of Alertmanager.
//!
//! One webhook may concern several incidents (`crate::domain::holding`). Each is decided on by itself; one transaction
//! commits them all.

use super::change::Policies;
use super::timers::log_set_aside;
use super::{Change, Engine, EngineError, Questions, Unreadable};
use crate::domain::holding::{self, Split};
use crate::domain::incident::{Fingerprint, Phase};
use crate::domain::input::{Decision, Evidence, Input, Outcome, Report, ReportedAlert};
use crate::domain::lists::ListSettings;
use crate::domain::time::{between, earlier};
use crate::domain::timeline::Kind;
use crate::domain::webhook::{Webhook, WebhookAlert};
use crate::store::holding::{self as held, Found};
use crate::store::timers::Due;
use crate::store::{Reported, StoreError, alert, incident};
use jiff::Timestamp;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How recent the last poll of Alertmanager must be to say that an alert has not ended.
const POLLED_LATELY: Duration = Duration::from_secs(150);
/// How old the start of an alert is at most when its first webhook arrives in time: a `group_wait`, and some.
const IN_TIME: Duration = Duration::from_mins(2);
/// How long a first page waits for the answer of Alertmanager's API.
const ASK_FOR: Duration = Duration::from_secs(2);

/// Where a report comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A webhook. It may be an old one.
    Webhook,
    /// A poll: Alertmanager lists the alerts, and no webhook has brought them.
    Poll,
}

/// The result of an accepted webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The incident of the webhook's group; `None` if a resolved report matched no incident.
    pub incident: Option<i64>,
    /// All incidents that hold its alerts.
    pub incidents: BTreeSet<i64>,
    /// The outcome.
    pub outcome: Outcome,
    /// How many of its firing alerts the list does not page about. No incident holds them.
    pub not_paged: usize,
}

/// A webhook on its way to the incidents that it concerns.
pub(super) struct Reporting<'a> {
    pub(super) list: &'a ListSettings,
    source: Source,
    /// Whether Alertmanagers are polled, which can be asked.
    asks: bool,
    webhook: &'a Webhook,
    /// What identifies its group.
    key: &'a [u8],
    pub(super) now: Timestamp,
    pub(super) outcomes: Vec<Outcome>,
    pub(super) incidents: BTreeSet<i64>,
    /// The incidents whose alerts Alertmanager has to be asked about.
    pub(super) to_ask: BTreeSet<i64>,
    /// The incidents that were set aside because their rows cannot be read, each with the reason.
    pub(super) set_aside: Vec<(Due, String)>,
}

impl Engine {
    /// Applies a report of Alertmanager for a room list, which arrived at `now`. `Ok` means that all its results are
    /// committed. If it may be an old one, the worker that polls Alertmanager is woken: see `crate::domain::polling`.
    pub async fn report(
        &self,
        room_list: &str,
        webhook: &Webhook,
        now: Timestamp,
        source: Source,
    ) -> Result<Accepted, EngineError> {
        let mut unreadable = BTreeMap::new();
        loop {
            match self.try_report(room_list, webhook, (now, source), &unreadable).await {
                Err(Failed::Unreadable(number, reason)) => {
                    unreadable.insert(number, reason);
                }
                Err(Failed::Engine(error)) => return Err(error),
                Ok(accepted) => return Ok(accepted),
            }
        }
    }

    /// Applies a report. `unreadable`: the incidents whose rows cannot be read, with the reason of each.
    async fn try_report(
        &self,
        room_list: &str,
        webhook: &Webhook,
        (now, source): (Timestamp, Source),
        unreadable: &BTreeMap<i64, String>,
    ) -> Result<Accepted, Failed> {
        let list = &*self.list(room_list)?;
        let key = &incident::key(&webhook.group);
        let mut change = self.begin_at(now).await?;
        held::lock(change.tx(), room_list, key, &webhook.alerts).await?;
        let since = earlier(now, list.policy.reopen_window.max(list.policy.replay_grace));
        let polled_since = earlier(now, POLLED_LATELY);
        let mut found = held::find(change.tx(), room_list, key, &webhook.alerts, since, polled_since).await?;
        if source == Source::Poll {
            // It contains only what no webhook has brought.
            found.left_out.clear();
        }
        let alerts = paging(&webhook.alerts, list, &found);
        let not_paged = webhook.alerts.len().saturating_sub(alerts.len());
        let Split { parts, mut new, adopter } = holding::split(&alerts, &found.holders);
        let mut reporting = Reporting {
            list,
            source,
            asks: source == Source::Webhook && self.asking.is_on(),
            webhook,
            key,
            now,
            outcomes: Vec::new(),
            incidents: BTreeSet::new(),
            to_ask: BTreeSet::new(),
            set_aside: Vec::new(),
        };
        // Locked in ascending order, so two webhooks cannot deadlock.
        let concerned: BTreeSet<i64> = parts.keys().chain(found.left_out.keys()).copied().collect();
        for number in concerned {
            let alerts = parts.get(&number).map(Vec::as_slice).unwrap_or_default();
            let takes_them = match unreadable.get(&number) {
                Some(reason) => reporting.beside(&mut change, number, alerts, reason).await?,
                None => reporting.known(&mut change, number, alerts, &found).await?,
            };
            if !takes_them {
                new.extend(alerts.iter().filter(|alert| alert.firing));
            }
        }
        let opened = if new.is_empty() { None } else { reporting.open(&mut change, &new, &found).await? };
        let adopter = adopter.filter(|number| opened.is_none() && !unreadable.contains_key(number));
        if let Some(adopter) = adopter {
            held::adopt(change.tx(), room_list, key, adopter).await?;
        }
        change.commit().await?;
        if let Some(number) = adopter.filter(|_| source == Source::Webhook) {
            tracing::info!(
                incident = number,
                room_list,
                "incident {number} of {room_list} holds the alerts of another group of Alertmanager"
            );
        }
        let new = reporting.news(&alerts, &found);
        let Reporting { outcomes, incidents, to_ask, set_aside, .. } = reporting;
        self.asking.ask(Questions { incidents: to_ask, new }, &self.wakers.poll);
        for (due, reason) in &set_aside {
            log_set_aside(due, true, reason);
        }
        if source == Source::Webhook {
            self.metrics.not_paged(room_list, not_paged);
        }
        let outcome = outcome_of(&outcomes, &alerts);
        if outcome == Outcome::OrphanClear {
            self.metrics.orphan_clear();
        }
        let of_group = opened.or(found.holders.owner).or(adopter).filter(|number| incidents.contains(number));
        let incident = of_group.or(incidents.first().copied());
        Ok(Accepted { incident, incidents, outcome, not_paged })
    }
}

/// Why a report could not be applied.
enum Failed {
    /// The row of an incident cannot be read: try again without it.
    Unreadable(i64, String),
    /// Any other failure.
    Engine(EngineError),
}

impl From<EngineError> for Failed {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::Engine(error.into())
    }
}

impl Reporting<'_> {
    /// Reports to an incident what the webhook contains of its alerts, and which of them it leaves out. Returns whether it
    /// takes them: not if it was closed a moment ago.
    async fn known(
        &mut self,
        change: &mut Change,
        number: i64,
        alerts: &[&WebhookAlert],
        found: &Found,
    ) -> Result<bool, Failed> {
        let stored = match incident::lock(change.tx(), number).await {
            Err(error) if error.is_data_error() => return Err(Failed::Unreadable(number, error.to_string())),
            stored => stored?,
        };
        let Some(stored) = stored.filter(|stored| stored.incident.phase != Phase::Closed) else {
            return Ok(false);
        };
        let before = Some(&stored.incident);
        let policies =
            change.engine().policies_around(&self.list.name, before, Unreadable::IsReplaced).await?;
        let input = self.input(alerts, found.left_out.get(&number).cloned().unwrap_or_default(), found);
        let decision = with_first_page(policies.decide(before, &input, self.now), &policies, self.now);
        if found.holders.owner == Some(number) && !stored.describes(&self.webhook.group) {
            incident::update_group(change.tx(), number, &self.webhook.group).await?;
        }
        let mut reported = self.reported(alerts);
        alert::compare(change.tx(), number, &mut reported).await?;
        change.save(&stored, &decision, &policies, Some(&reported), None).await?;
        self.incidents.insert(number);
        self.asks_about(number, &input, &decision);
        self.outcomes.push(decision.outcome);
        Ok(true)
    }

    /// Opens an incident with firing alerts that no incident holds. It inherits the resolved episodes of the group's
    /// incident before. Returns its number.
    async fn open(
        &mut self,
        change: &mut Change,
        alerts: &[&WebhookAlert],
        found: &Found,
    ) -> Result<Option<i64>, EngineError> {
        let closed = match found.closed_owner {
            Some(number) => incident::lock(change.tx(), number).await?.map(|stored| stored.incident),
            None => None,
        };
        let closed = closed.filter(|incident| incident.phase == Phase::Closed);
        let list = &self.list.name;
        let policies = change.engine().policies_around(list, None, Unreadable::IsReplaced).await?;
        let input = self.input(alerts, BTreeSet::new(), found);
        let decision =
            with_first_page(policies.decide(closed.as_ref(), &input, self.now), &policies, self.now);
        self.outcomes.push(decision.outcome);
        let reported = self.reported(alerts);
        let number = change.open(list, &self.webhook.group, &decision, &policies, &reported).await?;
        if let Some(number) = number {
            self.asks_about(number, &input, &decision);
        }
        self.incidents.extend(number);
        Ok(number)
    }

    /// Notes whether Alertmanager has to be asked about an incident: a page waits for the answer, or the report is in doubt.
    fn asks_about(&mut self, number: i64, input: &Input, decision: &Decision) {
        let Input::Report(report) = input else { return };
        let waits = !report.ask.is_zero()
            && decision.entries.iter().any(|entry| matches!(entry.kind, Kind::RunStarted { .. }));
        if self.asks && (waits || decision.outcome == Outcome::Doubted) {
            self.to_ask.insert(number);
        }
    }

    /// The firing alerts that no incident held before. It is asked whether Alertmanager lists them.
    fn news(&self, alerts: &[WebhookAlert], found: &Found) -> BTreeSet<Fingerprint> {
        let is_news =
            |alert: &&WebhookAlert| alert.firing && !found.holders.firing.contains_key(&alert.fingerprint);
        let news = alerts.iter().filter(|alert| self.asks && is_news(alert));
        news.map(|alert| alert.fingerprint.clone()).collect()
    }

    fn input(&self, alerts: &[&WebhookAlert], left_out: BTreeSet<Fingerprint>, found: &Found) -> Input {
        let evidence = |alert: &WebhookAlert| match self.source {
            Source::Poll => Evidence::Listed,
            Source::Webhook if found.watched.contains(&alert.fingerprint) => Evidence::Watched,
            Source::Webhook => Evidence::None,
        };
        // An alert that started long ago and is reported for the first time may be over: the report was held up.
        let is_late = |alert: &&&WebhookAlert| {
            alert.start_known
                && between(alert.starts_at, self.now) > IN_TIME
                && !found.holders.firing.contains_key(&alert.fingerprint)
        };
        let mut firing = alerts.iter().filter(|alert| alert.firing).peekable();
        let asks = self.asks && firing.peek().is_some() && firing.all(|alert| is_late(&alert));
        let reported = |alert: &&WebhookAlert| ReportedAlert {
            fingerprint: alert.fingerprint.clone(),
            firing: alert.firing,
            severity: self.list.policy.severity_of(&alert.labels),
            starts_at: alert.starts_at,
            start_known: alert.start_known,
            ends_at: alert.ends_at,
            evidence: evidence(alert),
        };
        let ask = if asks { ASK_FOR } else { Duration::ZERO };
        let alerts = alerts.iter().map(reported).collect();
        Input::Report(Report { alerts, left_out, ask, may_ask: self.asks })
    }

    fn reported<'b>(&'b self, alerts: &[&'b WebhookAlert]) -> Reported<'b> {
        Reported::new(self.key, alerts.iter().copied(), |alert| self.list.policy.severity_of(&alert.labels))
    }
}

/// The alerts of a webhook without those that the list does not page about, except what an incident holds already.
fn paging<'a>(alerts: &'a [WebhookAlert], list: &ListSettings, found: &Found) -> Cow<'a, [WebhookAlert]> {
    let pages = |alert: &&WebhookAlert| {
        !alert.firing
            || list.policy.pages(&alert.labels)
            || found.holders.firing.contains_key(&alert.fingerprint)
    };
    if alerts.iter().all(|alert| pages(&alert)) {
        return Cow::Borrowed(alerts);
    }
    alerts.iter().filter(pages).cloned().collect()
}

/// The outcome of a whole webhook: that of the incident with the most news.
fn outcome_of(outcomes: &[Outcome], alerts: &[WebhookAlert]) -> Outcome {
    let first = |wanted: Outcome| outcomes.contains(&wanted).then_some(wanted);
    let news = first(Outcome::Done).or(first(Outcome::Doubted)).or(first(Outcome::Repeated));
    news.or(outcomes.first().copied()).unwrap_or(
        if !alerts.is_empty() && alerts.iter().all(|alert| !alert.firing) {
            Outcome::OrphanClear
        } else {
            Outcome::Nothing
        },
    )
}
/// Adds the first tick of a run that starts immediately. The same transaction commits the report and the page, so the
/// page is as durable as the report.
fn with_first_page(mut decision: Decision, policies: &Policies, now: Timestamp) -> Decision {
    let begins = decision.entries.iter().any(|entry| matches!(entry.kind, Kind::RunStarted { .. }));
    let due = decision.incident.as_ref().filter(|incident| incident.next_at.is_some_and(|at| at <= now));
    if let (true, Some(incident)) = (begins, due) {
        let tick = policies.after(incident).decide(Some(incident), &Input::Tick, now);
        decision.entries.extend(tick.entries);
        decision.effects.extend(tick.effects);
        decision.incident = tick.incident;
    }
    decision
}
