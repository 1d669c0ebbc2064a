//! Settles attempts: one change updates their messages, incidents and the room, and claims the room's next messages.

use super::digests::{self, Carriage};
use super::dispatch::{Outbox, OutboxError};
use super::pacing::{Verdict, verdict};
use super::sending::Attempt;
use super::sharing::SLOW;
use super::{elsewhere, searching, trouble};
use crate::domain::incident::Rung;
use crate::domain::outgoing::{Outgoing, OutgoingKind};
use crate::domain::post_role::PostRole;
use crate::domain::time::{between, later};
use crate::domain::totals::Counted;
use crate::engine::{Change, Wake};
use crate::ids;
use crate::matrix::Failure;
use crate::rooms::trouble::{log_user_is_back, log_user_trouble};
use crate::store::enqueue::{self, NewMessage};
use crate::store::settle::Retry;
use crate::store::{Claimed, GateAction, Head, Lease, Sign, StoredIncident, incident, post, room, settle};
use crate::telemetry::DeliveryOutcome;
use jiff::Timestamp;
use ruma::{EventId, OwnedEventId};
use std::collections::BTreeMap;
use std::time::Duration;

/// After a slow attempt the room rests for this part of its duration, but no longer than a second.
const RESTS: u32 = 5;
const LONGEST_REST: Duration = Duration::from_secs(1);

/// An attempt that has ended.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) message: Claimed,
    pub(super) attempt: Attempt,
    pub(super) took: Duration,
}

impl Done {
    /// Whether it can be settled together with others: nothing but its own incident depends on it.
    pub(super) fn is_plain(&self) -> bool {
        matches!(self.attempt, Attempt::Sent { .. }) && !self.message.head.payload.carries_pages()
    }
}

/// What a process does with a room's gate when it settles attempts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Then {
    /// How many more messages it may claim.
    pub(super) free: usize,
    /// Whether it gives the gate back if it claims none: nothing else is on its way.
    pub(super) releases: bool,
    /// Whether the room pauses already: what other attempts show does not end its pause.
    pub(super) pauses: bool,
}

/// What follows once attempts are settled.
#[derive(Debug, Default)]
pub(super) struct Settled {
    /// The messages to send now.
    pub(super) next: Vec<Claimed>,
    /// Whether the room pauses.
    pub(super) pauses: bool,
}

/// What one attempt led to.
#[derive(Debug)]
struct Led {
    /// `None`: the message is sent now, after it was searched for.
    outcome: Option<DeliveryOutcome>,
    sign: Option<Sign>,
    again: Option<Claimed>,
    is_new_trouble: bool,
    trouble_is_over: bool,
    /// The room, for the log.
    label: String,
    /// When the pages that the message carried were enqueued.
    carried: Vec<Timestamp>,
}

impl Outbox {
    /// Records the results of attempts, and claims the room's next messages. Several attempts must be plain.
    pub(super) async fn settle(
        &self,
        lease: &Lease,
        done: &[Done],
        then: Then,
    ) -> Result<Settled, OutboxError> {
        let mut change = self.engine.begin().await?;
        let now = change.now();
        // Lock order: the incidents come before their messages.
        let incidents = lock_incidents(&mut change, done).await?;
        let mut carriages = Vec::with_capacity(done.len());
        for done in done {
            carriages.push(Carriage::lock(&mut change, &done.message.head).await?);
        }
        if !done.is_empty() {
            settle::check(change.tx(), lease).await?;
        }
        let mut led = Vec::with_capacity(done.len());
        for (done, carriage) in done.iter().zip(&carriages) {
            let incident = done.message.head.incident.and_then(|number| incidents.get(&number));
            led.push(self.settle_one(&mut change, done, incident, carriage).await?);
        }
        change.find_answers(answerable(done)).await?;
        let sign = led.iter().filter_map(|led| led.sign).reduce(later_of);
        let pauses = matches!(sign, Some(Sign::Pause { .. } | Sign::Rest { .. }));
        let mut next: Vec<Claimed> = led.iter_mut().filter_map(|led| led.again.take()).collect();
        if !pauses {
            let free = then.free.saturating_sub(next.len());
            next.extend(self.claim_up_to(change.tx(), &lease.room, free, now).await?);
        }
        if done.is_empty() && next.is_empty() {
            return Ok(Settled::default());
        }
        let action = if next.is_empty() && then.releases {
            GateAction::Release
        } else {
            let message = next.last().map(|claimed| claimed.head.id);
            GateAction::Hold { until: later(now, self.settings.lease), message }
        };
        settle::gate(change.tx(), lease, action, sign.and_then(|sign| beside(sign, then.pauses))).await?;
        change.commit().await?;
        for (done, led) in done.iter().zip(&led) {
            self.note(done, led, now);
        }
        Ok(Settled { next, pauses })
    }

