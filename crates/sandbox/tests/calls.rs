//! Calls of guest functions.

#[expect(dead_code, reason = "each test file uses a part of it")]
mod support;

use ampoule_sandbox::{Budget, CallError, Resumption, State, Step, Stop};
use ampoule_testkit::kvm_is_available;
use ampoule_wire::failure::GuestError;
use ampoule_wire::value::Limits;
use std::time::Duration;
use support::{arguments, call, export, ready, result};

#[test]
fn a_call_is_one_exit() {
    if !kvm_is_available() {
        return;
    }
    let mut sandbox = ready("testing");
    for round in 0..100 {
        let before = sandbox.statistics();
        assert_eq!(call(&mut sandbox, "add", &(round, 2), Budget::default()), Step::Return);
        assert_eq!(result::<i32>(&sandbox), round + 2);
        let after = sandbox.statistics();
        if round > 0 {
            assert_eq!(after.exits - before.exits, 1, "round {round}");
        }
        assert_eq!(after.calls - before.calls, 1);
    }
}

#[test]
fn a_host_call_suspends_the_call_and_its_result_resumes_it() {
    if !kvm_is_available() {
        return;
    }
    let mut sandbox = ready("testing");
    let mut step = call(&mut sandbox, "sum_via_host", &(4,), Budget::default());
    let mut sum = 0;
    while let Step::HostCall { function } = step {
        let import = &sandbox.interface().unwrap().imports[function as usize];
        assert_eq!(import.name, "fetch_number");
        let (id,) = result::<(i32,)>(&sandbox);
        sum += i64::from(id) * 10;
        sandbox.resume(Resumption::HostReturn(&arguments(&(id * 10)))).unwrap();
        step = sandbox.run();
    }
    assert_eq!(step, Step::Return);
    assert_eq!(result::<i64>(&sandbox), sum);
}

#[test]
fn a_guest_error_leaves_the_sandbox_ready() {
    if !kvm_is_available() {
        return;
    }
    let mut sandbox = ready("testing");
    let step = call(&mut sandbox, "fail", &("Sad", "no luck"), Budget::default());
    assert_eq!(step, Step::GuestError);
    let error = GuestError::decode(sandbox.message(), &Limits::default()).unwrap();
    assert_eq!((error.kind.as_str(), error.message.as_str()), ("Sad", "no luck"));
    assert_eq!(call(&mut sandbox, "add", &(1, 2), Budget::default()), Step::Return);
}

#[test]
fn a_message_that_does_not_fit_changes_nothing() {
    if !kvm_is_available() {
        return;
    }
    let mut sandbox = ready("testing");
    let function = export(&sandbox, "add");
    let refused = sandbox.begin_call(function, &vec![0; 3 << 20], Budget::default());
    assert!(matches!(refused, Err(CallError::MessageTooLarge { .. })), "{refused:?}");
    assert_eq!(call(&mut sandbox, "add", &(1, 2), Budget::default()), Step::Return);
}

#[test]
fn a_panic_is_an_abort_with_a_symbolised_backtrace() {
    if !kvm_is_available() {
        return;
    }
    let mut sandbox = ready("testing");
    assert_eq!(call(&mut sandbox, "panic", &("oh",), Budget::default()), Step::Stopped);
    let State::Poisoned(Stop::Abort(report)) = sandbox.state() else {
        panic!("expected an abort, got {:?}", sandbox.state());
    };
    assert!(report.message.contains("oh"), "{report:?}");
    assert!(report.file.is_some() && report.line.is_some());
    let named = |part: &str| {
        let names = report.backtrace.iter().filter_map(|at| at.symbol.as_deref());
        names.into_iter().any(|name| name.contains(part))
    };
    assert!(named("panic_deep_inside"), "{report:#?}");
    assert!(!named("ampoule_guest") && !named("panicking"), "{report:#?}");
    let function = 0;
    assert!(matches!(
        sandbox.begin_call(function, &arguments(&()), Budget::default()),
        Err(CallError::Poisoned(_))
    ));
}

#[test]
fn an_endless_loop_ends_at_its_deadline() {
    if !kvm_is_available() {
        return;
    }
    for budget in [
        Budget { wall: Some(Duration::from_millis(20)), cpu: None },
        Budget { wall: None, cpu: Some(Duration::from_millis(20)) },
    ] {
        let mut sandbox = ready("testing");
        assert_eq!(call(&mut sandbox, "spin_forever", &[0_u8; 0], budget), Step::Stopped);
        match (sandbox.state(), budget.cpu) {
            (State::Poisoned(Stop::Timeout { .. }), None)
            | (State::Poisoned(Stop::CpuTime { .. }), Some(_)) => {}
            other => panic!("unexpected {other:?}"),
        }
    }
}
