//! Going back: from each state, and what is told of it.

use super::*;

/// What the guest does in its first call.
#[derive(Debug, Clone, Copy)]
enum First {
    Lies,
    CallsTheHost,
}

/// A guest that answers all calls but the first with null, and the snapshot that its sandbox goes back to.
fn taken(first: First) -> (Sandbox, Snapshot) {
    let mut sandbox = ready(move |run, cpu| {
        let (sequence, kind, payload) = match (run, first) {
            (0, First::Lies) => (9, GuestMessage::Return, [0xf6]),
            (0, First::CallsTheHost) => (3, GuestMessage::HostCall, [0x80]),
            _ => (3, GuestMessage::Return, [0xf6]),
        };
        GuestChannel::send(cpu, sequence, kind as u32, 0, 1, &payload);
        DOORBELL
    });
    let snapshot = sandbox.snapshot().unwrap();
    sandbox.set_origin(snapshot.clone());
    (sandbox, snapshot)
}

#[test]
fn a_snapshot_goes_back_to_itself_and_nobody_is_told() {
    let (sandbox, snapshot) = taken(First::Lies);
    assert_eq!(sandbox.state(), &State::Ready);
    assert_eq!(sandbox.statistics().restores, 0);
    assert!(sandbox.restores_cheaply(None) && sandbox.restores_cheaply(Some(&snapshot)));
}

#[test]
fn a_restore_leads_back_from_each_state() {
    for first in [First::Lies, First::CallsTheHost] {
        for to_origin in [true, false] {
            let (mut sandbox, snapshot) = taken(first);
            let step = match first {
                First::Lies => Step::Stopped,
                First::CallsTheHost => Step::HostCall { function: 0 },
            };
            assert_eq!(call(&mut sandbox), step);
            let to = Some(&snapshot).filter(|_| !to_origin);
            sandbox.restore(to).unwrap();
            assert_eq!((sandbox.state(), sandbox.failure()), (&State::Ready, None));
            assert_eq!(sandbox.statistics().restores, 1);
            assert_eq!(call(&mut sandbox), Step::Return);
            sandbox.restore(to).unwrap();
            assert_eq!((sandbox.state(), sandbox.statistics().restores), (&State::Ready, 2));
        }
    }
}

#[test]
fn a_sandbox_without_an_origin_is_left_as_it_is() {
    let mut sandbox = ready(|_, _| Exit::Halt);
    assert_eq!(call(&mut sandbox), Step::Stopped);
    let before = sandbox.state().clone();
    let refused = sandbox.restore(None).unwrap_err();
    assert!(matches!(refused, SnapshotError::State(CallError::State { state: "poisoned", .. })));
    assert_eq!((sandbox.state(), sandbox.statistics().restores), (&before, 0));
}

#[test]
fn what_was_stopped_and_undone_is_told_until_the_next_call() {
    let (mut sandbox, _) = taken(First::Lies);
    sandbox.set_restores_after_calls(true);
    assert_eq!(call(&mut sandbox), Step::Stopped);
    assert_eq!((sandbox.state(), sandbox.statistics().restores), (&State::Ready, 1));
    assert_eq!(sandbox.failure().unwrap().code.as_str(), "ERR_AMPOULE_PROTOCOL");
    assert_eq!(call(&mut sandbox), Step::Return);
    assert_eq!((sandbox.failure(), sandbox.statistics().restores), (None, 2));
}

#[test]
fn a_sandbox_that_was_killed_is_not_restored_after_the_call() {
    let (mut sandbox, _) = taken(First::CallsTheHost);
    sandbox.set_restores_after_calls(true);
    assert_eq!(call(&mut sandbox), Step::HostCall { function: 0 });
    sandbox.control.stop(crate::StopRequest::Killed);
    assert_eq!(sandbox.run(), Step::Stopped);
    let killed = State::Poisoned(Stop::Killed);
    assert_eq!((sandbox.state(), sandbox.statistics().restores), (&killed, 0));
    sandbox.restore(None).unwrap();
    assert_eq!(sandbox.state(), &State::Ready);
}

#[test]
fn a_stop_of_a_call_that_was_undone_is_void() {
    let (mut sandbox, _) = taken(First::Lies);
    sandbox.set_restores_after_calls(true);
    assert_eq!(call(&mut sandbox), Step::Stopped);
    sandbox.control.stop(crate::StopRequest::Aborted);
    assert_eq!(call(&mut sandbox), Step::Return);
}

#[test]
fn a_restore_that_fails_breaks_and_another_one_mends() {
    let (mut sandbox, snapshot) = taken(First::Lies);
    // Of another shape, and its back end makes no second machine.
    let mut other = start(&config(Some(2 * MESSAGE_BYTES)), |_, cpu| {
        let payload = interface();
        let to_host = PAGE_SIZE + (2 * MESSAGE_BYTES + HEADER_SIZE).next_multiple_of(PAGE_SIZE);
        GuestChannel::write_at(cpu, to_host + HEADER_SIZE, &payload);
        let kind = GuestMessage::Ready as u32;
        let header: Vec<u8> = [1, kind, 0, 0].map(u32::to_le_bytes).concat();
        GuestChannel::write_at(cpu, to_host, &header);
        GuestChannel::write_at(cpu, to_host + 16, &(payload.len() as u64).to_le_bytes());
        DOORBELL
    });
    assert_eq!(other.run(), Step::Ready, "{:?}", other.state());
    let elsewhere = other.snapshot().unwrap();

    let why = sandbox.restore(Some(&elsewhere)).unwrap_err().failure();
    assert_eq!(why.code.as_str(), "ERR_AMPOULE_HYPERVISOR");
    assert_eq!(sandbox.failure().as_ref(), Some(&why));
    assert_eq!(sandbox.state(), &State::Broken(why));
    assert_eq!(sandbox.statistics().restores, 0);
    let refused = sandbox.begin_call(0, &[0x80], Budget::default());
    assert_eq!(refused, Err(CallError::Broken));
    sandbox.control.stop(crate::StopRequest::Aborted);
    assert_eq!(sandbox.run(), Step::Stopped);
    assert!(matches!(sandbox.state(), State::Broken(_)));

    sandbox.restore(Some(&snapshot)).unwrap();
    assert_eq!((sandbox.state(), sandbox.failure()), (&State::Ready, None));
    assert_eq!(sandbox.message_bytes(), snapshot.message_bytes());
}
