//! Whether the homeserver is there, knows us, and reaches us.

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

/// What the homeserver says it speaks: to be shown, not to decide on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerVersions {
    /// The versions of the specification.
    pub versions: Vec<String>,
    /// Features beyond them.
    pub unstable_features: BTreeMap<String, bool>,
}

/// Whom the homeserver takes us for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WhoAmI {
    /// The user.
    pub user_id: OwnedUserId,
    /// The device, if one was asserted.
    pub device_id: Option<OwnedDeviceId>,
}

impl Client {
    /// What the homeserver speaks. Shows no token, so that it tells whether the homeserver is there at all: Synapse
    /// refuses one that it does not know even here.
    pub async fn versions(&self) -> Result<ServerVersions, ClientError> {
        let request = get_supported_versions::Request::new()
            .try_into_http_request::<Vec<u8>>(self.homeserver(), SendAccessToken::None, ())
            .map_err(|error| ClientError::unbuildable(Endpoint::Versions, error))?;
        let answer: get_supported_versions::Response = self.exchange(Endpoint::Versions, request).await?;
        Ok(ServerVersions { versions: answer.versions, unstable_features: answer.unstable_features })
    }

    /// Whom the homeserver takes us for; without an identity the registration's own user.
    pub async fn whoami(&self, identity: Option<&Identity>) -> Result<WhoAmI, ClientError> {
        let answer = self.call(Endpoint::WhoAmI, identity, whoami::v3::Request::new()).await?;
        Ok(WhoAmI { user_id: answer.user_id, device_id: answer.device_id })
    }

    /// Asks the homeserver to call us back, and says how long that took (zero if it does not say). Succeeding makes Synapse deliver held
    /// transactions at once. `appservice_id` is the registration's `id`.
    pub async fn ping(
        &self,
        appservice_id: &str,
        txn_id: Option<&TransactionId>,
    ) -> Result<Duration, ClientError> {
        let mut request = request_ping::v1::Request::new(appservice_id.to_owned());
        request.transaction_id = txn_id.map(ToOwned::to_owned);
        match self.call(Endpoint::Ping, None, request).await {
            Ok(answer) => Ok(answer.duration),
            Err(error) if error.ping_came_through() => Ok(Duration::ZERO),
            Err(error) => Err(error),
        }
    }
}
