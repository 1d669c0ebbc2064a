//! Reads Alertmanager's routes from its own configuration: their webhooks, when each first reports an alert, and after
//! how long it repeats an unchanged firing group.

use super::payload;
use crate::domain::duration::{self, Units};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::time::Duration;

/// The units of a duration in Prometheus and Alertmanager, with their milliseconds.
const UNITS: &Units = &[
    ("y", 31_536_000_000),
    ("w", 604_800_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// Alertmanager's defaults for routes that neither set nor inherit an interval.
const GROUP_WAIT: Duration = Duration::from_secs(30);
const GROUP_INTERVAL: Duration = Duration::from_mins(5);
const REPEAT_INTERVAL: Duration = Duration::from_hours(4);

/// A webhook that a route calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookRoute {
    /// The receiver that has it.
    pub receiver: String,
    /// The URL it posts to. Alertmanager 0.26 and later hide it as `<secret>`. `None`: the URL is in a file.
    pub url: Option<String>,
    /// How long Alertmanager waits before it reports changes of a group.
    pub group_interval: Duration,
    /// How long Alertmanager waits before it repeats an unchanged group.
    pub repeat_interval: Duration,
    /// Whether Alertmanager reports resolved alerts.
    pub send_resolved: bool,
    /// The most alerts in one report; 0: no limit.
    pub max_alerts: u64,
}

impl WebhookRoute {
    /// The longest time between two reports of an unchanged firing group: Alertmanager checks the group every
    /// `group_interval`, and repeats it at the first check after `repeat_interval`.
    pub fn longest_silence(&self) -> Duration {
        self.repeat_interval.saturating_add(self.group_interval)
    }
}

/// What the routes to each receiver have in common that a poll needs to know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Routes(BTreeMap<String, Route>);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Route {
    patience: Duration,
    time_intervals: bool,
}

impl Routes {
    /// `configuration` is `config.original` of Alertmanager's status.
    pub fn read(configuration: &str) -> Result<Self, serde_yaml::Error> {
        let mut routes = Self::default();
        each_route(&serde_yaml::from_str(configuration)?, &mut |inherited, _| {
            let route = routes.0.entry(payload::clean(inherited.receiver.clone())).or_default();
            route.patience = route.patience.max(inherited.group_wait.max(inherited.group_interval));
            route.time_intervals |= inherited.time_intervals;
        });
        Ok(routes)
    }

    /// How long Alertmanager may wait before it first reports an alert to this receiver: the longest `group_wait` or
    /// `group_interval` of its routes. `None`: no route leads to it.
    pub fn patience(&self, receiver: &str) -> Option<Duration> {
        self.0.get(receiver).map(|route| route.patience)
    }

    /// Whether a route to this receiver, or one above it, has `mute_time_intervals` or `active_time_intervals`. Listings do
    /// not reveal whether these hold an alert back.
    pub fn has_time_intervals(&self, receiver: &str) -> bool {
        self.0.get(receiver).is_some_and(|route| route.time_intervals)
    }
}

/// Every webhook of every route. `configuration` is `config.original` of Alertmanager's status.
pub fn webhook_routes(configuration: &str) -> Result<Vec<WebhookRoute>, serde_yaml::Error> {
    let configuration: Configuration = serde_yaml::from_str(configuration)?;
    let mut found = Vec::new();
    each_route(&configuration, &mut |route, receivers| {
        let named = receivers.iter().filter(|receiver| receiver.name == route.receiver);
        found.extend(named.flat_map(|receiver| &receiver.webhook_configs).map(|webhook| WebhookRoute {
            receiver: route.receiver.clone(),
            url: webhook.url.clone(),
            group_interval: route.group_interval,
            repeat_interval: route.repeat_interval,
            send_resolved: webhook.send_resolved,
            max_alerts: webhook.max_alerts,
        }));
    });
    Ok(found)
}

/// The settings of a route: its own, or else those of the route above it.
struct Inherited {
    receiver: String,
    group_wait: Duration,
    group_interval: Duration,
    repeat_interval: Duration,
    /// Whether it, or a route above it, has time intervals.
    time_intervals: bool,
}

/// Passes the settings of each route to `visit`, parents first.
fn each_route(configuration: &Configuration, visit: &mut dyn FnMut(&Inherited, &[Receiver])) {
    let above = Inherited {
        receiver: String::new(),
        group_wait: GROUP_WAIT,
        group_interval: GROUP_INTERVAL,
        repeat_interval: REPEAT_INTERVAL,
        time_intervals: false,
    };
    walk(&configuration.route, &above, &configuration.receivers, visit);
}

fn walk(
    route: &RouteSettings,
    above: &Inherited,
    receivers: &[Receiver],
    visit: &mut dyn FnMut(&Inherited, &[Receiver]),
) {
    let named = |intervals: &Option<Vec<String>>| intervals.as_ref().is_some_and(|names| !names.is_empty());
    let own = Inherited {
        receiver: route.receiver.clone().unwrap_or_else(|| above.receiver.clone()),
        group_wait: route.group_wait.unwrap_or(above.group_wait),
        group_interval: route.group_interval.unwrap_or(above.group_interval),
        repeat_interval: route.repeat_interval.unwrap_or(above.repeat_interval),
        time_intervals: above.time_intervals
            || named(&route.mute_time_intervals)
            || named(&route.active_time_intervals),
    };
    visit(&own, receivers);
    for child in &route.routes {
        walk(child, &own, receivers, visit);
    }
}

