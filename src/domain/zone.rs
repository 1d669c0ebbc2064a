//! Time zones by their IANA names: those of the system's database, or else of the database in the program.

use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The longest name that is looked up, in bytes.
const LONGEST: usize = 64;

/// A time zone with an IANA name, such as `Europe/Berlin`. The default is `UTC`. Only reading one from its name looks at
/// files, so a configuration reads it once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Zone(TimeZone);

impl Zone {
    /// UTC, which every system knows.
    pub const UTC: Self = Self(TimeZone::UTC);

    /// The zone itself, to calculate with.
    pub fn time_zone(&self) -> &TimeZone {
        &self.0
    }

    /// Its IANA name.
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// What clocks there are called at an instant: `CET`, or the offset where the zone has no letters for it (`UTC-03`).
    pub fn abbreviation(&self, at: Timestamp) -> String {
        let offset = self.0.to_offset_info(at);
        let letters = offset.abbreviation();
        match letters.strip_prefix(['+', '-']) {
            Some(_) => format!("UTC{letters}"),
            None => letters.to_owned(),
        }
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self::UTC
    }
}

impl FromStr for Zone {
    type Err = UnknownZone;

    fn from_str(name: &str) -> Result<Self, UnknownZone> {
        let found = (name.len() <= LONGEST && !name.is_empty())
            .then(|| TimeZone::get(name).or_else(|_| TimeZoneDatabase::bundled().get(name)).ok())
            .flatten();
        found.map(Self).ok_or_else(|| UnknownZone { name: name.to_owned(), nearest: nearest(name) })
    }
}

impl TryFrom<String> for Zone {
    type Error = UnknownZone;

    fn try_from(name: String) -> Result<Self, UnknownZone> {
        name.parse()
    }
}

impl From<Zone> for String {
    fn from(zone: Zone) -> Self {
        zone.name().to_owned()
    }
}

/// UTC, to refer to.
pub static UTC: Zone = Zone::UTC;

/// A name that no database has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct UnknownZone {
    name: String,
    nearest: Option<String>,
}

impl fmt::Display for UnknownZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no time zone", self.name)?;
        match &self.nearest {
            Some(nearest) => write!(f, "; did you mean `{nearest}`?"),
            None => write!(f, " of the IANA database, such as Europe/Berlin or UTC"),
        }
    }
}

/// The name that is meant: the same city, or a name with few other letters.
fn nearest(name: &str) -> Option<String> {
    let wanted: String = name.to_lowercase().replace(' ', "_").chars().take(LONGEST).collect();
    let city = |name: &str| name.rsplit('/').next().unwrap_or_default().to_lowercase();
    let database = TimeZoneDatabase::bundled();
    let known: Vec<String> = database.available().map(|name| name.to_string()).collect();
    let same_city = known.iter().find(|known| !wanted.is_empty() && city(known) == city(&wanted));
    let is_long = wanted.chars().count() > 4;
    same_city
        .or_else(|| {
            let distance = |known: &String| strsim::osa_distance(&known.to_lowercase(), &wanted);
            known.iter().filter(|known| is_long && distance(known) <= 2).min_by_key(|known| distance(known))
        })
        .cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(name: &str) -> Zone {
        name.parse().unwrap()
    }

    #[test]
    fn a_zone_has_the_name_and_letters_of_its_clocks() {
        let (winter, summer) =
            ("2026-01-15T12:00:00Z".parse().unwrap(), "2026-07-15T12:00:00Z".parse().unwrap());
        let berlin = zone("europe/berlin");
        assert_eq!((berlin.name(), berlin.abbreviation(winter)), ("Europe/Berlin", "CET".to_owned()));
        assert_eq!(berlin.abbreviation(summer), "CEST");
        assert_eq!(zone("America/Sao_Paulo").abbreviation(winter), "UTC-03");
        assert_eq!((Zone::default().name(), Zone::UTC.abbreviation(summer)), ("UTC", "UTC".to_owned()));
    }

    #[test]
    fn old_names_are_known_on_every_system() {
        for name in ["US/Central", "Europe/Kiev", "EST5EDT", "Etc/UTC"] {
            assert!(name.parse::<Zone>().is_ok(), "{name}");
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_nearest_one() {
        for (name, expected) in [
            ("Europe/Berlni", "`Europe/Berlni` is no time zone; did you mean `Europe/Berlin`?"),
            ("Berlin", "`Berlin` is no time zone; did you mean `Europe/Berlin`?"),
            ("new york", "`new york` is no time zone; did you mean `America/New_York`?"),
            ("+01:00", "`+01:00` is no time zone of the IANA database, such as Europe/Berlin or UTC"),
            ("", "`` is no time zone of the IANA database, such as Europe/Berlin or UTC"),
        ] {
            assert_eq!(name.parse::<Zone>().unwrap_err().to_string(), expected);
        }
        assert!("../etc/passwd".parse::<Zone>().is_err());
        assert!("x".repeat(10_000).parse::<Zone>().is_err());
    }

    #[test]
    fn a_zone_is_stored_as_its_name() {
        let stored = serde_json::to_string(&zone("Europe/Berlin")).unwrap();
        assert_eq!(stored, "\"Europe/Berlin\"");
        assert_eq!(serde_json::from_str::<Zone>(&stored).unwrap(), zone("Europe/Berlin"));
    }
}
