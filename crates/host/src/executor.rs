//! The runner threads, which drive the sandboxes that have something to do.
//!
//! Where a sandbox can run on another thread than before for nothing (`Backends::thread_change_cost`), whichever
//! runner is free takes what has waited longest. Elsewhere a sandbox has an *affinity* to the runner that it ran on
//! last, and waits there for as long as the change would take; then another runner takes it.

mod queues;

use ampoule_hypervisor::BACKENDS;
use crossbeam_utils::Backoff;
use parking_lot::{Condvar, Mutex, MutexGuard};
use queues::{Queues, Runner, Taken};
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

/// The environment variable with the number of runner threads, read once, at the first use.
const RUNNERS: &str = "AMPOULE_RUNNERS";

/// More threads than any machine has CPUs; a bound on what a slip of the hand can cost.
const RUNNERS_MAX: usize = 1024;

thread_local! {
    /// Which runner this thread is, if it is one.
    static THIS: Cell<Option<usize>> = const { Cell::new(None) };
}

/// What is done in turns.
pub(crate) trait Turn: Send + Sync {
    /// One turn on the runner with that number, which nobody else takes meanwhile.
    fn turn(&self, runner: usize);
}

/// The process's runner threads.
pub(crate) struct Executor {
    queues: Mutex<Queues<Arc<dyn Turn>>>,
    /// One for each runner, rung when there is something for it to look at.
    bells: Box<[Condvar]>,
    /// Counts what was queued, so that it can be seen without the lock.
    given: AtomicUsize,
}

impl Executor {
    /// Gives `work` a turn, on runner `affinity` rather than on another one.
    pub(crate) fn enqueue(work: Arc<dyn Turn>, affinity: Option<usize>) {
        let executor = Self::get();
        let rung = executor.queues.lock().push(work, affinity, Instant::now());
        executor.given.fetch_add(1, Ordering::Relaxed);
        executor.ring(rung);
    }

    /// Whether anybody waits for the calling runner.
    pub(crate) fn is_contended() -> bool {
        // Any other thread neither waits for the lock nor makes runners.
        THIS.get().is_some_and(|runner| Self::get().queues.lock().has_work(runner, Instant::now()))
    }

    /// The calling runner will be free in a moment: what its sandbox is given to do next can wait for it.
    pub(crate) fn finishes() {
        if let Some(runner) = THIS.get() {
            Self::get().queues.lock().set(runner, Runner::Coming);
        }
    }

    /// The executor, its threads started at the first use.
    fn get() -> &'static Self {
        static EXECUTOR: OnceLock<Executor> = OnceLock::new();
        static THREADS: OnceLock<()> = OnceLock::new();
        let executor = EXECUTOR.get_or_init(|| {
            let count = threads(std::env::var(RUNNERS).ok().as_deref());
            Self {
                queues: Mutex::new(Queues::new(count, BACKENDS.thread_change_cost())),
                bells: (0..count).map(|_| Condvar::new()).collect(),
                given: AtomicUsize::new(0),
            }
        });
        THREADS.get_or_init(|| {
            for runner in 0..executor.bells.len() {
                let spawned = std::thread::Builder::new()
                    .name("ampoule-runner".into())
                    .spawn(move || executor.run(runner));
                if spawned.is_err() {
                    // Without any thread nothing would run; with some, the rest does with fewer.
                    executor.queues.lock().keep(runner);
                    break;
                }
            }
        });
        executor
    }

    /// The life of a runner.
    fn run(&self, runner: usize) {
        THIS.set(Some(runner));
        let Some(bell) = self.bells.get(runner) else { return };
        loop {
            let (work, rung) = self.next(runner, bell);
            self.ring(rung);
            work.turn(runner);
        }
    }

    /// Waits for work, and says whose bell is to be rung then.
    fn next(&self, runner: usize, bell: &Condvar) -> (Arc<dyn Turn>, Option<usize>) {
        let mut queues = self.queues.lock();
        let mut looked_out = false;
        loop {
            let until = match queues.take(runner, Instant::now()) {
                Taken::Work { work, rung } => return (work, rung),
                Taken::Nothing { until } => until,
            };
            if !looked_out {
                MutexGuard::unlocked(&mut queues, || self.look_out());
            } else if let Some(until) = until {
                bell.wait_until(&mut queues, until);
            } else {
                bell.wait(&mut queues);
            }
            looked_out = !looked_out;
        }
    }

    /// Waits a few microseconds for work: the answer to what was just told may come that soon, and to sleep
    /// and be woken takes longer.
    fn look_out(&self) {
        let before = self.given.load(Ordering::Relaxed);
        let backoff = Backoff::new();
        while !backoff.is_completed() && self.given.load(Ordering::Relaxed) == before {
            backoff.snooze();
        }
    }

    fn ring(&self, runner: Option<usize>) {
        if let Some(bell) = runner.and_then(|runner| self.bells.get(runner)) {
            bell.notify_one();
        }
    }
}

