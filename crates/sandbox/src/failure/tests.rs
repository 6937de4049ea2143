//! What all failures have in common.

use super::{Code, Failure, Remedy};
use crate::config::ConfigError;
use crate::error::{CallError, CreateError};
use crate::sandbox::SnapshotError;
use crate::stop::{AbortReport, Fault, Stop};
use crate::store::error::{Incompatibility, SnapshotStoreError};
use ampoule_machine::{MachineError, Obstacle, ObstacleKind};
use ampoule_program::{ElfError, Location};
use ampoule_store::StoreError;
use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

fn stops() -> Vec<Stop> {
    let limit = Duration::from_millis(7);
    let at = Location { address: 0x40_1000, symbol: Some("main".into()), offset: 3 };
    let (address, access) = (Some(0), Some(ampoule_memory::Access::Read));
    let fault = Fault { what: "null access", vector: Some(14), address, access, port: None, at };
    let report = AbortReport {
        message: "no".into(),
        file: Some("main.rs".into()),
        line: Some(1),
        column: Some(2),
        backtrace: Vec::new(),
    };
    vec![
        Stop::Killed,
        Stop::Aborted,
        Stop::Closed,
        Stop::Timeout { limit },
        Stop::CpuTime { limit },
        Stop::MemoryLimit { limit: 7 },
        Stop::OutputLimit { limit: 7 },
        Stop::HostCallLimit { limit: 7 },
        Stop::ItemLimit { what: "its result", limit: 7 },
        Stop::Fault(fault),
        Stop::Abort(Arc::new(report)),
        Stop::Protocol { what: "message out of turn".into() },
        Stop::Incompatible { guest: 1 << 16 },
        Stop::Exited { code: 1, signal: None },
        Stop::Exited { code: 134, signal: Some(6) },
        Stop::Signal { signal: 10 },
        Stop::Deadlock { waiting_for: "a futex" },
        Stop::Hypervisor { message: "no".into() },
    ]
}

fn refused() -> MachineError {
    MachineError::Refused {
        by: "the hypervisor",
        operation: "make a VM",
        source: io::Error::from_raw_os_error(12),
    }
}

fn unavailable() -> MachineError {
    let obstacle = Obstacle {
        lacking: "hypervisor",
        kind: ObstacleKind::NoDevice,
        finding: "/dev/kvm does not exist".into(),
        remedy: "load the module",
    };
    MachineError::Unavailable { obstacle }
}

fn creations() -> Vec<CreateError> {
    let size = ConfigError::Size { option: "stack", minimum: 1, maximum: 2, value: 3 };
    vec![
        CreateError::Config(size),
        CreateError::Executable(ElfError::Truncated { what: "a segment" }),
        CreateError::GuestTooLarge { memory: 7 },
        CreateError::Memory { source: io::Error::from_raw_os_error(12) },
        CreateError::Hypervisor(unavailable()),
        CreateError::Hypervisor(refused()),
    ]
}

fn calls() -> Vec<CallError> {
    let mut calls = vec![
        CallError::State { state: "running", operation: "be called" },
        CallError::Broken,
        CallError::MessageTooLarge { length: 8, capacity: 7 },
    ];
    calls.extend(stops().into_iter().map(CallError::Poisoned));
    calls
}

fn snapshots() -> Vec<SnapshotError> {
    let mut snapshots = vec![
        SnapshotError::Memory { source: io::Error::from_raw_os_error(12) },
        SnapshotError::Hypervisor(refused()),
    ];
    snapshots.extend(calls().into_iter().map(SnapshotError::State));
    snapshots.extend(creations().into_iter().map(SnapshotError::Create));
    snapshots
}

fn stores() -> Vec<SnapshotStoreError> {
    let source = io::Error::from_raw_os_error(13);
    let errors = [
        StoreError::NotFound { path: "/s".into(), tag: Some("latest".into()) },
        StoreError::NotFound { path: "/s".into(), tag: None },
        StoreError::corrupt("index.json", "it is empty"),
        StoreError::Invalid { option: "tag", problem: "is empty".into() },
        StoreError::Io { operation: "write", file: "index.json".into(), source },
        StoreError::Stopped,
    ];
    let mut stores: Vec<_> = errors.into_iter().map(SnapshotStoreError::from).collect();
    let reason = Incompatibility::Abi;
    stores.push(SnapshotStoreError::Incompatible { reason, needed: "another one".into() });
    stores.push(SnapshotStoreError::Hypervisor(unavailable()));
    stores
}

/// A failure of every kind.
fn failures() -> Vec<Failure> {
    let mut failures: Vec<_> = stops().iter().map(Stop::failure).collect();
    failures.extend(creations().iter().map(CreateError::failure));
    failures.extend(calls().iter().map(CallError::failure));
    failures.extend(snapshots().iter().map(SnapshotError::failure));
    failures.extend(stores().iter().map(SnapshotStoreError::failure));
    failures.push(Failure::unknown());
    failures
}

#[test]
fn every_code_is_given() {
    let given: HashSet<Code> = failures().iter().map(|failure| failure.code).collect();
    for code in Code::ALL {
        assert!(given.contains(code), "{code}");
    }
}

#[test]
fn no_message_words_an_option_or_a_command() {
    let options: Vec<_> = Code::ALL.iter().filter_map(|code| code.option()).collect();
    for Failure { message, .. } in failures() {
        assert!(!message.contains("npx"), "{message}");
        assert!(!message.contains("raise"), "{message}");
        for option in &options {
            assert!(!message.contains(&format!("`{option}`")), "{message}");
            let is_a_word = option.chars().all(|c| c.is_ascii_lowercase());
            assert!(is_a_word || !message.contains(option), "{message}");
        }
    }
}

#[test]
fn a_limit_names_its_option_as_data() {
    for Failure { code, details, remedy, message } in failures() {
        if let Some(option) = code.option() {
            assert_eq!(details["option"], option, "{message}");
            assert_eq!(remedy, Some(Remedy::RaiseLimit), "{message}");
        } else if code != Code::Poisoned {
            assert_ne!(remedy, Some(Remedy::RaiseLimit), "{message}");
        }
    }
}

#[test]
fn what_poisoned_a_sandbox_is_what_can_be_remedied() {
    for stop in stops() {
        let reason = stop.failure();
        let refused = CallError::Poisoned(stop);
        assert_eq!(refused.cause(), reason);
        let failure = refused.failure();
        assert_eq!(failure.code, Code::Poisoned);
        assert_eq!(failure.details["reason"], reason.code.as_str());
        assert_eq!(failure.remedy, reason.remedy);
        assert!(failure.message.ends_with(&reason.message), "{}", failure.message);
    }
}

#[test]
fn a_host_is_diagnosed_where_its_hypervisor_is_the_cause() {
    let remedy = |error: MachineError| CreateError::from(error).failure().remedy;
    assert_eq!(remedy(unavailable()), Some(Remedy::DiagnoseHost));
    assert_eq!(remedy(refused()), None);
    let stop = Stop::Hypervisor { message: String::new() };
    assert_eq!(stop.failure().remedy, Some(Remedy::DiagnoseHost));
}
