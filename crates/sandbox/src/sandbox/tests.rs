//! The state machine against a scripted guest: no hypervisor is needed.

mod backend;
mod restores;
mod worst;

use super::*;
use crate::stop::Fault;
use ampoule_abi::channel::{GuestMessage, HEADER_SIZE};
use ampoule_abi::layout::PAGE_SIZE;
use ampoule_abi::port;
use ampoule_hypervisor::backends::fake::{FakeCpu, FakeVm};
use ampoule_hypervisor::{BACKENDS, Exit};
use ampoule_machine::Backends;
use ampoule_testkit::executables::ElfFile;
use ampoule_wire::interface::{Function, Interface};
use std::sync::Mutex;

const MESSAGE_BYTES: u64 = 8192;
const DOORBELL: Exit = Exit::PortOut { port: port::DOORBELL as u16 };

/// The guest's half of the channel, for scripts.
struct GuestChannel;

impl GuestChannel {
    const TO_HOST: u64 = PAGE_SIZE + Self::AREA;
    const AREA: u64 = (MESSAGE_BYTES + HEADER_SIZE).next_multiple_of(PAGE_SIZE);

    fn write(cpu: &FakeCpu, offset: u64, bytes: &[u8]) {
        Self::write_at(cpu, Self::TO_HOST + offset, bytes);
    }

    fn write_at(cpu: &FakeCpu, at: u64, bytes: &[u8]) {
        let base = ampoule_abi::layout::CHANNEL_PHYSICAL_BASE;
        let channel = cpu.memory.iter().find(|(at, _)| at.get() == base);
        let (_, channel) = channel.unwrap();
        channel.write(at, bytes).unwrap();
    }

    fn send(cpu: &FakeCpu, sequence: u32, kind: u32, function: u32, length: u64, payload: &[u8]) {
        Self::write(cpu, HEADER_SIZE, payload);
        let header: Vec<u8> = [sequence, kind, function, 0].map(u32::to_le_bytes).concat();
        Self::write(cpu, 0, &header);
        Self::write(cpu, 16, &length.to_le_bytes());
    }
}

fn config(message_bytes: Option<u64>) -> Config {
    Config {
        executable: ElfFile::default().bytes().into(),
        name: "scripted".into(),
        memory_bytes: 8 << 20,
        stack_bytes: 1 << 20,
        message_bytes,
        limits: Limits {
            host_calls: 2,
            output_bytes: 100,
            value_depth: 8,
            value_items: 2_000_000,
            ..Limits::UNLIMITED
        },
        ..Config::empty(BACKENDS)
    }
}

fn interface() -> Vec<u8> {
    let function = |name: &str| Function {
        name: name.into(),
        documentation: None,
        parameters: Vec::new(),
        result: r#"{"type":"null"}"#.into(),
    };
    Interface {
        abi_version: ampoule_abi::version::CURRENT,
        sdk: "script".into(),
        sdk_version: "0".into(),
        build_id: String::new(),
        exports: vec![function("first")],
        imports: vec![function("host")],
    }
    .encode()
}

/// A sandbox whose guest is `script`, called with the number of the run from 0.
fn scripted(
    message_bytes: Option<u64>,
    script: impl FnMut(u32, &mut FakeCpu) -> Exit + Send + 'static,
) -> Sandbox {
    start(&config(message_bytes), script)
}

/// The same of a sandbox that is configured otherwise.
fn start(
    config: &Config,
    mut script: impl FnMut(u32, &mut FakeCpu) -> Exit + Send + 'static,
) -> Sandbox {
    let mut runs = 0;
    let vm = FakeVm::new(Box::new(move |cpu| {
        runs += 1;
        script(runs - 1, cpu)
    }));
    let backend = Box::leak(Box::new(backend::Scripted(Mutex::new(Some(vm)))));
    let config = Config { backends: Backends::new(backend, &[]), ..config.clone() };
    let mut sandbox =
        Sandbox::create(&config, Providers::default().control(), Arc::default()).unwrap();
    sandbox.begin_start(Budget::default()).unwrap();
    sandbox
}

