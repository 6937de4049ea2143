//! Stopping: kills, deadlines and closing, from every state and from other threads.

#[expect(dead_code, reason = "each test file uses a part of it")]
mod support;

use ampoule_host::Phase;
use ampoule_sandbox::{Budget, CallError, Resumption, Step, Stop, StopRequest};
use ampoule_testkit::kvm_is_available;
use std::time::Duration;
use support::sandboxes::{self, arguments, functions};
use support::{driver, next};

#[test]
fn a_sandbox_starts_calls_and_closes_on_the_executor() {
    if !kvm_is_available() {
        return;
    }
    let (driver, told) = driver(functions("testing"));
    driver.start(Budget::default()).unwrap();
    assert_eq!(next(&driver, &told), Some(Step::Ready));
    let add = driver.inspect(|sandbox| sandboxes::export(sandbox, "add")).unwrap();
    driver.call(add, &arguments(&(1, 2)), Budget::default(), None).unwrap();
    assert_eq!(next(&driver, &told), Some(Step::Return));
    assert_eq!(driver.inspect(|sandbox| sandboxes::result::<i32>(sandbox)), Some(3));
    driver.close();
    assert_eq!(next(&driver, &told), None);
    assert!(matches!(
        driver.call(add, &arguments(&(1, 2)), Budget::default(), None),
        Err(CallError::State { .. })
    ));
}

#[test]
fn a_creation_that_fails_is_told_as_a_step() {
    let mut config = functions("testing");
    config.executable = b"not an executable".to_vec().into();
    let (driver, told) = driver(config);
    driver.start(Budget::default()).unwrap();
    assert_eq!(next(&driver, &told), Some(Step::Stopped));
    assert_eq!(driver.failure().unwrap().code.as_str(), "ERR_AMPOULE_INVALID_GUEST");
}

#[test]
fn a_deadline_strikes_while_a_host_function_is_pending() {
    if !kvm_is_available() {
        return;
    }
    let (driver, told) = driver(functions("testing"));
    driver.start(Budget::default()).unwrap();
    assert_eq!(next(&driver, &told), Some(Step::Ready));
    let sum = driver.inspect(|sandbox| sandboxes::export(sandbox, "sum_via_host")).unwrap();
    // Enough for an emulated processor to get to the host function.
    let budget = Budget { wall: Some(Duration::from_millis(500)), cpu: None };
    driver.call(sum, &arguments(&(3,)), budget, None).unwrap();
    assert!(matches!(next(&driver, &told), Some(Step::HostCall { .. })));
    assert_eq!(next(&driver, &told), Some(Step::Stopped));
    assert_eq!(driver.failure().unwrap().code.as_str(), "ERR_AMPOULE_TIMEOUT");
    // The host function's late result is of no interest any more.
    driver.resume(Resumption::HostReturn(&arguments(&1))).unwrap();
    driver.close();
    assert_eq!(next(&driver, &told), None);
}

#[test]
fn kills_at_random_moments_always_end_the_call_with_the_right_reason() {
    if !kvm_is_available() {
        return;
    }
    // A small generator: the moments have to differ, not to be unpredictable.
    let mut seed = 1_u64;
    for round in 0..200 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let (driver, told) = driver(functions("testing"));
        driver.start(Budget::default()).unwrap();
        let control = driver.control().clone();
        let delay = Duration::from_micros((seed >> 33) % 4000);
        let killer = std::thread::spawn(move || {
            // tidy: sleep: the kill has to come at different moments
            std::thread::sleep(delay);
            control.stop(StopRequest::Killed);
        });
        let mut step = next(&driver, &told);
        while step != Some(Step::Stopped) {
            match step {
                Some(Step::HostCall { .. }) => {
                    driver.resume(Resumption::HostReturn(&arguments(&1))).unwrap();
                }
                _ => {
                    let name = ["add", "spin_forever", "sum_via_host"][round % 3];
                    let values = match name {
                        "add" => arguments(&(1, 2)),
                        "spin_forever" => arguments(&[0_u8; 0]),
                        _ => arguments(&(1000,)),
                    };
                    let function = driver.inspect(|s| sandboxes::export(s, name)).unwrap();
                    match driver.call(function, &values, Budget::default(), None) {
                        Ok(()) => {}
                        Err(CallError::Poisoned(Stop::Killed)) => break,
                        Err(other) => panic!("{other:?}"),
                    }
                }
            }
            step = next(&driver, &told);
        }
        killer.join().unwrap();
        assert_eq!(driver.failure().unwrap().code.as_str(), "ERR_AMPOULE_KILLED", "round {round}");
        driver.close();
        assert_eq!(next(&driver, &told), None);
        assert_eq!(driver.phase(), Phase::Closed);
    }
}

#[test]
fn guests_that_never_end_do_not_keep_others_from_running() {
    if !kvm_is_available() {
        return;
    }
    let start = |name| {
        let (driver, told) = driver(functions("testing"));
        driver.start(Budget::default()).unwrap();
        assert_eq!(next(&driver, &told), Some(Step::Ready));
        let function = driver.inspect(|sandbox| sandboxes::export(sandbox, name)).unwrap();
        (driver, told, function)
    };
    let (patient, patient_told, add) = start("add");
    // More than there are runners.
    let runners = std::thread::available_parallelism().unwrap().get();
    let busy: Vec<_> = (0..runners + 2).map(|_| start("spin_forever")).collect();
    for (driver, _, spin) in &busy {
        driver.call(*spin, &arguments(&[0_u8; 0]), Budget::default(), None).unwrap();
    }
    for round in 0..10 {
        patient.call(add, &arguments(&(round, 1)), Budget::default(), None).unwrap();
        assert_eq!(next(&patient, &patient_told), Some(Step::Return));
    }
    for (driver, told, _) in &busy {
        assert!(matches!(driver.phase(), Phase::Queued | Phase::Running));
        driver.control().stop(StopRequest::Killed);
        assert_eq!(next(driver, told), Some(Step::Stopped));
    }
}
