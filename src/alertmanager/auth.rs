//! Authentication of the webhook: which callers may report to which room list.
//!
//! A caller sends the token of a room list, as `Bearer` or as the password of `Basic`. A caller without a valid token
//! cannot learn which room lists exist: an unknown list gets the same answer as a wrong token, after the same
//! comparisons.

use crate::domain::lists::Webhooks;
use crate::domain::webhook::Webhook;
use crate::http::token::{PresentedToken, Token, credentials};
use ruma::serde::base64::{Base64, Standard};
use std::collections::BTreeSet;

/// The label that names a room list if the receiver does not.
const ROOM_LIST_LABEL: &str = "room_list";

/// The access rules of one snapshot of the configuration.
#[derive(Debug, Clone, Copy)]
pub struct Access<'a>(&'a Webhooks);

/// The room lists whose token the caller sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    opened: BTreeSet<String>,
}

/// Why a caller may not report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Its token is missing, or not that of the room list.
    Unauthorized,
    /// Its token is valid, but the room list does not exist.
    UnknownRoomList,
}

impl Caller {
    /// Whose share of memory the caller's bodies take: that of its token, or else of the room list in the path.
    pub(super) fn share<'a>(&'a self, room_list: Option<&'a str>) -> &'a str {
        self.opened.first().map(String::as_str).or(room_list).unwrap_or_default()
    }
}

impl<'a> Access<'a> {
    /// The access rules of these webhooks.
    pub fn new(webhooks: &'a Webhooks) -> Self {
        Self(webhooks)
    }

    /// The caller that sent this `Authorization` header.
    pub fn caller(self, authorization: Option<&str>) -> Caller {
        let sent = authorization.and_then(sent_token);
        let mut opened = BTreeSet::new();
        // Compare every token, so the time does not depend on the list. An empty token equals nothing.
        for (name, token) in &self.0.tokens {
            if let (Some(token), Some(sent)) = (token.as_ref().and_then(Token::new), &sent)
                && bool::from(token.equals(sent))
            {
                opened.insert(name.clone());
            }
        }
        Caller { opened }
    }

    /// The room list of that name, if the caller may report to it. `None`: a room list that does not exist.
    pub fn admit(self, caller: &Caller, room_list: Option<&str>) -> Result<&'a str, Refused> {
        match room_list.and_then(|name| self.0.tokens.get_key_value(name)) {
            Some((name, None)) => Ok(name),
            Some((name, Some(_))) if caller.opened.contains(name) => Ok(name),
            None if self.is_trusted(caller) => Err(Refused::UnknownRoomList),
            Some((_, Some(_))) | None => Err(Refused::Unauthorized),
        }
    }

    /// Whether the caller may report to any room list: checked before the body, which names the room list, is read.
    pub fn admit_to_any(self, caller: &Caller) -> Result<(), Refused> {
        let any_open = self.0.tokens.values().any(Option::is_none);
        if any_open || self.is_trusted(caller) { Ok(()) } else { Err(Refused::Unauthorized) }
    }

    /// The room list that a predecessor's path is mapped to.
    pub fn of_path(self, path: &str) -> Option<&'a str> {
        self.0.compatibility.get(path).map(String::as_str)
    }

    /// The room list of a webhook whose path names none: by its receiver, or else by its label.
    pub fn of_webhook(self, webhook: &Webhook) -> Option<&'a str> {
        let named = |name: &str| self.known(name);
        let label = || {
            webhook
                .group
                .group_labels
                .get(ROOM_LIST_LABEL)
                .or_else(|| webhook.group.common_labels.get(ROOM_LIST_LABEL))
        };
        named(&webhook.group.receiver)
            .or_else(|| self.0.receivers.get(&webhook.group.receiver).map(String::as_str))
            .or_else(|| named(label()?))
    }

    /// The room list of that name, if it exists.
    pub fn known(self, name: &str) -> Option<&'a str> {
        self.0.tokens.get_key_value(name).map(|(name, _)| name.as_str())
    }

    /// Whether the caller has a valid token, or no list has a token.
    fn is_trusted(self, caller: &Caller) -> bool {
        !caller.opened.is_empty() || self.0.tokens.values().all(Option::is_none)
    }
}

/// The token in an `Authorization` header.
fn sent_token(header: &str) -> Option<PresentedToken> {
    if let Some(token) = credentials(header, "Bearer") {
        return Some(PresentedToken::new(token.as_bytes()));
    }
    let encoded = credentials(header, "Basic")?;
    let decoded = Base64::<Standard>::parse(encoded).ok()?.into_inner();
    let mut parts = decoded.splitn(2, |byte| *byte == b':');
    let _user = parts.next()?;
    parts.next().map(PresentedToken::new)
}

#[cfg(test)]
mod tests {
    use super::{Access, Refused};
    use crate::domain::lists::Webhooks;
    use crate::domain::webhook::{AlertGroup, Labels, Webhook};