/// A guest that gets ready and then plays `script`.
fn ready(mut script: impl FnMut(u32, &mut FakeCpu) -> Exit + Send + 'static) -> Sandbox {
    let mut sandbox = scripted(Some(MESSAGE_BYTES), move |run, cpu| {
        if run == 0 {
            let payload = interface();
            let ready = GuestMessage::Ready as u32;
            GuestChannel::send(cpu, 1, ready, 0, payload.len() as u64, &payload);
            return DOORBELL;
        }
        script(run - 1, cpu)
    });
    assert_eq!(sandbox.run(), Step::Ready, "{:?}", sandbox.state());
    sandbox
}

fn call(sandbox: &mut Sandbox) -> Step {
    sandbox.begin_call(0, &[0x80], Budget::default()).unwrap();
    sandbox.run()
}

fn protocol_error(sandbox: &Sandbox) -> &str {
    match sandbox.state() {
        State::Poisoned(Stop::Protocol { what }) => what,
        other => panic!("expected a protocol error, got {other:?}"),
    }
}

#[test]
fn a_call_and_its_host_call_alternate_numbers() {
    let mut sandbox = ready(|run, cpu| {
        match run {
            0 => GuestChannel::send(cpu, 3, GuestMessage::HostCall as u32, 0, 1, &[0x80]),
            _ => GuestChannel::send(cpu, 5, GuestMessage::Return as u32, 0, 1, &[0xf6]),
        }
        DOORBELL
    });
    assert_eq!(call(&mut sandbox), Step::HostCall { function: 0 });
    sandbox.resume(Resumption::HostReturn(&[0x01])).unwrap();
    assert_eq!(sandbox.run(), Step::Return);
    assert_eq!(sandbox.message(), [0xf6]);
    let statistics = sandbox.statistics();
    assert_eq!((statistics.calls, statistics.host_calls, statistics.exits), (1, 1, 3));
}

#[test]
fn lies_in_the_channel_are_named() {
    /// Number, kind, import, claimed length, payload, and words of the error.
    type Lie = (u32, u32, u32, u64, &'static [u8], &'static str);
    let cases: [Lie; 11] = [
        (2, 2, 0, 1, &[0xf6], "message number 2 where 3 was due"),
        (0, 2, 0, 1, &[0xf6], "message number 0 where 3 was due"),
        (4, 2, 0, 1, &[0xf6], "message number 4 where 3 was due"),
        (3, 99, 0, 1, &[0xf6], "unknown message kind 99"),
        (3, 2, 0, u64::MAX, &[0xf6], "in an area of"),
        (3, 2, 0, MESSAGE_BYTES * 2, &[0xf6], "in an area of"),
        (3, 1, 0, 1, &[0xf6], "out of turn"),
        (3, 4, 7, 1, &[0x80], "call of import 7 of 1"),
        (3, 2, 0, 1, &[0x82], "its result is invalid"),
        (3, 2, 0, 2, &[0xf6, 0xf6], "its result is invalid"),
        (3, 3, 0, 1, &[0xf6], "its error is invalid"),
    ];
    for (sequence, kind, function, length, payload, words) in cases {
        let mut sandbox = ready(move |_, cpu| {
            GuestChannel::send(cpu, sequence, kind, function, length, payload);
            DOORBELL
        });
        assert_eq!(call(&mut sandbox), Step::Stopped);
        let what = protocol_error(&sandbox);
        assert!(what.contains(words), "{what}");
    }
}

#[test]
fn a_doorbell_of_a_plain_program_is_a_fault() {
    let mut sandbox = scripted(None, |_, _| DOORBELL);
    assert_eq!(sandbox.run(), Step::Stopped);
    let port = Some(u16::from(port::DOORBELL));
    assert!(matches!(
        sandbox.state(),
        State::Poisoned(Stop::Fault(Fault { port: found, .. })) if *found == port
    ));
}

