//! The loop that all workers share. A worker is a step; production loops the steps, tests call them by hand.
//!
//! The loop calls the step until nothing is left to do, then waits for a notification, for the step's own deadline or
//! for shutdown. A failed step is retried after a growing pause. Shutdown never interrupts a step: it finishes its work
//! in flight. A step that takes longer than its limit is dropped and counts as failed.

use crate::telemetry::logs::causes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

/// The pause after the first failure. It doubles with each failure: 0.5 s, 1 s, 2 s, … 10 s.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// This number of failures in a row (after about two minutes) is logged as an error.
const LASTING: u32 = 12;
/// The limit of a step that only waits for the database.
const STEP_LIMIT: Duration = Duration::from_mins(1);
/// The limit of a step that also waits for the homeserver: several requests, of up to a minute each.
pub const HOMESERVER_STEP_LIMIT: Duration = Duration::from_mins(5);

/// How often a worker checks whether its gate is open again.
const GATE_POLL: Duration = Duration::from_millis(500);

/// The result of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The step did something, and there may be more to do: the next step follows immediately.
    More,
    /// Nothing is left to do now. The next step follows after this time, or when the worker is notified.
    Idle(Duration),
}

/// A step that the loop repeats until shutdown.
pub trait Worker: Send + Sync {
    /// How a step can fail. The loop logs it and retries.
    type Error: Error + Send + Sync + 'static;

    /// The worker's name in logs.
    fn name(&self) -> &'static str;

    /// How long a step may take; if it calls [`beat`], how long until the next beat.
    fn limit(&self) -> Duration {
        STEP_LIMIT
    }

    /// Does the work that is due, and returns when to call it again.
    fn step(&self) -> impl Future<Output = Result<Progress, Self::Error>> + Send;

    /// Releases the worker's resources after the last step.
    fn end(&self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }
}

/// Why a step of any worker failed.
pub type StepError = Box<dyn Error + Send + Sync>;

/// `Worker` as a trait object.
trait Step: Send + Sync {
    fn name(&self) -> &'static str;
    fn limit(&self) -> Duration;
    fn step(&self) -> BoxFuture<'_, Result<Progress, StepError>>;
    fn end(&self) -> BoxFuture<'_, ()>;
}

impl<W: Worker> Step for W {
    fn name(&self) -> &'static str {
        Worker::name(self)
    }

    fn limit(&self) -> Duration {
        Worker::limit(self)
    }

    fn step(&self) -> BoxFuture<'_, Result<Progress, StepError>> {
        Box::pin(Worker::step(self).map(|result| result.map_err(Into::into)))
    }

    fn end(&self) -> BoxFuture<'_, ()> {
        Box::pin(Worker::end(self))
    }
}

/// Whether workers may work now.
#[derive(Clone)]
pub struct Gate(Arc<dyn Fn() -> bool + Send + Sync>);

impl Gate {
    /// A gate that is open while `is_open` holds.
    pub fn new(is_open: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(is_open))
    }

    /// Whether it is open.
    pub fn is_open(&self) -> bool {
        (self.0)()
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Gate").field(&self.is_open()).finish()
    }
}

/// A step took longer than its limit.
#[derive(Debug, thiserror::Error)]
#[error("the step did not finish within {} s", limit.as_secs())]
struct Overdue {
    limit: Duration,
}

/// When each worker must have finished its next step, for `/livez` and `/readyz`. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Beats(Arc<Mutex<BTreeMap<&'static str, Beat>>>);

/// The state of a worker's loop.
#[derive(Debug, Clone, Copy)]
struct Beat {
    /// The last sign of life: a step began or ended, or called [`beat`]. After a step: the end of the pause.
    at: Instant,
    limit: Duration,
    failures: u32,
    stopped: bool,
}

impl Beats {
    /// The workers whose last sign of life is older than twice their limit, with its age. Only a restart helps.
    pub fn overdue(&self) -> Vec<(&'static str, Duration)> {
        let now = Instant::now();
        let beats = self.lock();
        let ages = beats.iter().filter(|(_, beat)| !beat.stopped).map(|(name, beat)| {
            (*name, now.saturating_duration_since(beat.at), beat.limit.saturating_mul(2))
        });
        ages.filter(|(_, age, allowed)| age > allowed).map(|(name, age, _)| (name, age)).collect()
    }

