//! The virtual user of a room list.

use super::Examined;
use super::homeserver::reason;
use super::report::Report;
use crate::config::RoomListConfig;
use crate::matrix::{Client, ClientError, Failure, Identity};
use crate::rooms::{ensure_device, user_id};
use ruma::UserId;

const CHECK: &str = "virtual user";
const NAMESPACE: &str = "Give the homeserver the same file as in `registration`, because its copy has another \
                         namespace, and restart it.";

/// Whether the homeserver knows the user.
enum Found {
    /// It exists.
    Present,
    /// It was registered just now.
    Registered,
    /// It does not exist, and --read-only forbids to register it.
    Absent,
}

/// Makes sure that a list's virtual user is registered. Returns it if so.
pub(super) async fn examine(
    report: &mut Report,
    examined: &Examined<'_>,
    list: &RoomListConfig,
) -> Option<Identity> {
    let config = examined.config;
    let user_id =
        user_id::user_id_for(&list.name, &config.user_prefix, &config.homeserver.server_name).ok()?;
    let found = match find(&examined.client, &user_id, examined.read_only).await {
        Ok(found) => found,
        Err(error) => {
            let remedy = match error.failure() {
                Failure::Temporary | Failure::RateLimited { .. } => "See the homeserver's log.",
                _ => NAMESPACE,
            };
            report.failed(CHECK, Some(user_id.as_str()), reason(&error), remedy);
            report.skipped("room", None, format!("skipped for {}: it has no virtual user", list.name));
            return None;
        }
    };
    match found {
        Found::Present => {}
        Found::Registered => report.changed(format!("{user_id} was registered")),
        Found::Absent => {
            let remedy = "Start `matrixbot run`, or leave out --read-only, to register it.";
            report.warning(CHECK, Some(user_id.as_str()), "is not registered yet", remedy);
            report.skipped("room", None, format!("skipped for {}: it has no virtual user yet", list.name));
            return None;
        }
    }
    let registered = if matches!(found, Found::Registered) { "registered just now" } else { "is registered" };
    let device =
        if examined.read_only { None } else { Some(ensure_device(&examined.client, &user_id).await) };
    match device {
        None => report.ok(CHECK, Some(user_id.as_str()), registered),
        Some(Ok(true)) => {
            report.ok(CHECK, Some(user_id.as_str()), format!("{registered}, with its own device"));
        }
        Some(Ok(false)) => {
            let detail = format!(
                "{registered}, without a device: matrixbot searches the room before it repeats an uncertain send"
            );
            report.ok(CHECK, Some(user_id.as_str()), detail);
        }
        Some(Err(error)) => {
            report.warning(CHECK, Some(user_id.as_str()), reason(&error), "See the homeserver's log.");
        }
    }
    Some(Identity::new(user_id))
}

async fn find(client: &Client, user_id: &UserId, read_only: bool) -> Result<Found, ClientError> {
    let identity = Identity::new(user_id.to_owned());
    match client.whoami(Some(&identity)).await {
        Ok(_) => Ok(Found::Present),
        Err(error) => match error.failure() {
            Failure::UserNotRegistered if read_only => Ok(Found::Absent),
            Failure::UserNotRegistered | Failure::NotFound => {
                client.register_virtual_user(user_id).await?;
                client.whoami(Some(&identity)).await.map(|_| Found::Registered)
            }
            _ => Err(error),
        },
    }
}
