//! Snapshots on the executor: where sandboxes of a guest begin, and going back.

#[expect(dead_code, reason = "each test file uses a part of it")]
mod support;

use ampoule_host::{Driver, Report};
use ampoule_sandbox::{Budget, Snapshot, State, Step, StopRequest};
use ampoule_testkit::kvm_is_available;
use std::sync::mpsc::Receiver;
use std::time::Duration;
use support::sandboxes::{arguments, export, functions, result};
use support::{driver, driver_from, next, report};

/// Calls the export `name` on the executor.
#[expect(clippy::unwrap_used, reason = "test support: failing loudly is the point")]
fn call_on(driver: &Driver, told: &Receiver<()>, name: &str, budget: Budget) -> Option<Step> {
    let function = driver.inspect(|sandbox| export(sandbox, name)).unwrap();
    driver.call(function, &arguments(&[0_u8; 0]), budget, None).unwrap();
    next(driver, told)
}

#[expect(clippy::unwrap_used, reason = "test support: failing loudly is the point")]
fn count_on(driver: &Driver, told: &Receiver<()>) -> u64 {
    assert_eq!(call_on(driver, told, "counter", Budget::default()), Some(Step::Return));
    driver.inspect(|sandbox| result::<u64>(sandbox)).unwrap()
}