    /// The workers that have failed for about two minutes without a success.
    pub fn failing(&self) -> Vec<&'static str> {
        self.names(|beat| !beat.stopped && beat.failures >= LASTING)
    }

    /// The workers that have ended.
    pub fn stopped(&self) -> Vec<&'static str> {
        self.names(|beat| beat.stopped)
    }

    fn names(&self, wanted: impl Fn(&Beat) -> bool) -> Vec<&'static str> {
        self.lock().iter().filter(|(_, beat)| wanted(beat)).map(|(name, _)| *name).collect()
    }

    fn set(&self, name: &'static str, beat: Beat) {
        self.lock().insert(name, beat);
    }

    fn renew(&self, name: &'static str) {
        if let Some(beat) = self.lock().get_mut(name) {
            beat.at = Instant::now();
        }
    }

    /// When a worker has reached its limit.
    fn limit_at(&self, name: &'static str) -> Option<Instant> {
        self.lock().get(name).map(|beat| beat.at + beat.limit)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Beat>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

tokio::task_local! {
    /// The loop that runs this step.
    static STEPPING: (Beats, &'static str);
}

/// Starts the limit of the current step again: for steps that run for as long as there is work. Outside of the loop it
/// does nothing.
pub fn beat() {
    // Without a loop, nobody measures the step.
    let _outside = STEPPING.try_with(|(beats, name)| beats.renew(name));
}

/// A worker of any type with its notification. The registry is a list of these.
pub struct Registered {
    worker: Box<dyn Step>,
    wake: Arc<Notify>,
    gate: Option<Gate>,
    beats: Beats,
}

impl fmt::Debug for Registered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Registered").field(&self.name()).finish()
    }
}

impl Registered {
    /// A worker that wakes only after the time that its step returned.
    pub fn periodic(worker: impl Worker + 'static) -> Self {
        Self::woken_by(&Arc::default(), worker)
    }

    /// A worker that a notification also wakes. `Notify` stores a `notify_one` that comes during a step.
    pub fn woken_by(wake: &Arc<Notify>, worker: impl Worker + 'static) -> Self {
        Self { worker: Box::new(worker), wake: Arc::clone(wake), gate: None, beats: Beats::default() }
    }

    /// The same worker; it records its steps in `beats`.
    #[must_use]
    pub fn watched_by(self, beats: &Beats) -> Self {
        Self { beats: beats.clone(), ..self }
    }

    /// The same, pausing while the gate is closed.
    #[must_use]
    pub fn only_while(self, gate: &Gate) -> Self {
        Self { gate: Some(gate.clone()), ..self }
    }

    /// The worker's name in logs.
    pub fn name(&self) -> &'static str {
        self.worker.name()
    }

    /// The notification that wakes the worker.
    pub fn wake(&self) -> &Notify {
        &self.wake
    }

    /// Does the work that is due, and returns when to call it again.
    pub async fn step(&self) -> Result<Progress, StepError> {
        if self.gate.as_ref().is_some_and(|gate| !gate.is_open()) {
            return Ok(Progress::Idle(GATE_POLL));
        }
        self.worker.step().await
    }

    /// Repeats the step until shutdown, then ends the worker.
    pub async fn run(&self, shutdown: &CancellationToken) {
        let mut streak = Streak::default();
        while !shutdown.is_cancelled() {
            self.note(Duration::ZERO, streak.failures, false);
            match self.step_in_time().await {
                Ok(progress) => {
                    streak.end(self.name());
                    if let Progress::Idle(wait) = progress {
                        self.note(wait, streak.failures, false);
                        rest(wait, Some(&self.wake), shutdown).await;
                    }
                }
                Err(error) => {
                    streak.count(self.name(), &*error);
                    let wait = pause(streak.failures, rand::random());
                    self.note(wait, streak.failures, false);
                    // A notification does not shorten this pause: it means that there is work, not that work succeeds.
                    rest(wait, None, shutdown).await;
                }
            }
        }
        self.note(Duration::ZERO, streak.failures, true);
        self.worker.end().await;
    }

    fn note(&self, wait: Duration, failures: u32, stopped: bool) {
        let beat = Beat { at: Instant::now() + wait, limit: self.worker.limit(), failures, stopped };
        self.beats.set(self.name(), beat);
    }

    /// A step, which fails when its limit has passed since its beginning or its last beat.
    async fn step_in_time(&self) -> Result<Progress, StepError> {
        let name = self.name();
        let mut step = pin!(STEPPING.scope((self.beats.clone(), name), self.step()));
        loop {
            let limit_at = self.beats.limit_at(name).unwrap_or_else(Instant::now);
            tokio::select! {
                biased;
                result = &mut step => return result,
                () = tokio::time::sleep_until(limit_at) => {
                    if self.beats.limit_at(name).is_none_or(|at| at <= Instant::now()) {
                        return Err(Overdue { limit: self.worker.limit() }.into());
                    }
                }
            }
        }
    }
}

