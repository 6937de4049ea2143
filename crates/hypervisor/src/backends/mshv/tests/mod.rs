//! The back end's logic over a device that plays a script; `over_kvm` has a real guest.

mod over_kvm;

use super::device::Device;
use super::message::{Stop, decode};
use super::vcpu::MshvVcpu;
use super::{registers, system};
use crate::long_mode::Features;
use crate::vm::{Exit, InitialState, SystemRegisters, Vcpu};
use ampoule_machine::{Kicker, MachineError, Registers};
use ampoule_memory::{Mapping, PhysicalAddress};
use mshv_bindings as hv;
use parking_lot::Mutex;
use std::io;
use std::sync::{Arc, mpsc};
use std::time::Duration;

/// One run of the guest.
type Run = Box<dyn FnMut(&mut Processor) -> io::Result<hv::hv_message> + Send>;

/// What the hypervisor would know, and what it was told.
#[derive(Debug, Default)]
struct Processor {
    general: Registers,
    system: SystemRegisters,
    runs: u32,
    general_sets: u32,
    set: Vec<(hv::hv_register_name, u128)>,
    extended: Vec<u8>,
}

struct Scripted {
    processor: Arc<Mutex<Processor>>,
    run: Run,
}

impl Device for Scripted {
    fn features(&self) -> Features {
        Features { fsgsbase: true, umip: false, xcr0: 7 }
    }

    fn tsc_frequency(&self) -> Option<u64> {
        Some(2_300_000_000)
    }

    fn run(&mut self) -> io::Result<hv::hv_message> {
        // Not locked while the guest runs: it may sleep.
        let mut processor = std::mem::take(&mut *self.processor.lock());
        processor.runs += 1;
        let result = (self.run)(&mut processor);
        *self.processor.lock() = processor;
        result
    }

    fn set(&mut self, registers: &[hv::hv_register_assoc]) -> io::Result<()> {
        self.processor.lock().set.extend(registers.iter().map(|r| (r.name, bits(r))));
        Ok(())
    }

    fn set_general(&mut self, registers: &Registers) -> io::Result<()> {
        let mut processor = self.processor.lock();
        processor.general = registers::from_hypervisor(&registers::to_hypervisor(registers));
        processor.general_sets += 1;
        Ok(())
    }

    fn read(&self) -> io::Result<(Registers, SystemRegisters)> {
        let processor = self.processor.lock();
        Ok((processor.general, processor.system))
    }

    fn extended(&self) -> io::Result<Vec<u8>> {
        Ok(self.processor.lock().extended.clone())
    }

    fn set_extended(&mut self, state: &[u8]) -> io::Result<()> {
        self.processor.lock().extended = state.to_vec();
        Ok(())
    }
}

type Cpu = MshvVcpu<Scripted>;

fn cpu(
    run: impl FnMut(&mut Processor) -> io::Result<hv::hv_message> + Send + 'static,
) -> (Cpu, Arc<Mutex<Processor>>) {
    let processor = Arc::<Mutex<Processor>>::default();
    let device = Scripted { processor: Arc::clone(&processor), run: Box::new(run) };
    (MshvVcpu::new(device, Vec::new()), processor)
}

fn bits(register: &hv::hv_register_assoc) -> u128 {
    // SAFETY: every bit pattern is a valid pair of words.
    let value = unsafe { { register.value }.reg128 };
    u128::from(value.high_part) << 64 | u128::from(value.low_part)
}

/// A message without payload.
fn message(message_type: hv::hv_message_type) -> hv::hv_message {
    let mut message = hv::hv_message::default();
    message.header.message_type = message_type;
    message
}

fn with_payload<T: Copy>(message_type: hv::hv_message_type, payload: T) -> hv::hv_message {
    assert!(size_of::<T>() <= size_of::<hv::hv_message__bindgen_ty_1>());
    let mut message = message(message_type);
    let target = (&raw mut message.u).cast::<T>();
    // SAFETY: the union is large enough, checked above, and made of integers like `T`.
    unsafe { target.write_unaligned(payload) };
    message
}