#[expect(clippy::panic, reason = "test support: failing loudly is the point")]
fn snapshot_of(driver: &Driver, told: &Receiver<()>) -> Snapshot {
    assert!(driver.snapshot().is_ok());
    match report(driver, told) {
        Report::Snapshot(snapshot) => snapshot,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_second_sandbox_of_a_guest_begins_where_the_first_was_ready() {
    if !kvm_is_available() {
        return;
    }
    let mut config = functions("testing");
    config.arguments = vec![b"only of this test".to_vec()];
    for initialisations in [1, 0, 0] {
        let (driver, told) = driver(config.clone());
        driver.start(Budget::default()).unwrap();
        assert_eq!(next(&driver, &told), Some(Step::Ready));
        let statistics = driver.inspect(|sandbox| sandbox.statistics()).unwrap();
        assert_eq!((statistics.initialisations, statistics.restores), (initialisations, 0));
        assert_eq!(statistics.exits == 0, initialisations == 0, "{statistics:?}");
        assert_eq!(count_on(&driver, &told), 1);
        assert_eq!(count_on(&driver, &told), 2);
        driver.restore(None).unwrap();
        assert!(matches!(report(&driver, &told), Report::Restored));
        assert_eq!(count_on(&driver, &told), 1);
        driver.close();
        assert_eq!(next(&driver, &told), None);
    }
    let (other, told) = driver({
        config.memory_bytes *= 2;
        config
    });
    other.start(Budget::default()).unwrap();
    assert_eq!(next(&other, &told), Some(Step::Ready));
    assert_eq!(other.inspect(|sandbox| sandbox.statistics().initialisations), Some(1));
}

#[test]
fn the_process_keeps_a_bounded_number_of_guests() {
    if !kvm_is_available() {
        return;
    }
    let initialisations = |argument: u32| {
        let mut config = functions("testing");
        config.arguments = vec![argument.to_string().into_bytes(), b"of many".to_vec()];
        let (driver, told) = driver(config);
        driver.start(Budget::default()).unwrap();
        assert_eq!(next(&driver, &told), Some(Step::Ready));
        let statistics = driver.inspect(|sandbox| sandbox.statistics()).unwrap();
        driver.close();
        assert_eq!(next(&driver, &told), None);
        statistics.initialisations
    };
    for guest in 0..40 {
        assert_eq!(initialisations(guest), 1);
        assert_eq!(initialisations(guest), 0);
    }
    assert_eq!(initialisations(0), 1);
}

#[test]
fn snapshots_are_taken_and_gone_back_to_on_the_executor() {
    if !kvm_is_available() {
        return;
    }
    let (first, first_told) = driver(functions("testing"));
    first.start(Budget::default()).unwrap();
    assert_eq!(next(&first, &first_told), Some(Step::Ready));
    assert_eq!(count_on(&first, &first_told), 1);
    let snapshot = snapshot_of(&first, &first_told);
    let (second, second_told) = driver_from(&snapshot);
    second.start(Budget::default()).unwrap();
    assert_eq!(next(&second, &second_told), Some(Step::Ready));
    assert_eq!(second.inspect(|sandbox| sandbox.statistics().initialisations), Some(0));
    for _ in 0..2 {
        assert_eq!(count_on(&second, &second_told), 2);
        assert_eq!(count_on(&first, &first_told), 2);
        second.restore_here(None).unwrap();
        first.restore_here(Some(&snapshot)).unwrap();
        assert!(first.restores_cheaply(Some(&snapshot)));
    }
    first.restore_here(None).unwrap();
    assert_eq!(count_on(&first, &first_told), 1);
}

#[test]
fn a_killed_sandbox_is_restored_and_a_closed_one_is_not() {
    if !kvm_is_available() {
        return;
    }
    let (driver, told) = driver(functions("testing"));
    driver.start(Budget::default()).unwrap();
    assert_eq!(next(&driver, &told), Some(Step::Ready));
    let spin = driver.inspect(|sandbox| export(sandbox, "spin_forever")).unwrap();
    for _ in 0..3 {
        driver.call(spin, &arguments(&[0_u8; 0]), Budget::default(), None).unwrap();
        driver.control().stop(StopRequest::Killed);
        assert_eq!(next(&driver, &told), Some(Step::Stopped));
        assert!(
            driver.failure().is_some_and(|failure| failure.code.as_str() == "ERR_AMPOULE_KILLED")
        );
        // Also one that nobody has noticed yet.
        driver.control().stop(StopRequest::Killed);
        driver.restore(None).unwrap();
        assert!(matches!(report(&driver, &told), Report::Restored));
        assert_eq!(driver.failure(), None);
        assert_eq!(count_on(&driver, &told), 1);
    }
    driver.close();
    assert!(driver.restore(None).is_err());
    assert!(driver.restore_here(None).is_err());
    assert_eq!(next(&driver, &told), None);
}

#[test]
fn closing_during_a_snapshot_or_a_restore_ends_in_closed() {
    if !kvm_is_available() {
        return;
    }
    for round in 0..40 {
        let (driver, told) = driver(functions("testing"));
        driver.start(Budget::default()).unwrap();
        assert_eq!(next(&driver, &told), Some(Step::Ready));
        if round % 2 == 0 { driver.snapshot() } else { driver.restore(None) }.unwrap();
        driver.close();
        while !matches!(report(&driver, &told), Report::Closed) {}
    }
}

#[test]
fn a_sandbox_that_is_restored_after_calls_is_poisoned_by_a_kill_only() {
    if !kvm_is_available() {
        return;
    }
    let (driver, told) = driver(functions("testing"));
    driver.restore_after_calls();
    driver.start(Budget::default()).unwrap();
    assert_eq!(next(&driver, &told), Some(Step::Ready));
    let short = Budget { wall: Some(Duration::from_millis(20)), cpu: None };
    for _ in 0..3 {
        assert_eq!(count_on(&driver, &told), 1);
        assert_eq!(count_on(&driver, &told), 1);
        for (name, budget, code) in [
            ("spin_forever", short, "ERR_AMPOULE_TIMEOUT"),
            ("panic_while_panicking", Budget::default(), "ERR_AMPOULE_GUEST_ABORT"),
        ] {
            assert_eq!(call_on(&driver, &told, name, budget), Some(Step::Stopped));
            assert_eq!(driver.failure().map(|failure| failure.code.as_str()), Some(code));
            assert_eq!(driver.inspect(|sandbox| sandbox.state().clone()), Some(State::Ready));
        }
        // An abort that comes too late for its call.
        driver.control().stop(StopRequest::Aborted);
    }
    let statistics = driver.inspect(|sandbox| sandbox.statistics()).unwrap();
    assert_eq!(statistics.restores, statistics.calls);
    let spin = driver.inspect(|sandbox| export(sandbox, "spin_forever")).unwrap();
    driver.call(spin, &arguments(&[0_u8; 0]), Budget::default(), None).unwrap();
    // The kill counts, also behind an abort.
    driver.control().stop(StopRequest::Aborted);
    driver.control().stop(StopRequest::Killed);
    while next(&driver, &told).is_none() {}
    let state = driver.inspect(|sandbox| sandbox.state().clone());
    let is_killed = matches!(state, Some(State::Poisoned(ampoule_sandbox::Stop::Killed)));
    assert!(is_killed || driver.control().stop_is_pending(), "{state:?}");
}
