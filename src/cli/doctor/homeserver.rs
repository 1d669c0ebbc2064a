//! The homeserver: whether it answers, knows us, and reaches us.

use super::report::Report;
use super::{Patient, Pulse};
use crate::appservice::http::StandIn;
use crate::config::Config;
use crate::http::{Binding, ListenError, Tls, bind};
use crate::ids;
use crate::matrix::{Client, ClientError, Failure};
use crate::rooms::user_id;
use crate::telemetry::logs::causes;
use ruma::OwnedTransactionId;
use std::io::ErrorKind;
use std::sync::atomic::Ordering;
use std::time::Duration;

const REGISTER: &str = "Hand the homeserver the very file that `registration` names (Synapse: \
                        app_service_config_files), and restart it.";

/// Looks at the homeserver. Returns whether it can be asked for users and rooms.
pub(super) async fn examine(report: &mut Report, patient: &Patient<'_>) -> bool {
    let url = &patient.config.homeserver.url;
    match patient.client.versions().await {
        Ok(said) => {
            let newest = said.versions.last().map_or("no version", String::as_str).to_owned();
            report.ok(
                "homeserver",
                None,
                format!("{url} answers, and lists the specification up to {newest}"),
            );
        }
        Err(error) => {
            let remedy = "Start the homeserver, or correct `homeserver.url`: it is where clients of this \
                          machine reach it.";
            report.failed("homeserver", None, said(&error), remedy);
            report.skipped("as_token", None, "not tried: the homeserver does not answer");
            report.skipped("hs_token", None, "not tried: the homeserver does not answer");
            return false;
        }
    }
    let known = as_token(report, patient).await;
    namespace(report, patient.config);
    if known {
        reaching_us(report, patient).await;
    } else {
        report.skipped("hs_token", None, "not tried: the homeserver does not know us");
    }
    known
}

/// Whether the homeserver knows our registration, and by the name that it has here.
async fn as_token(report: &mut Report, patient: &Patient<'_>) -> bool {
    let Config { homeserver, registration, .. } = patient.config;
    let own = format!("@{}:{}", registration.sender_localpart, homeserver.server_name);
    match patient.client.whoami(None).await {
        Ok(found) if found.user_id == own => {
            report.ok("as_token", None, format!("the homeserver knows us as {own}"));
            true
        }
        Ok(found) if found.user_id.server_name() != homeserver.server_name => {
            let detail = format!("the homeserver's name is {}", found.user_id.server_name());
            report.failed("as_token", None, detail, "Correct `homeserver.server_name`.");
            false
        }
        Ok(found) => {
            let detail = format!("the homeserver knows us as {}, and not as {own}", found.user_id);
            report.failed("as_token", None, detail, REGISTER);
            false
        }
        Err(error) => {
            let remedy = match error.failure() {
                Failure::Temporary => "See the homeserver's log, and what stands between it and us.",
                _ => REGISTER,
            };
            report.failed("as_token", None, said(&error), remedy);
            false
        }
    }
}

/// Whether the registration's namespace is what it should be. That it covers every virtual user is a matter of the
/// configuration; whether the homeserver's copy does shows when they are registered.
fn namespace(report: &mut Report, config: &Config) {
    let namespaces = config.registration.user_namespaces().join(", ");
    let open = config.registration.user_namespaces().into_iter().find(|regex| !regex.ends_with('$'));
    match open {
        None => report.ok("namespace", None, format!("{namespaces} covers every virtual user")),
        Some(regex) => {
            let wanted = user_id::namespace_regex(&config.user_prefix, &config.homeserver.server_name);
            let detail = format!("{regex} has no end, so that users of other servers may match it");
            let remedy = format!("Write '{wanted}' into the registration, for us and for the homeserver.");
            report.warning("namespace", None, detail, remedy);
        }
    }
}

