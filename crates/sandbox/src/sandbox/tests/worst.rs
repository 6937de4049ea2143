//! What a guest can make the host do at its doorbell, as large as it gets: each message kind, and each way in
//! which a stop is put into words. The work is counted: one exit, one copy, a bounded number of steps.

use super::*;
use crate::tracing::{Directives, wall_offset};
use ampoule_abi::channel::TRACE_BATCH_MAX;
use ampoule_memory::{Mapping, PhysicalAddress};
use ampoule_testkit::executables::{BASE, Table, doubling, long_ways};
use ampoule_wire::failure::{
    Abort, BACKTRACE_LIMIT, FILE_LIMIT, GuestError, KIND_LIMIT, MESSAGE_LIMIT,
};
use ampoule_wire::interface::{FUNCTION_LIMIT, NAME_LIMIT, SIZE_LIMIT};

/// The default of `limits.message`.
const LARGE: usize = 4 << 20;
/// Symbols and bytes of names that a report may look at in an executable that was not looked at before, and
/// in one that was.
const FIRST_REPORT: u64 = (1 << 17) + (1 << 12) + LATER_REPORT;
const LATER_REPORT: u64 = (2 << 20) + 256 * 4 * 512;
/// Bytes of a failure as it is handed over. What the guest said stands in it twice, and each byte of it may
/// take six in JSON.
const FAILURE_BYTES: usize = 13 * (MESSAGE_LIMIT + FILE_LIMIT) + BACKTRACE_LIMIT * 2048;

/// A guest's executable with as many symbols as there may be, all of them the worst ones.
fn hostile() -> Config {
    let names: Vec<_> = (0..256)
        .map(|index| {
            let name = if index % 2 == 0 { doubling() } else { long_ways() };
            format!("{name}.{index}")
        })
        .collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let mut table = Table::of(&names);
    let last = u32::try_from(table.strings.len()).unwrap();
    table.strings.resize(table.strings.len() + (2 << 20), b'a');
    table.symbols.resize(200_000, (0x8000_0000, u64::MAX, 2, last));
    let file = table.append_to(ElfFile::default().bytes());
    Config { executable: file.into(), ..config(Some(LARGE as u64)) }
}

/// Sends a message of the largest kind there is room for.
fn send(cpu: &FakeCpu, sequence: u32, kind: GuestMessage, payload: &[u8]) -> Exit {
    let to_host = PAGE_SIZE + (LARGE as u64 + HEADER_SIZE).next_multiple_of(PAGE_SIZE);
    GuestChannel::write_at(cpu, to_host + HEADER_SIZE, payload);
    let header: Vec<u8> = [sequence, kind as u32, 0, 0].map(u32::to_le_bytes).concat();
    GuestChannel::write_at(cpu, to_host, &header);
    GuestChannel::write_at(cpu, to_host + 16, &(payload.len() as u64).to_le_bytes());
    DOORBELL
}

/// A ready guest that answers its first call by `script`.
fn answering(
    config: &Config,
    mut script: impl FnMut(&mut FakeCpu) -> Exit + Send + 'static,
) -> Sandbox {
    let mut sandbox = start(config, move |run, cpu| match run {
        0 => send(cpu, 1, GuestMessage::Ready, &interface()),
        _ => script(cpu),
    });
    assert_eq!(sandbox.run(), Step::Ready, "{:?}", sandbox.state());
    sandbox
}

/// Calls, and checks that it took one exit and one copy of `payload` bytes.
fn called(sandbox: &mut Sandbox, payload: usize) -> Step {
    let before = sandbox.statistics();
    let step = call(sandbox);
    let after = sandbox.statistics();
    assert_eq!(after.exits - before.exits, 1);
    assert_eq!(after.bytes_from_guest - before.bytes_from_guest, payload as u64);
    assert!(sandbox.message.capacity() <= LARGE, "{}", sandbox.message.capacity());
    step
}

fn check_failure(sandbox: &Sandbox, code: &str) {
    let failure = sandbox.failure().unwrap();
    assert_eq!(failure.code.as_str(), code);
    let bytes = failure.message.len() + failure.details.to_string().len();
    assert!(bytes <= FAILURE_BYTES, "{code}: {bytes}");
}

/// `length` bytes of an array of nothing.
fn nothings(length: usize) -> Vec<u8> {
    let count = u32::try_from(length - 5).unwrap();
    let mut bytes = vec![0xf6; length];
    bytes[0] = 0x9a;
    bytes[1..5].copy_from_slice(&count.to_be_bytes());
    bytes
}

