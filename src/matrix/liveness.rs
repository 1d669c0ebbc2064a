//! Checks whether the homeserver is reachable, accepts the `as_token`, and reaches matrixbot.

use super::client::{Client, Identity};
use super::endpoint::Endpoint;
use super::failure::ClientError;
use ruma::api::OutgoingRequestExt as _;
use ruma::api::auth_scheme::SendAccessToken;
use ruma::api::client::account::whoami;
use ruma::api::client::appservice::request_ping;
use ruma::api::client::discovery::get_supported_versions;
use ruma::{OwnedDeviceId, OwnedUserId, TransactionId};
use std::collections::BTreeMap;
use std::time::Duration;

/// The versions that the homeserver lists. They are only for display; no decision depends on them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerVersions {
    /// The versions of the specification.
    pub versions: Vec<String>,
    /// Unstable features.
    pub unstable_features: BTreeMap<String, bool>,
}

/// The user that the homeserver identifies us as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WhoAmI {
    /// The user.
    pub user_id: OwnedUserId,
    /// The device, if one was asserted.
    pub device_id: Option<OwnedDeviceId>,
}

impl Client {
    /// The versions that the homeserver supports. Sends no token, so this also works while the `as_token` is wrong:
    /// Synapse rejects an unknown token even here.
    pub async fn versions(&self) -> Result<ServerVersions, ClientError> {
        let request = get_supported_versions::Request::new()
            .try_into_http_request::<Vec<u8>>(self.homeserver(), SendAccessToken::None, ())
            .map_err(|error| ClientError::unbuildable(Endpoint::Versions, error))?;
        let answer: get_supported_versions::Response = self.exchange(Endpoint::Versions, request).await?;
        Ok(ServerVersions { versions: answer.versions, unstable_features: answer.unstable_features })
    }

    /// What the homeserver calls itself, such as `Synapse`. `None`: it does not say, because it does not federate here. Only
    /// for what people read.
    pub async fn software(&self) -> Option<String> {
        let version = self.get_json("_matrix/federation/v1/version").await?;
        Some(version.pointer("/server/name")?.as_str()?.to_owned())
    }

    /// The user that the homeserver identifies us as: `identity`, or the registration's own user if there is none.
    pub async fn whoami(&self, identity: Option<&Identity>) -> Result<WhoAmI, ClientError> {
        let answer = self.call(Endpoint::WhoAmI, identity, whoami::v3::Request::new()).await;
        // As a virtual user, the request has no other subject than this user.
        let answer = answer.map_err(|error| if identity.is_some() { error.of_the_user() } else { error })?;
        Ok(WhoAmI { user_id: answer.user_id, device_id: answer.device_id })
    }

    /// Requests that the homeserver pings matrixbot. Returns the duration of its ping (zero if it does not report that).
    /// After a successful ping, Synapse immediately delivers undelivered transactions. `appservice_id` is the
    /// registration's `id`.
    pub async fn ping(
        &self,
        appservice_id: &str,
        txn_id: Option<&TransactionId>,
    ) -> Result<Duration, ClientError> {
        let mut request = request_ping::v1::Request::new(appservice_id.to_owned());
        request.transaction_id = txn_id.map(ToOwned::to_owned);
        match self.call(Endpoint::Ping, None, request).await {
            Ok(answer) => Ok(answer.duration),
            Err(error) if error.ping_succeeded() => Ok(Duration::ZERO),
            Err(error) => Err(error),
        }
    }
}
