//! A VM with one CPU that runs ring-3 code.

use super::map;
use super::pages::Ring0Pages;
use crate::refusal::refused;
use crate::vm::{Exit, InitialState, Vcpu, Vm};
use ampoule_abi::port;
use ampoule_machine::{
    CpuState, Entry, Exception, Kicker, Machine, MachineError, Registers, SystemPages, Trap,
    Violation,
};
use ampoule_memory::{Access, AddressSpace};
use std::io;
use std::sync::Arc;
use std::thread::{self, ThreadId};
use std::time::Duration;

/// RFLAGS: I/O privilege level 3 and the bit that is always set. Some processors check the level,
/// others the I/O bitmap; the system pages provide the other half.
const INITIAL_RFLAGS: u64 = 0x3002;

/// RFLAGS that `syscall` clears: TF, IF, DF, NT, RF, AC.
const SYSTEM_CALL_FLAG_MASK: u64 = 0x5_4700;

/// Exception vectors that the host treats specially.
const VECTOR_PAGE_FAULT: u8 = 14;

/// A VM with one CPU that runs ring-3 code.
struct Ring3 {
    // The CPU goes before the VM that it belongs to.
    vcpu: Box<dyn Vcpu>,
    vm: Box<dyn Vm>,
    /// That of the address space when it ran last.
    generation: u64,
    /// Name of the back end whose VM it is.
    backend: &'static str,
    pages: Ring0Pages,
    /// Unless the CPU stopped in a way after which its state cannot be relied on.
    is_sound: bool,
    way_in: WayIn,
    /// Asked for once: it costs a system call.
    tsc_frequency: Option<u64>,
    /// The thread that ran it last.
    ran_on: Option<ThreadId>,
    /// [`ampoule_machine::Backend::thread_change_cost`].
    thread_change_cost: Duration,
}

/// How [`Machine::load`] brings back what the general registers are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WayIn {
    /// By the entry stub, as far as is known.
    Stub,
    /// By the entry stub at the next run.
    Loaded,
    /// By the hypervisor: ring 3 lacks an instruction.
    Hypervisor,
}

/// A machine that starts at `entry` in `space`, in which `pages` are those of [`super::system_pages()`], over `vm`,
/// which has no memory yet.
///
/// # Errors
/// [`MachineError::Refused`].
pub fn machine(
    mut vm: Box<dyn Vm>,
    space: &AddressSpace,
    pages: &SystemPages,
    entry: Entry,
    thread_change_cost: Duration,
) -> Result<Box<dyn Machine>, MachineError> {
    let foreign = || refused("find the pages of ring 0")(io::ErrorKind::InvalidInput);
    let backend = pages.backend();
    let pages = Ring0Pages::at(pages).ok_or_else(foreign)?;
    for (base, mapping) in space.memory().parts() {
        vm.map_memory(base, Arc::clone(mapping))?;
    }
    let mut vcpu = vm.create_vcpu()?;
    vcpu.initialise(&InitialState {
        registers: Registers {
            rip: entry.instruction,
            rsp: entry.stack,
            rflags: INITIAL_RFLAGS,
            ..Registers::default()
        },
        page_tables: space.root(),
        gdt: map::GDT,
        idt: map::IDT,
        tss: map::TSS,
        system_call_entry: map::SYSTEM_CALL_STUB,
        system_call_flag_mask: SYSTEM_CALL_FLAG_MASK,
    })?;
    let way_in = if vcpu.xcr0().is_some() { WayIn::Stub } else { WayIn::Hypervisor };
    let tsc_frequency = vcpu.tsc_frequency();
    Ok(Box::new(Ring3 {
        vcpu,
        vm,
        generation: space.generation(),
        backend,
        pages,
        is_sound: true,
        way_in,
        tsc_frequency,
        ran_on: None,
        thread_change_cost,
    }))
}

impl Machine for Ring3 {
    fn run(&mut self, space: &mut AddressSpace) -> Result<Trap, MachineError> {
        if self.generation != space.generation() {
            self.vm.forget_translations()?;
            self.generation = space.generation();
        }
        self.ran_on = Some(thread::current().id());
        let exit = self.vcpu.run().inspect_err(|_| self.is_sound = false)?;
        // KVM finishes an access to memory that is not there, and an `in`, at the next run, over
        // whatever registers it is given.
        self.is_sound = matches!(exit, Exit::PortOut { .. } | Exit::Kicked);
        let violation = match exit {
            Exit::PortOut { port } => {
                let trap = self.port_out(port, space);
                if self.way_in == WayIn::Loaded {
                    self.way_in = WayIn::Stub;
                    if let Trap::Exception(exception) = trap
                        && Ring0Pages::is_missing_instruction(&exception)
                    {
                        self.enter_without_stub(space)?;
                        return self.run(space);
                    }
                }
                return Ok(trap);
            }
            Exit::Kicked => {
                let at = self.vcpu.registers().rip;
                if self.way_in == WayIn::Loaded && !Ring0Pages::is_entry_stub(at) {
                    self.way_in = WayIn::Stub;
                }
                return Ok(Trap::Kicked);
            }
            Exit::PortIn { port } => Violation::Port { port },
            Exit::Unbacked { .. } => Violation::Unbacked,
            Exit::Halt => Violation::Halt,
            Exit::Shutdown => Violation::Shutdown,
            Exit::Unrunnable { code } => Violation::Unrunnable { code },
        };
        Ok(Trap::Violation(violation))
    }

    fn has_affinity_here(&self) -> bool {
        let ran_here = self.ran_on.is_none_or(|thread| thread == thread::current().id());
        ran_here || self.thread_change_cost.is_zero()
    }

