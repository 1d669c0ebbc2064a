//! The clocks of a calendar's times, and its events with times and rules as the library expects them.

use super::events::{is_day, is_utc, property, text_of, time_of, zone_of};
use super::zones::Clock;
use ical::component::IcalComponent;
use ical::ical::Ical;
use ical::param::IcalParam;
use ical::prop::{IcalProp, IcalPropKind, IcalPropName};
use ical::value::IcalValue;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The name of the clock of times in UTC.
pub(super) const UTC: &str = "UTC";

/// The clocks that a calendar names.
pub(super) struct Clocks<'c> {
    /// `None`: nobody knows the name.
    known: BTreeMap<String, Option<Clock>>,
    calendar: &'c Ical<'c>,
    /// The zone of times without one.
    floating: String,
    last_year: i32,
}

impl<'c> Clocks<'c> {
    /// `floating`: the zone of times without one. `last_year`: the last one that matters.
    pub(super) fn new(calendar: &'c Ical<'c>, floating: String, last_year: i32) -> Self {
        Self { known: BTreeMap::new(), calendar, floating, last_year }
    }

    /// The clock with a name.
    pub(super) fn get(&mut self, name: &str) -> Option<&mut Clock> {
        if !self.known.contains_key(name) {
            let found = if name == UTC {
                Some(Clock::Utc)
            } else {
                Clock::find(name, &self.calendar.components, self.last_year)
            };
            self.known.insert(name.to_owned(), found);
        }
        self.known.get_mut(name).and_then(Option::as_mut)
    }

    /// The name of the clock of a property.
    pub(super) fn name_of(&self, property: &IcalProp<'_>) -> String {
        match zone_of(property) {
            _ if is_utc(property) => UTC.to_owned(),
            Some(name) => name.to_owned(),
            None => self.floating.clone(),
        }
    }

    /// The instant of a property.
    pub(super) fn instant_of(&mut self, property: &IcalProp<'_>) -> Result<i64, String> {
        let local = time_of(property).ok_or_else(|| format!("has the time `{}`", text_of(property)))?;
        let name = self.name_of(property);
        let clock = self.get(&name).ok_or_else(|| unknown_zone(&name))?;
        Ok(clock.instant(local))
    }

    /// The event with a zone for its times that have none, and with rules as the library expects them.
    pub(super) fn anchored<'a>(&self, event: &IcalComponent<'a>) -> IcalComponent<'a> {
        use IcalPropKind::{DtEnd, DtStart, ExDate, RDate, RRule, RecurrenceId};
        let mut event = event.clone();
        let starts_by_day = property(&event, DtStart).is_some_and(is_day);
        for property in &mut event.props {
            let IcalPropName::Kind(kind) = property.name else { continue };
            let is_time = matches!(kind, DtStart | DtEnd | RDate | ExDate | RecurrenceId);
            if is_time && !is_utc(property) && zone_of(property).is_none() {
                property.params.push(IcalParam::TzId(Cow::Owned(self.floating.clone())));
            }
            if kind == RRule
                && let IcalValue::Recur(rule) = &mut property.value
            {
                rule.0 = Cow::Owned(usual(&rule.0, starts_by_day));
            }
        }
        event
    }
}

pub(super) fn unknown_zone(name: &str) -> String {
    format!("has the time zone `{name}`, which nobody knows")
}

/// A rule as the standard has it: without the `COUNT=-1` of Confluence, and with an end that is a day as the end of that day.
fn usual(rule: &str, starts_by_day: bool) -> String {
    let is_until = |part: &str| part.trim().to_ascii_uppercase().starts_with("UNTIL=");
    let has_until = rule.split(';').any(is_until);
    let parts = rule.split(';').filter(|part| {
        let is_count = part.trim().to_ascii_uppercase().starts_with("COUNT=");
        !(is_count && (has_until || part.contains('-')))
    });
    let parts = parts.map(|part| {
        let value = part.split_once('=').map(|(_, value)| value.trim()).filter(|_| is_until(part));
        match value {
            Some(day) if day.len() == 8 && !starts_by_day => format!("UNTIL={day}T235959"),
            _ => part.trim().to_owned(),
        }
    });
    parts.collect::<Vec<_>>().join(";")
}
