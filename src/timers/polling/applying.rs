//! Applies what a poll has found.

use super::Polling;
use crate::alertmanager::NamedAlertmanager;
use crate::alertmanager::api::{FullAlert, Group};
use crate::alertmanager::routing::Routes;
use crate::domain::incident::{Fingerprint, Incident};
use crate::domain::input::{HoldNews, Listing, Outcome};
use crate::domain::polling::{self, Around, Known, SilenceView, Unheard};
use crate::domain::time::{between, later};
use crate::domain::watch::{Sight, Watch};
use crate::domain::webhook::{AlertGroup, Webhook, WebhookAlert};
use crate::engine::{EngineError, Source};
use crate::telemetry::Finding;
use crate::telemetry::logs::causes;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// How long an alert is listed before a poll brings it, if the routes cannot be read: Alertmanager's default
/// `group_interval`.
const PATIENCE: Duration = Duration::from_mins(5);
/// The shortest patience: two polls, and a webhook that is on its way.
const LEAST_PATIENCE: Duration = Duration::from_mins(1);
/// How long it is remembered that a receiver's webhooks went to a room list, or to none.
const LOOKED_UP_FOR: Duration = Duration::from_mins(10);
/// The time of the last report of a listed alert is renewed when it is older than this part of `stale_after`.
const RENEWED_AT: u32 = 4;

impl Polling {
    pub(super) async fn apply(
        &self,
        one: &NamedAlertmanager,
        watch: &Watch,
        routes: Option<&Routes>,
        known: &BTreeMap<i64, Known>,
        now: Timestamp,
    ) -> Result<(), EngineError> {
        let silences = self.silences(one, watch, known, now).await;
        let muted = self.muted(one, routes, known, now).await;
        let firing = known.values().flat_map(|known| known.firing.keys());
        let elsewhere = self.listed_elsewhere(&one.name, firing);
        let lists = self.lists.load();
        let refresh_after = |list: &str| {
            let stale_after = lists.get(list).and_then(|list| list.policy.stale_after);
            stale_after.map_or(Duration::MAX, |stale_after| stale_after / RENEWED_AT)
        };
        let around =
            Around { name: &one.name, silences: &silences, muted: &muted, elsewhere: &elsewhere, now };
        let plan = polling::plan(watch, known, refresh_after, &around);
        if !plan.listed.is_empty() || !plan.unlisted.is_empty() {
            let longest = watch.remembered().longest_promise;
            self.store.note_listed(&one.name, (&plan.listed, &plan.unlisted), longest, now).await?;
        }
        let mut failed = None;
        for (number, listing) in plan.listings {
            // One incident does not stop the others.
            if let Err(error) = self.apply_listing(number, listing, known.get(&number)).await {
                failed.get_or_insert(error);
            }
        }
        for (receiver, mut unheard) in self.unheard(watch, routes, known, now).await? {
            self.leave_out_not_paged(&mut unheard, now);
            if unheard.alerts.is_empty() {
                continue;
            }
            if let Err(error) = self.bring(one, routes, &receiver, &unheard, now).await {
                failed.get_or_insert(error);
            }
        }
        failed.map_or(Ok(()), Err)
    }

    async fn apply_listing(
        &self,
        number: i64,
        listing: Listing,
        known: Option<&Known>,
    ) -> Result<(), EngineError> {
        let (ends, hold) = (!listing.ended.is_empty(), listing.hold.clone());
        let says = |incident: &Incident, _: &str| {
            // A report may have arrived since the poll.
            let is_unchanged = |fingerprint: &Fingerprint| {
                let before = known.and_then(|known| known.firing.get(fingerprint));
                let stored = incident.firing.get(fingerprint);
                before.zip(stored).is_some_and(|(before, stored)| stored.last_seen <= before.last_seen)
            };
            Listing {
                ended: listing.ended.iter().filter(|it| is_unchanged(it)).cloned().collect(),
                ..listing
            }
        };
        if self.engine.listing(number, says).await? == Some(Outcome::Done) {
            if ends {
                self.metrics.alertmanager_found(Finding::Ended);
            }
            match hold {
                HoldNews::Held(_) => self.metrics.alertmanager_found(Finding::HeldBack),
                HoldNews::Over => self.metrics.alertmanager_found(Finding::Released),
                HoldNews::Unchanged => {}
            }
        }
        Ok(())
    }

