//! Which homeserver answers, and how it gets another registration.

use crate::matrix::Client;

/// The homeserver's program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Software {
    Synapse,
    Dendrite,
    /// Tuwunel, continuwuity, conduwuit.
    Conduwuit,
    /// Another one, or it does not say.
    Unknown,
}

impl Software {
    /// Asks the homeserver.
    pub(super) async fn of(client: &Client) -> Self {
        Self::called(client.software().await.as_deref().unwrap_or_default())
    }

    fn called(name: &str) -> Self {
        match name.to_lowercase().as_str() {
            "synapse" => Self::Synapse,
            "dendrite" => Self::Dendrite,
            "tuwunel" | "continuwuity" | "conduwuit" => Self::Conduwuit,
            _ => Self::Unknown,
        }
    }

    /// How it gets the registration that matrixbot has.
    pub(super) fn register(self) -> &'static str {
        match self {
            Self::Synapse => {
                "Give Synapse the same file as in `registration` (app_service_config_files in homeserver.yaml), and restart it."
            }
            Self::Dendrite => {
                "Give Dendrite the same file as in `registration` (app_service_api.config_files in dendrite.yaml), and restart \
                 it."
            }
            Self::Conduwuit => {
                "Send the file in `registration` to the homeserver's admin room with `!admin appservices register`: it replaces \
                 the one of the same `id`, without a restart."
            }
            Self::Unknown => {
                "Give the homeserver the same file as in `registration`. Synapse: app_service_config_files, and restart it. \
                 Dendrite: app_service_api.config_files, and restart it. Tuwunel and continuwuity: `!admin appservices register` \
                 in the admin room."
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Software;

    #[test]
    fn a_homeserver_is_known_by_its_name() {
        assert_eq!(Software::called("Synapse"), Software::Synapse);
        assert_eq!(Software::called("continuwuity"), Software::Conduwuit);
        assert_eq!(Software::called("Tuwunel"), Software::Conduwuit);
        assert_eq!(Software::called(""), Software::Unknown);
    }
}
