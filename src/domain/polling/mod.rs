//! What a poll of Alertmanager changes: pure, from what is stored and what is listed.
//!
//! Of an alert that no poll has ever listed, a poll says nothing: it may come from another sender. An alert that the polls
//! list and that no report has brought waits for its webhook first.

#[cfg(test)]
mod tests;

use super::hold::{HeldBy, Hold, UNSEEN, look_different};
use super::incident::Fingerprint;
use super::input::{HoldNews, Listing};
use super::time::{between, earlier, later};
use super::watch::{ListedAlert, Remembered, Sight, Watch};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// How long the other processes wait for one that polls and is gone.
pub const LEASE: Duration = Duration::from_secs(75);
/// Nobody polls an Alertmanager of which the newest poll began longer ago: an interval and a moment. If the next one is only
/// late, it decides at once.
pub const POLLED_WITHIN: Duration = Duration::from_secs(31);
/// How long a hold without an end of its own lasts: an inhibition, a mute interval, a silence that could not be read.
pub const OPEN_HOLD: Duration = Duration::from_mins(10);
/// It is extended when so much is left of it.
const OPEN_HOLD_EXTENDED: Duration = Duration::from_mins(5);
/// How long a hold lasts at least whose alerts are not listed any more, and how soon before its end that is looked at.
const UNLISTED_HOLD: Duration = Duration::from_mins(2);
const ENDS_SOON: Duration = Duration::from_mins(1);
/// How many reasons a hold keeps.
const KEPT_REASONS: usize = 10;
/// In how many polls in a row an alert is active before that is believed.
const SURE: u32 = 2;

/// The state of the polls of one Alertmanager.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PollState {
    /// What is known from the polls before.
    pub remembered: Remembered,
    /// Since when no peer answers; `None`: the last poll was answered.
    pub failing_since: Option<Timestamp>,
    /// When the fallback rooms were notified of that.
    pub reported_at: Option<Timestamp>,
}

/// What is stored about an incident with firing alerts.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    /// Its room list.
    pub room_list: String,
    /// The receiver of its group.
    pub receiver: String,
    /// Whether it is open: not resolved by hand.
    pub is_open: bool,
    /// Whether it has not been paged yet.
    pub waits: bool,
    /// What holds it back.
    pub hold: Option<Hold>,
    /// The silences that hold some of its alerts.
    pub partly_silenced: BTreeSet<HeldBy>,
    /// Its firing alerts.
    pub firing: BTreeMap<Fingerprint, KnownAlert>,
}

/// What is stored about a firing alert.
#[derive(Debug, Clone, PartialEq)]
pub struct KnownAlert {
    /// When it was last reported.
    pub last_seen: Timestamp,
    /// The Alertmanager whose polls list it; `None`: none has.
    pub listed_by: Option<String>,
    /// Since which poll it does not; `None`: it does.
    pub unlisted_since: Option<Timestamp>,
}

/// A silence, as far as a hold shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SilenceView {
    /// Who made it.
    pub created_by: String,
    /// Its comment.
    pub comment: String,
    /// When it ends, by our clock.
    pub until: Timestamp,
}

/// What surrounds a poll.
#[derive(Debug, Clone, Copy)]
pub struct Around<'a> {
    /// The name of the Alertmanager.
    pub name: &'a str,
    /// The silences by their ids, as far as they could be read.
    pub silences: &'a BTreeMap<String, SilenceView>,
    /// The time intervals that mute listed alerts.
    pub muted: &'a BTreeMap<Fingerprint, BTreeSet<String>>,
    /// Known alerts that another Alertmanager lists.
    pub elsewhere: &'a BTreeSet<Fingerprint>,
    /// The time of the poll.
    pub now: Timestamp,
}

/// What a poll changes.
#[derive(Debug, Default, PartialEq)]
pub struct Plan {
    /// What it says about incidents, by number.
    pub listings: BTreeMap<i64, Listing>,
    /// Known alerts that it lists, which is not stored yet.
    pub listed: BTreeSet<Fingerprint>,
    /// Known alerts that it no longer lists, which is not stored yet.
    pub unlisted: BTreeSet<Fingerprint>,
}

