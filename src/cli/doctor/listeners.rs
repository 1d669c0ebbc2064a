//! Where we listen: whether a matrixbot runs there, or could.

use super::report::Report;
use crate::cli::local;
use crate::config::{Config, Listener};
use std::io::ErrorKind;
use std::net::TcpListener;
use std::time::Duration;

/// How long a running matrixbot may take to answer.
const TIMEOUT: Duration = Duration::from_secs(4);

/// Looks at the addresses. Each is either free, or matrixbot's own.
pub(super) async fn examine(report: &mut Report, config: &Config) {
    let running = is_running(&config.listen.admin).await;
    let listen = &config.listen;
    let all = [("appservice", &listen.appservice), ("webhook", &listen.webhook), ("admin", &listen.admin)];
    for (name, listener) in all {
        let address = listener.address;
        let subject = format!("{name} on {address}");
        match TcpListener::bind(address) {
            Ok(_) if running && address.port() != 0 => {
                let remedy = "Restart matrixbot, so that it follows its configuration.";
                report.warning(
                    "listener",
                    Some(&subject),
                    "nothing listens here, though matrixbot runs",
                    remedy,
                );
            }
            Ok(_) => report.ok("listener", Some(&subject), "free; no matrixbot runs here"),
            Err(error) if error.kind() == ErrorKind::AddrInUse && running => {
                report.ok("listener", Some(&subject), "matrixbot runs here");
            }
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                let remedy = format!("Stop whatever listens on {address}, or change `listen.{name}`.");
                let detail = "taken, and it is no matrixbot that answers on the admin listener";
                report.failed("listener", Some(&subject), detail, remedy);
            }
            Err(error) => {
                let remedy = format!("Let `listen.{name}` be an address of this machine that we may use.");
                report.failed("listener", Some(&subject), error.to_string(), remedy);
            }
        }
    }
}

/// Whether a matrixbot answers on the admin listener.
async fn is_running(admin: &Listener) -> bool {
    let asked = local::get(&format!("{}/livez", local::url(admin)), TIMEOUT).await;
    asked.is_ok_and(|(_, body)| body.contains("\"checks\""))
}
