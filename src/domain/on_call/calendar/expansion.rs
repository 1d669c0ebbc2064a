//! The events of one calendar as shifts.

use super::clocks::{Clocks, UTC, unknown_zone};
use super::events::{
    Length, is_cancelled, is_day, length, names, property, sequence, text, text_of, time_of, zone_of,
};
use super::zones::Clock;
use super::{Expanded, Found, Unusable, Wanted, is_event};
use ical::component::IcalComponent;
use ical::ical::Ical;
use ical::prop::{IcalPropKind, IcalPropName};
use ical::recur::set::{IcalRecurOverride, IcalRecurSet};
use ical::recur::{IcalRecurDateTime, IcalRecurFreq, IcalRecurRule};
use ical::tz::IcalTz;
use ical::value::IcalValue;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// The most instances of a series that are looked at, from its beginning.
const MOST_INSTANCES: usize = 200_000;
/// After how many instances the time is checked.
const CHECK_EVERY: usize = 1000;
const DAY: i64 = 86_400;

/// Adds the shifts of a calendar.
pub(super) fn expand(
    calendar: &Ical<'_>,
    wanted: Wanted<'_>,
    is_late: &dyn Fn() -> bool,
    into: &mut Expanded,
) -> Result<(), Unusable> {
    let named = calendar.props.iter().find(|property| property.name.eq_ignore_ascii_case("X-WR-TIMEZONE"));
    let own = named.map(text_of).filter(|name| name.trim().parse::<crate::domain::zone::Zone>().is_ok());
    let floating = match (wanted.source_zone, own) {
        (Some(zone), _) => zone.name().to_owned(),
        (None, Some(own)) => own.trim().to_owned(),
        (None, None) => wanted.schedule_zone.name().to_owned(),
    };
    let last_year = IcalRecurDateTime::from_seconds(wanted.to.as_second()).year.saturating_add(2);
    let mut clocks = Clocks::new(calendar, floating, last_year);
    let mut groups: BTreeMap<(String, usize), Vec<IcalComponent<'_>>> = BTreeMap::new();
    for (place, event) in calendar.components.iter().enumerate().filter(|(_, event)| is_event(event)) {
        let uid = text(event, IcalPropKind::Uid);
        // An event without an id stands for itself.
        let place = if uid.is_empty() { place } else { 0 };
        groups.entry((uid, place)).or_default().push(clocks.anchored(event));
    }
    for group in groups.into_values() {
        if is_late() {
            return Err(Unusable::TooSlow);
        }
        let title: String = group.first().map(|event| text(event, IcalPropKind::Summary)).unwrap_or_default();
        let title: String = title.chars().take(40).collect();
        match Series::of(group, &mut clocks) {
            Ok(series) => {
                let problem = series.add(&mut clocks, wanted, is_late, &mut into.shifts)?;
                into.problems.extend(problem.map(|problem| format!("`{title}` {problem}")));
            }
            Err(problem) => into.problems.push(format!("`{title}` {problem}")),
        }
    }
    Ok(())
}

/// How long the events of a series are.
#[derive(Clone, Copy)]
enum Ends {
    /// So many seconds later by the wall clock.
    ByClock(i64),
    After(Length),
    Never,
}

/// The events with one id: those that repeat, and those that replace one of them.
struct Series<'a> {
    masters: Vec<IcalComponent<'a>>,
    /// With the identity, which is `None` if there is no series.
    others: Vec<IcalComponent<'a>>,
}

