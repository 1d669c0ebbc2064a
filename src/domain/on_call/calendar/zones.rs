//! The clocks that a calendar names.
//!
//! A name is resolved in this order: an IANA name, or a path that ends in one; what the file itself says about the name; a
//! name of Windows; a label such as `(UTC+01:00) Amsterdam, Berlin`. The file comes second because what real files say about
//! well-known zones is often cut to a few years.

use crate::domain::zone::Zone;
use ical::component::IcalComponent;
use ical::recur::set::IcalRecurSet;
use ical::recur::{IcalRecurDateTime, IcalRecurFreq};
use ical::tz::{IcalTz, IcalTzObservance, IcalTzTransition, IcalTzTransitions};
use jiff::Timestamp;
use jiff::tz::TimeZoneDatabase;

/// Names of Windows with the IANA name of their main territory, from Unicode CLDR (licence Unicode-3.0).
static WINDOWS: &str = include_str!("windows-zones.txt");
/// The first year whose changes of the clock are known.
const FIRST_YEAR: i32 = 1970;

/// A clock.
#[derive(Debug)]
pub(super) enum Clock {
    Utc,
    Local { zone: IcalTz, changes: IcalTzTransitions },
}

impl Clock {
    /// The clock with a name, if it is known. `years`: the last year that matters.
    pub(super) fn find(name: &str, timezones: &[IcalComponent<'_>], last_year: i32) -> Option<Self> {
        let bare = name.trim().trim_matches('"');
        let zone = by_name(bare)
            .map(|zone| of_rules(name, &zone, last_year))
            .or_else(|| of_file(name, timezones, last_year))
            .or_else(|| windows(bare).map(|zone| of_rules(name, &zone, last_year)))
            .or_else(|| labelled(bare).map(|zone| of_rules(name, &zone, last_year)))?;
        Some(Self::Local { changes: IcalTzTransitions::of_zone(zone.clone()), zone })
    }

    /// The instant of a written time, in seconds since the epoch.
    pub(super) fn instant(&mut self, local: IcalRecurDateTime) -> i64 {
        match self {
            Self::Utc => local.seconds(),
            Self::Local { changes, .. } => changes.resolve(local).literal_instant(local),
        }
    }

    /// What the clock shows at an instant.
    pub(super) fn local(&self, instant: i64) -> IcalRecurDateTime {
        match self {
            Self::Utc => IcalRecurDateTime::from_seconds(instant),
            Self::Local { zone, .. } => zone.local(instant),
        }
    }

    /// The rules, for the expansion of series.
    pub(super) fn zone(&self) -> Option<&IcalTz> {
        match self {
            Self::Utc => None,
            Self::Local { zone, .. } => Some(zone),
        }
    }
}

/// The zone with an IANA name, or with a path that ends in one, as Mozilla and Evolution write them.
fn by_name(name: &str) -> Option<Zone> {
    let mut rest = name.trim_start_matches('/');
    loop {
        if let Ok(zone) = rest.parse() {
            return Some(zone);
        }
        (_, rest) = rest.split_once('/').filter(|_| name.starts_with('/'))?;
    }
}

fn windows(name: &str) -> Option<Zone> {
    let known = WINDOWS.lines().filter_map(|line| line.split_once('='));
    let mut named = known.filter(|(windows, _)| windows.eq_ignore_ascii_case(name));
    named.next().and_then(|(_, iana)| iana.parse().ok())
}

/// A label such as `(UTC+01:00) Amsterdam, Berlin, Bern`: the zone of the first city that has this offset in winter or summer.
fn labelled(name: &str) -> Option<Zone> {
    let (offset, cities) =
        name.strip_prefix("(UTC").or_else(|| name.strip_prefix("(GMT"))?.split_once(')')?;
    let (hours, minutes) = offset.split_once(':').unwrap_or(("0", "0"));
    let minutes: i32 = minutes.parse().ok()?;
    let hours: i32 = hours.parse().ok()?;
    let sign = if offset.starts_with('-') { -1 } else { 1 };
    let seconds = hours.saturating_mul(3600).saturating_add(minutes.saturating_mul(60).saturating_mul(sign));
    let january: Timestamp = Timestamp::from_second(1_767_225_600).ok()?;
    let july: Timestamp = Timestamp::from_second(1_782_864_000).ok()?;
    let known: Vec<String> = TimeZoneDatabase::bundled().available().map(|name| name.to_string()).collect();
    cities.split([',', ';']).find_map(|city| {
        let city = city.trim().replace(' ', "_");
        let named = known.iter().filter(|name| name.rsplit('/').next() == Some(city.as_str()));
        named.filter_map(|name| name.parse::<Zone>().ok()).find(|zone| {
            // Windows names the offset without daylight saving time.
            let offset = |at: Timestamp| zone.time_zone().to_offset(at).seconds();
            offset(january).min(offset(july)) == seconds
        })
    })
}

/// A zone of the database.
fn of_rules(name: &str, zone: &Zone, last_year: i32) -> IcalTz {
    let rules = zone.time_zone();
    let begin = Timestamp::UNIX_EPOCH;
    let first = rules.to_offset(begin).seconds();
    let (mut changes, mut before) = (vec![always(first)], first);
    for change in rules.following(begin) {
        let at = change.timestamp().as_second();
        let local = IcalRecurDateTime::from_seconds(at.saturating_add(i64::from(before)));
        let to = change.offset().seconds();
        if local.year > last_year {
            break;
        }
        if to != before {
            changes.push(IcalTzTransition { local, from: before, to });
        }
        before = to;
    }
    flat(name, changes)
}

/// What the file says about a name. `None`: nothing, or rules that no clock follows.
fn of_file(name: &str, timezones: &[IcalComponent<'_>], last_year: i32) -> Option<IcalTz> {
    let zone = timezones.iter().filter_map(IcalTz::of_component).find(|zone| zone.id == name)?;
    let rules = zone.observances.iter().flat_map(|observance| &observance.onsets.rules);
    let is_sane =
        rules.clone().all(|rule| matches!(rule.freq, IcalRecurFreq::Yearly | IcalRecurFreq::Monthly));
    if !is_sane || zone.observances.is_empty() {
        return None;
    }
    let (old, mut changes): (Vec<_>, Vec<_>) =
        zone.transitions(last_year).into_iter().partition(|change| change.local.year < FIRST_YEAR);
    let first = old.last().map(|change| change.to).or_else(|| changes.first().map(|change| change.from));
    changes.insert(0, always(first?));
    Some(flat(name, changes))
}

/// A change to the offset that holds already.
fn always(offset: i32) -> IcalTzTransition {
    IcalTzTransition { local: IcalRecurDateTime::date(1, 1, 1), from: offset, to: offset }
}

/// A zone of single changes: to look one up takes no rule.
fn flat(name: &str, changes: Vec<IcalTzTransition>) -> IcalTz {
    let mut observances: Vec<IcalTzObservance> = Vec::new();
    for change in changes {
        let known = observances.iter_mut().find(|known| (known.from, known.to) == (change.from, change.to));
        match known {
            Some(known) => known.onsets.dates.push(change.local),
            None => observances.push(IcalTzObservance {
                daylight: change.to > change.from,
                from: change.from,
                to: change.to,
                onsets: IcalRecurSet { dates: vec![change.local], ..IcalRecurSet::default() },
            }),
        }
    }
    IcalTz { id: name.to_owned(), observances }
}