#[test]
fn the_largest_interface_is_one_message() {
    let function = |index: usize| Function {
        name: format!("f{index:0>width$}", width = NAME_LIMIT - 1),
        documentation: None,
        parameters: Vec::new(),
        result: "{}".into(),
    };
    let mut largest = Interface::decode(&interface()).unwrap();
    largest.exports = (0..FUNCTION_LIMIT / 2).map(function).collect();
    largest.imports = largest.exports.clone();
    largest.build_id = "x".repeat(SIZE_LIMIT - largest.encode().len() - 64);
    let payload = largest.encode();
    assert!(payload.len() > SIZE_LIMIT - 128 && payload.len() <= SIZE_LIMIT);
    let mut sandbox = start(&config(Some(LARGE as u64)), move |_, cpu| {
        send(cpu, 1, GuestMessage::Ready, &payload)
    });
    assert_eq!(sandbox.run(), Step::Ready, "{:?}", sandbox.state());
    assert_eq!(sandbox.statistics().exits, 1);
    assert_eq!(sandbox.interface().unwrap().imports.len(), FUNCTION_LIMIT / 2);

    let mut sandbox = start(&config(Some(LARGE as u64)), move |_, cpu| {
        send(cpu, 1, GuestMessage::Ready, &vec![0x41; LARGE])
    });
    assert_eq!(sandbox.run(), Step::Stopped);
    check_failure(&sandbox, "ERR_AMPOULE_PROTOCOL");
}

#[test]
fn the_largest_values_are_one_copy_each() {
    let length = LARGE;
    let kinds: [(GuestMessage, Step); 2] = [
        (GuestMessage::Return, Step::Return),
        (GuestMessage::HostCall, Step::HostCall { function: 0 }),
    ];
    for (kind, expected) in kinds {
        let mut text = vec![b'a'; length];
        text[..6].copy_from_slice(&[0x81, 0x7a, 0, 0, 0, 0]);
        text[2..6].copy_from_slice(&u32::try_from(length - 6).unwrap().to_be_bytes());
        let mut sandbox =
            answering(&config(Some(LARGE as u64)), move |cpu| send(cpu, 3, kind, &text));
        assert_eq!(called(&mut sandbox, length), expected);

        for payload in [vec![0x81; length], vec![0xa1; length], vec![0xff; length]] {
            let mut sandbox =
                answering(&config(Some(LARGE as u64)), move |cpu| send(cpu, 3, kind, &payload));
            assert_eq!(called(&mut sandbox, length), Step::Stopped);
            check_failure(&sandbox, "ERR_AMPOULE_PROTOCOL");
        }
    }
}

#[test]
fn the_largest_error_keeps_to_its_limits() {
    let error = |data| GuestError {
        kind: "k".repeat(KIND_LIMIT),
        message: "\u{1}".repeat(MESSAGE_LIMIT),
        data: Some(data),
    };
    let payload = error(nothings(1 << 20)).encode();
    let length = payload.len();
    let mut sandbox = answering(&config(Some(LARGE as u64)), move |cpu| {
        send(cpu, 3, GuestMessage::Error, &payload)
    });
    assert_eq!(called(&mut sandbox, length), Step::GuestError);
    let too_long = [&[0xa1, 0x64][..], b"kind", &[0x7a, 0, 1, 0, 0], &[b'k'; 1 << 16]].concat();
    let length = too_long.len();
    let mut sandbox = answering(&config(Some(LARGE as u64)), move |cpu| {
        send(cpu, 3, GuestMessage::Error, &too_long)
    });
    assert_eq!(called(&mut sandbox, length), Step::Stopped);
    check_failure(&sandbox, "ERR_AMPOULE_PROTOCOL");
}

#[test]
fn more_items_than_allowed_stop_the_guest_in_every_message() {
    // As many nothings as items are allowed, and the list of them.
    let many = nothings(5 + 2_000_000);
    let map = |head: &[u8]| [head, &many].concat();
    for (kind, payload) in [
        (GuestMessage::Return, many.clone()),
        (GuestMessage::HostCall, many.clone()),
        (GuestMessage::Error, map(b"\xa3\x64kind\x60\x67message\x60\x64data")),
        (GuestMessage::Abort, map(b"\xa2\x67message\x60\x69backtrace")),
    ] {
        let length = payload.len();
        let mut sandbox =
            answering(&config(Some(LARGE as u64)), move |cpu| send(cpu, 3, kind, &payload));
        assert_eq!(called(&mut sandbox, length), Step::Stopped, "{kind:?}");
        check_failure(&sandbox, "ERR_AMPOULE_ITEM_LIMIT");
    }
}

