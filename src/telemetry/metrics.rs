//! The metrics, in words of the domain. Every series exists from start-up, no label names a room, a user, an
//! alert or a fingerprint, and nobody else in the program knows the library behind them.
//!
//! Adding a metric: a field, its construction in `Metrics::new`, its series in `start_at_zero` or `introduce_…`, and
//! a method that says what happened. `contract` in the tests lists what operators rely on.

use super::labels::{
    DeliveryOutcome, EventResult, HOMESERVER_CODES, OutboxState, TransactionResult, WEBHOOK_CODES, code_label,
};
use super::totals::Totals;
use crate::domain::incident::PhaseName;
use crate::domain::totals::Total;
use jiff::Timestamp;
use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::{
    Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder,
};
use std::sync::Arc;
use std::time::Duration;

/// The metrics of one process. Cheap to clone: clones count together.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Registry,
    webhook_requests: IntCounterVec,
    webhook_alerts: IntCounterVec,
    webhook_duration: Histogram,
    orphan_clears: IntCounter,
    incidents: IntGaugeVec,
    rooms_unreachable: IntGaugeVec,
    totals: Arc<Totals>,
    ladder_lag: Histogram,
    outbox_messages: IntGaugeVec,
    outbox_oldest_pending: Gauge,
    outbox_deliveries: IntCounterVec,
    page_latency: Histogram,
    homeserver_requests: IntCounterVec,
    homeserver_duration: Histogram,
    homeserver_rate_limited: IntCounter,
    appservice_transactions: IntCounterVec,
    appservice_events: IntCounterVec,
}

