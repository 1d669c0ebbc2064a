//! The Alertmanagers of the configuration.

use super::repeats;
use super::report::Report;
use crate::alertmanager::api::{Alertmanager, ApiError, Credentials, Status};
use crate::config::{AlertmanagerConfig, Config};
use crate::telemetry::logs::causes;

/// Reads the status of each, and compares its routes with the room lists.
pub(super) async fn examine(report: &mut Report, config: &Config) {
    for one in &config.alertmanagers {
        let subject = format!("{} at {}", one.name, one.url);
        match ask(one).await {
            Ok(status) => {
                let cluster = match status.peers {
                    1 => "no cluster".to_owned(),
                    peers => format!("one of {peers}, cluster {}", status.cluster),
                };
                let detail = format!("Alertmanager {} answers, {cluster}", status.version);
                report.ok("alertmanager", Some(&subject), detail);
                repeats::examine(report, config, &one.name, status.configuration.as_deref());
            }
            Err(error) => report.failed("alertmanager", Some(&subject), causes(&error), remedy(&error)),
        }
    }
}

async fn ask(one: &AlertmanagerConfig) -> Result<Status, ApiError> {
    let credentials = match (&one.bearer_token, &one.basic_auth) {
        (Some(token), _) => Credentials::Bearer(token.clone()),
        (None, Some(basic)) => Credentials::Basic(basic.username.clone(), basic.password.clone()),
        (None, None) => Credentials::None,
    };
    // The configuration's validation has already read the file.
    let ca = one.ca.as_ref().and_then(|file| std::fs::read(file).ok());
    Alertmanager::new(&one.url, credentials, ca.as_deref())?.status().await
}

fn remedy(error: &ApiError) -> &'static str {
    match error {
        ApiError::Setup(_) => "Set `ca` to a certificate in PEM, and install ca-certificates.",
        ApiError::Unanswered(_) => "Start Alertmanager, or correct its `url` and `ca` in `alertmanagers`.",
        ApiError::Unauthorized(_) => "Correct `basic_auth` or `bearer_token` in `alertmanagers`.",
        ApiError::Refused(_) | ApiError::Unreadable(_) => {
            "Set `url` to the address of Alertmanager's own page, with its path prefix (--web.route-prefix)."
        }
    }
}
