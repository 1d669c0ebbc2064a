//! The Alertmanagers of the configuration.

use super::api::Alertmanager;
use arc_swap::ArcSwap;
use std::sync::Arc;

/// An Alertmanager of the configuration.
#[derive(Debug)]
pub struct NamedAlertmanager {
    /// Its name in the configuration.
    pub name: String,
    /// Its API.
    pub api: Alertmanager,
}

/// The Alertmanagers of the configuration. A reload replaces them as a whole, for all clones.
#[derive(Debug, Clone, Default)]
pub struct CurrentAlertmanagers(Arc<ArcSwap<Vec<Arc<NamedAlertmanager>>>>);

impl CurrentAlertmanagers {
    /// The current ones.
    pub fn load(&self) -> Arc<Vec<Arc<NamedAlertmanager>>> {
        self.0.load_full()
    }

    /// Replaces them.
    pub fn replace(&self, alertmanagers: impl IntoIterator<Item = NamedAlertmanager>) {
        self.0.store(Arc::new(alertmanagers.into_iter().map(Arc::new).collect()));
    }
}
