//! The clients of the configured Alertmanagers.

use crate::alertmanager::NamedAlertmanager;
use crate::alertmanager::api::{Alertmanager, ApiError, Credentials};
use crate::config::{AlertmanagerConfig, Config};
use anyhow::Context as _;
use url::Url;

/// The client of one Alertmanager.
pub(crate) fn client(config: &AlertmanagerConfig) -> Result<Alertmanager, ApiError> {
    let credentials = match (&config.bearer_token, &config.basic_auth) {
        (Some(token), _) => Credentials::Bearer(token.clone()),
        (None, Some(basic)) => Credentials::Basic(basic.username.clone(), basic.password.clone()),
        (None, None) => Credentials::None,
    };
    let urls: Vec<Url> = config.peers().cloned().collect();
    // The configuration's validation has already read the file.
    let ca = config.ca.as_ref().and_then(|file| std::fs::read(file).ok());
    Alertmanager::new(&urls, &credentials, ca.as_deref())
}

/// The clients of all Alertmanagers, with their names.
pub(crate) fn named(config: &Config) -> anyhow::Result<Vec<NamedAlertmanager>> {
    let named = |one: &AlertmanagerConfig| {
        let api = client(one).with_context(|| format!("preparing to poll the Alertmanager {}", one.name))?;
        Ok(NamedAlertmanager { name: one.name.clone(), api })
    };
    config.alertmanagers.iter().map(named).collect()
}
