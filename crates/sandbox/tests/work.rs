//! What the host does for a guest is on the guest's account, and can be ended in the middle.

#[expect(dead_code, reason = "each test file uses a part of it")]
mod support;

use ampoule_sandbox::{Budget, Sandbox, State, Step, Stop};
use ampoule_testkit::kvm_is_available;
use std::time::Duration;
use support::{arguments, call, export, functions, ready, start};

/// How often a system call was answered so far.
fn count(sandbox: &Sandbox, name: &str) -> u64 {
    let calls = sandbox.statistics().system_calls;
    calls.iter().find(|call| call.name == name).map_or(0, |call| call.count)
}

fn nothing() -> [u8; 0] {
    []
}

#[test]
fn the_cpu_time_of_a_call_is_the_host_s_work_for_it_too() {
    if !kvm_is_available() {
        return;
    }
    for act in ["draw_for_ever", "move_pieces", "protect_pieces", "fill_pieces", "spin"] {
        let mut sandbox = ready(if act == "spin" { "testing" } else { "hostile" });
        let act = if act == "spin" { "spin_forever" } else { act };
        let limit = Duration::from_millis(200);
        let budget = Budget { wall: None, cpu: Some(limit) };
        assert_eq!(call(&mut sandbox, act, &nothing(), budget), Step::Stopped, "{act}");
        assert_eq!(*sandbox.state(), State::Poisoned(Stop::CpuTime { limit }), "{act}");
        let used = sandbox.statistics().cpu_time;
        assert!(used >= limit, "{act}: {used:?}");
    }
}

#[test]
fn a_call_ends_in_the_middle_of_what_the_host_does_for_it() {
    if !kvm_is_available() {
        return;
    }
    let mut sandbox = ready("hostile");
    let step = call(&mut sandbox, "draw", &nothing(), Budget::default());
    assert_eq!(step, Step::Return);
    let before = count(&sandbox, "getrandom");
    // Less than one takes: it is begun and never finished.
    let budget = Budget { wall: None, cpu: Some(Duration::from_millis(1)) };
    assert_eq!(call(&mut sandbox, "draw", &nothing(), budget), Step::Stopped);
    assert!(matches!(sandbox.state(), State::Poisoned(Stop::CpuTime { .. })));
    assert_eq!(count(&sandbox, "getrandom"), before);
}

#[test]
fn large_messages_are_given_back_when_they_were_read() {
    if !kvm_is_available() {
        return;
    }
    let mut sandbox = start(&functions("testing"));
    for (bytes, stays) in [(500_000_u32, false), (100, true)] {
        let zeros = export(&sandbox, "zeros");
        sandbox.begin_call(zeros, &arguments(&(bytes,)), Budget::default()).unwrap();
        assert_eq!(sandbox.run(), Step::Return);
        assert!(sandbox.message().len() > bytes as usize);
        sandbox.forget_message();
        assert_eq!(!sandbox.message().is_empty(), stays);
    }
}

#[test]
fn a_guest_that_makes_its_restores_dear_is_restored_elsewhere() {
    if !kvm_is_available() {
        return;
    }
    let mut sandbox = ready("hostile");
    let plain = sandbox.snapshot().unwrap();
    assert!(sandbox.restores_cheaply(Some(&plain)));
    // What the host did in one call can be as much as many calls.
    assert_eq!(call(&mut sandbox, "draw", &nothing(), Budget::default()), Step::Return);
    assert!(!sandbox.restores_cheaply(Some(&plain)));
    sandbox.restore(Some(&plain)).unwrap();
    assert!(sandbox.restores_cheaply(Some(&plain)));
    // What has many mappings is compared with them.
    assert_eq!(call(&mut sandbox, "map_flood", &(2_000_u64,), Budget::default()), Step::Return);
    let flooded = sandbox.snapshot().unwrap();
    assert!(!sandbox.restores_cheaply(Some(&flooded)));
    sandbox.restore(Some(&plain)).unwrap();
    assert!(sandbox.restores_cheaply(Some(&plain)));
}

#[test]
fn a_message_of_many_parts_arrives_whole() {
    if !kvm_is_available() {
        return;
    }
    let mut config = functions("testing");
    config.message_bytes = Some(16 << 20);
    let mut sandbox = start(&config);
    for length in [0, 1, (1 << 20) - 10, 1 << 20, (9 << 20) + 7] {
        let text: String = ('!'..='z').cycle().take(length).collect();
        let step = call(&mut sandbox, "echo_string", &(&text,), Budget::default());
        assert_eq!(step, Step::Return, "{length}");
        assert!(sandbox.message().ends_with(text.as_bytes()), "{length}");
        assert!(sandbox.message().len() < length + 10, "{length}");
    }
}
