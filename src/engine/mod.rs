//! Applies inputs to incidents. Every input is one [`Change`]: begin, decide, save, commit; then log and wake workers
//! (`change.rs`). The other files contain the inputs and the effects.

mod auditing;
mod change;
mod copies;
mod effects;
mod events;
mod hand_over;
mod listing;
mod on_call;
mod person;
mod report;
mod storms;
mod timers;
mod unreadable;

pub use auditing::Audited;
pub use change::Change;
pub use on_call::{ScheduleNow, schedules_now};
pub use person::{AllInRoom, Standing};
pub use report::{Accepted, Source};

use crate::clock::SharedClock;
use crate::domain::incident::{Fingerprint, Incident};
use crate::domain::lists::{ListSettings, Lists};
use crate::domain::policy::Policy;
use crate::store::{Store, StoreError};
use crate::telemetry::Metrics;
use arc_swap::ArcSwap;
use change::Policies;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// Why an input failed. Nothing of it was committed; the sender must retry.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The database is unavailable, or returned an error; or a row cannot be used.
    #[error("{}", if .0.is_data_error() { "a stored row cannot be used" } else { "the database is not available" })]
    Unavailable(#[from] StoreError),
    /// The room list is not configured.
    #[error("there is no room list named {0}")]
    UnknownRoomList(String),
    /// The room lists have not been written to the database yet.
    #[error("the program is still starting: it waits for the database")]
    Starting,
}

impl EngineError {
    /// Whether the input or a row that it needs is at fault, so that a retry cannot help and no other input is affected.
    pub fn is_data_error(&self) -> bool {
        match self {
            Self::Unavailable(error) => error.is_data_error(),
            Self::UnknownRoomList(_) => true,
            Self::Starting => false,
        }
    }

    /// The cause, as a text.
    fn reason(&self) -> String {
        match self {
            Self::Unavailable(error) => error.to_string(),
            Self::UnknownRoomList(_) | Self::Starting => self.to_string(),
        }
    }
}

/// The polling interval of the timers, which other processes may have set.
pub const TIMERS_POLL: Duration = Duration::from_secs(1);

/// Notifications for the workers of this process. Other processes find the work by polling.
#[derive(Debug, Clone, Default)]
pub struct Wakers {
    /// The outbox has new messages.
    pub outbox: Arc<Notify>,
    /// The inbox has new events.
    pub inbox: Arc<Notify>,
    /// A new timer may be due before the next poll.
    pub timers: Arc<Notify>,
    /// The virtual user may now join a room, a room became unreachable, or the configured rooms changed.
    pub attendance: Arc<Notify>,
    /// An attempt to send failed, so the homeserver may be unreachable.
    pub liveness: Arc<Notify>,
    /// An outage is over. Events may have been lost in it.
    pub reconcile: Arc<Notify>,
    /// Alertmanager has to be asked about an incident.
    pub poll: Arc<Notify>,
    /// There is a command about silences.
    pub silences: Arc<Notify>,
}

/// Which worker a change wakes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "`Wakers` explains them")]
pub enum Wake {
    Outbox,
    Inbox,
    Timers,
    Attendance,
    Liveness,
    Silences,
}

impl Wakers {
    /// Wakes every worker.
    pub fn wake_all(&self) {
        let Self { outbox, inbox, timers, attendance, liveness, reconcile, poll, silences } = self;
        for worker in [outbox, inbox, timers, attendance, liveness, reconcile, poll, silences] {
            worker.notify_one();
        }
    }

    /// Wakes a worker.
    pub fn wake(&self, wake: Wake) {
        match wake {
            Wake::Outbox => self.outbox.notify_one(),
            Wake::Inbox => self.inbox.notify_one(),
            Wake::Timers => self.timers.notify_one(),
            Wake::Attendance => self.attendance.notify_one(),
            Wake::Liveness => self.liveness.notify_one(),
            Wake::Silences => self.silences.notify_one(),
        }
    }
}

/// The current configuration of the room lists. A reload replaces it as a whole, for all clones.
#[derive(Debug, Clone, Default)]
pub struct CurrentLists(Arc<ArcSwap<Lists>>);

impl CurrentLists {
    /// Starts with these room lists.
    pub fn new(lists: Lists) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(lists)))
    }

    /// The current room lists.
    pub fn load(&self) -> Arc<Lists> {
        self.0.load_full()
    }

    /// Replaces the lists that the database has and this configuration does not.
    fn replace_others(&self, others: &[ListSettings], unknown: &BTreeSet<String>) {
        self.0.rcu(|lists| Lists::clone(lists).with_others(others.iter().cloned(), unknown.clone()));
    }

    /// Replaces the room lists. Runs keep the policy they started with.
    pub fn replace(&self, lists: Lists) {
        self.0.store(Arc::new(lists));
    }
}

/// Applies inputs to incidents. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Engine {
    store: Store,
    clock: SharedClock,
    metrics: Arc<Metrics>,
    lists: CurrentLists,
    wakers: Wakers,
    asking: Asking,
    policies: Arc<Mutex<KnownPolicies>>,
}

/// What Alertmanager has to be asked about.
#[derive(Debug, Clone, Default)]
pub struct Asking(Arc<Mutex<Option<Questions>>>);

/// Questions about alerts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Questions {
    /// The incidents whose reports may be old ones. A page may wait for the answer.
    pub incidents: BTreeSet<i64>,
    /// Alerts that a webhook has just brought. Only if an Alertmanager has listed an alert once do its polls show when it
    /// ends.
    pub new: BTreeSet<Fingerprint>,
}