#[test]
fn the_largest_abort_over_the_worst_symbols_has_a_budget() {
    let config = hostile();
    for first in [true, false] {
        let payload = Abort {
            message: "\u{1}".repeat(MESSAGE_LIMIT),
            file: Some("\u{1}".repeat(FILE_LIMIT)),
            line: Some(u32::MAX),
            column: Some(u32::MAX),
            backtrace: (0..256).map(|index| 0x1000 + 16 * index).collect(),
        }
        .encode();
        let length = payload.len();
        let mut sandbox =
            answering(&config, move |cpu| send(cpu, 3, GuestMessage::Abort, &payload));
        assert_eq!(called(&mut sandbox, length), Step::Stopped);
        check_failure(&sandbox, "ERR_AMPOULE_GUEST_ABORT");
        let steps = sandbox.statistics().report_steps;
        // The second sandbox of the program finds the functions in order.
        assert!(steps <= if first { FIRST_REPORT } else { LATER_REPORT }, "{steps}");
        assert!(!first || steps > 1 << 17, "{steps}");
    }
}

#[test]
fn the_worst_symbols_cost_a_fault_no_more() {
    let config = hostile();
    for (address, exit) in [
        (0x1000, Exit::PortOut { port: 0x3f8 }),
        (0x1010, Exit::Shutdown),
        (0x8000_0100, Exit::Unbacked { address: None }),
        (u64::MAX, Exit::Halt),
        (0, Exit::Unrunnable { code: 1 }),
        (0x1000, Exit::PortIn { port: 0x60 }),
    ] {
        let mut sandbox = answering(&config, move |cpu| {
            cpu.registers.rip = address;
            exit
        });
        assert_eq!(called(&mut sandbox, 0), Step::Stopped);
        check_failure(&sandbox, "ERR_AMPOULE_GUEST_FAULT");
        let steps = sandbox.statistics().report_steps;
        assert!(steps <= FIRST_REPORT, "{steps}");
        // It costs that once, however often it is asked for.
        let _ = (sandbox.failure(), sandbox.failure());
        assert_eq!(sandbox.run(), Step::Stopped);
        assert_eq!(sandbox.statistics().report_steps, steps);
    }
}

/// `instruction` raises an exception: what the processor pushes, and where its stub is then.
fn raise(cpu: &mut FakeCpu, vector: u8, instruction: u64) -> Exit {
    // Those of this test: general protection and the page fault push an error code.
    let has_error_code = matches!(vector, 13 | 14);
    let mut frame = vec![instruction, 0x33, 2, 0x7000, 0x2b];
    if has_error_code {
        frame.insert(0, 4);
    }
    let stack = ampoule_abi::layout::SYSTEM_BASE + 4 * PAGE_SIZE;
    let top = PAGE_SIZE - 8 * frame.len() as u64;
    let bytes: Vec<u8> = frame.into_iter().flat_map(u64::to_le_bytes).collect();
    write_at_virtual(cpu, stack + top, &bytes);
    cpu.registers.rsp = stack + top;
    cpu.registers.rip = ampoule_abi::layout::SYSTEM_BASE + PAGE_SIZE + u64::from(vector) * 16 + 2;
    cpu.system_registers.cs = 0x10;
    Exit::PortOut { port: u16::from(port::EXCEPTION_BASE + vector) }
}

/// Writes where the guest's page tables say (Intel SDM vol. 3, 4-level paging of small pages).
fn write_at_virtual(cpu: &FakeCpu, at: u64, bytes: &[u8]) {
    let part = |physical: u64| {
        let holds = |(base, mapping): &&(PhysicalAddress, Arc<Mapping>)| {
            (base.get()..base.get() + mapping.length()).contains(&physical)
        };
        let (base, mapping) = cpu.memory.iter().find(holds).unwrap();
        (mapping, physical - base.get())
    };
    // An address space takes its first frame for the root.
    let mut table = 0;
    for level in (0..4).rev() {
        let (mapping, offset) = part(table + (at >> (12 + 9 * level) & 511) * 8);
        table = mapping.read_u64(offset).unwrap() & 0x000f_ffff_ffff_f000;
    }
    let (mapping, offset) = part(table + at % PAGE_SIZE);
    mapping.write(offset, bytes).unwrap();
}