impl<'a> Series<'a> {
    fn of(group: Vec<IcalComponent<'a>>, clocks: &mut Clocks<'_>) -> Result<Self, String> {
        let (others, mut masters): (Vec<_>, Vec<_>) =
            group.into_iter().partition(|event| property(event, IcalPropKind::RecurrenceId).is_some());
        let newest = masters.iter().map(sequence).max();
        masters.retain(|event| Some(sequence(event)) == newest);
        // Of several that replace the same event, the newest counts. They are numbered apart from the series.
        let mut replacing: BTreeMap<i64, IcalComponent<'a>> = BTreeMap::new();
        for event in others {
            let Some(id) = property(&event, IcalPropKind::RecurrenceId) else { continue };
            let id = clocks.instant_of(id)?;
            match replacing.get(&id) {
                Some(known) if sequence(known) > sequence(&event) => {}
                _ => {
                    replacing.insert(id, event);
                }
            }
        }
        Ok(Self { masters, others: replacing.into_values().collect() })
    }

    /// Adds its shifts. Returns why some are missing.
    fn add(
        &self,
        clocks: &mut Clocks<'_>,
        wanted: Wanted<'_>,
        is_late: &dyn Fn() -> bool,
        shifts: &mut Vec<Found>,
    ) -> Result<Option<String>, Unusable> {
        let mut problem = None;
        let mut gone = Vec::new();
        for master in &self.masters {
            match Walk::of(master, &self.others, clocks) {
                Ok(walk) => {
                    gone.extend(walk.set.exdates.iter().copied());
                    problem = problem.or(walk.add(clocks, wanted, is_late, shifts)?);
                }
                Err(why) => problem = Some(why),
            }
        }
        for other in &self.others {
            match self.single(other, &gone, clocks) {
                Ok(found) => shifts.extend(found.filter(|found| is_wanted(found, wanted))),
                Err(why) => problem = Some(why),
            }
        }
        Ok(problem)
    }

    /// An event that replaces one of the series, unless that one was taken out.
    fn single(
        &self,
        event: &IcalComponent<'a>,
        gone: &[IcalRecurDateTime],
        clocks: &mut Clocks<'_>,
    ) -> Result<Option<Found>, String> {
        let clock = self.masters.first().and_then(|master| property(master, IcalPropKind::DtStart));
        if let (Some(start), Some(id)) = (clock, property(event, IcalPropKind::RecurrenceId)) {
            let (instant, name) = (clocks.instant_of(id)?, clocks.name_of(start));
            let clock = clocks.get(&name).ok_or_else(|| unknown_zone(&name))?;
            if gone.contains(&clock.local(instant)) {
                return Ok(None);
            }
        }
        let start = property(event, IcalPropKind::DtStart).ok_or("has no start")?;
        let from = clocks.instant_of(start)?;
        let to = if let Some(end) = property(event, IcalPropKind::DtEnd) {
            clocks.instant_of(end)?
        } else {
            let (ends, name) = (ends_of(event, clocks)?, clocks.name_of(start));
            let local = time_of(start).ok_or("has no start")?;
            clocks.get(&name).map_or(from, |clock| end_of(clock, local, from, ends))
        };
        Ok(found(event, from, to))
    }
}

/// A shift, unless the event is cancelled or has no length.
fn found(event: &IcalComponent<'_>, from: i64, to: i64) -> Option<Found> {
    let ends_at = Timestamp::from_second(to).ok()?;
    let starts_at = Timestamp::from_second(from).ok()?;
    (from < to && !is_cancelled(event)).then(|| Found { starts_at, ends_at, names: names(event) })
}

fn is_wanted(found: &Found, wanted: Wanted<'_>) -> bool {
    found.starts_at < wanted.to && found.ends_at > wanted.from
}