    /// Records the result of one attempt.
    async fn settle_one(
        &self,
        change: &mut Change,
        done: &Done,
        incident: Option<&StoredIncident>,
        carriage: &Carriage,
    ) -> Result<Led, OutboxError> {
        let now = change.now();
        let Done { message: claimed, attempt, took } = done;
        let head = &claimed.head;
        let page = incident.zip(head.rung);
        let mut led = Led {
            outcome: None,
            sign: Some(answers(*took, now)),
            again: None,
            is_new_trouble: false,
            trouble_is_over: false,
            label: head.room.clone(),
            carried: Vec::new(),
        };
        match attempt {
            Attempt::NotFound => {
                (led.again, led.sign) = self.render_again(change, claimed).await?;
                return Ok(led);
            }
            Attempt::Sent { event_id, copies } => {
                self.sent(change, claimed, (event_id, copies), carriage).await?;
                if let Some((stored, rung)) = page {
                    change.page_sent(stored, rung).await?;
                }
                led.outcome = Some(DeliveryOutcome::Sent);
                led.carried = carriage.enqueued().collect();
            }
            Attempt::Failed { failure, uncertain, error } => {
                let failures = settle::failures(change.tx(), &head.room).await?;
                match verdict(*failure, failures, now, rand::random()) {
                    Verdict::Retry { at, counts } => {
                        let retry = Retry { uncertain: *uncertain, counts, error };
                        settle::retry(change.tx(), head.id, &retry, now).await?;
                        digests::failed(change, head, attempt).await?;
                        if counts {
                            change.wake(Wake::Liveness);
                        }
                        led.sign = Some(Sign::Pause { until: at, counts });
                        led.outcome = Some(if counts {
                            DeliveryOutcome::Retried
                        } else {
                            DeliveryOutcome::RateLimited
                        });
                    }
                    Verdict::Hold => {
                        let retry = Retry { uncertain: *uncertain, counts: false, error };
                        settle::retry(change.tx(), head.id, &retry, now).await?;
                        digests::failed(change, head, attempt).await?;
                        led.is_new_trouble = trouble::hold(change, head, error).await?;
                        led.sign = Some(Sign::Pause { until: now, counts: false });
                        led.outcome = Some(DeliveryOutcome::Retried);
                    }
                    Verdict::GiveUp if head.payload.carries_pages() => {
                        digests::given_up(change, head).await?;
                        led.outcome = Some(DeliveryOutcome::Retried);
                    }
                    Verdict::GiveUp if elsewhere::follow_room(change, claimed, error).await? => {
                        led.sign = Some(Sign::Pause { until: now, counts: true });
                        led.outcome = Some(DeliveryOutcome::Retried);
                    }
                    Verdict::GiveUp => {
                        settle::undeliverable(change.tx(), head, error, now).await?;
                        if *failure == Failure::Muted {
                            self.record_muted(change, head, error).await?;
                        }
                        change.wake(Wake::Attendance);
                        if let Some((stored, rung)) = page {
                            change.page_undeliverable(stored, rung).await?;
                        }
                        led.outcome = Some(DeliveryOutcome::Undeliverable);
                    }
                }
                led.label = room::label(change.tx(), &head.room).await?;
            }
        }
        led.trouble_is_over = head.checks.is_some() && trouble::is_over(change, head, attempt).await?;
        Ok(led)
    }

    /// A message is in its room. `copies`: further events of it.
    async fn sent(
        &self,
        change: &mut Change,
        claimed: &Claimed,
        (event_id, copies): (&EventId, &[OwnedEventId]),
        carriage: &Carriage,
    ) -> Result<(), OutboxError> {
        let (now, head) = (change.now(), &claimed.head);
        let counted = [counted(head), carriage.counted(&head.room_list)].concat();
        let seen = settle::sent(change.tx(), head, claimed.version, event_id.as_str(), &counted, now).await?;
        self.place_reaction(change, head, event_id).await?;
        if head.payload.role(head.is_first()) == Some(PostRole::Again) {
            post::replace(change.tx(), head, now).await?;
        }
        let seen = seen.and_then(|seen| OwnedEventId::try_from(seen).ok());
        let unknown = seen.filter(|seen| !copies.contains(seen));
        let copies: Vec<OwnedEventId> = copies.iter().cloned().chain(unknown).collect();
        if head.payload.carries_pages() {
            self.digest_sent(change, claimed, (event_id, &copies), carriage).await?;
        }
        if let Some(shown) = searching::shown(head)
            && (claimed.changed || !copies.is_empty())
        {
            change.show_one_state(&shown, &copies).await?;
        }
        Ok(())
    }

