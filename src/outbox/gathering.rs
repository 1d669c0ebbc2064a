//! Gathering: whether a page that is due is sent by itself, or with the others of a storm in a digest.

use super::dispatch::{Outbox, OutboxError};
use crate::domain::digest::{self as rules, Class, MOST_MEMBERS, Member, Open, Plan};
use crate::domain::outgoing::Outgoing;
use crate::domain::policy::{DigestRule, Policy, schedules};
use crate::domain::time::{earlier, later};
use crate::ids;
use crate::render::digest::{self as render, Words};
use crate::store::claim::{self, Locked};
use crate::store::digest::{self, Digest, PageOf};
use crate::store::{Head, Tx};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// What a message of the outbox turns into before it is sent.
#[derive(Debug)]
pub(super) enum Gathered {
    /// This message: itself, or a message of a digest that carries it.
    Send(Box<Head>),
    /// Nothing yet: the next edit of the room's digest will carry it.
    Later,
}

impl Outbox {
    /// Decides how a message is sent. In a storm, the message of a digest takes the place of a page, and carries all pages of
    /// its class that are due in the room. The caller must hold the room's gate.
    pub(super) async fn gather(
        &self,
        tx: &mut Tx,
        head: Head,
        now: Timestamp,
    ) -> Result<Gathered, OutboxError> {
        let alone = |head| Ok(Gathered::Send(Box::new(head)));
        if head.payload == Outgoing::RefreshDigest && !head.uncertain && head.frozen.is_none() {
            return self.paced(tx, head, now).await;
        }
        let Some((class, rule)) = self.may_be_carried(&head) else { return alone(head) };
        let digest = Digest { id: ids::unique(), room_list: head.room_list.clone(), room: head.room.clone() };
        let place = (digest.room_list.as_str(), digest.room.as_str());
        let most = i64::try_from(MOST_MEMBERS).unwrap_or(i64::MAX);
        let since = earlier(now, rule.within);
        let (due, lately, open) = digest::current(tx, place, class, since, most, now).await?;
        let count = |number: i64| usize::try_from(number).unwrap_or(0);
        if !rules::is_storm(rule, count(due), count(lately)) {
            return alone(head);
        }
        let waiting = digest::waiting(tx, place, class, most, now).await?;
        if !waiting.iter().any(|page| page.id == head.id) {
            return alone(head);
        }
        let coming = self.members(tx, &digest.room_list, &waiting).await?;
        let open = match open {
            Some(open) => {
                let shown = digest::pages_of(tx, open.id).await?;
                let members = self.members(tx, &digest.room_list, &shown).await?;
                Some((open.id, Open { sent_at: open.sent_at, edited_at: open.edited_at, members }))
            }
            None => None,
        };
        let pages: Vec<Uuid> = waiting.iter().map(|page| page.id).collect();
        let (plan, joined) = (rules::plan(rule, open.as_ref().map(|(_, open)| open), &coming, now), open);
        let carrier = match (plan, joined) {
            (Plan::Alone, _) => return alone(head),
            (Plan::JoinAt(at), Some(_)) => {
                digest::wait_until(tx, &pages, at).await?;
                return Ok(Gathered::Later);
            }
            (Plan::Join, Some((id, _))) => {
                let open = Digest { id, ..digest };
                let edit = digest::next_edit(tx, &open, ids::unique(), now).await?;
                digest::carry(tx, id, edit, &pages, now).await?;
                edit
            }
            (Plan::New | Plan::Join | Plan::JoinAt(_), _) => {
                digest::begin(tx, &digest, class, &pages, later(now, rule.within), now).await?;
                digest.id
            }
        };
        Ok(match claim::lock(tx, &head.room, carrier, now).await? {
            Locked::Head(carrier) => Gathered::Send(carrier),
            Locked::GivenUp | Locked::Missing => Gathered::Later,
        })
    }

