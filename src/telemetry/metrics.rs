//! The metrics. Every series exists from start-up. No label contains a room, a user, an alert or a fingerprint. Only
//! this folder uses the `prometheus` library.
//!
//! To add a metric: a field, its construction in `Metrics::new`, its series in `start_at_zero` or `introduce_…`, and a
//! method named after the event. `every_series_operators_rely_on_exists_from_start_up` in the tests lists the metrics
//! that operators use.

use super::checks::Checks;
use super::labels::{
    DeliveryOutcome, EventResult, HOMESERVER_CODES, OutboxState, TransactionResult, WEBHOOK_CODES, code_label,
};
use super::on_call::OnCallMetrics;
use super::polls::Polls;
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

/// The metrics of one process. Cheap to clone: clones share their counts.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Registry,
    webhook_requests: IntCounterVec,
    webhook_alerts: IntCounterVec,
    webhook_duration: Histogram,
    incidents: IntGaugeVec,
    incidents_set_aside: IntGaugeVec,
    rooms_unreachable: IntGaugeVec,
    room_moves_incomplete: IntGaugeVec,
    clock_skew: Gauge,
    virtual_user_trouble: IntGaugeVec,
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
    events_set_aside: Gauge,
    polls: Polls,
    checks: Checks,
    on_call: Arc<OnCallMetrics>,
}

