//! `GET /api/v2/alerts` of a poll: which alerts are listed, without their labels.

use super::error::ApiError;
use super::peer::Peer;
use crate::alertmanager::payload;
use crate::domain::incident::Fingerprint;
use crate::domain::watch::ListedAlert;
use jiff::Timestamp;
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The most alerts of one answer: more would not stay small.
const MOST_ALERTS: usize = 100_000;

/// Reads all alerts that a peer lists. No parameter limits them: a state parameter would hide some, and unknown ones are
/// ignored.
pub(super) async fn read(peer: &Peer) -> Result<BTreeMap<Fingerprint, ListedAlert>, ApiError> {
    let (mut alerts, mut texts) = (BTreeMap::new(), Texts::default());
    peer.list("/api/v2/alerts", &[], |element| {
        if alerts.len() >= MOST_ALERTS {
            return Err(ApiError::unreadable("it lists more than 100000 alerts"));
        }
        let alert: Alert<'_> = serde_json::from_slice(element).map_err(ApiError::Unreadable)?;
        let fingerprint = payload::valid_fingerprint(&alert.fingerprint)
            .ok_or_else(|| ApiError::unreadable("an alert has no valid fingerprint"))?;
        alerts.insert(fingerprint, alert.listed(&mut texts));
        Ok(())
    })
    .await?;
    Ok(alerts)
}

/// Names and ids that many alerts have in common, each once.
#[derive(Debug, Default)]
struct Texts(BTreeSet<Arc<str>>);

impl Texts {
    fn one(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.0.get(text) {
            return known.clone();
        }
        let new: Arc<str> = Arc::from(payload::clean(text.to_owned()));
        self.0.insert(new.clone());
        new
    }

    fn each(&mut self, texts: Option<Vec<Cow<'_, str>>>) -> Vec<Arc<str>> {
        let mut each: Vec<Arc<str>> = Vec::new();
        for text in texts.into_iter().flatten() {
            let text = self.one(&text);
            if !each.contains(&text) {
                each.push(text);
            }
        }
        each.shrink_to_fit();
        each
    }
}

/// An alert as Alertmanager lists it, without what a poll does not need.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Alert<'a> {
    #[serde(borrow)]
    fingerprint: Cow<'a, str>,
    starts_at: Timestamp,
    ends_at: Timestamp,
    updated_at: Timestamp,
    #[serde(borrow)]
    status: AlertStatus<'a>,
    #[serde(borrow)]
    receivers: Option<Vec<Receiver<'a>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AlertStatus<'a> {
    #[serde(borrow)]
    state: Cow<'a, str>,
    #[serde(borrow)]
    silenced_by: Option<Vec<Cow<'a, str>>>,
    #[serde(borrow)]
    inhibited_by: Option<Vec<Cow<'a, str>>>,
}

#[derive(Deserialize)]
struct Receiver<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
}

impl Alert<'_> {
    fn listed(self, texts: &mut Texts) -> ListedAlert {
        let receivers = self.receivers.map(|all| all.into_iter().map(|one| one.name).collect());
        ListedAlert {
            starts_at: self.starts_at,
            ends_at: self.ends_at,
            updated_at: self.updated_at,
            // `unprocessed` until the first evaluation of the silences: not suppressed.
            suppressed: self.status.state == "suppressed",
            silenced_by: texts.each(self.status.silenced_by),
            inhibited_by: texts.each(self.status.inhibited_by),
            receivers: texts.each(receivers),
        }
    }
}