/// The metrics could not be set up or written out: two have one name, or a name is not valid.
#[derive(Debug, thiserror::Error)]
#[error("the metrics cannot be set up or written out")]
pub struct MetricsError(#[from] prometheus::Error);

/// 1 ms, 2.5 ms, … 10 s: requests and deliveries.
const SHORT: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// 10 ms … 10 min: how late something is.
const LAG: &[f64] = &[0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0];
impl Metrics {
    /// The metrics of a process that serves nothing yet. What has no fixed
    /// set of label values is introduced: room lists, and the kinds of request to the homeserver.
    pub fn new() -> Result<Self, MetricsError> {
        let registry = Registry::new();
        let keep = Keep(&registry);
        keep.about_the_process()?;
        let metrics = Self {
            webhook_requests: keep.counters(
                "webhook_requests_total",
                "Webhook requests by room list (empty: unknown) and status code.",
                &["room_list", "code"],
            )?,
            webhook_alerts: keep.counters(
                "webhook_alerts_total",
                "Alerts in accepted webhooks, by status.",
                &["status"],
            )?,
            webhook_duration: keep.histogram(
                "webhook_duration_seconds",
                "How long a webhook took from its first byte to its answer.",
                SHORT,
            )?,
            orphan_clears: keep
                .counter("orphan_clears_total", "Webhooks that resolved a group without a known incident.")?,
            incidents: keep.gauges(
                "incidents",
                "Incidents by room list and phase; closed ones are not counted.",
                &["room_list", "phase"],
            )?,
            totals: Arc::default(),
            rooms_unreachable: keep.gauges(
                "rooms_unreachable",
                "Rooms of the configuration that cannot be reached, by room list.",
                &["room_list"],
            )?,
            ladder_lag: keep.histogram(
                "ladder_lag_seconds",
                "How late a timer of an incident was handled.",
                LAG,
            )?,
            outbox_messages: keep.gauges("outbox_messages", "Outbox messages by state.", &["state"])?,
            outbox_oldest_pending: keep.gauge(
                "outbox_oldest_pending_seconds",
                "Age of the oldest outbox message that is due and not sent; 0 if there is none.",
            )?,
            outbox_deliveries: keep.counters(
                "outbox_deliveries_total",
                "Attempts to deliver an outbox message, by outcome.",
                &["outcome"],
            )?,
            page_latency: keep.histogram(
                "page_latency_seconds",
                "From the commit of a page to the event id of its message.",
                LAG,
            )?,
            homeserver_requests: keep.counters(
                "homeserver_requests_total",
                "Requests to the homeserver by endpoint and status code (none: no answer).",
                &["endpoint", "code"],
            )?,
            homeserver_duration: keep.histogram(
                "homeserver_request_duration_seconds",
                "How long the homeserver took to answer, or until the request failed.",
                SHORT,
            )?,
            homeserver_rate_limited: keep.counter(
                "homeserver_rate_limited_total",
                "Requests to the homeserver that were answered 429.",
            )?,
            appservice_transactions: keep.counters(
                "appservice_transactions_total",
                "Transactions of the homeserver by result.",
                &["result"],
            )?,
            appservice_events: keep.counters(
                "appservice_events_total",
                "Events of the homeserver by result.",
                &["result"],
            )?,
            registry,
        };
        metrics.start_at_zero();
        Ok(metrics)
    }

    /// Makes every series of a kind of request to the homeserver exist.
    pub fn introduce_endpoint(&self, endpoint: &str) {
        for code in HOMESERVER_CODES {
            self.homeserver_requests.with_label_values(&[endpoint, code]);
        }
    }

    /// Makes every series of a room list with so many levels exist.
    pub fn introduce_room_list(&self, room_list: &str, levels: usize) {
        for code in WEBHOOK_CODES {
            self.webhook_requests.with_label_values(&[room_list, code]);
        }
        for phase in PhaseName::ALL.iter().filter(|phase| **phase != PhaseName::Closed) {
            self.incidents.with_label_values(&[room_list, phase.as_str()]);
        }
        self.totals.introduce_room_list(room_list, levels);
        self.rooms_unreachable.with_label_values(&[room_list]);
    }

    fn start_at_zero(&self) {
        for code in WEBHOOK_CODES {
            self.webhook_requests.with_label_values(&["", code]);
        }
        for status in ["firing", "resolved"] {
            self.webhook_alerts.with_label_values(&[status]);
        }
        for state in OutboxState::ALL {
            self.outbox_messages.with_label_values(&[state.as_str()]);
        }
        for outcome in DeliveryOutcome::ALL {
            self.outbox_deliveries.with_label_values(&[outcome.as_str()]);
        }
        for result in TransactionResult::ALL {
            self.appservice_transactions.with_label_values(&[result.as_str()]);
        }
        for result in EventResult::ALL {
            self.appservice_events.with_label_values(&[result.as_str()]);
        }
    }

    /// A webhook was answered. `room_list`: the configured one that it concerned, if that was clear.
    pub fn webhook(&self, room_list: Option<&str>, code: u16, took: Duration) {
        let code = code_label(WEBHOOK_CODES, Some(code));
        self.webhook_requests.with_label_values(&[room_list.unwrap_or(""), code]).inc();
        self.webhook_duration.observe(took.as_secs_f64());
    }

    /// A webhook with so many alerts of each kind was accepted.
    pub fn alerts(&self, firing: u64, resolved: u64) {
        self.webhook_alerts.with_label_values(&["firing"]).inc_by(firing);
        self.webhook_alerts.with_label_values(&["resolved"]).inc_by(resolved);
    }

    /// A webhook resolved a group of which no incident is known.
    pub fn orphan_clear(&self) {
        self.orphan_clears.inc();
    }

    /// There are so many incidents of a room list in a phase.
    pub fn set_incidents(&self, room_list: &str, phase: PhaseName, count: i64) {
        self.incidents.with_label_values(&[room_list, phase.as_str()]).set(count);
    }

    /// These are the totals over all processes, for this one to export until the lease on them ends.
    pub fn export_totals(&self, totals: Vec<Total>, until: Timestamp) {
        self.totals.export(totals, until);
    }

    /// Another process exports the totals.
    pub fn withdraw_totals(&self) {
        self.totals.withdraw();
    }

    /// So many rooms of a room list cannot be reached.
    pub fn set_rooms_unreachable(&self, room_list: &str, count: usize) {
        self.rooms_unreachable.with_label_values(&[room_list]).set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// A timer was handled so much later than it was due.
    pub fn ladder_lag(&self, late: Duration) {
        self.ladder_lag.observe(late.as_secs_f64());
    }

    /// There are so many outbox messages in a state.
    pub fn set_outbox_messages(&self, state: OutboxState, count: i64) {
        self.outbox_messages.with_label_values(&[state.as_str()]).set(count);
    }

    /// The oldest outbox message that could be sent is so old; zero if there is none.
    pub fn set_outbox_oldest_pending(&self, age: Duration) {
        self.outbox_oldest_pending.set(age.as_secs_f64());
    }

    /// An attempt to deliver an outbox message ended.
    pub fn delivery(&self, outcome: DeliveryOutcome) {
        self.outbox_deliveries.with_label_values(&[outcome.as_str()]).inc();
    }

    /// A page reached its room so long after it was committed.
    pub fn page_latency(&self, took: Duration) {
        self.page_latency.observe(took.as_secs_f64());
    }

    /// The homeserver answered a request with a status code, or not at all.
    pub fn homeserver_request(&self, endpoint: &str, code: Option<u16>, took: Duration) {
        let code_value = code_label(HOMESERVER_CODES, code);
        self.homeserver_requests.with_label_values(&[endpoint, code_value]).inc();
        self.homeserver_duration.observe(took.as_secs_f64());
        if code == Some(429) {
            self.homeserver_rate_limited.inc();
        }
    }

    /// A transaction of the homeserver was answered.
    pub fn transaction(&self, result: TransactionResult) {
        self.appservice_transactions.with_label_values(&[result.as_str()]).inc();
    }

    /// So many events of the homeserver came to this.
    pub fn events(&self, result: EventResult, count: u64) {
        self.appservice_events.with_label_values(&[result.as_str()]).inc_by(count);
    }

    /// Everything in Prometheus's text format, at the present instant.
    pub fn render(&self, now: Timestamp) -> Result<String, MetricsError> {
        let mut families = self.registry.gather();
        families.extend(self.totals.families(now));
        families.sort_by(|one, other| one.name().cmp(other.name()));
        families.retain(|family| !family.get_metric().is_empty());
        Ok(TextEncoder::new().encode_to_string(&families)?)
    }
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace("matrixbot")
}

/// Makes metrics and registers them.
struct Keep<'a>(&'a Registry);

impl Keep<'_> {
    fn keep<C: Collector + Clone + 'static>(&self, metric: C) -> Result<C, prometheus::Error> {
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    fn about_the_process(&self) -> Result<(), prometheus::Error> {
        self.0.register(Box::new(ProcessCollector::for_self()))?;
        let help = "Always 1; the labels have the running version and commit.";
        let build = self.gauges("build_info", help, &["version", "commit"])?;
        build.with_label_values(&[super::VERSION, super::COMMIT]).set(1);
        Ok(())
    }

    fn counter(&self, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
        self.keep(IntCounter::with_opts(opts(name, help))?)
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, prometheus::Error> {
        self.keep(IntCounterVec::new(opts(name, help), labels)?)
    }

    fn gauge(&self, name: &str, help: &str) -> Result<Gauge, prometheus::Error> {
        self.keep(Gauge::with_opts(opts(name, help))?)
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec, prometheus::Error> {
        self.keep(IntGaugeVec::new(opts(name, help), labels)?)
    }

    fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Result<Histogram, prometheus::Error> {
        let opts = HistogramOpts { common_opts: opts(name, help), buckets: buckets.to_vec() };
        self.keep(Histogram::with_opts(opts)?)
    }
}

#[cfg(test)]
mod tests {
    use super::{DeliveryOutcome, Metrics};
    use crate::domain::input::Via;
    use crate::domain::totals::{Counted, Total};
    use jiff::Timestamp;
    use std::time::Duration;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;
    const LATER: Timestamp = Timestamp::constant(20, 0);

    fn metrics() -> Metrics {
        let metrics = Metrics::new().unwrap();
        metrics.introduce_endpoint("send");
        metrics.introduce_room_list("finance", 2);
        metrics.export_totals(Vec::new(), LATER);
        metrics
    }

    #[test]
    fn every_series_operators_rely_on_exists_from_start_up() {
        let text = metrics().render(NOW).unwrap();
        for series in [
            "matrixbot_webhook_requests_total{code=\"503\",room_list=\"finance\"} 0",
            "matrixbot_webhook_requests_total{code=\"404\",room_list=\"\"} 0",
            "matrixbot_webhook_alerts_total{status=\"firing\"} 0",
            "matrixbot_webhook_duration_seconds_count 0",
            "matrixbot_incidents{phase=\"acknowledged\",room_list=\"finance\"} 0",
            "matrixbot_acknowledgements_total{room_list=\"finance\",via=\"reaction\"} 0",
            "matrixbot_late_acknowledgements_total 0",
            "matrixbot_pages_total{level=\"1\",room_list=\"finance\"} 0",
            "matrixbot_pages_total{level=\"2\",room_list=\"finance\"} 0",
            "matrixbot_unanswered_total{room_list=\"finance\"} 0",
            "matrixbot_rooms_unreachable{room_list=\"finance\"} 0",
            "matrixbot_incident_time_to_ack_seconds_count 0",
            "matrixbot_incident_time_to_resolve_seconds_count 0",
            "matrixbot_ladder_lag_seconds_count 0",
            "matrixbot_outbox_messages{state=\"pending\"} 0",
            "matrixbot_outbox_oldest_pending_seconds 0",
            "matrixbot_outbox_deliveries_total{outcome=\"rate_limited\"} 0",
            "matrixbot_page_latency_seconds_count 0",
            "matrixbot_homeserver_requests_total{code=\"none\",endpoint=\"send\"} 0",
            "matrixbot_homeserver_rate_limited_total 0",
            "matrixbot_appservice_transactions_total{result=\"accepted\"} 0",
            "matrixbot_appservice_events_total{result=\"ignored\"} 0",
            "matrixbot_build_info{",
            "process_resident_memory_bytes ",
        ] {
            assert!(text.contains(series), "{series} is missing in:\n{text}");
        }
    }

    #[test]
    fn what_happens_is_counted_where_it_belongs() {
        let metrics = metrics();
        metrics.webhook(Some("finance"), 200, Duration::from_millis(3));
        metrics.delivery(DeliveryOutcome::Sent);
        metrics.homeserver_request("send", Some(429), Duration::from_millis(20));
        let text = metrics.render(NOW).unwrap();
        for series in [
            "matrixbot_webhook_requests_total{code=\"200\",room_list=\"finance\"} 1",
            "matrixbot_webhook_duration_seconds_count 1",
            "matrixbot_outbox_deliveries_total{outcome=\"sent\"} 1",
            "matrixbot_homeserver_requests_total{code=\"429\",endpoint=\"send\"} 1",
            "matrixbot_homeserver_rate_limited_total 1",
        ] {
            assert!(text.contains(series), "{series} is missing in:\n{text}");
        }
    }

    fn total(counted: &Counted, count: u64, seconds: f64) -> Total {
        Total {
            metric: counted.metric().to_owned(),
            room_list: counted.room_list().to_owned(),
            label: counted.label(),
            count,
            seconds,
        }
    }

    #[test]
    fn totals_are_exported_until_their_lease_ends() {
        let metrics = metrics();
        let finance = || "finance".to_owned();
        let minutes = |n| Counted::TimeToAcknowledge(Duration::from_mins(n));
        let totals = vec![
            total(&Counted::Paged { room_list: finance(), level: 0 }, 7, 0.0),
            total(&Counted::Acknowledged { room_list: finance(), via: Via::Reaction }, 5, 0.0),
            total(&Counted::Acknowledged { room_list: "former".to_owned(), via: Via::Api }, 2, 0.0),
            total(&Counted::AcknowledgedLate, 3, 0.0),
            total(&minutes(1), 2, 100.0),
            total(&minutes(4), 1, 240.0),
            total(&minutes(3000), 1, 180_000.0),
            Total {
                metric: "of_a_newer_release_total".to_owned(),
                ..total(&Counted::AcknowledgedLate, 1, 0.0)
            },
        ];
        metrics.export_totals(totals, LATER);
        let text = metrics.render(NOW).unwrap();
        for series in [
            "matrixbot_pages_total{level=\"1\",room_list=\"finance\"} 7",
            "matrixbot_pages_total{level=\"2\",room_list=\"finance\"} 0",
            "matrixbot_acknowledgements_total{room_list=\"finance\",via=\"reaction\"} 5",
            "matrixbot_acknowledgements_total{room_list=\"former\",via=\"api\"} 2",
            "matrixbot_late_acknowledgements_total 3",
            "matrixbot_incident_time_to_ack_seconds_bucket{le=\"30\"} 0",
            "matrixbot_incident_time_to_ack_seconds_bucket{le=\"60\"} 2",
            "matrixbot_incident_time_to_ack_seconds_bucket{le=\"300\"} 3",
            "matrixbot_incident_time_to_ack_seconds_bucket{le=\"86400\"} 3",
            "matrixbot_incident_time_to_ack_seconds_bucket{le=\"+Inf\"} 4",
            "matrixbot_incident_time_to_ack_seconds_sum 180340",
            "matrixbot_incident_time_to_ack_seconds_count 4",
        ] {
            assert!(text.lines().any(|line| line == series), "{series} is missing in:\n{text}");
        }
        let exported = |now| metrics.render(now).unwrap().contains("matrixbot_acknowledgements_total");
        assert!(exported(NOW) && !exported(LATER), "the lease ends");
        metrics.withdraw_totals();
        assert!(!exported(NOW), "another process exports them");
    }
}