/// The metrics could not be set up or written: two have the same name, or a name is invalid.
#[derive(Debug, thiserror::Error)]
#[error("the metrics cannot be set up or written out")]
pub struct MetricsError(#[from] prometheus::Error);

/// Buckets for requests and deliveries: 1 ms, 2.5 ms, … 10 s.
const SHORT: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Buckets for delays: 10 ms … 10 min.
const LAG: &[f64] = &[0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0];

impl Metrics {
    /// Metrics without room lists and homeserver endpoints, whose label values are not fixed: `introduce_room_list` and
    /// `introduce_endpoint` create their series.
    pub fn new() -> Result<Self, MetricsError> {
        let registry = Registry::new();
        let registrar = Registrar(&registry);
        registrar.register_process()?;
        let metrics = Self {
            webhook_requests: registrar.counters(
                "webhook_requests_total",
                "Webhook requests by room list (empty: unknown) and status code.",
                &["room_list", "code"],
            )?,
            webhook_alerts: registrar.counters(
                "webhook_alerts_total",
                "Alerts in accepted webhooks, by status.",
                &["status"],
            )?,
            webhook_duration: registrar.histogram(
                "webhook_duration_seconds",
                "How long a webhook took from its first byte to its answer.",
                SHORT,
            )?,
            incidents: registrar.gauges(
                "incidents",
                "Incidents by room list and phase; closed ones are not counted.",
                &["room_list", "phase"],
            )?,
            incidents_set_aside: registrar.of_lists(
                "incidents_set_aside",
                "Incidents that cannot be read and therefore do not escalate, by room list.",
            )?,
            totals: Arc::default(),
            rooms_unreachable: registrar.of_lists(
                "rooms_unreachable",
                "Rooms of the configuration that cannot be reached, by room list.",
            )?,
            room_moves_incomplete: registrar.of_lists(
                "room_moves_incomplete",
                "Rooms whose alias or tombstone leads elsewhere without their pages, or whose alias was deleted, by room list.",
            )?,
            clock_skew: registrar.gauge(
                "clock_skew_seconds",
                "How far this machine's clock is ahead of the database's; negative if it is behind.",
            )?,
            virtual_user_trouble: registrar.of_lists(
                "virtual_user_trouble",
                "1 if the homeserver does not let the room list's virtual user send, otherwise 0.",
            )?,
            ladder_lag: registrar.histogram(
                "ladder_lag_seconds",
                "How late a timer of an incident was handled.",
                LAG,
            )?,
            outbox_messages: registrar.gauges("outbox_messages", "Outbox messages by state.", &["state"])?,
            outbox_oldest_pending: registrar.gauge(
                "outbox_oldest_pending_seconds",
                "Age of the oldest outbox message that is due and not sent; 0 if there is none.",
            )?,
            outbox_deliveries: registrar.counters(
                "outbox_deliveries_total",
                "Attempts to deliver an outbox message, by outcome.",
                &["outcome"],
            )?,
            page_latency: registrar.histogram(
                "page_latency_seconds",
                "From the commit of a page to the event id of its message.",
                LAG,
            )?,
            homeserver_requests: registrar.counters(
                "homeserver_requests_total",
                "Requests to the homeserver by endpoint and status code (none: no answer).",
                &["endpoint", "code"],
            )?,
            homeserver_duration: registrar.histogram(
                "homeserver_request_duration_seconds",
                "How long the homeserver took to answer, or until the request failed.",
                SHORT,
            )?,
            homeserver_rate_limited: registrar.counter(
                "homeserver_rate_limited_total",
                "Requests to the homeserver that were answered 429.",
            )?,
            appservice_transactions: registrar.counters(
                "appservice_transactions_total",
                "Transactions of the homeserver by result.",
                &["result"],
            )?,
            appservice_events: registrar.counters(
                "appservice_events_total",
                "Events of the homeserver by result.",
                &["result"],
            )?,
            events_set_aside: registrar.gauge(
                "events_set_aside",
                "Events of the homeserver that keep failing and are retried beside the queue of their room.",
            )?,
            polls: Polls::new(&registrar)?,
            checks: Checks::new(&registrar)?,
            on_call: Arc::new(OnCallMetrics::new(&registrar)?),
            registry,
        };
        metrics.start_at_zero();
        Ok(metrics)
    }

    pub(super) fn checks(&self) -> &Checks {
        &self.checks
    }

    pub(super) fn on_call(&self) -> &OnCallMetrics {
        &self.on_call
    }

    pub(super) fn polls(&self) -> &Polls {
        &self.polls
    }

    /// Creates every series of a homeserver endpoint.
    pub fn introduce_endpoint(&self, endpoint: &str) {
        for code in HOMESERVER_CODES {
            self.homeserver_requests.with_label_values(&[endpoint, code]);
        }
    }

    /// Creates every series of a room list with this number of levels.
    pub fn introduce_room_list(&self, room_list: &str, levels: usize) {
        for code in WEBHOOK_CODES {
            self.webhook_requests.with_label_values(&[room_list, code]);
        }
        for phase in PhaseName::ALL.iter().filter(|phase| **phase != PhaseName::Closed) {
            self.incidents.with_label_values(&[room_list, phase.as_str()]);
        }
        self.checks.introduce_room_list(room_list);
        self.incidents_set_aside.with_label_values(&[room_list]);
        self.totals.introduce_room_list(room_list, levels);
        self.rooms_unreachable.with_label_values(&[room_list]);
        self.room_moves_incomplete.with_label_values(&[room_list]);
        self.virtual_user_trouble.with_label_values(&[room_list]);
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

    /// A webhook was answered with the status `code`. `room_list`: its configured room list, if known.
    pub fn webhook(&self, room_list: Option<&str>, code: u16, elapsed: Duration) {
        let code = code_label(WEBHOOK_CODES, Some(code));
        self.webhook_requests.with_label_values(&[room_list.unwrap_or(""), code]).inc();
        self.webhook_duration.observe(elapsed.as_secs_f64());
    }

    /// A webhook with these numbers of firing and resolved alerts was accepted.
    pub fn alerts(&self, firing: u64, resolved: u64) {
        self.webhook_alerts.with_label_values(&["firing"]).inc_by(firing);
        self.webhook_alerts.with_label_values(&["resolved"]).inc_by(resolved);
    }

    /// Sets the number of incidents of a room list in a phase.
    pub fn set_incidents(&self, room_list: &str, phase: PhaseName, count: i64) {
        self.incidents.with_label_values(&[room_list, phase.as_str()]).set(count);
    }

    /// So many incidents of a room list are set aside because their timers cannot be handled.
    pub fn set_incidents_set_aside(&self, room_list: &str, count: i64) {
        self.incidents_set_aside.with_label_values(&[room_list]).set(count);
    }

    /// Sets the totals over all processes. This process exports them until `until`, when its lease ends.
    pub fn export_totals(&self, totals: Vec<Total>, until: Timestamp) {
        self.totals.export(totals, until);
    }

    /// Stops exporting the totals: another process exports them.
    pub fn withdraw_totals(&self) {
        self.totals.withdraw();
    }

    /// Sets the number of unreachable rooms of a room list.
    pub fn set_rooms_unreachable(&self, room_list: &str, count: usize) {
        self.rooms_unreachable.with_label_values(&[room_list]).set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// The machine's clock is so many seconds ahead of the database's.
    pub fn set_clock_skew(&self, seconds: f64) {
        self.clock_skew.set(seconds);
    }

    /// Sets the number of rooms of a room list whose pages did not follow an alias or a tombstone.
    pub fn set_room_moves_incomplete(&self, room_list: &str, count: usize) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.room_moves_incomplete.with_label_values(&[room_list]).set(count);
    }

    /// Whether the homeserver does not let the virtual user of a room list send.
    pub fn set_virtual_user_trouble(&self, room_list: &str, is_troubled: bool) {
        self.virtual_user_trouble.with_label_values(&[room_list]).set(i64::from(is_troubled));
    }

    /// A timer of an incident was handled `late` after it was due.
    pub fn ladder_lag(&self, late: Duration) {
        self.ladder_lag.observe(late.as_secs_f64());
    }

    /// Sets the number of outbox messages in a state.
    pub fn set_outbox_messages(&self, state: OutboxState, count: i64) {
        self.outbox_messages.with_label_values(&[state.as_str()]).set(count);
    }

    /// Sets the age of the oldest due outbox message; zero if there is none.
    pub fn set_outbox_oldest_pending(&self, age: Duration) {
        self.outbox_oldest_pending.set(age.as_secs_f64());
    }

    /// An attempt to deliver an outbox message ended.
    pub fn delivery(&self, outcome: DeliveryOutcome) {
        self.outbox_deliveries.with_label_values(&[outcome.as_str()]).inc();
    }

    /// A page reached its room `elapsed` after its commit.
    pub fn page_latency(&self, elapsed: Duration) {
        self.page_latency.observe(elapsed.as_secs_f64());
    }

    /// A request to the homeserver ended with the status `code`, or without an answer (`None`).
    pub fn homeserver_request(&self, endpoint: &str, code: Option<u16>, elapsed: Duration) {
        let code_value = code_label(HOMESERVER_CODES, code);
        self.homeserver_requests.with_label_values(&[endpoint, code_value]).inc();
        self.homeserver_duration.observe(elapsed.as_secs_f64());
        if code == Some(429) {
            self.homeserver_rate_limited.inc();
        }
    }

    /// A transaction of the homeserver was answered.
    pub fn transaction(&self, result: TransactionResult) {
        self.appservice_transactions.with_label_values(&[result.as_str()]).inc();
    }

    /// `count` events of the homeserver had this result.
    pub fn events(&self, result: EventResult, count: u64) {
        self.appservice_events.with_label_values(&[result.as_str()]).inc_by(count);
    }

    /// Sets how many events are set aside.
    pub fn set_events_set_aside(&self, count: i64) {
        self.events_set_aside.set(f64::from(i32::try_from(count).unwrap_or(i32::MAX)));
    }

    /// Renders all metrics in Prometheus's text format. `now` decides whether the totals are still exported.
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

/// Creates and registers metrics.
pub(super) struct Registrar<'a>(&'a Registry);

impl Registrar<'_> {
    fn register<C: Collector + Clone + 'static>(&self, metric: C) -> Result<C, prometheus::Error> {
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    fn register_process(&self) -> Result<(), prometheus::Error> {
        self.0.register(Box::new(ProcessCollector::for_self()))?;
        let help = "Always 1; the labels have the running version and commit.";
        let build = self.gauges("build_info", help, &["version", "commit"])?;
        build.with_label_values(&[super::VERSION, super::COMMIT]).set(1);
        Ok(())
    }

    pub(super) fn counter(&self, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
        self.register(IntCounter::with_opts(opts(name, help))?)
    }

    pub(super) fn counters(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntCounterVec, prometheus::Error> {
        self.register(IntCounterVec::new(opts(name, help), labels)?)
    }

    fn gauge(&self, name: &str, help: &str) -> Result<Gauge, prometheus::Error> {
        self.register(Gauge::with_opts(opts(name, help))?)
    }

    /// A gauge for each room list.
    fn of_lists(&self, name: &str, help: &str) -> Result<IntGaugeVec, prometheus::Error> {
        self.gauges(name, help, &["room_list"])
    }

    pub(super) fn gauges(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntGaugeVec, prometheus::Error> {
        self.register(IntGaugeVec::new(opts(name, help), labels)?)
    }

    fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Result<Histogram, prometheus::Error> {
        let opts = HistogramOpts { common_opts: opts(name, help), buckets: buckets.to_vec() };
        self.register(Histogram::with_opts(opts)?)
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
            "matrixbot_incidents_set_aside{room_list=\"finance\"} 0",
            "matrixbot_not_paged_alerts_total{room_list=\"finance\"} 0",
            "matrixbot_rooms_unreachable{room_list=\"finance\"} 0",
            "matrixbot_room_moves_incomplete{room_list=\"finance\"} 0",
            "matrixbot_clock_skew_seconds 0",
            "matrixbot_virtual_user_trouble{room_list=\"finance\"} 0",
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
            "matrixbot_appservice_events_total{result=\"set_aside\"} 0",
            "matrixbot_events_set_aside 0",
            "matrixbot_build_info{",
            "process_resident_memory_bytes ",
        ] {
            assert!(text.contains(series), "{series} is missing in:\n{text}");
        }
    }

    #[test]
    fn each_event_is_counted_in_its_series() {
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
