//! Stopping: limits, and what is left of a sandbox that ends.

#[expect(dead_code, reason = "each test file uses a part of it")]
mod support;

use ampoule_sandbox::{Budget, Resumption, State, Step, Stop};
use ampoule_testkit::kvm_is_available;
use support::{arguments, call, ready};

#[test]
fn memory_output_and_host_calls_are_limited() {
    if !kvm_is_available() {
        return;
    }
    let mut sandbox = ready("testing");
    let step = call(&mut sandbox, "zeros", &(u32::MAX,), Budget::default());
    assert_eq!(step, Step::Stopped, "{:?}", sandbox.state());
    assert!(
        matches!(sandbox.state(), State::Poisoned(Stop::MemoryLimit { .. })),
        "{:?}",
        sandbox.state()
    );

    let mut sandbox = ready("testing");
    let mut step = call(&mut sandbox, "sum_via_host", &(2000,), Budget::default());
    while let Step::HostCall { .. } = step {
        sandbox.resume(Resumption::HostReturn(&arguments(&1))).unwrap();
        step = sandbox.run();
    }
    assert_eq!(sandbox.state(), &State::Poisoned(Stop::HostCallLimit { limit: 1000 }));
}

#[test]
fn a_sandbox_that_is_dropped_unused_leaves_nothing() {
    if !kvm_is_available() {
        return;
    }
    let count = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let before = count();
    for _ in 0..50 {
        drop(ready("testing"));
    }
    // Other tests of this process open and close files meanwhile; a leak would be 100 or more.
    assert!(count() < before + 50);
}
