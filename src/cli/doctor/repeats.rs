//! Compares `stale_after` with Alertmanager's routes: an incident without updates for that long is resolved as stale,
//! so no route may stay silent for longer while alerts are firing.

use super::report::Report;
use crate::alertmanager::routing::{WebhookRoute, webhook_routes};
use crate::config::{Config, RoomListConfig};
use crate::domain::duration;
use std::collections::{BTreeMap, BTreeSet};
use url::Url;

const CHECK: &str = "stale_after";
const HIDDEN: &str = "Alertmanager hides the URLs of its webhooks, so this is the longest of all of them";

/// Whether a route leads to a room list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leads {
    /// Its URL is the room list's.
    Here,
    /// Its URL is hidden, or the alerts decide.
    Perhaps,
    /// Its URL is another one.
    Elsewhere,
}

/// How a room list's `stale_after` compares with the routes of one Alertmanager.
#[derive(Debug, PartialEq, Eq)]
enum Verdict<'a> {
    /// None of them leads here.
    Unreached,
    /// It is longer than this one's longest silence.
    Longer(&'a WebhookRoute),
    /// It is not. `sure`: this one is known to lead here.
    NotLonger { route: &'a WebhookRoute, sure: bool },
}

/// Compares every room list with the routes of the Alertmanager of this name.
pub(super) fn examine(report: &mut Report, config: &Config, name: &str, configuration: Option<&str>) {
    let Some(routes) = configuration.and_then(|yaml| webhook_routes(yaml).ok()) else {
        let why = format!("skipped: {name} does not show its configuration");
        return report.skipped(CHECK, None, why);
    };
    for list in &config.room_lists {
        compare(report, list, &config.compatibility, name, &routes);
    }
    let leads_elsewhere = |route: &WebhookRoute| {
        let mut lists = config.room_lists.iter();
        lists.all(|list| leads(route, list, &config.compatibility) == Leads::Elsewhere)
    };
    let mut seen = BTreeSet::new();
    for route in &routes {
        if !leads_elsewhere(route) && seen.insert((&route.receiver, &route.url)) {
            webhook(report, name, route);
        }
    }
}

fn compare(
    report: &mut Report,
    list: &RoomListConfig,
    compatibility: &BTreeMap<String, String>,
    name: &str,
    routes: &[WebhookRoute],
) {
    let subject = format!("{} by {name}", list.name);
    let Some(stale_after) = list.policy.stale_after else {
        return report.ok(CHECK, Some(&subject), "none: incidents are never resolved as stale");
    };
    let stale_after = duration::format(stale_after);
    match judge(list, compatibility, routes) {
        Verdict::Unreached => report.skipped(CHECK, Some(&subject), "none of its routes leads here"),
        Verdict::Longer(route) => {
            let detail = format!("{stale_after} is longer than {}", silence(route));
            report.ok(CHECK, Some(&subject), detail);
        }
        Verdict::NotLonger { route, sure } => {
            let hidden = if sure { String::new() } else { format!(". {HIDDEN}") };
            let detail = format!(
                "{stale_after} is not longer than {}: matrixbot would resolve alerts that are still firing{hidden}",
                silence(route)
            );
            let twice = route.repeat_interval.max(route.group_interval).saturating_mul(2);
            let remedy = format!(
                "Set `stale_after` of {} to {} or more, or give the route of the receiver {} a shorter repeat_interval.",
                list.name,
                duration::format(twice),
                route.receiver
            );
            if sure {
                report.failed(CHECK, Some(&subject), detail, remedy);
            } else {
                report.warning(CHECK, Some(&subject), detail, remedy);
            }
        }
    }
}

/// How long a route may be silent, as text.
fn silence(route: &WebhookRoute) -> String {
    format!(
        "the {} that Alertmanager may be silent (repeat_interval {} + group_interval {}, receiver {})",
        duration::format(route.longest_silence()),
        duration::format(route.repeat_interval),
        duration::format(route.group_interval),
        route.receiver
    )
}

/// Warns about settings that make Alertmanager omit alerts.
fn webhook(report: &mut Report, name: &str, route: &WebhookRoute) {
    let subject = format!("receiver {} of {name}", route.receiver);
    if !route.send_resolved {
        let detail = "send_resolved is false: resolved alerts are not reported, and incidents are only resolved as stale";
        let remedy = "Set `send_resolved: true` in its webhook_configs, if it posts to matrixbot.";
        report.warning("webhook", Some(&subject), detail, remedy);
    }
    if route.max_alerts > 0 {
        let detail = format!(
            "max_alerts is {}: further alerts of a group are not shown, nor their resolution",
            route.max_alerts
        );
        let remedy = "Remove max_alerts from its webhook_configs, if it posts to matrixbot.";
        report.warning("webhook", Some(&subject), detail, remedy);
    }
}

fn judge<'a>(
    list: &RoomListConfig,
    compatibility: &BTreeMap<String, String>,
    routes: &'a [WebhookRoute],
) -> Verdict<'a> {
    let longest = |wanted: Leads| {
        let leading = routes.iter().filter(|route| leads(route, list, compatibility) == wanted);
        leading.max_by_key(|route| route.longest_silence())
    };
    let sure = longest(Leads::Here);
    let Some(route) = sure.or_else(|| longest(Leads::Perhaps)) else { return Verdict::Unreached };
    if list.policy.stale_after.is_none_or(|stale_after| stale_after > route.longest_silence()) {
        Verdict::Longer(route)
    } else {
        Verdict::NotLonger { route, sure: sure.is_some() }
    }
}