    /// The silences, if one of them holds a known alert.
    async fn silences(
        &self,
        one: &NamedAlertmanager,
        watch: &Watch,
        known: &BTreeMap<i64, Known>,
        now: Timestamp,
    ) -> BTreeMap<String, SilenceView> {
        let is_held = |fingerprint: &Fingerprint| watch.sight(fingerprint) == Some(Sight::Suppressed);
        if !known.values().flat_map(|known| known.firing.keys()).any(is_held) {
            return BTreeMap::new();
        }
        match one.api.silences(now).await {
            Ok(silences) => silences
                .into_iter()
                .map(|silence| {
                    let view = SilenceView {
                        comment: silence.comment_for_people().to_owned(),
                        created_by: silence.created_by,
                        until: silence.ends_at,
                    };
                    (silence.id, view)
                })
                .collect(),
            Err(error) => {
                let why = causes(&error);
                tracing::warn!(
                    alertmanager = one.name,
                    why,
                    "the silences of Alertmanager {} cannot be read: {why}",
                    one.name
                );
                BTreeMap::new()
            }
        }
    }

    /// The time intervals that mute known alerts. Only groups show them.
    async fn muted(
        &self,
        one: &NamedAlertmanager,
        routes: Option<&Routes>,
        known: &BTreeMap<i64, Known>,
        now: Timestamp,
    ) -> BTreeMap<Fingerprint, BTreeSet<String>> {
        let mut muted: BTreeMap<Fingerprint, BTreeSet<String>> = BTreeMap::new();
        let receivers: BTreeSet<&str> = known.values().map(|known| known.receiver.as_str()).collect();
        let has_intervals =
            |receiver: &&str| routes.is_some_and(|routes| routes.has_time_intervals(receiver));
        for receiver in receivers.into_iter().filter(has_intervals) {
            let Ok(groups) = one.api.groups(receiver, now).await else { continue };
            for alert in groups.into_iter().flat_map(|group| group.alerts) {
                if let Some(names) = alert.muted_by.filter(|names| !names.is_empty()) {
                    muted.entry(alert.alert.fingerprint).or_default().extend(names);
                }
            }
        }
        muted
    }

    /// The alerts that nobody reported, by receiver.
    async fn unheard(
        &self,
        watch: &Watch,
        routes: Option<&Routes>,
        known: &BTreeMap<i64, Known>,
        now: Timestamp,
    ) -> Result<BTreeMap<Arc<str>, Unheard>, EngineError> {
        let mut receivers: BTreeSet<&Arc<str>> = BTreeSet::new();
        for (_, alert, _) in watch.listed() {
            receivers.extend(&alert.receivers);
        }
        let mut lists = BTreeMap::new();
        for receiver in receivers {
            if let Some(list) = self.list_of(receiver, known, now).await? {
                lists.insert(receiver.to_string(), list);
            }
        }
        let patience = |receiver: &str| {
            let of_routes = routes.and_then(|routes| routes.patience(receiver)).unwrap_or(PATIENCE);
            of_routes.max(LEAST_PATIENCE)
        };
        Ok(polling::unheard(watch, known, |receiver| lists.get(receiver).cloned(), patience, now))
    }

    /// The room list of a receiver: the list that names it, or else the one to which its webhooks went.
    async fn list_of(
        &self,
        receiver: &str,
        known: &BTreeMap<i64, Known>,
        now: Timestamp,
    ) -> Result<Option<Arc<str>>, EngineError> {
        let lists = self.lists.load();
        let named = lists.webhooks().receivers.get(receiver).map_or(receiver, String::as_str);
        if lists.configured(named).is_some() {
            return Ok(Some(named.into()));
        }
        let is_configured = |list: &Arc<str>| lists.configured(list).is_some();
        if let Some(known) = known.values().rev().find(|known| known.receiver == receiver) {
            return Ok(Some(known.room_list.as_str().into()).filter(is_configured));
        }
        let before = self.receivers.lock().unwrap_or_else(PoisonError::into_inner).get(receiver).cloned();
        if let Some((list, _)) = before.filter(|(_, at)| between(*at, now) < LOOKED_UP_FOR) {
            return Ok(list.filter(is_configured));
        }
        let list: Option<Arc<str>> = self.store.list_of_receiver(receiver).await?.map(Into::into);
        let mut receivers = self.receivers.lock().unwrap_or_else(PoisonError::into_inner);
        receivers.retain(|_, (_, at)| between(*at, now) < LOOKED_UP_FOR);
        receivers.insert(receiver.to_owned(), (list.clone(), now));
        Ok(list.filter(is_configured))
    }