/// When the events of a series end.
fn ends_of(event: &IcalComponent<'_>, clocks: &mut Clocks<'_>) -> Result<Ends, String> {
    let start = property(event, IcalPropKind::DtStart).ok_or("has no start")?;
    let local = time_of(start).ok_or_else(|| format!("begins at `{}`", text_of(start)))?;
    if let Some(end) = property(event, IcalPropKind::DtEnd) {
        let (instant, name) = (clocks.instant_of(end)?, clocks.name_of(start));
        let same_clock = name == clocks.name_of(end);
        let clock = clocks.get(&name).ok_or_else(|| unknown_zone(&name))?;
        let end = time_of(end).filter(|_| same_clock).unwrap_or_else(|| clock.local(instant));
        return Ok(Ends::ByClock(end.seconds().saturating_sub(local.seconds())));
    }
    let written = text(event, IcalPropKind::Duration);
    match length(&written) {
        Some(length) => Ok(Ends::After(length)),
        None if !written.is_empty() => Err(format!("lasts `{written}`")),
        None if is_day(start) => Ok(Ends::After(Length { days: 1, seconds: 0 })),
        None => Ok(Ends::Never),
    }
}

/// The end of an event that starts at `local`, which is the instant `from`.
fn end_of(clock: &mut Clock, local: IcalRecurDateTime, from: i64, ends: Ends) -> i64 {
    let later = |seconds: i64| IcalRecurDateTime::from_seconds(local.seconds().saturating_add(seconds));
    match ends {
        Ends::ByClock(seconds) => clock.instant(later(seconds)),
        Ends::After(Length { days: 0, seconds }) => from.saturating_add(seconds),
        Ends::After(Length { days, seconds }) => {
            clock.instant(later(days.saturating_mul(DAY))).saturating_add(seconds)
        }
        Ends::Never => from,
    }
}

/// The way through the events of a series.
struct Walk<'s, 'a> {
    master: &'s IcalComponent<'a>,
    set: IcalRecurSet,
    clock: String,
    ends: Ends,
    /// The events that others replace.
    replaced: Vec<IcalRecurDateTime>,
    /// Events that also replace all later ones.
    from_then_on: Vec<(IcalRecurOverride, &'s IcalComponent<'a>)>,
    /// The ends of additional dates that have their own.
    periods: BTreeMap<i64, i64>,
}

impl<'s, 'a> Walk<'s, 'a> {
    fn of(
        master: &'s IcalComponent<'a>,
        others: &'s [IcalComponent<'a>],
        clocks: &mut Clocks<'_>,
    ) -> Result<Self, String> {
        let start = property(master, IcalPropKind::DtStart).ok_or("has no start")?;
        time_of(start).ok_or_else(|| format!("begins at `{}`", text_of(start)))?;
        let clock = clocks.name_of(start);
        let zones = zones(master, others, clocks)?;
        for rule in
            master.props.iter().filter(|it| matches!(it.name, IcalPropName::Kind(IcalPropKind::RRule)))
        {
            let rule = text_of(rule);
            let parsed =
                IcalRecurRule::parse(&rule).map_err(|why| format!("has the rule `{rule}`: {why}"))?;
            if matches!(parsed.freq, IcalRecurFreq::Secondly | IcalRecurFreq::Minutely) {
                return Err(format!("repeats more often than every hour: `{rule}`"));
            }
        }
        let set = IcalRecurSet::of_component_in(master, &zones);
        let (mut replaced, mut from_then_on) = (Vec::new(), Vec::new());
        for other in others {
            let Some(over) = IcalRecurOverride::of_component(other, &set.zone, &zones) else { continue };
            replaced.push(over.id);
            if over.this_and_future {
                from_then_on.push((over, other));
            }
        }
        from_then_on.sort_by_key(|(over, _)| over.id);
        let periods = periods(master, clocks)?;
        Ok(Self { master, set, clock, ends: ends_of(master, clocks)?, replaced, from_then_on, periods })
    }

    fn add(
        &self,
        clocks: &mut Clocks<'_>,
        wanted: Wanted<'_>,
        is_late: &dyn Fn() -> bool,
        shifts: &mut Vec<Found>,
    ) -> Result<Option<String>, Unusable> {
        let mut later = Vec::with_capacity(self.from_then_on.len());
        for (over, event) in &self.from_then_on {
            match ends_of(event, clocks) {
                Ok(ends) => later.push((over, *event, ends)),
                Err(why) => return Ok(Some(why)),
            }
        }
        let Some(clock) = clocks.get(&self.clock) else { return Ok(Some(unknown_zone(&self.clock))) };
        let zone = clock.zone().cloned();
        let walk = match &zone {
            Some(zone) => self.set.expand_in_zone(zone),
            None => self.set.expand(),
        };
        // A later event may replace many and begin earlier than they did.
        let slack =
            later.iter().map(|(over, ..)| over.id.seconds().saturating_sub(over.start.seconds())).max();
        let last = wanted.to.as_second().saturating_add(slack.unwrap_or(0).max(0)).saturating_add(2 * DAY);
        for (count, instance) in walk.enumerate() {
            if instance.id.seconds() > last {
                break;
            }
            if count >= MOST_INSTANCES {
                return Ok(Some(format!("repeats more than {MOST_INSTANCES} times")));
            }
            if count % CHECK_EVERY == 0 && is_late() {
                return Err(Unusable::TooSlow);
            }
            if self.replaced.contains(&instance.id) {
                continue;
            }
            let replacing = later.iter().rev().find(|(over, ..)| over.id <= instance.id);
            let (event, ends, local) = match replacing {
                Some((over, event, ends)) => {
                    let moved = over.start.seconds().saturating_sub(over.id.seconds());
                    (
                        *event,
                        *ends,
                        IcalRecurDateTime::from_seconds(instance.id.seconds().saturating_add(moved)),
                    )
                }
                None => (self.master, self.ends, instance.id),
            };
            let from = clock.instant(local);
            let to = self.periods.get(&from).copied();
            let to = to.unwrap_or_else(|| end_of(clock, local, from, ends));
            shifts.extend(found(event, from, to).filter(|found| is_wanted(found, wanted)));
        }
        Ok(None)
    }
}

