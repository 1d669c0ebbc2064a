//! The one loop that all workers share. A worker is a step and a loop: production loops what tests call by hand.
//!
//! The loop calls the step until it says that nothing is left, then waits for a notification, for the step's own
//! deadline or for shutdown. A step that fails is tried again after a pause that grows. Shutdown never cuts a step
//! short: what a step holds, it finishes.

use crate::telemetry::logs::causes;
use std::error::Error;
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

/// The pause after the first failure; it doubles with each: 0.5 s, 1 s, 2 s, … 30 s.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A streak of so many failures is an error, not a hiccup: about two minutes.
const LASTING: u32 = 8;

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// It did something, and there may be more: the next step follows at once.
    More,
    /// Nothing is left to do now. Look again after this long, or when notified.
    Idle(Duration),
}

/// One unit of work, repeated for as long as the program runs.
pub trait Worker: Send + Sync {
    /// What can go wrong. The loop handles it: it logs and tries again.
    type Error: Error + Send + Sync + 'static;

    /// What the worker is called in logs.
    fn name(&self) -> &'static str;

    /// Does what is due, or says how long there is nothing to do.
    fn step(&self) -> impl Future<Output = Result<Progress, Self::Error>> + Send;
}

/// Runs a worker until shutdown. Wake it with `Notify::notify_one`, which is remembered while a step is running.
pub async fn run(worker: &impl Worker, wake: &Notify, shutdown: &CancellationToken) {
    let mut streak = Streak::default();
    while !shutdown.is_cancelled() {
        match worker.step().await {
            Ok(progress) => {
                streak.end(worker.name());
                if let Progress::Idle(wait) = progress {
                    rest(wait, Some(wake), shutdown).await;
                }
            }
            Err(error) => {
                streak.count(worker.name(), &error);
                // A notification does not shorten this: that there is work is known, that it can be done is not.
                rest(pause(streak.failures, rand::random()), None, shutdown).await;
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

/// How long to wait after so many failures in a row. `roll` in 0..1 spreads it over the upper half, so that
/// replicas that fail together do not come back together.
pub fn pause(failures: u32, roll: f64) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let full = FIRST_PAUSE.saturating_mul(1_u32 << doublings).min(LONGEST_PAUSE);
    full.mul_f64(0.5 + roll.clamp(0.0, 1.0) / 2.0)
}

/// Failures in a row. Told once when they begin, once when they last, once when they are over.
#[derive(Debug, Default)]
struct Streak {
    failures: u32,
}

impl Streak {
    fn count(&mut self, worker: &'static str, failure: &(dyn Error + 'static)) {
        self.failures = self.failures.saturating_add(1);
        let cause = causes(failure);
        match self.failures {
            1 => warn!(worker, cause, "the {worker} worker failed and tries again: {cause}"),
            LASTING => error!(worker, cause, "the {worker} worker keeps failing: {cause}"),
            _ => {}
        }
    }

    fn end(&mut self, worker: &'static str) {
        let failures = std::mem::take(&mut self.failures);
        if failures > 0 {
            info!(worker, failures, "the {worker} worker works again after {failures} failures");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Progress, Worker, pause, run};
    use std::collections::VecDeque;
    use std::sync::Mutex;
    use std::time::Duration;
    use tokio::sync::Notify;
    use tokio::time::Instant;
    use tokio_util::sync::CancellationToken;

    #[derive(Debug, thiserror::Error)]
    #[error("no luck")]
    struct NoLuck;

    /// Plays a script of answers, notes when each step came, and shuts down at the end.
    struct Scripted {
        answers: Mutex<VecDeque<Result<Progress, NoLuck>>>,
        steps: Mutex<Vec<Duration>>,
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
            let answer = self.answers.lock().unwrap().pop_front();
            answer.unwrap_or_else(|| {
                self.shutdown.cancel();
                Ok(Progress::Idle(Duration::from_hours(1)))
            })
        }
    }

    async fn play(answers: Vec<Result<Progress, NoLuck>>, wake: &Notify) -> Vec<Duration> {
        let worker = Scripted {
            answers: Mutex::new(answers.into()),
            steps: Mutex::default(),
            start: Instant::now(),
            shutdown: CancellationToken::new(),
        };
        run(&worker, wake, &worker.shutdown).await;
        worker.steps.into_inner().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_worker_goes_on_at_once_and_an_idle_one_waits_for_its_deadline() {
        let wait = Duration::from_secs(7);
        let steps = play(vec![Ok(Progress::More), Ok(Progress::Idle(wait))], &Notify::new()).await;
        assert_eq!(steps.len(), 3);
        assert_eq!(steps[1], Duration::ZERO);
        assert!(steps[2] >= wait && steps[2] < wait * 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_notification_that_came_during_a_step_is_not_lost() {
        let wake = Notify::new();
        wake.notify_one();
        let steps = play(vec![Ok(Progress::Idle(Duration::from_hours(1)))], &wake).await;
        assert_eq!(steps, [Duration::ZERO, Duration::ZERO]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failing_worker_is_tried_again_after_a_pause_that_grows() {
        let steps = play(vec![Err(NoLuck), Err(NoLuck), Err(NoLuck)], &Notify::new()).await;
        let pauses: Vec<_> = steps.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect();
        for (pause, longest) in pauses.iter().zip([500, 1000, 2000]) {
            let longest = Duration::from_millis(longest);
            assert!(*pause >= longest / 2 && *pause <= longest + Duration::from_millis(2), "{pauses:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn shutdown_ends_the_wait() {
        let begun = Instant::now();
        let steps = play(vec![], &Notify::new()).await;
        assert_eq!(steps.len(), 1);
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }

    #[test]
    fn the_pause_is_bounded_however_long_the_streak() {
        assert_eq!(pause(1, 1.0), Duration::from_millis(500));
        assert_eq!(pause(3, 1.0), Duration::from_secs(2));
        assert_eq!(pause(u32::MAX, 1.0), Duration::from_secs(30));
        assert_eq!(pause(u32::MAX, 0.0), Duration::from_secs(15));
    }
}