    /// Leaves out the alerts of which a poll a while ago has shown that they do not page: the watchdog is always listed.
    fn leave_out_not_paged(&self, unheard: &mut Unheard, now: Timestamp) {
        let mut not_paged = self.not_paged.lock().unwrap_or_else(PoisonError::into_inner);
        not_paged.retain(|_, until| *until > now);
        let list = unheard.room_list.clone();
        unheard.alerts.retain(|alert| !not_paged.contains_key(&(list.clone(), alert.clone())));
    }

    /// Leaves out the alerts that do not page, and remembers them for a while.
    fn only_paging(&self, webhook: &mut Webhook, room_list: &Arc<str>, now: Timestamp) {
        let lists = self.lists.load();
        let Some(list) = lists.configured(room_list) else { return };
        let mut not_paged = self.not_paged.lock().unwrap_or_else(PoisonError::into_inner);
        webhook.alerts.retain(|alert| {
            let pages = list.policy.pages(&alert.labels);
            if !pages {
                not_paged.insert((room_list.clone(), alert.fingerprint.clone()), later(now, LOOKED_UP_FOR));
            }
            pages
        });
    }

    /// Reports alerts that fire without a webhook, in Alertmanager's groups.
    async fn bring(
        &self,
        one: &NamedAlertmanager,
        routes: Option<&Routes>,
        receiver: &str,
        unheard: &Unheard,
        now: Timestamp,
    ) -> Result<(), EngineError> {
        let groups = match one.api.groups(receiver, now).await {
            Ok(groups) => groups,
            Err(error) => {
                let why = causes(&error);
                tracing::warn!(
                    alertmanager = one.name,
                    why,
                    "the groups of Alertmanager {} cannot be read: {why}",
                    one.name
                );
                return Ok(());
            }
        };
        let has_intervals = routes.is_none_or(|routes| routes.has_time_intervals(receiver));
        // People may not reach the URL that is polled.
        let known = self.store.url_of_receiver(receiver).await?;
        let polled = || one.api.urls().next().map(|url| url.as_str().trim_end_matches('/').to_owned());
        let page = known.or_else(polled);
        for group in groups {
            let Some(mut webhook) = webhook(one, receiver, group, unheard, has_intervals) else { continue };
            webhook.group.external_url.clone_from(&page);
            self.only_paging(&mut webhook, &unheard.room_list, now);
            let alerts = webhook.alerts.len();
            if alerts == 0 {
                continue;
            }
            let accepted = self.engine.report(&unheard.room_list, &webhook, now, Source::Poll).await?;
            if accepted.outcome == Outcome::Done {
                self.metrics.alertmanager_found(Finding::Fires);
                tracing::info!(
                    alertmanager = one.name,
                    room_list = &*unheard.room_list,
                    incident = accepted.incident,
                    "Alertmanager {} lists {alerts} firing alerts that no webhook has brought",
                    one.name
                );
            }
        }
        Ok(())
    }
}

/// What a webhook about these alerts of a group would contain. Before 0.28, Alertmanager does not show which time intervals
/// mute a group.
fn webhook(
    one: &NamedAlertmanager,
    receiver: &str,
    group: Group,
    unheard: &Unheard,
    has_intervals: bool,
) -> Option<Webhook> {
    let fires = |alert: &FullAlert| {
        let muted = alert.muted_by.as_ref().map_or(has_intervals, |names| !names.is_empty());
        !alert.suppressed && !muted && unheard.alerts.contains(&alert.alert.fingerprint)
    };
    let alerts: Vec<WebhookAlert> = group.alerts.into_iter().filter(fires).map(|alert| alert.alert).collect();
    let mut common_labels = alerts.first()?.labels.clone();
    for alert in &alerts {
        common_labels.retain(|name, value| alert.labels.get(name) == Some(value));
    }
    let labels: Vec<String> = group.labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    let group = AlertGroup {
        receiver: receiver.to_owned(),
        group_key: format!("polled {}:{{{}}}", &one.name, labels.join(", ")),
        group_labels: group.labels,
        common_labels,
        external_url: None,
        truncated: 0,
    };
    Some(Webhook { group, alerts })
}
