//! Whole calls on the executor without a hypervisor, and the same ones with it.

#![expect(clippy::unwrap_used, reason = "a test file: failing loudly is the point")]

#[expect(dead_code, reason = "each test file uses a part of it")]
mod support;

use ampoule_host::{Driver, Phase, Report};
use ampoule_machine::Backends;
use ampoule_sandbox::{Budget, Code, Resumption, Step, StopRequest};
use ampoule_testkit::interpreter::{ABSENT, guest};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;
use support::sandboxes::interpreted::{back_ends, functions};
use support::sandboxes::{arguments, export, result};
use support::{driver, driver_from, next, report};

type Told = Receiver<()>;

const WITHOUT_BOUND: Budget = Budget { wall: None, cpu: None };
const NO_ARGUMENTS: [u8; 0] = [];

fn ready(backends: Backends) -> (Arc<Driver>, Told) {
    let (driver, told) = driver(functions(backends));
    driver.start(WITHOUT_BOUND).unwrap();
    assert_eq!(next(&driver, &told), Some(Step::Ready), "{:?}", driver.failure());
    (driver, told)
}

fn begin(driver: &Driver, function: &str, values: &[u8], budget: Budget) {
    let function = driver.inspect(|sandbox| export(sandbox, function)).unwrap();
    driver.call(function, &arguments(&values), budget, None).unwrap();
}

fn number(driver: &Driver, told: &Told, function: &str) -> u8 {
    begin(driver, function, &[], WITHOUT_BOUND);
    assert_eq!(next(driver, told), Some(Step::Return), "{:?}", driver.failure());
    driver.inspect(|sandbox| result(sandbox)).unwrap()
}

#[test]
fn a_whole_call_and_its_host_call() {
    for backends in back_ends() {
        let (driver, told) = ready(backends);
        assert_eq!(number(&driver, &told, "count"), 1);
        begin(&driver, "ask", &[], WITHOUT_BOUND);
        assert_eq!(next(&driver, &told), Some(Step::HostCall { function: 0 }));
        assert_eq!(driver.phase(), Phase::Parked);
        driver.resume(Resumption::HostReturn(&[9])).unwrap();
        assert_eq!(next(&driver, &told), Some(Step::Return));
        assert_eq!(driver.inspect(|sandbox| result::<u8>(sandbox)), Some(9));

        let count = driver.inspect(|sandbox| export(sandbox, "count")).unwrap();
        let step = driver.call_here(count, &arguments(&NO_ARGUMENTS), WITHOUT_BOUND, None, &());
        assert_eq!(step.unwrap(), Step::Return);
        assert_eq!(driver.inspect(|sandbox| result::<u8>(sandbox)), Some(2));
        driver.close();
        assert_eq!(next(&driver, &told), None);
    }
}

#[test]
fn snapshots_restores_and_recycled_machines() {
    for backends in back_ends() {
        let (driver, told) = ready(backends);
        assert_eq!(number(&driver, &told, "count"), 1);
        driver.snapshot().unwrap();
        let Report::Snapshot(snapshot) = report(&driver, &told) else { panic!("no snapshot") };
        assert_eq!(number(&driver, &told, "count"), 2);
        driver.restore(Some(snapshot.clone())).unwrap();
        assert!(matches!(report(&driver, &told), Report::Restored));
        assert_eq!(number(&driver, &told, "count"), 2);
        // By default to where it began.
        driver.restore_here(None).unwrap();
        assert_eq!(number(&driver, &told, "count"), 1);
        driver.close();
        assert_eq!(next(&driver, &told), None);
        for _ in 0..3 {
            let (fork, told) = driver_from(&snapshot);
            fork.start(WITHOUT_BOUND).unwrap();
            assert_eq!(next(&fork, &told), Some(Step::Ready));
            assert_eq!(number(&fork, &told, "count"), 2);
            fork.close();
            assert_eq!(next(&fork, &told), None);
        }
    }
}

#[test]
fn a_guest_that_was_initialised_is_not_initialised_again() {
    for backends in back_ends() {
        let initialisations = |driver: &Driver| {
            driver.inspect(|sandbox| sandbox.statistics().initialisations).unwrap()
        };
        let (first, _told) = ready(backends);
        let (second, _also_told) = ready(backends);
        // Nor by the other back end: each has its own.
        assert_eq!((initialisations(&first), initialisations(&second)), (1, 0));
    }
}

#[test]
fn every_way_to_stop() {
    for backends in back_ends() {
        let limit = Some(Duration::from_millis(20));
        for (budget, code) in [
            (Budget { wall: limit, cpu: None }, Code::Timeout),
            (Budget { wall: None, cpu: limit }, Code::CpuTime),
        ] {
            let (driver, told) = ready(backends);
            begin(&driver, "spin", &[], budget);
            assert_eq!(next(&driver, &told), Some(Step::Stopped));
            assert_eq!(driver.failure().unwrap().code, code);
            driver.restore_here(None).unwrap();
            assert_eq!(number(&driver, &told, "count"), 1);
        }
        let (driver, told) = ready(backends);
        begin(&driver, "spin", &[], WITHOUT_BOUND);
        driver.control().stop(StopRequest::Killed);
        assert_eq!(next(&driver, &told), Some(Step::Stopped));
        assert_eq!(driver.failure().unwrap().code, Code::Killed);
        let (driver, told) = ready(backends);
        begin(&driver, "port", &[guest::HALT], WITHOUT_BOUND);
        assert_eq!(next(&driver, &told), Some(Step::Stopped));
        assert_eq!(driver.failure().unwrap().code, Code::GuestFault);
        // Closed while it computes.
        let (driver, told) = ready(backends);
        begin(&driver, "spin", &[], WITHOUT_BOUND);
        driver.close();
        while next(&driver, &told).is_some() {}
    }
}

#[test]
fn guests_share_a_runner() {
    for backends in back_ends() {
        // More than there are runners, none of which ends by itself.
        let spinning: Vec<_> = (0..16).map(|_| ready(backends)).collect();
        for (driver, _) in &spinning {
            begin(driver, "spin", &[], WITHOUT_BOUND);
        }
        let (driver, told) = ready(backends);
        assert_eq!(number(&driver, &told, "count"), 1);
        for (driver, told) in &spinning {
            driver.close();
            while next(driver, told).is_some() {}
        }
    }
}

#[test]
fn where_nothing_can_be_used_the_start_says_so() {
    let (driver, told) = driver(functions(ABSENT));
    driver.start(WITHOUT_BOUND).unwrap();
    assert_eq!(next(&driver, &told), Some(Step::Stopped));
    assert_eq!(driver.failure().unwrap().code, Code::NoHypervisor);
}