    fn return_from_system_call(&mut self, result: i64) {
        let mut registers = self.vcpu.registers();
        registers.rax = result.cast_unsigned();
        if self.in_ring_0() {
            // Hardware entered the stub at ring 0; `sysretq` leads back. Where the hypervisor keeps
            // `syscall` in ring 3, the stub jumps back by itself.
            registers.rip = map::SYSTEM_CALL_RETURN;
        }
        self.vcpu.set_registers(&registers);
    }

    fn set_fs_base(&mut self, base: u64) {
        self.vcpu.set_fs_base(base);
    }

    fn position(&self) -> (u64, u64) {
        let registers = self.vcpu.registers();
        let in_stub = Ring0Pages::is_system_call_stub(registers.rip);
        (if in_stub { registers.rcx } else { registers.rip }, registers.rsp)
    }

    fn tsc_frequency(&self) -> Option<u64> {
        self.tsc_frequency
    }

    fn save(&mut self, space: &AddressSpace) -> Result<CpuState, MachineError> {
        if self.way_in == WayIn::Loaded {
            // The CPU stands at the entry stub, and would stay there for ever as a state of its own.
            return self.loaded_state(space);
        }
        let state = self.vcpu.save()?;
        self.leave_state(&state, space)?;
        Ok(state)
    }

    fn load(&mut self, state: &CpuState, space: &AddressSpace) -> Result<(), MachineError> {
        self.vcpu.set_segments(state.fs_base, state.gs_base)?;
        if self.way_in == WayIn::Hypervisor {
            self.vcpu.load_extended(&state.extended)?;
            self.vcpu.set_registers(&state.registers);
        } else {
            self.leave_state(state, space)?;
            self.way_in = WayIn::Loaded;
            self.vcpu.set_registers(&Ring0Pages::entry_registers(&state.registers));
        }
        Ok(())
    }

    fn is_sound(&self) -> bool {
        self.is_sound
    }

    fn stands_on(&self, pages: &SystemPages) -> bool {
        pages.backend() == self.backend && Ring0Pages::at(pages) == Some(self.pages)
    }

    fn forget_kicks(&mut self) {
        self.vcpu.forget_kicks();
    }

    fn kicker(&self) -> Kicker {
        self.vcpu.kicker()
    }
}

impl Ring3 {
    /// The state that was loaded and has not run yet.
    fn loaded_state(&self, space: &AddressSpace) -> Result<CpuState, MachineError> {
        let damaged = || refused("read a CPU's state")(io::ErrorKind::InvalidData);
        self.pages.loaded_state(&self.vcpu.registers(), space).ok_or_else(damaged)
    }

    fn leave_state(&self, state: &CpuState, space: &AddressSpace) -> Result<(), MachineError> {
        let Some(xcr0) = self.vcpu.xcr0() else { return Ok(()) };
        let left = self.pages.write_entry_state(space.memory(), state, xcr0);
        left.map_err(|error| refused("keep a CPU's state")(io::Error::other(error)))
    }

    /// Does what the entry stub would have done, on a CPU that lacks one of its instructions. Which ones
    /// there are is only known by trying: a paravirtual KVM offers neither `xrstor` nor `wrfsbase` in its
    /// CPUID table, and ring 3 has them all the same.
    fn enter_without_stub(&mut self, space: &AddressSpace) -> Result<(), MachineError> {
        self.way_in = WayIn::Hypervisor;
        let registers = self.vcpu.registers();
        let damaged = || refused("go back to a CPU's state")(io::ErrorKind::InvalidData);
        let state = self.pages.read_entry_state(&registers, space).ok_or_else(damaged)?;
        self.vcpu.set_segments(state.fs_base, state.gs_base)?;
        self.vcpu.load_extended(&state.extended)?;
        self.vcpu.set_registers(&state.registers);
        Ok(())
    }

    fn in_ring_0(&self) -> bool {
        self.vcpu.system_registers().cs & 3 == 0
    }

    fn port_out(&self, port: u16, space: &AddressSpace) -> Trap {
        let violation = Trap::Violation(Violation::Port { port });
        match u8::try_from(port) {
            Ok(port::DOORBELL) => Trap::Doorbell,
            Ok(port::TRACE) => Trap::TraceFull,
            Ok(port::SYSTEM_CALL) => {
                let r = self.vcpu.registers();
                if !Ring0Pages::is_system_call_stub(r.rip) {
                    return violation;
                }
                Trap::SystemCall {
                    number: r.rax,
                    arguments: [r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9],
                }
            }
            Ok(number @ port::EXCEPTION_BASE..) if self.in_ring_0() => self
                .exception(number - port::EXCEPTION_BASE, space)
                .map_or(violation, Trap::Exception),
            _ => violation,
        }
    }

    /// Reads the frame that the processor pushed; `None` when the stack is not where a single
    /// exception from ring 3 leaves it.
    fn exception(&self, vector: u8, space: &AddressSpace) -> Option<Exception> {
        let frame = self.pages.exception_frame(vector, self.vcpu.registers().rsp, space)?;
        let fault = (vector == VECTOR_PAGE_FAULT).then(|| {
            // Intel SDM vol. 3, figure 4-12: bit 1 is a write, bit 4 an instruction fetch.
            let access = match frame.error_code {
                code if code & 1 << 4 != 0 => Access::Execute,
                code if code & 1 << 1 != 0 => Access::Write,
                _ => Access::Read,
            };
            (self.vcpu.system_registers().cr2, access)
        });
        Some(Exception {
            vector,
            error_code: frame.error_code,
            instruction: frame.rip,
            stack: frame.rsp,
            fault,
        })
    }
}

impl std::fmt::Debug for Ring3 {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Machine").field("registers", &self.vcpu.registers()).finish()
    }
}

#[cfg(test)]
mod tests;
