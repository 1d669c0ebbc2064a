//! Virtual users: account, device, profile.

use super::client::{Client, Identity};
use super::endpoint::Endpoint;
use super::failure::{ClientError, Failure};
use ruma::api::OutgoingRequestExt as _;
use ruma::api::auth_scheme::SendAccessToken;
use ruma::api::client::account::register::{self, LoginType};
use ruma::api::client::device::update_device;
use ruma::api::client::media::create_content;
use ruma::api::client::profile::{AvatarUrl, get_profile, set_profile_field};
use ruma::profile::ProfileFieldValue;
use ruma::{DeviceId, MxcUri, OwnedMxcUri, UserId};

impl Client {
    /// Registers the virtual user unless it has an account. Returns whether the account is new.
    pub async fn register_virtual_user(&self, user_id: &UserId) -> Result<bool, ClientError> {
        let mut request = register::v3::Request::new();
        request.username = Some(user_id.localpart().to_owned());
        request.login_type = Some(LoginType::ApplicationService);
        // Application Service API §Server admin style permissions: servers without the legacy login require it.
        request.inhibit_login = true;
        match self.call(Endpoint::Register, None, request).await {
            Err(error) if error.errcode() == Some("M_USER_IN_USE") => Ok(false),
            // The request has no other subject than the user.
            answer => answer.map(|_| true).map_err(ClientError::of_the_user),
        }
    }

    /// Whether the virtual user may have an account: without one it has no profile. Continuwuity answers other requests
    /// even for users that have no account.
    pub async fn may_have_account(&self, user_id: &UserId) -> Result<bool, ClientError> {
        let request = get_profile::v3::Request::new(user_id.to_owned())
            .try_into_http_request::<Vec<u8>>(self.homeserver(), SendAccessToken::None, self.supported())
            .map_err(|error| ClientError::unbuildable(Endpoint::Profile, error))?;
        let answer: Result<get_profile::v3::Response, _> = self.exchange(Endpoint::Profile, request).await;
        match answer {
            Err(error) if error.failure().is_temporary() => Err(error),
            Err(error) => Ok(error.failure() != Failure::NotFound),
            Ok(_) => Ok(true),
        }
    }

    /// Creates the virtual user's device unless it exists. Returns whether the homeserver supports devices of
    /// application services (Application Service API, since v1.17). Only a request shows this: Synapse supported
    /// devices long before `/versions` listed v1.17.
    pub async fn ensure_device(
        &self,
        user_id: &UserId,
        device_id: &DeviceId,
        display_name: &str,
    ) -> Result<bool, ClientError> {
        let identity = Identity::new(user_id.to_owned());
        let mut request = update_device::v3::Request::new(device_id.to_owned());
        request.display_name = Some(display_name.to_owned());
        match self.call(Endpoint::Device, Some(&identity), request).await {
            Ok(_) => Ok(true),
            Err(error) => match error.failure() {
                Failure::NotFound | Failure::BadRequest | Failure::Forbidden | Failure::UnknownDevice => {
                    Ok(false)
                }
                _ => Err(error),
            },
        }
    }

    /// Sets the display name.
    pub async fn set_display_name(&self, identity: &Identity, name: &str) -> Result<(), ClientError> {
        self.set_profile(identity, ProfileFieldValue::DisplayName(name.to_owned())).await
    }

    /// Sets the avatar.
    pub async fn set_avatar(&self, identity: &Identity, avatar: &MxcUri) -> Result<(), ClientError> {
        self.set_profile(identity, ProfileFieldValue::AvatarUrl(avatar.to_owned())).await
    }

    /// Whether the virtual user has an avatar.
    pub async fn has_avatar(&self, identity: &Identity) -> Result<bool, ClientError> {
        let request = get_profile::v3::Request::new(identity.user_id.clone())
            .try_into_http_request::<Vec<u8>>(self.homeserver(), SendAccessToken::None, self.supported())
            .map_err(|error| ClientError::unbuildable(Endpoint::Profile, error))?;
        let profile: get_profile::v3::Response = self.exchange(Endpoint::Profile, request).await?;
        Ok(profile.get_static::<AvatarUrl>().is_ok_and(|avatar| avatar.is_some()))
    }

    /// Uploads a picture.
    pub async fn upload_png(
        &self,
        identity: &Identity,
        name: &str,
        png: &[u8],
    ) -> Result<OwnedMxcUri, ClientError> {
        let mut request = create_content::v3::Request::new(png.to_vec());
        request.content_type = Some("image/png".to_owned());
        request.filename = Some(name.to_owned());
        self.call(Endpoint::Upload, Some(identity), request).await.map(|answer| answer.content_uri)
    }

    async fn set_profile(&self, identity: &Identity, value: ProfileFieldValue) -> Result<(), ClientError> {
        let request = set_profile_field::v3::Request::new(identity.user_id.clone(), value);
        self.call(Endpoint::Profile, Some(identity), request).await.map(|_| ())
    }
}
