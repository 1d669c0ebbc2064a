//! The listeners: whether a matrixbot is running there, or could.

use super::report::Report;
use crate::cli::local;
use crate::config::{Config, Listener};
use std::io::ErrorKind;
use std::net::TcpListener;
use std::time::Duration;

/// How long a running matrixbot may take to answer.
const TIMEOUT: Duration = Duration::from_secs(4);

/// Checks the addresses. Each must be free, or used by matrixbot.
pub(super) async fn examine(report: &mut Report, config: &Config) {
    let running = is_running(&config.listen.admin).await;
    let listen = &config.listen;
    let all = [("appservice", &listen.appservice), ("webhook", &listen.webhook), ("admin", &listen.admin)];
    for (name, listener) in all {
        let address = listener.address;
        let subject = format!("{name} on {address}");
        match TcpListener::bind(address) {
            Ok(_) if running && address.port() != 0 => {
                let remedy = "Restart matrixbot to apply its configuration.";
                report.warning(
                    "listener",
                    Some(&subject),
                    "nothing listens here, although matrixbot is running",
                    remedy,
                );
            }
            Ok(_) => report.ok("listener", Some(&subject), "free; no matrixbot is running here"),
            Err(error) if error.kind() == ErrorKind::AddrInUse && running => {
                report.ok("listener", Some(&subject), "matrixbot is running here");
            }
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                let remedy =
                    format!("Stop the program that listens on {address}, or change `listen.{name}`.");
                let detail = "in use, but not by matrixbot: its admin listener does not answer";
                report.failed("listener", Some(&subject), detail, remedy);
            }
            Err(error) => {
                let remedy =
                    format!("Set `listen.{name}` to an address of this machine that matrixbot may use.");
                report.failed("listener", Some(&subject), error.to_string(), remedy);
            }
        }
    }
}

/// Whether a matrixbot answers on the admin listener.
async fn is_running(admin: &Listener) -> bool {
    let answer = local::get(&format!("{}/livez", local::url(admin)), TIMEOUT).await;
    answer.is_ok_and(|(_, body)| body.contains("\"checks\""))
}
