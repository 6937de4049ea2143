//! Whole calls without a hypervisor, and the same ones with it.

#![expect(clippy::panic, reason = "a test file: failing loudly is the point")]

#[expect(dead_code, reason = "each test file uses a part of it")]
#[path = "support/stores.rs"]
mod stores;
#[expect(dead_code, reason = "each test file uses a part of it")]
mod support;

use ampoule_hypervisor::BACKENDS;
use ampoule_machine::Backends;
use ampoule_memory::Access;
use ampoule_sandbox::store::{self, Incompatibility, LoadOptions, SnapshotStoreError};
use ampoule_sandbox::{Budget, Code, Resumption, Sandbox, State, Step, Stop, StopRequest};
use ampoule_testkit::interpreter::{ABSENT, INTERPRETER, guest};
use std::time::Duration;
use stores::{GO_ON, Scratch};
use support::interpreted::{back_ends, functions, program};
use support::{arguments, call, create, export, from_snapshot, result, run, start};

const WITHOUT_BOUND: Budget = Budget { wall: None, cpu: None };
const NO_ARGUMENTS: [u8; 0] = [];

fn number(sandbox: &mut Sandbox, function: &str) -> u8 {
    let step = call(sandbox, function, &NO_ARGUMENTS, WITHOUT_BOUND);
    assert_eq!(step, Step::Return, "{function}: {:?}", sandbox.state());
    result(sandbox)
}

fn done(sandbox: &mut Sandbox, function: &str) {
    let step = call(sandbox, function, &NO_ARGUMENTS, WITHOUT_BOUND);
    assert_eq!(step, Step::Return, "{function}: {:?}", sandbox.state());
    result::<()>(sandbox);
}

/// Why a call of `function` stops the guest.
fn stop_of(backends: Backends, function: &str, arguments: &[u8]) -> Stop {
    let mut sandbox = start(&functions(backends));
    assert_eq!(call(&mut sandbox, function, &arguments, WITHOUT_BOUND), Step::Stopped);
    match sandbox.state() {
        State::Poisoned(stop) => stop.clone(),
        other => panic!("{function}: {other:?}"),
    }
}

#[test]
fn calls_host_calls_system_calls_and_page_faults() {
    for backends in back_ends() {
        let mut sandbox = start(&functions(backends));
        assert_eq!(sandbox.interface().unwrap().exports.len(), guest::EXPORTS.len());
        assert_eq!([(); 3].map(|()| number(&mut sandbox, "count")), [1, 2, 3]);

        assert_eq!(
            call(&mut sandbox, "ask", &NO_ARGUMENTS, WITHOUT_BOUND),
            Step::HostCall { function: 0 }
        );
        assert_eq!(sandbox.message(), [0x80]);
        sandbox.resume(Resumption::HostReturn(&[21])).unwrap();
        assert_eq!(sandbox.run(), Step::Return);
        assert_eq!(result::<u8>(&sandbox), 21);

        done(&mut sandbox, "write");
        assert_eq!(sandbox.take_output(ampoule_linux::OutputStream::Stdout), b"hello");
        assert_eq!(number(&mut sandbox, "base"), 0);
        assert_eq!(number(&mut sandbox, "base"), 7);
        let before = sandbox.statistics();
        done(&mut sandbox, "touch");
        let after = sandbox.statistics();
        assert_eq!(after.page_faults - before.page_faults, 1);
        assert_eq!(after.exits - before.exits, 2);
        done(&mut sandbox, "full");
        assert_eq!(sandbox.statistics().exits - after.exits, 2);
        assert_eq!((after.calls, after.host_calls), (8, 1));
    }
}

#[test]
fn exceptions_and_exits_are_told_alike() {
    for backends in back_ends() {
        let Stop::Fault(fault) = stop_of(backends, "wild", &[]) else { panic!("no fault") };
        assert_eq!((fault.vector, fault.address), (Some(14), Some(0x10)));
        assert_eq!(fault.access, Some(Access::Write));
        let Stop::Fault(fault) = stop_of(backends, "illegal", &[]) else { panic!("no fault") };
        assert_eq!((fault.vector, fault.address, fault.port), (Some(6), None, None));
        let Stop::Fault(fault) = stop_of(backends, "jump", &[]) else { panic!("no fault") };
        assert_eq!(fault.access, Some(Access::Execute));
        assert_eq!(fault.address, Some(fault.at.address));
        assert_eq!(stop_of(backends, "exit", &[]), Stop::Exited { code: 3, signal: None });
    }
}

#[test]
fn deadlines_and_kills_end_a_guest_that_computes() {
    for backends in back_ends() {
        let limit = Duration::from_millis(20);
        for budget in
            [Budget { wall: Some(limit), cpu: None }, Budget { wall: None, cpu: Some(limit) }]
        {
            let mut sandbox = start(&functions(backends));
            assert_eq!(call(&mut sandbox, "spin", &NO_ARGUMENTS, budget), Step::Stopped);
            let expected = match budget.cpu {
                None => Stop::Timeout { limit },
                Some(limit) => Stop::CpuTime { limit },
            };
            assert_eq!(sandbox.state(), &State::Poisoned(expected));
        }
        let config = functions(backends);
        let providers = support::providers();
        let control = providers.control();
        let mut sandbox = Sandbox::create(&config, control.clone(), providers).unwrap();
        sandbox.begin_start(WITHOUT_BOUND).unwrap();
        assert_eq!(sandbox.run(), Step::Ready);
        let spin = export(&sandbox, "spin");
        sandbox.begin_call(spin, &arguments(&NO_ARGUMENTS), WITHOUT_BOUND).unwrap();
        let killer = std::thread::spawn(move || {
            // tidy: sleep: the guest is to be in its loop
            std::thread::sleep(Duration::from_millis(5));
            control.stop(StopRequest::Killed);
        });
        assert_eq!(sandbox.run(), Step::Stopped);
        assert_eq!(sandbox.state(), &State::Poisoned(Stop::Killed));
        killer.join().unwrap();
    }
}