    /// Lets the edit of a digest wait if the last one was a moment ago.
    async fn paced(&self, tx: &mut Tx, head: Head, now: Timestamp) -> Result<Gathered, OutboxError> {
        let edited = match head.digest {
            Some(id) => digest::shown(tx, id).await?.and_then(|shown| shown.edited_at()),
            None => None,
        };
        match edited.map(|edited| later(edited, rules::EDIT_PAUSE)) {
            Some(at) if at > now => {
                digest::wait_until(tx, &[head.id], at).await?;
                Ok(Gathered::Later)
            }
            _ => Ok(Gathered::Send(Box::new(head))),
        }
    }

    /// The class of a page, and its list's rule, if a digest may carry it: it was never tried, and its room is known.
    fn may_be_carried(&self, head: &Head) -> Option<(Class, DigestRule)> {
        let class = Class::of(&head.payload, head.rung)?;
        let is_fresh =
            !head.uncertain && head.frozen.is_none() && head.digest.is_none() && head.checks.is_none();
        if !is_fresh || head.room.starts_with('#') {
            return None;
        }
        let rule = self.lists.load().get(&head.room_list)?.digest?;
        Some((class, rule))
    }

    /// The incidents of pages, as a digest shows them.
    async fn members(
        &self,
        tx: &mut Tx,
        room_list: &str,
        pages: &[PageOf],
    ) -> Result<Vec<Member>, OutboxError> {
        let incidents: Vec<i64> = pages.iter().map(|page| page.incident).collect();
        let facts = digest::facts(tx, &incidents).await?;
        let mut members = Vec::with_capacity(pages.len());
        for page in pages {
            let Some(facts) = facts.get(&page.incident) else { continue };
            let policy = self.engine.policy_or_current(room_list, facts.policy_version).await?;
            members.push(facts.member(page.incident, &policy, u32::try_from(page.level).unwrap_or(0)));
        }
        Ok(members)
    }

    /// The content of a message of a digest, rendered now, and a fingerprint of what it shows. `None`: the digest shows that
    /// already.
    pub(super) async fn freeze_digest(
        &self,
        tx: &mut Tx,
        head: &Head,
        now: Timestamp,
    ) -> Result<Option<(String, serde_json::Value, Option<i64>)>, OutboxError> {
        let Some(id) = head.digest else { return Ok(None) };
        let Some(shown) = digest::shown(tx, id).await? else { return Ok(None) };
        let pages = digest::pages_of(tx, id).await?;
        let members = self.members(tx, &head.room_list, &pages).await?;
        let print = fingerprint(&members, shown.is_over)?;
        let is_edit = head.payload == Outgoing::RefreshDigest;
        if is_edit && shown.shown == Some(print) && digest::carried(tx, head.id).await?.is_empty() {
            return Ok(None);
        }
        let lists = self.lists.load();
        let (list, unknown) = (lists.get(&head.room_list), Policy::default());
        let ack_reaction = list.map_or(crate::domain::reaction::default_ack(), |list| list.ack_reaction());
        let words = Words {
            room_list: &head.room_list,
            class: shown.class.parse().unwrap_or(Class::First),
            is_over: shown.is_over,
            ack_reaction,
            policy: list.map_or(&unknown, |list| &list.policy),
        };
        let message = match (is_edit, shown.event_id.as_deref().map(ruma::EventId::parse)) {
            (false, _) => {
                let mentions = rules::mentions(&members);
                let on_call = self.engine.on_call(tx, &schedules(&mentions), now).await?;
                render::digest(&members, &on_call.resolve(&mentions), &words)
            }
            (true, Some(Ok(root))) => render::edit(&root, &members, &words),
            (true, _) => return Ok(None),
        };
        Ok(Some(("m.room.message".to_owned(), message.content()?, Some(print))))
    }
}

/// A number that differs if a digest of these incidents shows something else.
fn fingerprint(members: &[Member], is_over: bool) -> serde_json::Result<i64> {
    let hash = Sha256::digest(serde_json::to_vec(&(members, is_over))?);
    let first = hash.iter().take(8).fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
    Ok(i64::from_ne_bytes(first.to_ne_bytes()))
}