/// Prepares a watch for a poll: it has to look for these alerts.
pub fn expect(watch: &mut Watch, name: &str, known: &BTreeMap<i64, Known>) {
    for (fingerprint, alert) in known.values().flat_map(|known| &known.firing) {
        if alert.listed_by.as_deref() == Some(name) {
            watch.expect(fingerprint, alert.last_seen);
        }
    }
}

/// What a poll changes about the incidents with firing alerts. `refresh_after`: of a room list, how old the time of the
/// last report may become.
pub fn plan(
    watch: &Watch,
    known: &BTreeMap<i64, Known>,
    refresh_after: impl Fn(&str) -> Duration,
    around: &Around<'_>,
) -> Plan {
    let listed: BTreeMap<&str, (&ListedAlert, Sight)> =
        watch.listed().map(|(fingerprint, alert, sight)| (fingerprint.as_str(), (alert, sight))).collect();
    let mut plan = Plan::default();
    for (number, known) in known {
        let mut listing = Listing::default();
        let oldest = earlier(around.now, refresh_after(&known.room_list));
        for (fingerprint, alert) in &known.firing {
            let is_noted = alert.listed_by.as_deref() == Some(around.name);
            if let Some((alert_listed, _)) = listed.get(fingerprint.as_str()) {
                if known.waits && !alert_listed.suppressed {
                    // Its first page may wait because a late report was in doubt.
                    listing.listed.insert(fingerprint.clone());
                    listing.answers_page = true;
                }
                // Two that list the same alert would take it from each other at every poll.
                let is_another_s = is_another_s(fingerprint, alert, around);
                if !is_another_s && (!is_noted || alert.unlisted_since.is_some()) {
                    plan.listed.insert(fingerprint.clone());
                }
                if alert.last_seen < oldest {
                    listing.listed.insert(fingerprint.clone());
                }
            } else if is_noted {
                if alert.unlisted_since.is_none() {
                    plan.unlisted.insert(fingerprint.clone());
                }
                if watch.sight(fingerprint) == Some(Sight::Ended) && !around.elsewhere.contains(fingerprint) {
                    listing.ended.insert(fingerprint.clone());
                }
            }
        }
        listing.hold = hold_news(known, &listed, &mut listing.suppressed, around);
        listing.partly = partly_news(known, &listed, &listing.hold, around);
        if listing != Listing::default() {
            plan.listings.insert(*number, listing);
        }
    }
    plan
}

/// Whether another Alertmanager lists the alert, and its polls count.
fn is_another_s(fingerprint: &Fingerprint, alert: &KnownAlert, around: &Around<'_>) -> bool {
    let by_another = alert.listed_by.as_deref().is_some_and(|name| name != around.name);
    by_another && alert.unlisted_since.is_none() && around.elsewhere.contains(fingerprint)
}

/// Whether every firing alert of an incident is held back, or no longer. Collects the alerts that are.
fn hold_news(
    known: &Known,
    listed: &BTreeMap<&str, (&ListedAlert, Sight)>,
    suppressed: &mut BTreeSet<Fingerprint>,
    around: &Around<'_>,
) -> HoldNews {
    if !known.is_open || known.firing.is_empty() {
        return HoldNews::Unchanged;
    }
    if known.firing.iter().any(|(fingerprint, alert)| is_another_s(fingerprint, alert, around)) {
        return HoldNews::Unchanged;
    }
    if let Some(hold) = prolonged(known, listed, around) {
        suppressed.extend(known.firing.keys().cloned());
        return HoldNews::Held(hold);
    }
    let (mut by, mut until, mut all) = (BTreeSet::new(), None::<Timestamp>, true);
    for fingerprint in known.firing.keys() {
        let muted = around.muted.get(fingerprint);
        match listed.get(fingerprint.as_str()) {
            Some((alert, Sight::Suppressed)) => {
                let ends = reasons(alert, &mut by, around);
                until = Some(until.map_or(ends, |until| until.min(ends)));
            }
            Some(_) if muted.is_some_and(|names| !names.is_empty()) => {
                by.extend(
                    muted.into_iter().flatten().map(|name| HeldBy::TimeInterval { name: name.clone() }),
                );
                let ends = later(around.now, OPEN_HOLD);
                until = Some(until.map_or(ends, |until| until.min(ends)));
            }
            Some((_, Sight::Active { polls, .. })) if *polls >= SURE => {
                return if known.hold.is_some() { HoldNews::Over } else { HoldNews::Unchanged };
            }
            _ => {
                all = false;
                continue;
            }
        }
        suppressed.insert(fingerprint.clone());
    }
    let Some(until) = until.filter(|_| all) else {
        suppressed.clear();
        return HoldNews::Unchanged;
    };
    let hold = Hold { by: by.into_iter().take(KEPT_REASONS).collect(), until, outlasted: false };
    if known.hold.as_ref().is_some_and(|before| is_kept(before, &hold, around.now)) {
        suppressed.clear();
        return HoldNews::Unchanged;
    }
    HoldNews::Held(hold)
}