fn leads(route: &WebhookRoute, list: &RoomListConfig, compatibility: &BTreeMap<String, String>) -> Leads {
    // A hidden URL cannot be parsed.
    let Some(url) = route.url.as_ref().and_then(|url| Url::parse(url).ok()) else { return Leads::Perhaps };
    let path = url.path().trim_end_matches('/');
    // A proxy may add a prefix to the path; if two paths match, the longer one counts.
    let old = compatibility.iter().filter(|(old, _)| path.ends_with(old.as_str()));
    let named = |here: bool| if here { Leads::Here } else { Leads::Elsewhere };
    if let Some((_, target)) = old.max_by_key(|(old, _)| old.len()) {
        named(*target == list.name)
    } else if path.ends_with("/webhook") {
        // Without a list of this receiver, the alerts' label room_list decides.
        let here = list.name == route.receiver || list.receivers.contains(&route.receiver);
        if here { Leads::Here } else { Leads::Perhaps }
    } else {
        named(path.ends_with(&format!("/webhook/{}", list.name)))
    }
}

#[cfg(test)]
mod tests {
    use super::{Leads, Verdict, judge, leads};
    use crate::alertmanager::routing::WebhookRoute;
    use crate::config::{RoomListConfig, WebhookAuth};
    use crate::domain::lists::FollowAliases;
    use crate::domain::policy::Policy;
    use std::collections::BTreeMap;
    use std::time::Duration;

    fn list(stale_after: Duration) -> RoomListConfig {
        RoomListConfig {
            name: "finance".to_owned(),
            display_name: String::new(),
            avatar: None,
            receivers: ["pager".to_owned()].into(),
            webhook_token: None,
            webhook_auth: WebhookAuth::None,
            policy: Policy { stale_after: Some(stale_after), ..Policy::with_levels(Vec::new()) },
            ack_reactions: Vec::new(),
            time_zone: crate::domain::zone::Zone::UTC,
            place_reaction: true,
            follow_aliases: FollowAliases::default(),
            digest: None,
            templates: BTreeMap::new(),
        }
    }

    /// A route to this URL (`None`: in a file) with this `repeat_interval`; its `group_interval` is five minutes.
    fn route(receiver: &str, url: Option<&str>, minutes: u64) -> WebhookRoute {
        WebhookRoute {
            receiver: receiver.to_owned(),
            url: url.map(str::to_owned),
            group_interval: Duration::from_mins(5),
            repeat_interval: Duration::from_mins(minutes),
            send_resolved: true,
            max_alerts: 0,
        }
    }

    #[test]
    fn the_url_of_a_route_decides_where_it_leads() {
        let old =
            [("/webhook-ack", "finance"), ("/skill/a/webhook-ack", "ops"), ("/skill/a/webhook", "finance")]
                .map(|(path, list)| (path.to_owned(), list.to_owned()));
        for (url, receiver, expected) in [
            ("http://h:9010/webhook/finance", "x", Leads::Here),
            ("https://h/behind/webhook/finance/", "x", Leads::Here),
            ("http://h/webhook/refinance", "x", Leads::Elsewhere),
            ("http://h/webhook/finance-2", "finance", Leads::Elsewhere),
            ("http://h/webhook", "finance", Leads::Here),
            ("http://h/webhook", "pager", Leads::Here),
            ("http://h/webhook", "x", Leads::Perhaps),
            ("http://h/webhook-ack", "x", Leads::Here),
            ("http://h/skill/a/webhook-ack", "x", Leads::Elsewhere),
            ("http://h/skill/a/webhook", "x", Leads::Here),
            ("http://h/else", "finance", Leads::Elsewhere),
            ("<secret>", "x", Leads::Perhaps),
        ] {
            let route = route(receiver, Some(url), 60);
            assert_eq!(
                leads(&route, &list(Duration::ZERO), &old.clone().into()),
                expected,
                "{url} {receiver}"
            );
        }
        assert_eq!(leads(&route("x", None, 1), &list(Duration::ZERO), &BTreeMap::new()), Leads::Perhaps);
    }

    #[test]
    fn stale_after_must_be_longer_than_the_longest_silence_of_routes_that_lead_here() {
        let here = Some("http://h/webhook/finance");
        let routes = [
            route("a", here, 60),
            route("b", here, 115),
            route("c", Some("http://h/webhook/ops"), 999),
            route("d", Some("<secret>"), 999),
        ];
        let judged = |stale_after| judge(&list(stale_after), &BTreeMap::new(), &routes);
        assert_eq!(judged(Duration::from_hours(2)), Verdict::NotLonger { route: &routes[1], sure: true });
        assert_eq!(judged(Duration::from_mins(121)), Verdict::Longer(&routes[1]));
    }

    #[test]
    fn if_urls_are_hidden_the_longest_silence_of_all_routes_counts() {
        let routes = [route("a", Some("<secret>"), 60), route("b", Some("<secret>"), 600)];
        let judged = |stale_after, count| {
            judge(&list(stale_after), &BTreeMap::new(), &routes[..count])
                .eq(&Verdict::NotLonger { route: &routes[1], sure: false })
        };
        assert!(judged(Duration::from_hours(8), 2));
        assert!(!judged(Duration::from_hours(8), 1));
        let elsewhere = [route("c", Some("http://h/webhook/ops"), 999)];
        assert_eq!(judge(&list(Duration::ZERO), &BTreeMap::new(), &elsewhere), Verdict::Unreached);
    }
}