#[test]
fn what_a_back_end_cannot_run_is_a_fault_and_its_own_failure_is_none() {
    let cases = [
        (guest::HALT, "halting the processor", None),
        (guest::SHUTDOWN, "a triple fault", None),
        (guest::UNBACKED, "access to memory that does not exist", None),
        (guest::UNRUNNABLE, "an instruction that the hypervisor cannot run", None),
        (guest::NO_PORT, "input or output to a port", Some(0xfff5)),
    ];
    for (argument, what, port) in cases {
        let Stop::Fault(fault) = stop_of(INTERPRETER, "port", &[argument]) else {
            panic!("no fault")
        };
        assert_eq!((fault.what, fault.port), (what, port));
    }
    let stop = stop_of(INTERPRETER, "port", &[guest::DEFECT]);
    assert_eq!(stop, Stop::Hypervisor { message: "the interpreter refused to go on".into() });
}

#[test]
fn a_guest_goes_back_whatever_it_did() {
    for backends in back_ends() {
        let mut sandbox = start(&functions(backends));
        assert_eq!(number(&mut sandbox, "count"), 1);
        let snapshot = sandbox.snapshot().unwrap();
        for _ in 0..3 {
            assert_eq!(number(&mut sandbox, "count"), 2);
            assert_eq!(number(&mut sandbox, "base"), 0);
            done(&mut sandbox, "touch");
            sandbox.restore(Some(&snapshot)).unwrap();
        }
        for function in ["wild", "exit", "port"] {
            // A machine that is not sound any more gives way to a new one.
            let arguments = [guest::HALT];
            let step = call(&mut sandbox, function, &arguments, WITHOUT_BOUND);
            assert_eq!(step, Step::Stopped, "{function}");
            sandbox.restore(Some(&snapshot)).unwrap();
            assert_eq!(number(&mut sandbox, "count"), 2);
        }
        let mut other = from_snapshot(&snapshot);
        assert_eq!(number(&mut other, "count"), 2);
        let provider = other.retire();
        assert!(provider.is_some());
    }
}

#[test]
fn a_snapshot_is_of_one_back_end() {
    let mut snapshots = back_ends().into_iter().map(|backends| {
        let mut sandbox = start(&functions(backends));
        (backends, sandbox.snapshot().unwrap())
    });
    let (_, interpreted) = snapshots.next().unwrap();
    let Some((backends, other)) = snapshots.next() else { return };
    // A sandbox that goes back to the snapshot of another one goes on under that.
    let mut sandbox = from_snapshot(&interpreted);
    assert_eq!(number(&mut sandbox, "count"), 1);
    sandbox.restore(Some(&other)).unwrap();
    assert_eq!(number(&mut sandbox, "count"), 1);
    sandbox.restore(Some(&interpreted)).unwrap();
    assert_eq!(number(&mut sandbox, "count"), 1);

    let scratch = Scratch::new();
    stores::save(&interpreted, &scratch.store(), "tag");
    let options = LoadOptions { tag: "tag".into(), verify: true, backends };
    match store::load(&scratch.store(), &options, &GO_ON) {
        Err(SnapshotStoreError::Incompatible { reason, .. }) => {
            assert_eq!(reason, Incompatibility::SystemPages);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_snapshot_is_saved_and_loaded() {
    let mut sandbox = start(&functions(INTERPRETER));
    assert_eq!(number(&mut sandbox, "count"), 1);
    let scratch = Scratch::new();
    stores::save(&sandbox.snapshot().unwrap(), &scratch.store(), "tag");
    let options = LoadOptions { tag: "tag".into(), verify: true, backends: INTERPRETER };
    let loaded = store::load(&scratch.store(), &options, &GO_ON).unwrap();
    assert_eq!(number(&mut from_snapshot(&loaded.snapshot), "count"), 2);
    let options = LoadOptions { backends: ABSENT, ..options };
    let error = store::load(&scratch.store(), &options, &GO_ON).unwrap_err();
    assert_eq!(error.failure().code, Code::NoHypervisor);
}

#[test]
fn a_program_reads_and_ends() {
    for backends in back_ends() {
        for (input, expected) in [(&b"!"[..], i32::from(b'!')), (&b""[..], 1)] {
            let outcome = run(&program(backends), input);
            assert_eq!(outcome.step, Step::Exited { code: expected, signal: None });
            assert_eq!(outcome.stdout, b"hello");
        }
    }
}

#[test]
fn what_is_missing_is_told_behind_what_is_wrong_with_the_guest() {
    let providers = support::providers();
    let refused = |config| {
        let made = Sandbox::create(&config, providers.control(), providers.clone());
        made.map(|_| ()).unwrap_err().failure()
    };
    let mut config = functions(ABSENT);
    let failure = refused(config.clone());
    assert_eq!(failure.code, Code::NoHypervisor);
    assert_eq!(failure.message, "no usable interpreter: there is none; write one");
    assert_eq!(failure.details["reason"], "no-device");
    config.executable = b"none".to_vec().into();
    assert_eq!(refused(config).code, Code::InvalidGuest);
    assert!(create(&functions(INTERPRETER)).interface().is_none());
    assert_ne!(INTERPRETER, BACKENDS);
}