/// Whether the homeserver reaches us, by its ping. While no matrixbot listens, a stand-in does.
async fn reaching_us(report: &mut Report, patient: &Patient<'_>) {
    let config = patient.config;
    let listener = &config.listen.appservice;
    let stand_in = StandIn::new(&config.registration.hs_token);
    let binding = Binding {
        name: "appservice",
        address: listener.address,
        tls: listener
            .tls
            .as_ref()
            .map(|files| Tls { certificate: files.certificate.clone(), key: files.key.clone() }),
        services: stand_in.services(),
    };
    let pinged = match bind(vec![binding]).map(|mut listening| listening.pop()) {
        Ok(Some(listening)) => {
            let handle = listening.handle();
            let pinging = async {
                let pinged = ping(&patient.client, &config.registration.id).await;
                handle.stop(false).await;
                pinged
            };
            tokio::join!(listening.server, pinging).1
        }
        // A matrixbot that runs already is reached as well.
        Ok(None) => ping(&patient.client, &config.registration.id).await,
        Err(ListenError::Address { source, .. }) if source.kind() == ErrorKind::AddrInUse => {
            ping(&patient.client, &config.registration.id).await
        }
        Err(error) => {
            let remedy = "Correct `listen.appservice`.";
            return report.failed("hs_token", None, error.to_string(), remedy);
        }
    };
    match pinged {
        Ok(Some(took)) => {
            let detail =
                format!("the homeserver reaches us, and shows the right token ({} ms)", took.as_millis());
            report.ok("hs_token", None, detail);
        }
        Ok(None) => {
            let remedy = "Ask the homeserver to query a user that does not exist, and see our log.";
            report.warning("hs_token", None, "not tried: this homeserver has no ping", remedy);
        }
        // Not every homeserver says what its ping was answered.
        Err(error) if stand_in.has_refused() && !error.shows_another_token() => {
            let detail =
                format!("the homeserver shows another token than our registration has; {}", said(&error));
            report.failed("hs_token", None, detail, REGISTER);
        }
        Err(error) => report.failed("hs_token", None, said(&error), unreached(&error)),
    }
}

/// `None`: the homeserver has no ping.
async fn ping(client: &Client, id: &str) -> Result<Option<Duration>, ClientError> {
    let txn_id = OwnedTransactionId::from(ids::unique().to_string());
    match client.ping(id, Some(&txn_id)).await {
        Ok(took) => Ok(Some(took)),
        Err(error) if error.failure() == Failure::NotFound && error.errcode() != Some("M_NOT_FOUND") => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn unreached(error: &ClientError) -> &'static str {
    match error.errcode() {
        _ if error.shows_another_token() => REGISTER,
        Some("M_CONNECTION_FAILED" | "M_CONNECTION_TIMEOUT") => {
            "Let the registration's `url` lead from the homeserver to `listen.appservice` (firewall, container \
             network, TLS), and restart the homeserver after a change."
        }
        Some("M_BAD_STATUS") => {
            "Something else answers at the registration's `url`, or the homeserver has another registration: correct \
             the url, or hand it the very file that `registration` names and restart it."
        }
        Some("M_URL_NOT_SET") => "Give the registration a `url`, and restart the homeserver.",
        Some("M_FORBIDDEN") => {
            "The homeserver knows the registration by another `id`: hand it the very file that `registration` names."
        }
        _ => "See the homeserver's log.",
    }
}

/// Whether the homeserver lets us send as much as we like, as far as that shows without sending anything.
pub(super) fn rate_limited(report: &mut Report, config: &Config, pulse: &Pulse) {
    let limited = pulse.limited.load(Ordering::Relaxed);
    let requests = pulse.requests.load(Ordering::Relaxed);
    let remedy =
        "Set `rate_limited: false` in the registration, for us and for the homeserver, and restart it.";
    if limited > 0 {
        let detail = format!("the homeserver answered {limited} of {requests} requests with 429");
        report.failed("rate limit", None, detail, remedy);
    } else if config.registration.rate_limited {
        report.warning("rate limit", None, "the registration does not say `rate_limited: false`", remedy);
    } else {
        let detail = format!("off in the registration; none of {requests} requests was held back");
        report.ok("rate limit", None, detail);
    }
}

/// An error with what caused it.
pub(super) fn said(error: &ClientError) -> String {
    causes(error)
}
