//! The entry stub's fallback, on a scripted CPU.

use super::*;
use crate::backends::fake::{FakeCpu, FakeVm};
use crate::ring3::system_pages;
use ampoule_abi::layout::{PAGE_SIZE, SYSTEM_BASE};
use ampoule_memory::PhysicalAddress;
use std::sync::{Arc, Mutex};

const ENTRY: u64 = SYSTEM_BASE + 2 * PAGE_SIZE + 32;
const RING_0_STACK: u64 = SYSTEM_BASE + 4 * PAGE_SIZE;
const DOORBELL: Exit = Exit::PortOut { port: port::DOORBELL as u16 };

/// What the CPU was given at each run.
type Seen = Arc<Mutex<Vec<(Registers, u64, u64)>>>;

/// A machine that was given `state`, whose first run ends as told by `first` and the others at the doorbell.
fn loaded(
    state: &CpuState,
    mut first: impl FnMut(&mut FakeCpu, PhysicalAddress) -> Exit + Send + 'static,
) -> (Box<dyn Machine>, AddressSpace, Seen) {
    let mut space = AddressSpace::new(1 << 20).unwrap();
    let pages = SystemPages::install("fake", &system_pages(), &mut space).unwrap();
    let image = space.seal().unwrap();
    let stack = image.page(RING_0_STACK).unwrap().0;
    let space = image.instantiate().unwrap();
    let seen = Seen::default();
    let tell = Arc::clone(&seen);
    let vm = FakeVm::new(Box::new(move |cpu| {
        let system = cpu.system_registers;
        let mut seen = tell.lock().unwrap();
        seen.push((cpu.registers, system.fs_base, system.gs_base));
        if seen.len() == 1 { first(cpu, stack) } else { DOORBELL }
    }))
    .with_xcr0(7);
    let entry = Entry { instruction: 0x1000, stack: 0x2000 };
    let mut machine = machine(Box::new(vm), &space, &pages, entry, Duration::ZERO).unwrap();
    machine.load(state, &space).unwrap();
    (machine, space, seen)
}

/// `instruction` raises an invalid-opcode exception.
fn invalid_opcode(cpu: &mut FakeCpu, stack: PhysicalAddress, instruction: u64) -> Exit {
    let registers = cpu.registers;
    let frame = [instruction, 0x33, registers.rflags | 1 << 16, registers.rsp, 0x2b];
    let (_, memory) = &cpu.memory[0];
    for (index, word) in (0..).zip(frame) {
        let at = stack.get() + PAGE_SIZE - 40 + 8 * index;
        memory.write(at, &u64::to_le_bytes(word)).unwrap();
    }
    cpu.registers.rsp = RING_0_STACK + PAGE_SIZE - 40;
    cpu.registers.rip = SYSTEM_BASE + PAGE_SIZE + 6 * 16 + 2;
    // As the stub leaves them on its way.
    cpu.registers.rax = 0;
    cpu.registers.rcx = 0;
    cpu.system_registers.cs = 0x10;
    Exit::PortOut { port: u16::from(port::EXCEPTION_BASE + 6) }
}

fn state() -> CpuState {
    let registers = Registers {
        rax: 1,
        rbx: 2,
        rcx: 3,
        rdx: 4,
        rsp: 0x7000,
        rip: 0x40_0000,
        rflags: 0x3002,
        ..Registers::default()
    };
    CpuState { registers, fs_base: 0x1234, gs_base: 0x5678, extended: vec![0; 4096] }
}

#[test]
fn a_cpu_that_lacks_an_instruction_of_the_entry_stub_is_given_its_state_otherwise() {
    // The first instruction, and `wrfsbase` in its middle.
    for instruction in [ENTRY, ENTRY + 46] {
        let (mut machine, mut space, seen) =
            loaded(&state(), move |cpu, stack| invalid_opcode(cpu, stack, instruction));
        assert_eq!(machine.run(&mut space).unwrap(), Trap::Doorbell);
        let seen = seen.lock().unwrap();
        assert_eq!(seen.len(), 2);
        assert_eq!(seen[0].0.rip, ENTRY);
        assert_eq!(seen[1], (state().registers, 0x1234, 0x5678), "{instruction:#x}");
    }
}

#[test]
fn the_guests_own_invalid_instructions_are_its_own() {
    for instruction in [0x40_0000, ENTRY - 1, ENTRY + 200] {
        let (mut machine, mut space, _) =
            loaded(&state(), move |cpu, stack| invalid_opcode(cpu, stack, instruction));
        let trap = machine.run(&mut space).unwrap();
        assert!(
            matches!(trap, Trap::Exception(Exception { vector: 6, instruction: found, .. })
                if found == instruction),
            "{trap:?}"
        );
    }
}

#[test]
fn a_state_that_was_loaded_is_saved_as_it_is_until_the_guest_has_run() {
    let (mut machine, mut space, _) = loaded(&state(), |_, _| Exit::Kicked);
    assert_eq!(machine.save(&space).unwrap(), state());
    // Kicked at the stub, and then behind it.
    assert_eq!(machine.run(&mut space).unwrap(), Trap::Kicked);
    assert_eq!(machine.save(&space).unwrap(), state());
    let (mut machine, mut space, _) = loaded(&state(), |cpu, _| {
        cpu.registers = Registers { rip: 0x40_0100, ..state().registers };
        Exit::Kicked
    });
    assert_eq!(machine.run(&mut space).unwrap(), Trap::Kicked);
    assert_eq!(machine.save(&space).unwrap().registers.rip, 0x40_0100);
}
