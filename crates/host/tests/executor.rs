//! Which runner drives a sandbox, where that makes a difference: `scripts/kvm-amd-tcg.sh` with `CPUS=2` runs
//! this on a kernel on which it does.

#![expect(clippy::unwrap_used, reason = "a test file: failing loudly is the point")]

#[expect(dead_code, reason = "each test file uses a part of it")]
mod support;

use ampoule_host::{BACKENDS, Driver, Report};
use ampoule_sandbox::{Budget, Snapshot, Step};
use ampoule_testkit::kvm_is_available;
use std::collections::HashSet;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};
use support::sandboxes::{arguments, export, functions};

/// Whether sandboxes have an affinity to a runner here. Says so if not.
fn has_affinity() -> bool {
    let has = kvm_is_available() && !BACKENDS.thread_change_cost().is_zero();
    if !has {
        eprintln!("SKIPPED: a sandbox changes threads for nothing here");
    }
    has
}

/// A sandbox on the executor that says on which thread it came to each step.
struct Followed {
    driver: Arc<Driver>,
    steps: std::sync::mpsc::Receiver<ThreadId>,
}

impl Followed {
    fn of(make: impl FnOnce(Box<dyn Fn() + Send + Sync>) -> Arc<Driver>) -> Self {
        let (tell, steps) = channel();
        let tell = Mutex::new(tell);
        let driver = make(Box::new(move || {
            let _ = tell.lock().unwrap().send(thread::current().id());
        }));
        driver.start(Budget::default()).unwrap();
        let followed = Self { driver, steps };
        assert!(matches!(followed.next().0, Report::Step(Step::Ready)));
        followed
    }

    fn next(&self) -> (Report, ThreadId) {
        let thread = self.steps.recv().unwrap();
        (self.driver.take_step().unwrap(), thread)
    }

    /// The thread that a call ended on.
    fn call(&self) -> ThreadId {
        let add = self.driver.inspect(|sandbox| export(sandbox, "add")).unwrap();
        self.driver.call(add, &arguments(&(1, 2)), Budget::default(), None).unwrap();
        let (report, thread) = self.next();
        assert!(matches!(report, Report::Step(Step::Return)), "{report:?}");
        thread
    }

    fn snapshot(&self) -> (Snapshot, ThreadId) {
        self.driver.snapshot().unwrap();
        let (report, thread) = self.next();
        let Report::Snapshot(snapshot) = report else { unreachable!("{report:?}") };
        (snapshot, thread)
    }
}

#[test]
fn sandboxes_are_spread_over_the_runners_and_stay_there() {
    if !has_affinity() {
        return;
    }
    let runners = thread::available_parallelism().unwrap().get();
    let first = Followed::of(|on_step| Driver::new(functions("testing"), on_step));
    let runner = first.call();
    // Given again as soon as it is told, while the runner is still on its way.
    for _ in 0..200 {
        assert_eq!(first.call(), runner);
    }
    let (snapshot, thread) = first.snapshot();
    assert_eq!(thread, runner);
    first.driver.restore(Some(snapshot.clone())).unwrap();
    let (report, thread) = first.next();
    assert!(matches!(report, Report::Restored), "{report:?}");
    assert_eq!(thread, runner);

    let limits = functions("testing").limits;
    let others: Vec<Followed> = (0..2 * runners)
        .map(|_| Followed::of(|on_step| Driver::from_snapshot(snapshot.clone(), limits, on_step)))
        .collect();
    let runners_of: Vec<ThreadId> = others.iter().map(Followed::call).collect();
    assert_eq!(runners_of.iter().collect::<HashSet<_>>().len(), runners);
    assert_eq!(others.iter().map(Followed::call).collect::<Vec<_>>(), runners_of);
}