fn port(access: u8, port_number: u16, length: u8) -> hv::hv_message {
    let mut info = hv::hv_x64_io_port_intercept_message { port_number, ..Default::default() };
    info.header.intercept_access_type = access;
    info.header.set_instruction_length(length);
    with_payload(hv::hv_message_type_HVMSG_X64_IO_PORT_INTERCEPT, info)
}

fn out(port_number: u16) -> hv::hv_message {
    port(1, port_number, 2)
}

fn interrupted() -> io::Error {
    io::Error::from_raw_os_error(libc::EINTR)
}

/// What `MSHV_RUN_VP` does with an endless loop: it returns at a signal that comes while it waits.
fn spin() -> io::Result<hv::hv_message> {
    match rustix::thread::nanosleep(&rustix::thread::Timespec { tv_sec: 20, tv_nsec: 0 }) {
        rustix::thread::NanosleepRelativeResult::Interrupted(_) => Err(interrupted()),
        other => panic!("no signal came: {other:?}"),
    }
}

#[test]
fn messages_become_exits() {
    let memory = hv::hv_x64_memory_intercept_message {
        guest_physical_address: 0x1234_5000,
        ..Default::default()
    };
    let unbacked = Stop::at(Exit::Unbacked { address: Some(0x1234_5000) });
    for (message, expected) in [
        (out(0x51), Stop { exit: Exit::PortOut { port: 0x51 }, skip: 2 }),
        (port(0, 0x3f8, 1), Stop { exit: Exit::PortIn { port: 0x3f8 }, skip: 1 }),
        (with_payload(hv::hv_message_type_HVMSG_UNMAPPED_GPA, memory), unbacked),
        (with_payload(hv::hv_message_type_HVMSG_GPA_INTERCEPT, memory), unbacked),
        (message(hv::hv_message_type_HVMSG_X64_HALT), Stop::at(Exit::Halt)),
        (message(hv::hv_message_type_HVMSG_UNRECOVERABLE_EXCEPTION), Stop::at(Exit::Shutdown)),
    ] {
        assert_eq!(decode(&message), Some(expected));
    }
    assert_eq!(decode(&message(hv::hv_message_type_HVMSG_NONE)), None);
}

#[test]
fn what_cannot_go_on_is_unrunnable_and_says_which_message_it_was() {
    let code = |of: hv::hv_message_type| Some(Stop::at(Exit::Unrunnable { code: of.into() }));
    for kind in [
        hv::hv_message_type_HVMSG_INVALID_VP_REGISTER_VALUE,
        hv::hv_message_type_HVMSG_UNSUPPORTED_FEATURE,
        hv::hv_message_type_HVMSG_X64_MSR_INTERCEPT,
        0xdead_beef,
    ] {
        assert_eq!(decode(&message(kind)), code(kind));
    }
    let io = hv::hv_message_type_HVMSG_X64_IO_PORT_INTERCEPT;
    assert_eq!(decode(&port(1, 0x51, 0)), code(io), "without a length it would repeat for ever");
    assert_eq!(decode(&port(2, 0x51, 2)), code(io), "neither read nor write");
}

#[test]
fn an_out_is_stepped_over_before_the_next_run() {
    let (mut cpu, processor) = cpu(|processor| {
        // A run must find RIP behind the previous `out`.
        assert_eq!(processor.general.rip, 0x40_0000 + u64::from(processor.runs - 1) * 2);
        Ok(out(0x51))
    });
    cpu.set_registers(&Registers { rip: 0x40_0000, rax: 7, ..Registers::default() });
    for run in 1..=3 {
        assert_eq!(cpu.run().unwrap(), Exit::PortOut { port: 0x51 });
        let registers = cpu.registers();
        assert_eq!((registers.rip, registers.rax), (0x40_0000 + run * 2, 7));
    }
    assert_eq!(processor.lock().general_sets, 3, "one write a run");
}

