//! The homeserver: whether it answers, knows the registration, and reaches matrixbot.

use super::report::Report;
use super::software::Software;
use super::{Examined, RequestCounts};
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

/// Checks the homeserver. Returns whether it accepts requests about users and rooms.
pub(super) async fn examine(report: &mut Report, examined: &Examined<'_>) -> bool {
    let url = &examined.config.homeserver.url;
    match examined.client.versions().await {
        Ok(supported) => {
            let newest = supported.versions.last().map_or("no version", String::as_str).to_owned();
            report.ok(
                "homeserver",
                None,
                format!("{url} answers, and supports the specification up to {newest}"),
            );
        }
        Err(error) => {
            let remedy = "Start the homeserver, or correct `homeserver.url`, its address for clients on \
                          this machine.";
            report.failed("homeserver", None, reason(&error), remedy);
            report.skipped("as_token", None, "skipped: the homeserver does not answer");
            report.skipped("hs_token", None, "skipped: the homeserver does not answer");
            return false;
        }
    }
    let known = as_token(report, examined).await;
    namespace(report, examined.config);
    if known {
        hs_token(report, examined).await;
    } else {
        report.skipped("hs_token", None, "skipped: the homeserver does not know the registration");
    }
    known
}

/// Whether the homeserver knows the registration, under the same name.
async fn as_token(report: &mut Report, examined: &Examined<'_>) -> bool {
    let Config { homeserver, registration, .. } = examined.config;
    let own = format!("@{}:{}", registration.sender_localpart, homeserver.server_name);
    match examined.client.whoami(None).await {
        Ok(found) if found.user_id == own => {
            report.ok("as_token", None, format!("the homeserver knows matrixbot as {own}"));
            true
        }
        Ok(found) if found.user_id.server_name() != homeserver.server_name => {
            let detail = format!("the homeserver's name is {}", found.user_id.server_name());
            report.failed("as_token", None, detail, "Correct `homeserver.server_name`.");
            false
        }
        Ok(found) => {
            let detail = format!("the homeserver knows matrixbot as {}, not as {own}", found.user_id);
            report.failed("as_token", None, detail, examined.software.register());
            false
        }
        Err(error) => {
            let remedy = match error.failure() {
                Failure::Temporary => "See the homeserver's log, and check proxies in between.",
                _ => examined.software.register(),
            };
            report.failed("as_token", None, reason(&error), remedy);
            false
        }
    }
}

/// Whether the registration's namespace is right. The configuration's validation checks that it covers every virtual
/// user; registering them checks the homeserver's copy.
fn namespace(report: &mut Report, config: &Config) {
    let namespaces = config.registration.user_namespaces().join(", ");
    let open = config.registration.user_namespaces().into_iter().find(|regex| !regex.ends_with('$'));
    match open {
        None => report.ok("namespace", None, format!("{namespaces} covers every virtual user")),
        Some(regex) => {
            let wanted = user_id::namespace_regex(&config.user_prefix, &config.homeserver.server_name);
            let detail = format!("{regex} has no end, so users of other servers may match it");
            let remedy =
                format!("Write '{wanted}' into the registration, for matrixbot and for the homeserver.");
            report.warning("namespace", None, detail, remedy);
        }
    }
}

/// Whether the homeserver reaches matrixbot, tested with its ping. If no matrixbot is running, a stand-in listens.
async fn hs_token(report: &mut Report, examined: &Examined<'_>) {
    let config = examined.config;
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
                let pinged = ping(&examined.client, &config.registration.id).await;
                handle.stop(false).await;
                pinged
            };
            tokio::join!(listening.server, pinging).1
        }
        // A running matrixbot answers as well.
        Ok(None) => ping(&examined.client, &config.registration.id).await,
        Err(ListenError::Address { source, .. }) if source.kind() == ErrorKind::AddrInUse => {
            ping(&examined.client, &config.registration.id).await
        }
        Err(error) => {
            let remedy = "Correct `listen.appservice`.";
            return report.failed("hs_token", None, error.to_string(), remedy);
        }
    };
    match pinged {
        Ok(Some(took)) => {
            let detail = format!(
                "the homeserver reaches matrixbot and sends the right token ({} ms)",
                took.as_millis()
            );
            report.ok("hs_token", None, detail);
        }
        Ok(None) => {
            let remedy = "React to a page, and see whether matrixbot's log has the event.";
            report.warning("hs_token", None, "skipped: this homeserver has no ping", remedy);
        }
        // Not every homeserver reports the answer to its ping.
        Err(error) if stand_in.has_refused() && !error.is_hs_token_mismatch() => {
            let detail = format!(
                "the homeserver sends another token than the one in the registration; {}",
                reason(&error)
            );
            report.failed("hs_token", None, detail, examined.software.register());
        }
        Err(error) => report.failed("hs_token", None, reason(&error), ping_remedy(&error, examined.software)),
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

fn ping_remedy(error: &ClientError, software: Software) -> String {
    let register = software.register();
    match error.errcode() {
        _ if error.is_hs_token_mismatch() => register.to_owned(),
        _ if error.is_url_unreachable() => format!(
            "Make sure that the registration's `url` leads from the homeserver to `listen.appservice` (firewall, container \
             network, TLS). After a change: {register}"
        ),
        Some("M_BAD_STATUS") => format!(
            "Another program answers at the registration's `url`, or the homeserver has another registration: correct the \
             url. {register}"
        ),
        Some("M_URL_NOT_SET") => format!("Set `url` in the registration. {register}"),
        Some("M_FORBIDDEN") => format!("The homeserver has the registration under another `id`. {register}"),
        _ => "See the homeserver's log.".to_owned(),
    }
}

/// Whether the homeserver rate limits matrixbot, as far as doctor can find out without sending messages.
pub(super) fn rate_limited(report: &mut Report, examined: &Examined<'_>, counts: &RequestCounts) {
    let Examined { config, software, .. } = examined;
    let limited = counts.limited.load(Ordering::Relaxed);
    let requests = counts.requests.load(Ordering::Relaxed);
    let remedy = format!(
        "Set `rate_limited: false` in the registration, and restart matrixbot. {}",
        software.register()
    );
    if limited > 0 {
        let detail = format!("the homeserver answered {limited} of {requests} requests with 429");
        report.failed("rate limit", None, detail, remedy);
    } else if config.registration.rate_limited {
        report.warning("rate limit", None, "the registration lacks `rate_limited: false`", remedy);
    } else {
        let detail = format!("off in the registration; none of {requests} requests was rate limited");
        report.ok("rate limit", None, detail);
    }
}

/// An error with its causes.
pub(super) fn reason(error: &ClientError) -> String {
    causes(error)
}
