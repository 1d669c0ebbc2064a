//! The virtual user of a room list.

use super::Patient;
use super::homeserver::said;
use super::report::Report;
use crate::config::RoomListConfig;
use crate::matrix::{Client, ClientError, Failure, Identity};
use crate::rooms::{ensure_device, user_id};
use ruma::UserId;

const CHECK: &str = "virtual user";
const NAMESPACE: &str = "Give the homeserver the very file that `registration` names: its copy has another \
                         namespace; then restart it.";

/// What the homeserver makes of the user.
enum Found {
    /// It is there.
    There,
    /// It was made just now.
    Made,
    /// It is not there, and was not to be made.
    Absent,
}

/// Makes sure of a list's virtual user. Returns it if it can be asked for.
pub(super) async fn examine(
    report: &mut Report,
    patient: &Patient<'_>,
    list: &RoomListConfig,
) -> Option<Identity> {
    let config = patient.config;
    let user_id =
        user_id::user_id_for(&list.name, &config.user_prefix, &config.homeserver.server_name).ok()?;
    let found = match find(&patient.client, &user_id, patient.read_only).await {
        Ok(found) => found,
        Err(error) => {
            let remedy = match error.failure() {
                Failure::Temporary | Failure::RateLimited { .. } => "See the homeserver's log.",
                _ => NAMESPACE,
            };
            report.failed(CHECK, Some(user_id.as_str()), said(&error), remedy);
            report.skipped("room", None, format!("not tried for {}: it has no virtual user", list.name));
            return None;
        }
    };
    match found {
        Found::There => {}
        Found::Made => report.changed(format!("{user_id} was registered")),
        Found::Absent => {
            let remedy = "Start `matrixbot run`, or leave out --read-only: either registers it.";
            report.warning(CHECK, Some(user_id.as_str()), "is not registered yet", remedy);
            report.skipped("room", None, format!("not tried for {}: it has no virtual user yet", list.name));
            return None;
        }
    }
    let registered = if matches!(found, Found::Made) { "registered just now" } else { "is registered" };
    let device = if patient.read_only { None } else { Some(ensure_device(&patient.client, &user_id).await) };
    match device {
        None => report.ok(CHECK, Some(user_id.as_str()), registered),
        Some(Ok(true)) => {
            report.ok(CHECK, Some(user_id.as_str()), format!("{registered}, with a device of its own"));
        }
        Some(Ok(false)) => {
            let detail = format!(
                "{registered}; without a device, so that uncertain sends are looked up before they are repeated"
            );
            report.ok(CHECK, Some(user_id.as_str()), detail);
        }
        Some(Err(error)) => {
            report.warning(CHECK, Some(user_id.as_str()), said(&error), "See the homeserver's log.");
        }
    }
    Some(Identity::new(user_id))
}

async fn find(client: &Client, user_id: &UserId, read_only: bool) -> Result<Found, ClientError> {
    let identity = Identity::new(user_id.to_owned());
    match client.whoami(Some(&identity)).await {
        Ok(_) => Ok(Found::There),
        Err(error) => match error.failure() {
            Failure::UserNotRegistered if read_only => Ok(Found::Absent),
            Failure::UserNotRegistered | Failure::NotFound => {
                client.register_virtual_user(user_id).await?;
                client.whoami(Some(&identity)).await.map(|_| Found::Made)
            }
            _ => Err(error),
        },
    }
}