#[test]
fn a_register_that_the_host_sets_wins_over_the_step() {
    let (mut cpu, processor) = cpu(|processor| {
        processor.general.rip = 0x1000;
        Ok(out(0x50))
    });
    cpu.run().unwrap();
    cpu.set_registers(&Registers { rip: 0x9000, rax: 42, ..cpu.registers() });
    cpu.run().unwrap();
    assert_eq!(cpu.registers().rax, 42);
    cpu.set_registers(&Registers { rip: 0x9000, ..cpu.registers() });
    assert_eq!(processor.lock().general.rip, 0x1000, "nothing is written before a run");
}

#[test]
fn what_did_not_change_is_not_written() {
    let (mut cpu, processor) = cpu(|_| Ok(message(hv::hv_message_type_HVMSG_X64_HALT)));
    cpu.run().unwrap();
    cpu.run().unwrap();
    let processor = processor.lock();
    assert_eq!((processor.general_sets, processor.set.len()), (0, 0));
}

#[test]
fn the_base_of_fs_is_written_once_and_system_registers_come_with_the_exit() {
    let (mut cpu, processor) = cpu(|processor| {
        processor.system = SystemRegisters { cs: 0x10, cr2: 0xbad, fs_base: 0x7000, gs_base: 0 };
        Ok(out(0xee))
    });
    cpu.set_fs_base(0x7000);
    assert_eq!(cpu.system_registers().fs_base, 0x7000);
    cpu.run().unwrap();
    cpu.run().unwrap();
    assert_eq!(
        cpu.system_registers(),
        SystemRegisters { cs: 0x10, cr2: 0xbad, fs_base: 0x7000, gs_base: 0 }
    );
    // The base; a null selector has nothing else.
    assert_eq!(processor.lock().set, [(hv::hv_register_name_HV_X64_REGISTER_FS, 0x7000)]);
}

#[test]
fn a_cpu_starts_in_long_mode_at_ring_3() {
    let (mut cpu, processor) = cpu(|_| Ok(out(0x51)));
    let state = InitialState {
        registers: Registers { rip: 0x40_0000, rsp: 0x60_1000, ..Registers::default() },
        page_tables: PhysicalAddress::new(0x5000),
        gdt: (0x1000, 79),
        idt: (0x1400, 511),
        tss: (0x1100, 136),
        system_call_entry: 0x3000,
        system_call_flag_mask: 0x5_4700,
    };
    cpu.initialise(&state).unwrap();
    assert_eq!(cpu.registers(), state.registers);
    assert_eq!(cpu.system_registers().cs, 0x33);
    cpu.run().unwrap();
    let processor = processor.lock();
    assert_eq!((processor.general.rsp, processor.general_sets), (0x60_1000, 1));
    let value = |name| {
        let found: Vec<u128> =
            processor.set.iter().filter(|(n, _)| *n == name).map(|&(_, value)| value).collect();
        assert_eq!(found.len(), 1, "register {name:#x}");
        found[0]
    };
    let limit = 0xffff_ffff_u128 << 64;
    for (name, expected) in [
        (hv::hv_register_name_HV_X64_REGISTER_CS, limit | 0x33 << 96 | 0xa0fb << 112),
        (hv::hv_register_name_HV_X64_REGISTER_DS, 0),
        (hv::hv_register_name_HV_X64_REGISTER_ES, 0),
        (hv::hv_register_name_HV_X64_REGISTER_FS, 0),
        (hv::hv_register_name_HV_X64_REGISTER_GS, 0),
        // Limit, selector, attributes: present, ring 3, read and write, 32 bits, by pages.
        (hv::hv_register_name_HV_X64_REGISTER_SS, limit | 0x2b << 96 | 0xc0f3 << 112),
        (hv::hv_register_name_HV_X64_REGISTER_TR, 0x1100 | 136 << 64 | 0x40 << 96 | 0x8b << 112),
        (hv::hv_register_name_HV_X64_REGISTER_LDTR, 0x82 << 112),
        // Six bytes of padding, two of limit, eight of base.
        (hv::hv_register_name_HV_X64_REGISTER_GDTR, 79 << 48 | 0x1000 << 64),
        (hv::hv_register_name_HV_X64_REGISTER_IDTR, 511 << 48 | 0x1400 << 64),
        (hv::hv_register_name_HV_X64_REGISTER_INTERMEDIATE_CR0, 0x8005_0033),
        (hv::hv_register_name_HV_X64_REGISTER_INTERMEDIATE_CR3, 0x5000),
        (hv::hv_register_name_HV_X64_REGISTER_INTERMEDIATE_CR4, 0x5_0620),
        (hv::hv_register_name_HV_X64_REGISTER_EFER, 0xd01),
        (hv::hv_register_name_HV_X64_REGISTER_STAR, 0x0023_0010_0000_0000),
        (hv::hv_register_name_HV_X64_REGISTER_LSTAR, 0x3000),
        (hv::hv_register_name_HV_X64_REGISTER_SFMASK, 0x5_4700),
        (hv::hv_register_name_HV_X64_REGISTER_XFEM, 7),
    ] {
        assert_eq!(value(name), expected, "register {name:#x}");
    }
}

