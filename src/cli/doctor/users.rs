//! The virtual user of a room list.

use super::Examined;
use super::homeserver::reason;
use super::report::Report;
use super::software::Software;
use crate::config::RoomListConfig;
use crate::matrix::{Client, ClientError, Concern, Failure, Identity};
use crate::rooms::{self, ensure_device, user_id};
use crate::store::{Store, UserTrouble};
use ruma::UserId;

const CHECK: &str = "virtual user";
const ADMINISTRATOR: &str = "Ask the homeserver's administrator to let the account act again: to end its suspension, to \
                             unlock it, or to reactivate it. Waiting messages are sent then.";

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
    store: Option<&Store>,
) -> Option<Identity> {
    let config = examined.config;
    let user_id =
        user_id::user_id_for(&list.name, &config.user_prefix, &config.homeserver.server_name).ok()?;
    let found = match find(&examined.client, &user_id, examined.read_only).await {
        Ok(found) => found,
        Err(error) => {
            report.failed(CHECK, Some(user_id.as_str()), reason(&error), remedy(&error, examined.software));
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
    if in_trouble(report, &user_id, &list.name, store).await {
        return Some(Identity::new(user_id));
    }
    let identity = Identity::new(user_id);
    if let Err(error) = may_act(examined, &identity).await {
        report.failed(CHECK, Some(identity.user_id.as_str()), reason(&error), ADMINISTRATOR);
        return Some(identity);
    }
    let user_id = &identity.user_id;
    let registered = if matches!(found, Found::Registered) { "registered just now" } else { "is registered" };
    let device = if examined.read_only { None } else { Some(ensure_device(&examined.client, user_id).await) };
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
        Some(Err(error)) if error.failure().concerns() == Concern::User => {
            report.failed(CHECK, Some(user_id.as_str()), reason(&error), ADMINISTRATOR);
        }
        Some(Err(error)) => {
            report.warning(CHECK, Some(user_id.as_str()), reason(&error), "See the homeserver's log.");
        }
    }
    Some(identity)
}

/// Whether the homeserver lets the user act. Synapse lets a suspended user read, so that only an act shows it: this joins a
/// room that the user is in, which changes nothing and which nobody sees. The homeserver's other refusals say nothing about
/// the user.
async fn may_act(examined: &Examined<'_>, identity: &Identity) -> Result<(), ClientError> {
    let Examined { client, read_only, .. } = examined;
    if *read_only {
        return Ok(());
    }
    let Ok(joined) = client.joined_rooms(identity).await else { return Ok(()) };
    let Some(room) = joined.first() else { return Ok(()) };
    match rooms::join(client, identity, room.as_str()).await {
        Err(error) if error.failure() == Failure::UserBlocked => Err(error),
        Err(_) | Ok(_) => Ok(()),
    }
}

/// Registers the user, unless --read-only forbids it: continuwuity answers requests of users that have no account as well.
async fn find(client: &Client, user_id: &UserId, read_only: bool) -> Result<Found, ClientError> {
    let identity = Identity::new(user_id.to_owned());
    let is_new = !read_only && client.register_virtual_user(user_id).await?;
    match client.whoami(Some(&identity)).await {
        Err(error) if error.failure() == Failure::UserNotRegistered && read_only => Ok(Found::Absent),
        Err(error) => Err(error),
        Ok(_) if is_new => Ok(Found::Registered),
        Ok(_) if read_only && !client.may_have_account(user_id).await? => Ok(Found::Absent),
        Ok(_) => Ok(Found::Present),
    }
}

/// What to do about a user that the homeserver does not let act.
fn remedy(error: &ClientError, software: Software) -> String {
    match (error.failure(), error.errcode()) {
        (Failure::Temporary | Failure::RateLimited { .. }, _) => "See the homeserver's log.".to_owned(),
        (_, Some(errcode)) if errcode.starts_with("M_USER_") || errcode.ends_with("_SUSPENDED") => {
            ADMINISTRATOR.to_owned()
        }
        _ => format!(
            "The homeserver's copy of the registration has another namespace. {}",
            software.register()
        ),
    }
}

/// The user cannot send, as the running matrixbot has noticed. Returns whether it is so.
async fn in_trouble(report: &mut Report, user_id: &UserId, list: &str, store: Option<&Store>) -> bool {
    let Some(store) = store else { return false };
    let troubles = store.user_troubles().await.unwrap_or_default();
    let Some(trouble) = troubles.into_iter().find(|trouble| trouble.room_list == list) else { return false };
    let UserTrouble { why, since, .. } = trouble;
    let detail = format!("it cannot send since {since:.0}, so that the messages of {list} wait: {why}");
    report.failed(CHECK, Some(user_id.as_str()), detail, ADMINISTRATOR);
    true
}