impl Asking {
    /// Whether there is an Alertmanager to ask.
    pub fn turn(&self, on: bool) {
        let mut asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if on != asked.is_some() {
            *asked = on.then(Questions::default);
        }
    }

    fn is_on(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    fn ask(&self, questions: Questions, wake: &Notify) {
        if let Some(asked) = self.0.lock().unwrap_or_else(PoisonError::into_inner).as_mut()
            && questions != Questions::default()
        {
            asked.incidents.extend(questions.incidents);
            asked.new.extend(questions.new);
            wake.notify_one();
        }
    }

    /// Takes what has not been asked yet. Unless an incident is in question, nothing is taken before `may_wait` is false.
    pub fn take(&self, may_wait: bool) -> Questions {
        let mut asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = asked.as_mut().filter(|asked| !may_wait || !asked.incidents.is_empty());
        due.map(std::mem::take).unwrap_or_default()
    }
}

/// The policies that were read, by version.
#[derive(Debug, Default)]
struct KnownPolicies {
    read: BTreeMap<i64, Arc<Policy>>,
    /// The versions that could not be read, which is logged.
    reported: BTreeSet<i64>,
}

/// What happens when the policy of an incident's run cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unreadable {
    /// The input fails, and the incident is set aside: a ladder never continues by another policy (I14).
    Fails,
    /// The list's current policy takes its place: what Alertmanager reports and what people do always counts.
    IsReplaced,
}

impl Engine {
    /// An engine on a database whose schema is up to date.
    pub fn new(
        store: Store,
        clock: SharedClock,
        metrics: Arc<Metrics>,
        lists: CurrentLists,
        wakers: Wakers,
    ) -> Self {
        Self { store, clock, metrics, lists, wakers, asking: Asking::default(), policies: Arc::default() }
    }

    /// What Alertmanager has to be asked about.
    pub fn asking(&self) -> &Asking {
        &self.asking
    }

    /// A room list by its name, or the reason why it is missing.
    fn list(&self, name: &str) -> Result<Arc<ListSettings>, EngineError> {
        let lists = self.lists.load();
        match lists.configured(name) {
            Some(list) => Ok(list.clone()),
            None if lists.is_empty() => Err(EngineError::Starting),
            None => Err(EngineError::UnknownRoomList(name.to_owned())),
        }
    }

    /// Reads which room lists of the database this configuration does not have, and serves them from now on by their rows:
    /// those that another process has configured, and removed ones while they have open incidents.
    pub async fn refresh_lists(&self) -> Result<(), StoreError> {
        let lists = self.lists.load();
        if lists.is_empty() {
            return Ok(());
        }
        let configured: Vec<String> = lists.iter().map(|list| list.name.clone()).collect();
        let (others, unknown) = self.store.other_lists(&configured).await?;
        let is_news =
            !others.is_empty() || lists.others().next().is_some() || *lists.unknown_users() != unknown;
        if is_news {
            self.lists.replace_others(&others, &unknown);
        }
        Ok(())
    }

    /// Begins a change at the current time.
    pub async fn begin(&self) -> Result<Change, StoreError> {
        self.begin_at(self.clock.now()).await
    }

    /// Begins a change for an input that arrived at `now`.
    async fn begin_at(&self, now: Timestamp) -> Result<Change, StoreError> {
        Ok(Change::new(self.clone(), self.store.begin().await?, now))
    }

    /// The policies for an incident of a room list. The incidents of a list that is no longer configured keep the
    /// policies of their runs.
    async fn policies_around(
        &self,
        room_list: &str,
        incident: Option<&Incident>,
        unreadable: Unreadable,
    ) -> Result<Policies, EngineError> {
        let lists = self.lists.load();
        let list = lists.get(room_list);
        let newest = list.map(|list| (list.version, list.policy.clone()));
        let zone = list.map(|list| list.time_zone.clone()).unwrap_or_default();
        let of_run = match incident {
            Some(incident) => {
                let version = incident.run.policy_version;
                let policy = match unreadable {
                    Unreadable::Fails => self.policy(version).await?,
                    Unreadable::IsReplaced => self.policy_or_current(room_list, version).await?,
                };
                Some((version, policy))
            }
            None => newest.clone(),
        };
        let of_run = of_run.ok_or_else(|| EngineError::UnknownRoomList(room_list.to_owned()))?;
        Ok(Policies { newest: newest.unwrap_or_else(|| of_run.clone()), of_run, zone })
    }

    /// The policy of an incident's run. If it cannot be read, the current one of its room list takes its place (logged
    /// once for each version), so that reports and people still count; without either, the defaults without a ladder.
    pub async fn policy_or_current(&self, room_list: &str, version: i64) -> Result<Arc<Policy>, EngineError> {
        let error = match self.policy(version).await {
            Err(error) if error.is_data_error() => error.reason(),
            read => return read,
        };
        let is_new = self.known_policies().reported.insert(version);
        if is_new {
            tracing::error!(
                room_list,
                policy_version = version,
                error,
                "policy {version} of {room_list} cannot be read, the current one takes its place: {error}"
            );
        }
        Ok(self.lists.load().get(room_list).map(|list| list.policy.clone()).unwrap_or_default())
    }

    /// The policy of a version. Versions never change, so each is read once.
    pub async fn policy(&self, version: i64) -> Result<Arc<Policy>, EngineError> {
        if let Some(policy) = self.known_policies().read.get(&version) {
            return Ok(policy.clone());
        }
        let policy = match self.lists.load().by_version(version) {
            Some(policy) => policy,
            None => Arc::new(self.store.policy(version).await?),
        };
        self.known_policies().read.insert(version, policy.clone());
        Ok(policy)
    }

    fn known_policies(&self) -> MutexGuard<'_, KnownPolicies> {
        self.policies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