#[test]
fn a_kick_that_comes_first_ends_the_next_run_without_running() {
    let (mut cpu, processor) = cpu(|_| Ok(out(0x51)));
    cpu.kicker().kick();
    assert_eq!(cpu.run().unwrap(), Exit::Kicked);
    assert_eq!(processor.lock().runs, 0);
    assert_eq!(cpu.run().unwrap(), Exit::PortOut { port: 0x51 }, "one kick ends one run");
}

#[test]
fn an_interruption_without_a_kick_goes_unnoticed() {
    let (mut cpu, processor) = cpu(|processor| match processor.runs {
        1 => Err(interrupted()),
        2 => Err(io::Error::from_raw_os_error(libc::EAGAIN)),
        3 => Ok(message(hv::hv_message_type_HVMSG_NONE)),
        _ => Ok(out(0x51)),
    });
    assert_eq!(cpu.run().unwrap(), Exit::PortOut { port: 0x51 });
    assert_eq!(processor.lock().runs, 4);
}

#[test]
fn an_exit_that_beats_a_kick_is_delivered_and_the_kick_ends_the_next_run() {
    let kicker = Arc::new(Mutex::new(None::<Kicker>));
    let inside = Arc::clone(&kicker);
    let (mut cpu, _) = cpu(move |_| {
        inside.lock().take().unwrap().kick();
        Ok(out(0x51))
    });
    *kicker.lock() = Some(cpu.kicker());
    assert_eq!(cpu.run().unwrap(), Exit::PortOut { port: 0x51 });
    assert_eq!(cpu.run().unwrap(), Exit::Kicked);
}

#[test]
fn a_kick_whose_signal_comes_just_before_the_call_is_not_lost() {
    let (entered, wait_for_entry) = mpsc::channel();
    let (kicked, wait_for_kick) = mpsc::channel();
    let (mut cpu, processor) = cpu(move |_| {
        // Past the last look at the kick, but not in the call yet.
        entered.send(()).unwrap();
        wait_for_kick.recv().unwrap();
        // Signals are handled here, where they interrupt nothing.
        // tidy: sleep: the signal has to be handled before the call, and handling leaves no trace
        std::thread::sleep(Duration::from_millis(2));
        spin()
    });
    let kicker = cpu.kicker();
    let thread = std::thread::spawn(move || {
        wait_for_entry.recv().unwrap();
        kicker.kick();
        kicked.send(()).unwrap();
    });
    assert_eq!(cpu.run().unwrap(), Exit::Kicked);
    assert_eq!(processor.lock().runs, 1);
    thread.join().unwrap();
}