/// The zones of the times of a series.
fn zones(
    master: &IcalComponent<'_>,
    others: &[IcalComponent<'_>],
    clocks: &mut Clocks<'_>,
) -> Result<Vec<IcalTz>, String> {
    let mut zones: Vec<IcalTz> = Vec::new();
    let properties = std::iter::once(master).chain(others).flat_map(|event| &event.props);
    for name in properties.filter_map(zone_of) {
        if zones.iter().any(|zone| zone.id == name) {
            continue;
        }
        let clock = clocks.get(name).ok_or_else(|| unknown_zone(name))?;
        zones.extend(clock.zone().cloned());
    }
    Ok(zones)
}

/// `RDATE;VALUE=PERIOD`: the ends of additional dates by their starts, which the library leaves out.
fn periods(event: &IcalComponent<'_>, clocks: &mut Clocks<'_>) -> Result<BTreeMap<i64, i64>, String> {
    let mut ends = BTreeMap::new();
    for property in &event.props {
        let IcalPropName::Kind(IcalPropKind::RDate) = property.name else { continue };
        let IcalValue::DateTimeList(dates) = &property.value else { continue };
        for (from, to) in dates.0.iter().filter_map(|date| date.split_once('/')) {
            let mut at = |written: &str| {
                let local = IcalRecurDateTime::parse(written).ok()?;
                let is_utc = written.ends_with(['Z', 'z']);
                let name = if is_utc { UTC.to_owned() } else { zone_of(property).unwrap_or(UTC).to_owned() };
                clocks.get(&name).map(|clock| (name.clone(), local, clock.instant(local)))
            };
            let (name, local, start) = at(from).ok_or_else(|| format!("has the date `{from}/{to}`"))?;
            let end = match length(to) {
                Some(length) => {
                    clocks.get(&name).map(|clock| end_of(clock, local, start, Ends::After(length)))
                }
                None => at(to).map(|(_, _, end)| end),
            };
            ends.insert(start, end.ok_or_else(|| format!("has the date `{from}/{to}`"))?);
        }
    }
    Ok(ends)
}