async fn rest(wait: Duration, wake: Option<&Notify>, shutdown: &CancellationToken) {
    let woken = async {
        match wake {
            Some(wake) => wake.notified().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = woken => {}
        () = tokio::time::sleep(wait) => {}
    }
}

/// The pause after this number of failures in a row. `roll` in 0..1 is random: it spreads the pause over the upper
/// half, so replicas that fail together do not retry together.
pub fn pause(failures: u32, roll: f64) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let full = FIRST_PAUSE.saturating_mul(1_u32 << doublings).min(LONGEST_PAUSE);
    full.mul_f64(0.5 + roll.clamp(0.0, 1.0) / 2.0)
}

/// Counts failures in a row. Logs the first one, the one with number `LASTING`, and the recovery.
#[derive(Debug, Default)]
struct Streak {
    failures: u32,
}

impl Streak {
    fn count(&mut self, worker: &'static str, failure: &(dyn Error + 'static)) {
        self.failures = self.failures.saturating_add(1);
        let cause = causes(failure);
        match self.failures {
            1 => warn!(worker, cause, "the {worker} worker failed and retries: {cause}"),
            LASTING => error!(worker, cause, "the {worker} worker keeps failing: {cause}"),
            _ => {}
        }
    }

    fn end(&mut self, worker: &'static str) {
        let failures = std::mem::take(&mut self.failures);
        if failures > 0 {
            info!(worker, failures, "the {worker} worker recovered after {failures} failures");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Beats, Progress, Registered, Worker, beat, pause};
    use std::collections::VecDeque;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;
    use tokio::sync::Notify;
    use tokio::time::Instant;
    use tokio_util::sync::CancellationToken;

    #[derive(Debug, thiserror::Error)]
    #[error("no luck")]
    struct NoLuck;

    /// Returns the scripted results, records the time of each step, and shuts down at the end.
    struct Scripted {
        results: Mutex<VecDeque<Result<Progress, NoLuck>>>,
        steps: Arc<Mutex<Vec<Duration>>>,
        start: Instant,
        shutdown: CancellationToken,
    }

    impl Worker for Scripted {
        type Error = NoLuck;

        fn name(&self) -> &'static str {
            "scripted"
        }

        async fn step(&self) -> Result<Progress, NoLuck> {
            self.steps.lock().unwrap().push(self.start.elapsed());
            let result = self.results.lock().unwrap().pop_front();
            result.unwrap_or_else(|| {
                self.shutdown.cancel();
                Ok(Progress::Idle(Duration::from_hours(1)))
            })
        }
    }

    async fn play(results: Vec<Result<Progress, NoLuck>>, wake: &Arc<Notify>) -> Vec<Duration> {
        let (steps, shutdown) = (Arc::default(), CancellationToken::new());
        let worker = Scripted {
            results: Mutex::new(results.into()),
            steps: Arc::clone(&steps),
            start: Instant::now(),
            shutdown: shutdown.clone(),
        };
        Registered::woken_by(wake, worker).run(&shutdown).await;
        let steps = steps.lock().unwrap();
        steps.clone()
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_worker_continues_immediately_and_an_idle_one_waits_for_its_deadline() {
        let wait = Duration::from_secs(7);
        let steps = play(vec![Ok(Progress::More), Ok(Progress::Idle(wait))], &Arc::default()).await;
        assert_eq!(steps.len(), 3);
        assert_eq!(steps[1], Duration::ZERO);
        assert!(steps[2] >= wait && steps[2] < wait * 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_notification_during_a_step_is_not_lost() {
        let wake = Arc::new(Notify::new());
        wake.notify_one();
        let steps = play(vec![Ok(Progress::Idle(Duration::from_hours(1)))], &wake).await;
        assert_eq!(steps, [Duration::ZERO, Duration::ZERO]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failing_worker_is_retried_after_a_growing_pause() {
        let steps = play(vec![Err(NoLuck), Err(NoLuck), Err(NoLuck)], &Arc::default()).await;
        let pauses: Vec<_> = steps.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect();
        for (pause, longest) in pauses.iter().zip([500, 1000, 2000]) {
            let longest = Duration::from_millis(longest);
            assert!(*pause >= longest / 2 && *pause <= longest + Duration::from_millis(2), "{pauses:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn shutdown_ends_the_wait() {
        let started = Instant::now();
        let steps = play(vec![], &Arc::default()).await;
        assert_eq!(steps.len(), 1);
        assert_eq!(started.elapsed(), Duration::ZERO);
    }

    /// A worker whose steps never end, or that blocks its thread.
    struct Stuck {
        beats: u32,
    }

    impl Worker for Stuck {
        type Error = NoLuck;

        fn name(&self) -> &'static str {
            "stuck"
        }

        async fn step(&self) -> Result<Progress, NoLuck> {
            for _ in 0..self.beats {
                tokio::time::sleep(Duration::from_secs(50)).await;
                beat();
            }
            if self.beats > 0 {
                Ok(Progress::Idle(Duration::from_hours(1)))
            } else {
                std::future::pending().await
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_that_hangs_fails_at_its_limit_and_the_worker_stays_alive() {
        let (beats, shutdown) = (Beats::default(), CancellationToken::new());
        let worker = Registered::periodic(Stuck { beats: 0 }).watched_by(&beats);
        let begun = Instant::now();
        let error = {
            worker.note(Duration::ZERO, 0, false);
            worker.step_in_time().await.unwrap_err()
        };
        assert_eq!(begun.elapsed().as_secs(), 60);
        assert_eq!(error.to_string(), "the step did not finish within 60 s");
        let running = worker.run(&shutdown);
        let watching = async {
            for _ in 0..30 {
                tokio::time::sleep(Duration::from_secs(61)).await;
                assert_eq!(beats.overdue(), [], "a step that ends at its limit is completed");
            }
            assert_eq!(beats.failing(), ["stuck"]);
            shutdown.cancel();
        };
        tokio::join!(running, watching);
        assert_eq!((beats.failing(), beats.stopped()), (vec![], vec!["stuck"]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_that_beats_may_take_long_and_a_long_rest_is_no_silence() {
        let (beats, shutdown) = (Beats::default(), CancellationToken::new());
        let worker = Registered::periodic(Stuck { beats: 20 }).watched_by(&beats);
        let watching = async {
            for _ in 0..60 {
                tokio::time::sleep(Duration::from_mins(1)).await;
                assert_eq!((beats.overdue(), beats.failing()), (vec![], vec![]));
            }
            shutdown.cancel();
        };
        tokio::join!(worker.run(&shutdown), watching);
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_gives_no_sign_of_life_for_twice_its_limit_is_overdue() {
        let beats = Beats::default();
        let worker = Registered::periodic(Stuck { beats: 0 }).watched_by(&beats);
        worker.note(Duration::ZERO, 0, false);
        tokio::time::advance(Duration::from_secs(119)).await;
        assert_eq!(beats.overdue(), []);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(beats.overdue(), [("stuck", Duration::from_secs(121))]);
    }

    #[test]
    fn the_pause_is_bounded_however_long_the_streak() {
        assert_eq!(pause(1, 1.0), Duration::from_millis(500));
        assert_eq!(pause(3, 1.0), Duration::from_secs(2));
        assert_eq!(pause(u32::MAX, 1.0), Duration::from_secs(10));
        assert_eq!(pause(u32::MAX, 0.0), Duration::from_secs(5));
    }
}
