//! What the tests of this crate share: sandboxes on the executor.

#![expect(clippy::unwrap_used, clippy::panic, reason = "test support: failing loudly is the point")]

#[path = "../../../sandbox/tests/support/mod.rs"]
pub(crate) mod sandboxes;

use ampoule_host::{Driver, Report};
use ampoule_sandbox::{Config, Snapshot, Step};
use sandboxes::LIMITS;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

/// A sandbox on the executor, and its announcements.
pub(crate) fn driver(config: Config) -> (Arc<Driver>, Receiver<()>) {
    let (on_step, told) = announcements();
    (Driver::new(config, on_step), told)
}

/// A sandbox on the executor that begins as `snapshot`, and its announcements.
pub(crate) fn driver_from(snapshot: &Snapshot) -> (Arc<Driver>, Receiver<()>) {
    let (on_step, told) = announcements();
    (Driver::from_snapshot(snapshot.clone(), LIMITS, on_step), told)
}

fn announcements() -> (Box<dyn Fn() + Send + Sync>, Receiver<()>) {
    let (tell, told) = channel();
    let tell = std::sync::Mutex::new(tell);
    let on_step = move || {
        let _ = tell.lock().unwrap().send(());
    };
    (Box::new(on_step), told)
}

/// Waits for the next report.
pub(crate) fn report(driver: &Driver, told: &Receiver<()>) -> Report {
    loop {
        told.recv().unwrap();
        if let Some(report) = driver.take_step() {
            return report;
        }
    }
}

/// Waits for the next step; [`None`] when the sandbox is closed instead.
pub(crate) fn next(driver: &Driver, told: &Receiver<()>) -> Option<Step> {
    match report(driver, told) {
        Report::Step(step) => Some(step),
        Report::Closed => None,
        other => panic!("{other:?}"),
    }
}