#[test]
fn the_worst_symbols_cost_an_exception_no_more() {
    let config = hostile();
    for (vector, instruction) in [(6, 0x1000), (13, u64::MAX), (14, 0x1010), (0, 0x8000_0100)] {
        let mut sandbox = answering(&config, move |cpu| raise(cpu, vector, instruction));
        assert_eq!(called(&mut sandbox, 0), Step::Stopped);
        check_failure(&sandbox, "ERR_AMPOULE_GUEST_FAULT");
        let steps = sandbox.statistics().report_steps;
        assert!(steps <= FIRST_REPORT, "{steps}");
        assert!(instruction > 0x2000 || steps > 0, "{vector}");
        let _ = sandbox.failure();
        assert_eq!(sandbox.run(), Step::Stopped);
        assert_eq!(sandbox.statistics().report_steps, steps);
    }
}

#[test]
fn nothing_else_that_stops_a_guest_looks_at_its_symbols() {
    let config = hostile();
    let mut sandbox = answering(&config, |cpu| send(cpu, 3, GuestMessage::Return, &[0x82]));
    assert_eq!(called(&mut sandbox, 1), Step::Stopped);
    check_failure(&sandbox, "ERR_AMPOULE_PROTOCOL");
    assert_eq!(sandbox.statistics().report_steps, 0);
    // exit_group(3) at the system call stub
    let mut sandbox = answering(&config, |cpu| {
        cpu.registers.rip = ampoule_abi::layout::SYSTEM_BASE + 2 * PAGE_SIZE;
        (cpu.registers.rax, cpu.registers.rdi) = (231, 3);
        Exit::PortOut { port: u16::from(port::SYSTEM_CALL) }
    });
    assert_eq!(called(&mut sandbox, 0), Step::Stopped);
    check_failure(&sandbox, "ERR_AMPOULE_GUEST_EXITED");
    assert_eq!(sandbox.statistics().report_steps, 0);
    let mut sandbox = answering(&config, |_| Exit::Kicked);
    sandbox.begin_call(0, &[0x80], Budget::default()).unwrap();
    sandbox.control.stop(crate::StopRequest::Aborted);
    assert_eq!(sandbox.run(), Step::Stopped);
    check_failure(&sandbox, "ERR_AMPOULE_ABORTED");
    assert_eq!(sandbox.statistics().report_steps, 0);
}

#[test]
fn the_largest_batch_of_junk_is_read_once_and_counted() {
    let batch = usize::try_from(TRACE_BATCH_MAX).unwrap();
    let area = (LARGE as u64 + HEADER_SIZE).next_multiple_of(PAGE_SIZE);
    let at = BASE + 0x1000;
    // Nothing, all ones, lengths that lead nowhere, and as many as can be records of one word.
    for junk in [[0; 8], [0xff; 8], [0xf0, 0xff, 0x0f, 0, 4, 0, 0, 0], [4, 0, 0, 0, 4, 0, 0, 0]] {
        let mut file = ElfFile { length: 0x1000 + batch, ..ElfFile::default() };
        file.headers[1] = (file.headers[1].0, 6, 0x1000, at, TRACE_BATCH_MAX, TRACE_BATCH_MAX);
        let mut bytes = file.bytes();
        bytes[0x1000..].copy_from_slice(&junk.repeat(batch / 8));
        let config = Config { executable: bytes.into(), ..config(Some(LARGE as u64)) };
        let mut sandbox = answering(&config, move |cpu| {
            // The words of a `TraceHeader`: number, address, length, dropped.
            for (index, word) in [1, at, TRACE_BATCH_MAX, 7].into_iter().enumerate() {
                let to = PAGE_SIZE + 2 * area + 8 * index as u64;
                GuestChannel::write_at(cpu, to, &word.to_le_bytes());
            }
            send(cpu, 3, GuestMessage::Return, &[0xf6])
        });
        let trace = CallTrace {
            directives: Some(Arc::new(Directives::parse("trace").unwrap())),
            context: TraceContext::default(),
            wall_offset: wall_offset(),
        };
        let exits = sandbox.statistics().exits;
        sandbox.begin_traced_call(0, &[0x80], Budget::default(), Some(&trace)).unwrap();
        assert_eq!(sandbox.run(), Step::Return, "{:?}", sandbox.state());
        let statistics = sandbox.statistics();
        assert_eq!(statistics.exits - exits, 1);
        assert_eq!(statistics.trace_bytes, TRACE_BATCH_MAX);
        assert!(statistics.trace_events <= TRACE_BATCH_MAX / 8, "{}", statistics.trace_events);
        assert!(statistics.trace_dropped >= 7, "{}", statistics.trace_dropped);
        // What is told of junk is that it was junk.
        let told = sandbox.take_trace();
        assert!(told.len() <= 2, "{}", told.len());
    }
}
