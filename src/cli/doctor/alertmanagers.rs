//! The Alertmanagers of the configuration.

use super::repeats;
use super::report::Report;
use crate::alertmanager::api::{ApiError, Status};
use crate::app::alertmanagers;
use crate::config::Config;
use crate::telemetry::logs::causes;
use url::Url;

/// Reads the status of each of their peers, and compares the routes with the room lists.
pub(super) async fn examine(report: &mut Report, config: &Config) {
    for one in &config.alertmanagers {
        let client = match alertmanagers::client(one) {
            Ok(client) => client,
            Err(error) => {
                report.failed("alertmanager", Some(&one.name), causes(&error), remedy(&error));
                continue;
            }
        };
        let mut answered = Vec::new();
        for (url, status) in client.urls().zip(client.statuses().await) {
            let subject = format!("{} at {url}", one.name);
            match status {
                Ok(status) => {
                    report.ok("alertmanager", Some(&subject), detail(&status));
                    answered.push((url, status));
                }
                Err(error) => report.failed("alertmanager", Some(&subject), causes(&error), remedy(&error)),
            }
        }
        one_cluster(report, &one.name, &answered);
        if let Some((_, status)) = answered.first() {
            repeats::examine(report, config, &one.name, status.configuration.as_deref());
        }
    }
}

fn detail(status: &Status) -> String {
    let cluster = match status.peers {
        1 => "no cluster".to_owned(),
        peers => format!("one of {peers}, cluster {}", status.cluster),
    };
    format!("Alertmanager {} answers, {cluster}", status.version)
}

/// Peers that are not one cluster share no silences, and each notifies.
fn one_cluster(report: &mut Report, name: &str, answered: &[(&Url, Status)]) {
    let Some(((first_url, first), others)) = answered.split_first() else { return };
    for (url, _) in others.iter().filter(|(_, other)| !first.is_clustered_with(other)) {
        report.warning(
            "alertmanager",
            Some(name),
            format!("{first_url} and {url} are not peers of one cluster: they share no silences, and each notifies"),
            "Give each --cluster.peer with the other's address, or make them two entries of `alertmanagers`.",
        );
    }
}

fn remedy(error: &ApiError) -> &'static str {
    match error {
        ApiError::Setup(_) => "Set `ca` to a certificate in PEM, and install ca-certificates.",
        ApiError::Unanswered(_) => {
            "Start Alertmanager, or correct its `url` (or `urls`) and `ca` in `alertmanagers`."
        }
        ApiError::Unauthorized(_) => "Correct `basic_auth` or `bearer_token` in `alertmanagers`.",
        ApiError::Refused { .. } | ApiError::Unreadable(_) | ApiError::TooLarge(_) => {
            "Set `url` to the address of Alertmanager's own page, with its path prefix (--web.route-prefix)."
        }
    }
}
