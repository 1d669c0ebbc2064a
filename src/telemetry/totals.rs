//! The totals over all processes (`crate::domain::totals`). This process exports them while it has their lease.
//!
//! To aggregate them, `sum` over the replicas, as for every counter. The process with the lease exports all totals, the
//! others none. When another process acquires the lease, the series end on one instance and continue with the same
//! values on the other: they never decrease, and `sum(rate(…))` is correct. Counts between the last scrape of the first
//! instance and the first scrape of the second are in the totals, but in no rate.

use crate::domain::input::Via;
use crate::domain::totals::{BUCKETS, LONGER, Total, level_label, names};
use jiff::Timestamp;
use prometheus::proto::{Bucket, Counter, Histogram, LabelPair, Metric, MetricFamily, MetricType};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A metric.
struct Definition {
    /// Without the prefix.
    name: &'static str,
    help: &'static str,
    /// Without the bucket label of a histogram.
    labels: &'static [&'static str],
    kind: MetricType,
}

const DEFINITIONS: [Definition; 6] = [
    Definition {
        name: names::ACKNOWLEDGEMENTS,
        help: "Acknowledgements by room list and by how they were given.",
        labels: &["room_list", "via"],
        kind: MetricType::COUNTER,
    },
    Definition {
        name: names::LATE_ACKNOWLEDGEMENTS,
        help: "Acknowledgements of incidents that were already resolved or closed.",
        labels: &[],
        kind: MetricType::COUNTER,
    },
    Definition {
        name: names::PAGES,
        help: "Pages sent, by room list and level (the first is 1).",
        labels: &["room_list", "level"],
        kind: MetricType::COUNTER,
    },
    Definition {
        name: names::UNANSWERED,
        help: "Runs in which every level was paged and nobody acknowledged, by room list.",
        labels: &["room_list"],
        kind: MetricType::COUNTER,
    },
    Definition {
        name: names::TIME_TO_ACKNOWLEDGE,
        help: "From an incident's opening to its first acknowledgement.",
        labels: &[],
        kind: MetricType::HISTOGRAM,
    },
    Definition {
        name: names::TIME_TO_RESOLVE,
        help: "From an incident's opening to its resolution.",
        labels: &[],
        kind: MetricType::HISTOGRAM,
    },
];

/// The value of the label `room_list`, and of the other label or the bucket.
type Labels = (String, String);

/// Counts and sums of seconds, by metric and labels.
type Samples = BTreeMap<&'static str, BTreeMap<Labels, (u64, f64)>>;

/// The exported totals.
#[derive(Debug, Default)]
pub(super) struct Totals {
    /// The series that exist from start-up.
    introduced: Mutex<Vec<(&'static str, Labels)>>,
    /// The totals, and when the lease on them ends.
    exported: Mutex<Option<(Vec<Total>, Timestamp)>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Totals {
    /// Creates every series of a room list with this number of levels.
    pub(super) fn introduce_room_list(&self, room_list: &str, levels: usize) {
        let series = |name, label: String| (name, (room_list.to_owned(), label));
        let levels = u32::try_from(levels).unwrap_or(u32::MAX);
        let mut introduced = lock(&self.introduced);
        introduced
            .extend(Via::ALL.iter().map(|via| series(names::ACKNOWLEDGEMENTS, via.as_str().to_owned())));
        introduced.extend((0..levels).map(|level| series(names::PAGES, level_label(level))));
        introduced.push(series(names::UNANSWERED, String::new()));
        introduced.sort();
        introduced.dedup();
    }

    /// Exports these totals until `until`.
    pub(super) fn export(&self, totals: Vec<Total>, until: Timestamp) {
        *lock(&self.exported) = Some((totals, until));
    }

    /// Exports no totals: another process does.
    pub(super) fn withdraw(&self) {
        *lock(&self.exported) = None;
    }

    /// The metric families at `now`; none if this process does not have the lease.
    pub(super) fn families(&self, now: Timestamp) -> Vec<MetricFamily> {
        let exported = lock(&self.exported);
        let Some((totals, _)) = exported.as_ref().filter(|(_, until)| now < *until) else {
            return Vec::new();
        };
        let mut samples: Samples =
            DEFINITIONS.iter().map(|definition| (definition.name, BTreeMap::new())).collect();
        for (name, labels) in lock(&self.introduced).iter() {
            if let Some(series) = samples.get_mut(name) {
                series.insert(labels.clone(), (0, 0.0));
            }
        }
        for total in totals {
            // A newer release may have totals that this one does not know.
            if let Some(series) = samples.get_mut(total.metric.as_str()) {
                let labels = (total.room_list.clone(), total.label.clone());
                series.insert(labels, (total.count, total.seconds));
            }
        }
        DEFINITIONS
            .iter()
            .map(|definition| {
                let samples = samples.remove(definition.name).unwrap_or_default();
                definition.family(&samples)
            })
            .collect()
    }
}

impl Definition {
    fn family(&self, samples: &BTreeMap<Labels, (u64, f64)>) -> MetricFamily {
        let mut family = MetricFamily::default();
        family.set_name(format!("matrixbot_{}", self.name));
        family.set_help(self.help.to_owned());
        family.set_field_type(self.kind);
        family.set_metric(match (self.kind, self.labels) {
            (MetricType::HISTOGRAM, _) => vec![histogram(samples)],
            (_, []) => vec![counter(&[], samples.values().map(|(count, _)| count).sum())],
            (_, names) => samples
                .iter()
                .map(|((room_list, label), (count, _))| {
                    let values = [room_list.as_str(), label.as_str()];
                    counter(&names.iter().copied().zip(values).collect::<Vec<_>>(), *count)
                })
                .collect(),
        });
        family
    }
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus counts in floats")]
fn counter(labels: &[(&str, &str)], count: u64) -> Metric {
    let mut pairs: Vec<LabelPair> = labels
        .iter()
        .map(|(name, value)| {
            let mut pair = LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value((*value).to_owned());
            pair
        })
        .collect();
    pairs.sort_by(|one, other| one.name().cmp(other.name()));
    let mut metric = Metric::from_label(pairs);
    let mut counter = Counter::default();
    counter.set_value(count as f64);
    metric.set_counter(counter);
    metric
}

fn histogram(samples: &BTreeMap<Labels, (u64, f64)>) -> Metric {
    let in_bucket = |label: &str| {
        samples.iter().filter(|((_, bucket), _)| bucket == label).map(|(_, (count, _))| count).sum::<u64>()
    };
    let mut cumulative = 0;
    let buckets = BUCKETS
        .iter()
        .map(|bound| {
            cumulative += in_bucket(&bound.to_string());
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(f64::from(*bound));
            bucket.set_cumulative_count(cumulative);
            bucket
        })
        .collect();
    let mut histogram = Histogram::default();
    histogram.set_bucket(buckets);
    histogram.set_sample_count(cumulative + in_bucket(LONGER));
    histogram.set_sample_sum(samples.values().map(|(_, seconds)| seconds).sum());
    let mut metric = Metric::default();
    metric.set_histogram(histogram);
    metric
}