#[test]
fn a_guest_of_a_later_abi_is_refused() {
    let mut sandbox = scripted(Some(MESSAGE_BYTES), |_, cpu| {
        let mut later = Interface::decode(&interface()).unwrap();
        later.abi_version += 1;
        let payload = later.encode();
        GuestChannel::send(cpu, 1, 1, 0, payload.len() as u64, &payload);
        DOORBELL
    });
    assert_eq!(sandbox.run(), Step::Stopped);
    let State::Poisoned(stop) = sandbox.state() else { panic!("not poisoned") };
    assert_eq!(stop.failure().code.as_str(), "ERR_AMPOULE_INCOMPATIBLE_GUEST");
}

#[test]
fn a_stop_is_seen_in_every_state() {
    for kill_at in 0..3 {
        let mut sandbox = ready(|_, cpu| {
            GuestChannel::send(cpu, 3, GuestMessage::HostCall as u32, 0, 1, &[0x80]);
            DOORBELL
        });
        let control = sandbox.control.clone();
        let kill = || control.stop(crate::StopRequest::Killed);
        if kill_at == 0 {
            kill();
            let refused = sandbox.begin_call(0, &[0x80], Budget::default());
            assert_eq!(refused, Err(CallError::Poisoned(Stop::Killed)));
            continue;
        }
        sandbox.begin_call(0, &[0x80], Budget::default()).unwrap();
        if kill_at == 1 {
            kill();
        } else {
            assert_eq!(sandbox.run(), Step::HostCall { function: 0 });
            kill();
        }
        assert_eq!(sandbox.run(), Step::Stopped);
        assert_eq!(sandbox.state(), &State::Poisoned(Stop::Killed));
    }
}

#[test]
fn one_call_may_not_call_too_many_host_functions() {
    let mut sandbox = ready(|run, cpu| {
        GuestChannel::send(cpu, 3 + 2 * run, GuestMessage::HostCall as u32, 0, 1, &[0x80]);
        DOORBELL
    });
    let mut step = call(&mut sandbox);
    while step != Step::Stopped {
        sandbox.resume(Resumption::HostReturn(&[0xf6])).unwrap();
        step = sandbox.run();
    }
    assert_eq!(sandbox.state(), &State::Poisoned(Stop::HostCallLimit { limit: 2 }));
    assert_eq!(sandbox.statistics().host_calls, 3);
}

#[test]
fn a_resumption_that_does_not_fit_the_wait_is_refused() {
    let mut sandbox = ready(|_, cpu| {
        GuestChannel::send(cpu, 3, GuestMessage::HostCall as u32, 0, 1, &[0x80]);
        DOORBELL
    });
    assert!(sandbox.resume(Resumption::Continue).is_err());
    assert_eq!(call(&mut sandbox), Step::HostCall { function: 0 });
    assert!(sandbox.resume(Resumption::EndOfInput).is_err());
    let large = [0; 1 << 16];
    assert!(matches!(
        sandbox.resume(Resumption::HostReturn(&large)),
        Err(CallError::MessageTooLarge { .. })
    ));
    assert!(sandbox.begin_call(0, &[0x80], Budget::default()).is_err());
    assert_eq!(sandbox.state(), &State::Waiting(Wait::HostCall));
}

#[test]
fn what_the_hypervisor_cannot_run_is_a_fault() {
    for exit in [
        Exit::Halt,
        Exit::Shutdown,
        Exit::Unbacked { address: None },
        Exit::Unrunnable { code: 1 },
        Exit::PortIn { port: 0x60 },
        Exit::PortOut { port: 0x3f8 },
    ] {
        let mut sandbox = ready(move |_, _| exit);
        assert_eq!(call(&mut sandbox), Step::Stopped);
        let State::Poisoned(stop) = sandbox.state() else { panic!("{exit:?}") };
        assert_eq!(stop.failure().code.as_str(), "ERR_AMPOULE_GUEST_FAULT");
    }
}