#[derive(Deserialize)]
struct Configuration {
    #[serde(default)]
    route: RouteSettings,
    #[serde(default)]
    receivers: Vec<Receiver>,
}

#[derive(Default, Deserialize)]
struct RouteSettings {
    receiver: Option<String>,
    #[serde(default, deserialize_with = "interval")]
    group_wait: Option<Duration>,
    #[serde(default, deserialize_with = "interval")]
    group_interval: Option<Duration>,
    #[serde(default, deserialize_with = "interval")]
    repeat_interval: Option<Duration>,
    mute_time_intervals: Option<Vec<String>>,
    active_time_intervals: Option<Vec<String>>,
    #[serde(default)]
    routes: Vec<RouteSettings>,
}

#[derive(Deserialize)]
struct Receiver {
    name: String,
    #[serde(default)]
    webhook_configs: Vec<Webhook>,
}

#[derive(Deserialize)]
struct Webhook {
    url: Option<String>,
    /// Alertmanager's default for webhooks.
    #[serde(default = "yes")]
    send_resolved: bool,
    #[serde(default)]
    max_alerts: u64,
}

fn yes() -> bool {
    true
}

/// A duration as Prometheus writes it: `90s`, `1h30m`, `1w`.
fn interval<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Duration>, D::Error> {
    let text = Option::<String>::deserialize(value)?;
    let not_one = |text: &String| serde::de::Error::custom(format!("`{text}` is not a Prometheus duration"));
    text.map(|text| duration::parse_with(UNITS, &text).ok_or_else(|| not_one(&text))).transpose()
}

#[cfg(test)]
mod tests {
    use super::{Routes, webhook_routes};
    use std::time::Duration;

    const CONFIGURATION: &str = include_str!("../../tests/fixtures/alertmanager/configuration-0.25.0.yaml");

    #[test]
    fn every_webhook_of_every_route_is_found_with_inherited_settings() {
        let routes = webhook_routes(CONFIGURATION).unwrap();
        let found: Vec<_> = routes
            .iter()
            .map(|route| (route.receiver.as_str(), route.repeat_interval, route.group_interval))
            .collect();
        let (day_and_more, half_a_day) = (Duration::from_hours(26), Duration::from_hours(12));
        assert_eq!(
            found,
            [
                ("finance", day_and_more, Duration::from_mins(1)),
                ("finance", day_and_more, Duration::from_secs(90)),
                ("ops", half_a_day, Duration::from_mins(1)),
            ]
        );
        assert_eq!(routes[1].longest_silence(), day_and_more + Duration::from_secs(90));
        assert_eq!(routes[0].url.as_deref(), Some("http://127.0.0.1:9010/webhook/finance"));
        assert_eq!((routes[0].send_resolved, routes[0].max_alerts), (false, 5));
        assert_eq!((routes[2].send_resolved, routes[2].max_alerts), (true, 0));
    }

    #[test]
    fn unset_fields_get_alertmanager_s_defaults() {
        let routes =
            webhook_routes("route: {receiver: a}\nreceivers: [{name: a, webhook_configs: [{url_file: /x}]}]")
                .unwrap();
        let [route] = routes.as_slice() else { panic!("one route: {routes:?}") };
        assert_eq!((route.url.as_ref(), route.send_resolved, route.max_alerts), (None, true, 0));
        assert_eq!(route.longest_silence(), Duration::from_mins(4 * 60 + 5));
    }

    #[test]
    fn a_receiver_has_the_longest_patience_and_any_time_intervals_of_its_routes() {
        let routes = Routes::read(
            "route:
  receiver: a
  group_wait: 10s
  group_interval: 1m
  routes:
  - receiver: b
    group_interval: 2m
  - receiver: a
    group_wait: 3m
    mute_time_intervals: [night]
    routes:
    - receiver: c
      group_wait: 1s
    - receiver: b
      active_time_intervals: []
  - receiver: d
receivers: [{name: a}, {name: b}, {name: c}, {name: d}, {name: e}]",
        )
        .unwrap();
        let known = ["a", "b", "c", "d", "e"].map(|name| {
            (routes.patience(name).map(|patience| patience.as_secs()), routes.has_time_intervals(name))
        });
        assert_eq!(
            known,
            [(Some(180), true), (Some(180), true), (Some(60), true), (Some(60), false), (None, false)]
        );
        assert_eq!(Routes::read("route: {receiver: a}").unwrap().patience("a"), Some(Duration::from_mins(5)));
    }

    #[test]
    fn another_configuration_has_no_routes() {
        assert_eq!(webhook_routes("").unwrap_or_default(), []);
        assert_eq!(webhook_routes("global: {}").unwrap(), []);
        webhook_routes("route: {repeat_interval: soon}").unwrap_err();
        webhook_routes("no: yes: no").unwrap_err();
    }
}