    /// Enqueues the reaction that people click, for a message that shows an incident.
    async fn place_reaction(
        &self,
        change: &mut Change,
        head: &Head,
        event_id: &EventId,
    ) -> Result<(), OutboxError> {
        let now = change.now();
        let wanted = self.lists.load().get(&head.room_list).is_none_or(|list| list.place_reaction);
        if !wanted || !head.payload.shows_incident() {
            return Ok(());
        }
        let draft = NewMessage {
            id: ids::unique(),
            room_list: &head.room_list,
            room: &head.room,
            payload: Outgoing::AckReaction { to: event_id.to_owned() },
            incident: head.incident,
            rung: None,
            post: head.post,
            not_before: now,
        };
        // This wakes no worker: the room is already being served.
        enqueue::enqueue(change.tx(), draft, now).await?;
        Ok(())
    }

    /// Counts and logs a settled attempt.
    fn note(&self, done: &Done, led: &Led, now: Timestamp) {
        let Some(outcome) = led.outcome else { return };
        let (metrics, label, head) = (&self.metrics, &led.label, &done.message.head);
        metrics.delivery(outcome);
        let (message, room, kind) = (head.id, head.room.as_str(), head.payload.kind().as_str());
        match &done.attempt {
            Attempt::NotFound => {}
            Attempt::Sent { event_id, .. } => {
                tracing::info!(outbox_message = %message, room, kind, event = %event_id, incident = head.incident, "{kind} {message} is in {room} as {event_id}");
                if head.payload == Outgoing::Page {
                    metrics.page_latency(between(head.created_at, now));
                }
                led.carried.iter().for_each(|at| metrics.page_latency(between(*at, now)));
            }
            Attempt::Failed { error, .. } if outcome == DeliveryOutcome::Undeliverable => {
                tracing::error!(outbox_message = %message, room, kind, incident = head.incident, error, "{kind} {message} cannot be delivered to {label}: {error}");
            }
            Attempt::Failed { error, .. } => {
                tracing::warn!(outbox_message = %message, room, kind, incident = head.incident, attempts = head.attempts, error, "{kind} {message} waits for {label}: {error}");
                if led.is_new_trouble {
                    log_user_trouble(&head.room_list, &head.user_id, error);
                }
            }
        }
        if led.trouble_is_over {
            log_user_is_back(&head.room_list, &head.user_id);
        }
    }
}

/// Locks the incidents of pages that were tried, by rising number.
async fn lock_incidents(
    change: &mut Change,
    done: &[Done],
) -> Result<BTreeMap<i64, StoredIncident>, OutboxError> {
    let heads = done.iter().map(|done| &done.message.head);
    let pages = heads.filter(|head| head.payload.kind() == OutgoingKind::Page);
    let mut numbers: Vec<i64> = pages.filter_map(|head| head.incident).collect();
    numbers.sort_unstable();
    let mut incidents = BTreeMap::new();
    for number in numbers {
        match incident::lock(change.tx(), number).await {
            // It must not stop its room. Its own timer decides once it can be read.
            Err(error) if error.is_unreadable() => {}
            locked => incidents.extend(locked?.map(|stored| (number, stored))),
        }
    }
    Ok(incidents)
}

/// What an answer of the homeserver shows about its room: a slow room rests, so that its list's other rooms are served.
fn answers(took: Duration, now: Timestamp) -> Sign {
    if took < SLOW {
        return Sign::Answers;
    }
    Sign::Rest { until: later(now, (took / RESTS).min(LONGEST_REST)) }
}

/// What two attempts show together: the later time counts.
fn later_of(one: Sign, other: Sign) -> Sign {
    let until = |sign| match sign {
        Sign::Answers => None,
        Sign::Pause { until, .. } | Sign::Rest { until } => Some(until),
    };
    if until(other) > until(one) { other } else { one }
}

/// What an attempt shows beside others of the same hold. If one of these has paused the room, that is one failure in a row,
/// and stays one.
fn beside(sign: Sign, pauses: bool) -> Option<Sign> {
    match sign {
        Sign::Pause { until, .. } if pauses => Some(Sign::Pause { until, counts: false }),
        Sign::Answers | Sign::Rest { .. } if pauses => None,
        sign => Some(sign),
    }
}

/// What a sent message adds to the totals.
fn counted(head: &Head) -> Vec<Counted> {
    let rung = head.rung.filter(|_| head.payload.kind() == OutgoingKind::Page);
    let paged = |rung: Rung| Counted::Paged { room_list: head.room_list.clone(), level: rung.level };
    rung.map(paged).into_iter().collect()
}

/// The events of messages that people answer, perhaps before matrixbot knew the events.
fn answerable(done: &[Done]) -> impl Iterator<Item = &EventId> {
    done.iter().filter_map(|Done { message: Claimed { head, .. }, attempt, .. }| match attempt {
        Attempt::Sent { event_id, .. } => {
            let kind = head.payload.kind();
            let is = head.incident.is_some() && !matches!(kind, OutgoingKind::Edit | OutgoingKind::Reaction);
            is.then_some(event_id.as_ref())
        }
        Attempt::NotFound | Attempt::Failed { .. } => None,
    })
}