/// The silences that hold some of the firing alerts of an incident, but not all; `None`: those that are known, or it is not
/// clear.
fn partly_news(
    known: &Known,
    listed: &BTreeMap<&str, (&ListedAlert, Sight)>,
    hold: &HoldNews,
    around: &Around<'_>,
) -> Option<BTreeSet<HeldBy>> {
    let is_another_s =
        |(fingerprint, alert): (&Fingerprint, &KnownAlert)| is_another_s(fingerprint, alert, around);
    if !known.is_open || known.firing.iter().any(is_another_s) {
        return None;
    }
    let holds_all = match hold {
        HoldNews::Held(_) => true,
        HoldNews::Over => false,
        HoldNews::Unchanged => known.hold.is_some(),
    };
    let (mut by, mut is_clear) = (BTreeSet::new(), true);
    for fingerprint in known.firing.keys().filter(|_| !holds_all) {
        let Some((alert, _)) = listed.get(fingerprint.as_str()) else {
            // It may be listed again soon, after a restart.
            is_clear &= known.firing.get(fingerprint).is_none_or(|alert| alert.listed_by.is_none());
            continue;
        };
        for id in &alert.silenced_by {
            is_clear &= around.silences.contains_key(&**id);
            by.insert(silence(id, around));
        }
    }
    let by: BTreeSet<HeldBy> = by.into_iter().take(KEPT_REASONS).collect();
    (is_clear && look_different(&by, &known.partly_silenced)).then_some(by)
}

/// A hold that would end soon, while none of its alerts is listed any more: either they have ended, which the next polls
/// confirm, or Alertmanager has restarted and lists them again soon. Its end pages nobody before that is known.
fn prolonged(
    known: &Known,
    listed: &BTreeMap<&str, (&ListedAlert, Sight)>,
    around: &Around<'_>,
) -> Option<Hold> {
    let hold = known.hold.as_ref().filter(|hold| hold.until <= later(around.now, ENDS_SOON))?;
    let is_missing = |(fingerprint, alert): (&Fingerprint, &KnownAlert)| {
        !listed.contains_key(fingerprint.as_str()) && alert.listed_by.as_deref() == Some(around.name)
    };
    let until = later(around.now, UNLISTED_HOLD);
    known.firing.iter().all(is_missing).then(|| Hold { by: hold.by.clone(), until, outlasted: false })
}

/// Whether a stored hold says the same: one without an end of its own is extended when half of it is over.
fn is_kept(before: &Hold, hold: &Hold, now: Timestamp) -> bool {
    let has_end =
        hold.by.iter().any(|by| matches!(by, HeldBy::Silence { until, .. } if *until == hold.until));
    let lasts = if has_end {
        hold.until <= before.until && between(hold.until, before.until) < UNSEEN
    } else {
        before.until > later(now, OPEN_HOLD_EXTENDED)
    };
    lasts && !hold.looks_different(before)
}

/// What holds back alerts of which only the listing is known: until the next poll, no details of silences are. `None`: some
/// of them is not held back.
pub fn held<'a>(alerts: impl IntoIterator<Item = &'a ListedAlert>, now: Timestamp) -> Option<Hold> {
    let none = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
    let around = Around { name: "", silences: &none.0, muted: &none.1, elsewhere: &none.2, now };
    let (mut by, mut until) = (BTreeSet::new(), None::<Timestamp>);
    for alert in alerts {
        if !alert.suppressed {
            return None;
        }
        let ends = reasons(alert, &mut by, &around);
        until = Some(until.map_or(ends, |until| until.min(ends)));
    }
    Some(Hold { by: by.into_iter().take(KEPT_REASONS).collect(), until: until?, outlasted: false })
}

