//! The properties of an event.

use super::person::Names;
use ical::component::IcalComponent;
use ical::param::IcalParam;
use ical::prop::{IcalProp, IcalPropKind, IcalPropName};
use ical::recur::IcalRecurDateTime;
use ical::value::IcalValue;

/// The first property of a kind.
pub(super) fn property<'c, 'a>(event: &'c IcalComponent<'a>, kind: IcalPropKind) -> Option<&'c IcalProp<'a>> {
    event.props.iter().find(|property| matches!(property.name, IcalPropName::Kind(is) if is == kind))
}

/// The value of a property as text.
pub(super) fn text_of(property: &IcalProp<'_>) -> String {
    match &property.value {
        IcalValue::Text(text) => text.0.to_string(),
        IcalValue::CalAddress(address) => address.0.to_string(),
        IcalValue::Date(date) => date.0.to_string(),
        IcalValue::DateTime(date) => date.0.to_string(),
        IcalValue::DateTimeList(dates) => dates.0.first().map(ToString::to_string).unwrap_or_default(),
        IcalValue::Duration(length) => length.0.to_string(),
        IcalValue::Integer(number) => number.0.to_string(),
        IcalValue::Recur(rule) => rule.0.to_string(),
        IcalValue::Uri(uri) => uri.0.to_string(),
        IcalValue::Unknown(value) => {
            value.components.iter().flatten().map(ToString::to_string).collect::<Vec<_>>().join(",")
        }
        _ => String::new(),
    }
}

/// The text of the first property of a kind; empty without one.
pub(super) fn text(event: &IcalComponent<'_>, kind: IcalPropKind) -> String {
    property(event, kind).map(text_of).unwrap_or_default()
}

/// The number of an event's version.
pub(super) fn sequence(event: &IcalComponent<'_>) -> i64 {
    text(event, IcalPropKind::Sequence).trim().parse().unwrap_or(0)
}

/// Whether the event does not take place.
pub(super) fn is_cancelled(event: &IcalComponent<'_>) -> bool {
    text(event, IcalPropKind::Status).trim().eq_ignore_ascii_case("CANCELLED")
}

/// The zone that a property names, as it is written.
pub(super) fn zone_of<'c>(property: &'c IcalProp<'_>) -> Option<&'c str> {
    property.params.iter().find_map(|parameter| match parameter {
        IcalParam::TzId(name) => Some(name.as_ref()),
        _ => None,
    })
}

/// Whether the value is a day without a time.
pub(super) fn is_day(property: &IcalProp<'_>) -> bool {
    text_of(property).trim().len() == "20261019".len()
}

/// The written time of a property.
pub(super) fn time_of(property: &IcalProp<'_>) -> Option<IcalRecurDateTime> {
    IcalRecurDateTime::parse(text_of(property).trim()).ok()
}

/// Whether the time of a property is in UTC.
pub(super) fn is_utc(property: &IcalProp<'_>) -> bool {
    text_of(property).trim().ends_with(['Z', 'z'])
}

/// A length: days by the calendar, and seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Length {
    pub(super) days: i64,
    pub(super) seconds: i64,
}

/// RFC 5545 3.3.6: `P7D`, `P1W`, `PT168H`, `P1DT12H`.
pub(super) fn length(text: &str) -> Option<Length> {
    let text = text.trim().to_ascii_uppercase();
    let rest = text.strip_prefix('+').unwrap_or(&text).strip_prefix('P')?;
    let (mut found, mut number, mut any) = (Length { days: 0, seconds: 0 }, String::new(), false);
    for letter in rest.chars() {
        let factor = match letter {
            '0'..='9' => {
                number.push(letter);
                continue;
            }
            'T' => continue,
            'W' => (7, 0),
            'D' => (1, 0),
            'H' => (0, 3600),
            'M' => (0, 60),
            'S' => (0, 1),
            _ => return None,
        };
        let count: i64 = number.parse().ok()?;
        found.days = found.days.checked_add(count.checked_mul(factor.0)?)?;
        found.seconds = found.seconds.checked_add(count.checked_mul(factor.1)?)?;
        number.clear();
        any = true;
    }
    any.then_some(found)
}

/// What names the person of an event.
pub(super) fn names(event: &IcalComponent<'_>) -> Names {
    let attendees: Vec<_> = event
        .props
        .iter()
        .filter(|property| matches!(property.name, IcalPropName::Kind(IcalPropKind::Attendee)))
        .map(|property| {
            let name = property.params.iter().find_map(|parameter| match parameter {
                IcalParam::Cn(name) => Some(name.to_string()),
                _ => None,
            });
            (text_of(property), name)
        })
        .collect();
    Names::of(
        &text(event, IcalPropKind::Summary),
        &text(event, IcalPropKind::Description),
        &text(event, IcalPropKind::Location),
        &attendees,
    )
}
