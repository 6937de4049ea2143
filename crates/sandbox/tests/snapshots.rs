//! Snapshots: going back, and starting from one.

#[expect(dead_code, reason = "each test file uses a part of it")]
mod support;

use ampoule_sandbox::{Budget, State, Step};
use ampoule_testkit::kvm_is_available;
use std::time::Duration;
use support::{call, ready, result};

#[test]
fn a_restored_sandbox_remembers_nothing() {
    if !kvm_is_available() {
        return;
    }
    let mut sandbox = ready("testing");
    let snapshot = sandbox.snapshot().unwrap();
    for round in 0..20 {
        for count in 1..4_u64 {
            let step = call(&mut sandbox, "counter", &[0_u8; 0], Budget::default());
            assert_eq!(step, Step::Return, "round {round}");
            assert_eq!(result::<u64>(&sandbox), count, "round {round}");
        }
        sandbox.restore(Some(&snapshot)).unwrap();
    }
    let statistics = sandbox.statistics();
    assert_eq!(statistics.restores, 20);
    assert!(statistics.wholesale_restores <= 2, "{statistics:?}");
}

#[test]
fn a_poisoned_sandbox_is_made_ready_again() {
    if !kvm_is_available() {
        return;
    }
    let mut sandbox = ready("testing");
    let snapshot = sandbox.snapshot().unwrap();
    let short = Budget { wall: Some(Duration::from_millis(20)), cpu: None };
    for name in ["spin_forever", "panic_while_panicking", "spin_forever"] {
        assert_eq!(call(&mut sandbox, name, &[0_u8; 0], short), Step::Stopped);
        assert!(matches!(sandbox.state(), State::Poisoned(_)));
        sandbox.restore(Some(&snapshot)).unwrap();
        assert_eq!(call(&mut sandbox, "add", &(1, 2), Budget::default()), Step::Return);
        assert_eq!(result::<i32>(&sandbox), 3);
    }
}

#[test]
fn sandboxes_start_from_a_snapshot_without_initialising() {
    if !kvm_is_available() {
        return;
    }
    let mut original = ready("testing");
    assert_eq!(call(&mut original, "counter", &[0_u8; 0], Budget::default()), Step::Return);
    let snapshot = original.snapshot().unwrap();
    drop(original);
    let mut sandboxes: Vec<_> = (0..8).map(|_| support::from_snapshot(&snapshot)).collect();
    for round in 0..3 {
        for sandbox in &mut sandboxes {
            let step = call(sandbox, "counter", &[0_u8; 0], Budget::default());
            assert_eq!(step, Step::Return, "{:?}", sandbox.state());
            assert_eq!(result::<u64>(sandbox), 2 + round);
        }
    }
    for sandbox in &mut sandboxes {
        assert_eq!(sandbox.statistics().exits, 3, "{:?}", sandbox.statistics());
        sandbox.restore(Some(&snapshot)).unwrap();
        assert_eq!(call(sandbox, "counter", &[0_u8; 0], Budget::default()), Step::Return);
        assert_eq!(result::<u64>(sandbox), 2);
    }
}

#[test]
fn a_snapshot_of_what_has_not_run_since_it_was_restored_is_the_same() {
    if !kvm_is_available() {
        return;
    }
    let mut original = ready("testing");
    assert_eq!(call(&mut original, "counter", &[0_u8; 0], Budget::default()), Step::Return);
    let mut snapshot = original.snapshot().unwrap();
    let short = Budget { wall: Some(Duration::from_secs(10)), cpu: None };
    for round in 0..3 {
        // Taken twice in a row, and of a sandbox that was just made.
        let again = original.snapshot().unwrap();
        let mut sandbox = support::from_snapshot(&again);
        snapshot = sandbox.snapshot().unwrap();
        for sandbox in [&mut sandbox, &mut original] {
            let step = call(sandbox, "counter", &[0_u8; 0], short);
            assert_eq!(step, Step::Return, "round {round}: {:?}", sandbox.state());
            assert_eq!(result::<u64>(sandbox), 2, "round {round}");
        }
        original.restore(Some(&snapshot)).unwrap();
    }
    drop(snapshot);
}

#[test]
fn large_messages_and_memory_are_forgotten_too() {
    if !kvm_is_available() {
        return;
    }
    let mut sandbox = ready("testing");
    let snapshot = sandbox.snapshot().unwrap();
    for _ in 0..3 {
        let step = call(&mut sandbox, "allocate", &(64_u64 << 20,), Budget::default());
        assert_eq!(step, Step::Return);
        let step = call(&mut sandbox, "repeat", &(500_000_u32,), Budget::default());
        assert_eq!(step, Step::Return);
        let grown = sandbox.statistics().memory_bytes;
        sandbox.restore(Some(&snapshot)).unwrap();
        assert!(sandbox.statistics().memory_bytes < grown);
        assert_eq!(call(&mut sandbox, "counter", &[0_u8; 0], Budget::default()), Step::Return);
        assert_eq!(result::<u64>(&sandbox), 1);
        sandbox.restore(Some(&snapshot)).unwrap();
    }
}