/// What the answer of Alertmanager says about a hold whose end has come or is in doubt, by what it lists of each firing
/// alert: whether it is held back (`None`: it is not listed). What is held back or missing is settled by the next polls: they
/// know the silences, and what a restart explains.
pub fn at_its_end(hold: &Hold, alerts: &[Option<bool>], is_whole: bool, now: Timestamp) -> HoldNews {
    let lasts =
        |pause| HoldNews::Held(Hold { by: hold.by.clone(), until: later(now, pause), outlasted: false });
    if is_whole && alerts.iter().all(Option::is_none) {
        lasts(UNLISTED_HOLD)
    } else if alerts.contains(&None) {
        HoldNews::Unchanged
    } else if alerts.contains(&Some(false)) {
        HoldNews::Over
    } else {
        lasts(ENDS_SOON)
    }
}

/// Collects what holds an alert back. Returns when the last of it ends.
fn reasons(alert: &ListedAlert, by: &mut BTreeSet<HeldBy>, around: &Around<'_>) -> Timestamp {
    let open = later(around.now, OPEN_HOLD);
    let mut ends = None::<Timestamp>;
    for id in &alert.silenced_by {
        let until = around.silences.get(&**id).map_or(open, |silence| silence.until);
        by.insert(silence(id, around));
        ends = Some(ends.map_or(until, |ends| ends.max(until)));
    }
    if alert.silenced_by.is_empty() {
        by.insert(HeldBy::Inhibition);
        ends = Some(open);
    } else if !alert.inhibited_by.is_empty() {
        by.insert(HeldBy::Inhibition);
        ends = Some(ends.map_or(open, |ends| ends.max(open)));
    }
    ends.unwrap_or(open)
}

/// A silence as people see it.
fn silence(id: &str, around: &Around<'_>) -> HeldBy {
    let known = around.silences.get(id);
    HeldBy::Silence {
        id: id.to_owned(),
        created_by: known.map(|silence| silence.created_by.clone()).unwrap_or_default(),
        comment: known.map(|silence| silence.comment.clone()).unwrap_or_default(),
        until: known.map_or(later(around.now, OPEN_HOLD), |silence| silence.until),
    }
}

/// The alerts of a receiver that fire, and that no report has brought to its room list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unheard {
    /// The room list.
    pub room_list: Arc<str>,
    /// The alerts.
    pub alerts: BTreeSet<Fingerprint>,
}

/// The alerts that nobody reported, by receiver: listed as active for as long as a webhook about them takes at most
/// (`patience`), and not firing in the receiver's room list.
pub fn unheard(
    watch: &Watch,
    known: &BTreeMap<i64, Known>,
    list_of: impl Fn(&str) -> Option<Arc<str>>,
    patience: impl Fn(&str) -> Duration,
    now: Timestamp,
) -> BTreeMap<Arc<str>, Unheard> {
    let firing: BTreeSet<(&str, &str)> = known
        .values()
        .flat_map(|known| {
            known.firing.keys().map(|fingerprint| (known.room_list.as_str(), fingerprint.as_str()))
        })
        .collect();
    let mut receivers: BTreeMap<Arc<str>, Option<(Arc<str>, Duration)>> = BTreeMap::new();
    let mut unheard: BTreeMap<Arc<str>, Unheard> = BTreeMap::new();
    for (fingerprint, alert, sight) in watch.listed() {
        let Sight::Active { since, polls } = sight else { continue };
        for receiver in alert.receivers.iter().filter(|_| polls >= SURE) {
            let target = receivers
                .entry(Arc::clone(receiver))
                .or_insert_with(|| list_of(receiver).map(|list| (list, patience(receiver))));
            let Some((list, patience)) = target else { continue };
            if between(since, now) >= *patience && !firing.contains(&(&**list, fingerprint.as_str())) {
                let entry = unheard
                    .entry(Arc::clone(receiver))
                    .or_insert_with(|| Unheard { room_list: Arc::clone(list), alerts: BTreeSet::new() });
                entry.alerts.insert(fingerprint.clone());
            }
        }
    }
    unheard
}