#[test]
fn kicks_from_another_thread_are_never_lost() {
    let (mut cpu, _) = cpu(|_| spin());
    let kicker = cpu.kicker();
    let (ask, asked) = mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        while asked.recv().is_ok() {
            kicker.kick();
        }
    });
    for _ in 0..2000 {
        ask.send(()).unwrap();
        assert_eq!(cpu.run().unwrap(), Exit::Kicked);
    }
    drop(ask);
    thread.join().unwrap();
}

#[test]
fn signals_end_with_the_answer() {
    let (mut cpu, _) = cpu(|processor| match processor.runs {
        1 => spin(),
        _ => Ok(out(0x51)),
    });
    let kicker = cpu.kicker();
    let thread = std::thread::spawn(move || {
        // tidy: sleep: the kick should come while the guest spins; if it comes before, nothing fails
        std::thread::sleep(Duration::from_millis(5));
        kicker.kick();
    });
    assert_eq!(cpu.run().unwrap(), Exit::Kicked);
    thread.join().unwrap();
    let quiet = rustix::thread::Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
    let rest = rustix::thread::nanosleep(&quiet);
    assert!(matches!(rest, rustix::thread::NanosleepRelativeResult::Ok), "{rest:?}");
}

#[test]
fn a_cpu_moves_between_threads_and_is_kicked_where_it_runs() {
    let (mut cpu, _) = cpu(|_| spin());
    for _ in 0..20 {
        let kicker = cpu.kicker();
        let runner = std::thread::spawn(move || {
            let exit = cpu.run().unwrap();
            (cpu, exit)
        });
        kicker.kick();
        let (back, exit) = runner.join().unwrap();
        assert_eq!(exit, Exit::Kicked);
        cpu = back;
    }
}

#[test]
fn a_kicker_outlives_its_cpu() {
    let kicker = cpu(|_| spin()).0.kicker();
    kicker.kick();
}

#[test]
fn a_hypervisor_that_fails_is_an_error_and_not_an_exit() {
    let (mut cpu, _) = cpu(|_| Err(io::Error::from_raw_os_error(libc::EIO)));
    match cpu.run() {
        Err(MachineError::Refused { operation, source, .. }) => {
            assert_eq!((operation, source.raw_os_error()), ("run the guest", Some(libc::EIO)));
        }
        other => panic!("unexpected {other:?}"),
    }
    assert_eq!(cpu.tsc_frequency(), Some(2_300_000_000));
}

#[test]
fn a_call_is_repeated_while_the_hypervisor_wants_memory() {
    let wants_memory = mshv_ioctls::MshvError::Hypercall {
        code: 1,
        status_raw: 11,
        status: Some(hv::HvError::InsufficientMemory),
    };
    let mut calls = 0;
    let done = system::retry(|| {
        calls += 1;
        if calls < 5 { Err(wants_memory) } else { Ok(calls) }
    });
    assert_eq!(done.unwrap(), 5);
    let never = system::retry(|| Err::<(), _>(wants_memory)).unwrap_err();
    assert_eq!(never.raw_os_error(), Some(libc::EAGAIN));
    let other = mshv_ioctls::MshvError::Hypercall { code: 1, status_raw: 5, status: None };
    let text = system::to_io(other).to_string();
    assert!(text.contains("0x5"), "{text}");
}

#[test]
fn memory_that_nobody_touched_is_told_from_memory_that_was() {
    let mapping = Mapping::anonymous(1 << 14).unwrap();
    assert!(!system::is_resident(&mapping).unwrap());
    mapping.write(0, &[1]).unwrap();
    assert!(system::is_resident(&mapping).unwrap());
}