/// The number of runner threads: what was `asked` for, if that is a number from 1 to [`RUNNERS_MAX`],
/// else one for each CPU.
fn threads(asked: Option<&str>) -> usize {
    asked
        .and_then(|text| text.parse().ok())
        .filter(|threads| (1..=RUNNERS_MAX).contains(threads))
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
}

#[cfg(test)]
mod tests {
    use super::{Executor, Turn, threads};
    use parking_lot::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::sync::{Arc, Weak};

    /// Something that takes turns: it queues itself again in each but the last, and says where that was.
    struct Rounds {
        left: AtomicUsize,
        myself: Weak<Self>,
        ended: Mutex<Sender<usize>>,
    }

    impl Rounds {
        fn new(rounds: usize) -> (Arc<Self>, Receiver<usize>) {
            let (tell, ended) = channel();
            let (left, tell) = (AtomicUsize::new(rounds), Mutex::new(tell));
            let make = |myself: &Weak<Self>| Self { left, myself: myself.clone(), ended: tell };
            (Arc::new_cyclic(make), ended)
        }
    }

    impl Turn for Rounds {
        fn turn(&self, runner: usize) {
            if self.left.fetch_sub(1, Ordering::Relaxed) > 1 {
                Executor::enqueue(self.myself.upgrade().unwrap(), Some(runner));
            } else {
                Executor::finishes();
                let _ = self.ended.lock().send(runner);
            }
        }
    }

    #[test]
    fn whatever_is_queued_gets_its_turns_and_no_more() {
        let all: Vec<_> = (0..100).map(|_| Rounds::new(20)).collect();
        for (rounds, _) in &all {
            Executor::enqueue(Arc::clone(rounds) as _, None);
        }
        for (rounds, ended) in all {
            assert!(ended.recv().unwrap() < Executor::get().bells.len());
            assert_eq!(rounds.left.load(Ordering::Relaxed), 0);
            drop(rounds);
            // The runner has let go of it, too.
            assert!(ended.recv().is_err());
        }
    }

    #[test]
    fn nobody_waits_for_a_thread_that_is_no_runner() {
        let (rounds, ended) = Rounds::new(1000);
        Executor::enqueue(rounds, None);
        assert!(!Executor::is_contended());
        ended.recv().unwrap();
    }

    #[test]
    fn the_number_of_runners_is_what_was_asked_for_if_that_makes_sense() {
        let one_for_each_cpu = threads(None);
        assert!(one_for_each_cpu >= 1);
        assert_eq!(threads(Some("2")), 2);
        assert_eq!(threads(Some("1024")), 1024);
        for senseless in ["", "0", "-1", "1025", "two", "2 "] {
            assert_eq!(threads(Some(senseless)), one_for_each_cpu, "{senseless:?}");
        }
    }
}