    fn webhooks_of(lists: &[(&str, Option<&str>)]) -> Webhooks {
        let mut webhooks = Webhooks::default();
        for (name, token) in lists {
            webhooks.add(name, token.map(Into::into), &[format!("{name}-am")].into());
        }
        webhooks
    }

    fn webhooks() -> Webhooks {
        let compatibility = [("/webhook-ack".to_owned(), "finance".to_owned())].into();
        Webhooks {
            compatibility,
            ..webhooks_of(&[("finance", Some("s3cret")), ("ops", Some("other")), ("lab", None)])
        }
    }

    fn admitted(authorization: Option<&str>, room_list: &str) -> Result<String, Refused> {
        let webhooks = webhooks();
        let access = Access::new(&webhooks);
        let caller = access.caller(authorization);
        access.admit(&caller, Some(room_list)).map(str::to_owned)
    }

    #[test]
    fn the_token_of_a_list_is_accepted_for_that_list() {
        assert_eq!(admitted(Some("Bearer s3cret"), "finance").unwrap(), "finance");
        assert_eq!(admitted(Some("bearer s3cret"), "finance").unwrap(), "finance");
        // alertmanager:s3cret and :s3cret
        assert_eq!(admitted(Some("Basic YWxlcnRtYW5hZ2VyOnMzY3JldA=="), "finance").unwrap(), "finance");
        assert_eq!(admitted(Some("Basic OnMzY3JldA=="), "finance").unwrap(), "finance");
    }

    #[test]
    fn anything_else_is_unauthorized() {
        for wrong in [
            None,
            Some(""),
            Some("Bearer"),
            Some("Bearer "),
            Some("Bearer s3cre"),
            Some("Bearer other"),
            Some("s3cret"),
            Some("Basic s3cret"),
            Some("Basic czNjcmV0"),
            Some("Digest s3cret"),
        ] {
            assert_eq!(admitted(wrong, "finance"), Err(Refused::Unauthorized), "{wrong:?}");
        }
    }

    #[test]
    fn only_a_caller_with_a_valid_token_learns_that_a_list_is_unknown() {
        assert_eq!(admitted(None, "nobody"), Err(Refused::Unauthorized));
        assert_eq!(admitted(Some("Bearer wrong"), "nobody"), Err(Refused::Unauthorized));
        assert_eq!(admitted(Some("Bearer other"), "nobody"), Err(Refused::UnknownRoomList));
    }

    #[test]
    fn a_list_configured_without_a_token_accepts_everybody() {
        assert_eq!(admitted(None, "lab").unwrap(), "lab");
        assert_eq!(admitted(Some("Bearer wrong"), "lab").unwrap(), "lab");
        let lists = webhooks_of(&[("lab", None)]);
        let open = Access::new(&lists);
        assert_eq!(open.admit(&open.caller(None), Some("nobody")), Err(Refused::UnknownRoomList));
    }

    #[test]
    fn an_empty_token_is_never_accepted() {
        let lists = webhooks_of(&[("finance", Some(""))]);
        let access = Access::new(&lists);
        for header in [None, Some("Bearer "), Some("Basic Og==")] {
            assert_eq!(access.admit(&access.caller(header), Some("finance")), Err(Refused::Unauthorized));
        }
    }

    #[test]
    fn a_webhook_is_routed_by_its_receiver_or_else_by_its_label() {
        let webhook = |receiver: &str, group: &[(&str, &str)], common: &[(&str, &str)]| {
            let labels = |pairs: &[(&str, &str)]| -> Labels {
                pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
            };
            let group = AlertGroup {
                receiver: receiver.to_owned(),
                group_key: "g".to_owned(),
                group_labels: labels(group),
                common_labels: labels(common),
                external_url: None,
                truncated: 0,
            };
            Webhook { group, alerts: Vec::new() }
        };
        let webhooks = webhooks();
        let access = Access::new(&webhooks);
        let routed = |webhook: &Webhook| access.of_webhook(webhook).map(str::to_owned);
        assert_eq!(routed(&webhook("finance", &[("room_list", "ops")], &[])).as_deref(), Some("finance"));
        assert_eq!(routed(&webhook("ops-am", &[], &[])).as_deref(), Some("ops"));
        assert_eq!(
            routed(&webhook("?", &[("room_list", "ops")], &[("room_list", "lab")])).as_deref(),
            Some("ops")
        );
        assert_eq!(routed(&webhook("?", &[], &[("room_list", "lab")])).as_deref(), Some("lab"));
        assert_eq!(routed(&webhook("?", &[], &[("room_list", "nobody")])), None);
        assert_eq!(access.of_path("/webhook-ack"), Some("finance"));
        assert_eq!(access.of_path("/skill/eventmanager/webhook"), None);
    }
}
