//! Running ring 3: the pages that ring 0 needs, and the traps that leave ring 3.

mod system_pages;

pub use system_pages::SystemPages;

use crate::backend::{CpuState, Exit, HypervisorError, InitialState, Registers, Vcpu, Vm};
use crate::kick::Kicker;
use crate::kvm::thread_change_cost;
use ampoule_abi::port;
use ampoule_memory::{Access, AddressSpace};
use std::thread::{self, ThreadId};

/// RFLAGS: I/O privilege level 3 and the bit that is always set. Some processors check the level,
/// others the I/O bitmap; the system pages provide the other half.
const INITIAL_RFLAGS: u64 = 0x3002;

/// Exception vectors that the host treats specially.
const VECTOR_PAGE_FAULT: u8 = 14;

/// Why ring 3 was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trap {
    /// A message stands in the channel.
    Doorbell,
    /// The batch of trace events is full.
    TraceFull,
    /// `syscall`; answer with [`Machine::return_from_system_call`].
    SystemCall {
        /// RAX.
        number: u64,
        /// RDI, RSI, RDX, R10, R8, R9.
        arguments: [u64; 6],
    },
    /// A processor exception. Running on retries the instruction.
    Exception(Exception),
    /// The guest did what no program has a reason to do.
    Violation(Violation),
    /// A [`Kicker`] asked for a stop; running on continues.
    Kicked,
}

/// A processor exception in ring 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exception {
    /// Vector, 0 to 31 (Intel SDM vol. 3, table 6-1).
    pub vector: u8,
    /// Error code, zero for vectors without one.
    pub error_code: u64,
    /// Address of the instruction.
    pub instruction: u64,
    /// Stack pointer.
    pub stack: u64,
    /// Address and access of a page fault.
    pub fault: Option<(u64, Access)>,
}

/// Something that ends a guest without a processor exception.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Violation {
    /// I/O to a port that is not the doorbell.
    Port {
        /// The port.
        port: u16,
    },
    /// Access to guest-physical memory that does not exist.
    Unbacked,
    /// The processor was halted.
    Halt,
    /// Triple fault.
    Shutdown,
    /// The hypervisor could not go on with this guest.
    Unrunnable {
        /// The hypervisor's own code for it.
        code: u64,
    },
}

/// A VM with one CPU that runs ring-3 code.
pub struct Machine {
    // The CPU goes before the VM that it belongs to.
    vcpu: Box<dyn Vcpu>,
    vm: Box<dyn Vm>,
    /// That of the address space when it ran last.
    generation: u64,
    pages: SystemPages,
    /// Unless the CPU stopped in a way after which its state cannot be relied on.
    is_sound: bool,
    entry: Entry,
    /// Asked for once: it costs a system call.
    tsc_frequency: Option<u64>,
    /// The thread that ran it last.
    ran_on: Option<ThreadId>,
}

/// How [`Machine::load`] brings back what the general registers are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    /// By the entry stub, as far as is known.
    Stub,
    /// By the entry stub at the next run.
    Loaded,
    /// By the hypervisor: ring 3 lacks an instruction.
    Hypervisor,
}

impl Machine {
    /// Readies a CPU to start at `entry` with stack pointer `stack` in `space`, whose memory `vm`
    /// shows to the guest already and which holds `pages`.
    ///
    /// # Errors
    /// [`HypervisorError::Refused`].
    pub fn new(
        mut vm: Box<dyn Vm>,
        space: &AddressSpace,
        pages: SystemPages,
        entry: u64,
        stack: u64,
    ) -> Result<Self, HypervisorError> {
        let mut vcpu = vm.create_vcpu()?;
        vcpu.initialise(&InitialState {
            registers: Registers {
                rip: entry,
                rsp: stack,
                rflags: INITIAL_RFLAGS,
                ..Registers::default()
            },
            page_tables: space.root(),
            gdt: SystemPages::GDT,
            idt: SystemPages::IDT,
            tss: SystemPages::TSS,
            system_call_entry: SystemPages::SYSTEM_CALL_ENTRY,
            system_call_flag_mask: SystemPages::SYSTEM_CALL_FLAG_MASK,
        })?;
        let entry = if vcpu.xcr0().is_some() { Entry::Stub } else { Entry::Hypervisor };
        let tsc_frequency = vcpu.tsc_frequency();
        let generation = space.generation();
        Ok(Self { vcpu, vm, generation, pages, is_sound: true, entry, tsc_frequency, ran_on: None })
    }

    /// Runs ring 3 until it traps. `space` is only read, to find an exception's frame and to see
    /// whether its page tables were rebuilt.
    ///
    /// # Errors
    /// [`HypervisorError::Refused`] when the hypervisor itself fails.
    pub fn run(&mut self, space: &AddressSpace) -> Result<Trap, HypervisorError> {
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
                if self.entry == Entry::Loaded {
                    self.entry = Entry::Stub;
                    if let Trap::Exception(exception) = trap
                        && SystemPages::is_missing_instruction(&exception)
                    {
                        self.enter_without_stub(space)?;
                        return self.run(space);
                    }
                }
                return Ok(trap);
            }
            Exit::Kicked => {
                let at = self.vcpu.registers().rip;
                if self.entry == Entry::Loaded && !SystemPages::is_entry_stub(at) {
                    self.entry = Entry::Stub;
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

    /// Whether the next run on the calling thread costs nothing but itself ([`thread_change_cost`]).
    #[must_use]
    pub fn is_at_home(&self) -> bool {
        let ran_here = self.ran_on.is_none_or(|thread| thread == thread::current().id());
        ran_here || thread_change_cost().is_zero()
    }

    /// Gives the system call that trapped its result and goes on behind it at the next run.
    pub fn return_from_system_call(&mut self, result: i64) {
        let mut registers = self.vcpu.registers();
        registers.rax = result.cast_unsigned();
        if self.in_ring_0() {
            // Hardware entered the stub at ring 0; `sysretq` leads back. Where the hypervisor keeps
            // `syscall` in ring 3, the stub jumps back by itself.
            registers.rip = SystemPages::SYSTEM_CALL_RETURN;
        }
        self.vcpu.set_registers(&registers);
    }

    /// Sets the base of FS, where a libc keeps its thread's data.
    pub fn set_fs_base(&mut self, base: u64) {
        self.vcpu.set_fs_base(base);
    }

    /// Instruction pointer and stack pointer of ring 3 as of the last trap, for reports. At a
    /// system call the pointer is that of the instruction behind `syscall`.
    #[must_use]
    pub fn position(&self) -> (u64, u64) {
        let registers = self.vcpu.registers();
        let in_stub = SystemPages::is_system_call_stub(registers.rip);
        (if in_stub { registers.rcx } else { registers.rip }, registers.rsp)
    }

    /// Frequency of the guest's time-stamp counter in Hz, when the hypervisor knows it.
    #[must_use]
    pub const fn tsc_frequency(&self) -> Option<u64> {
        self.tsc_frequency
    }

    /// Reads the CPU's state and leaves it in `space`, so that memory which is sealed next carries it
    /// for [`Self::load`].
    ///
    /// Cost: two or three system calls.
    ///
    /// # Errors
    /// [`HypervisorError::Refused`].
    pub fn save(&mut self, space: &AddressSpace) -> Result<CpuState, HypervisorError> {
        if self.entry == Entry::Loaded {
            // The CPU stands at the entry stub, and would stay there for ever as a state of its own.
            return self.loaded_state(space);
        }
        let state = self.vcpu.save()?;
        self.leave_state(&state, space)?;
        Ok(state)
    }

    /// The state that was loaded and has not run yet.
    fn loaded_state(&self, space: &AddressSpace) -> Result<CpuState, HypervisorError> {
        self.pages.loaded_state(&self.vcpu.registers(), space).ok_or_else(|| {
            HypervisorError::Refused {
                operation: "read a CPU's state",
                source: std::io::ErrorKind::InvalidData.into(),
            }
        })
    }

    /// Makes the next run start in `state`, in `space`.
    ///
    /// Cost: no system call where ring 3 has what the entry stub needs, else one; a comparison with the state that the
    /// memory carries, and a copy of it when it is another one.
    ///
    /// # Errors
    /// [`HypervisorError::Refused`].
    pub fn load(&mut self, state: &CpuState, space: &AddressSpace) -> Result<(), HypervisorError> {
        self.vcpu.set_segments(state.fs_base, state.gs_base)?;
        if self.entry == Entry::Hypervisor {
            self.vcpu.load_extended(&state.extended)?;
            self.vcpu.set_registers(&state.registers);
        } else {
            self.leave_state(state, space)?;
            self.entry = Entry::Loaded;
            self.vcpu.set_registers(&SystemPages::entry_registers(&state.registers));
        }
        Ok(())
    }

    fn leave_state(&self, state: &CpuState, space: &AddressSpace) -> Result<(), HypervisorError> {
        let Some(xcr0) = self.vcpu.xcr0() else { return Ok(()) };
        self.pages.write_entry_state(space.memory(), state, xcr0).map_err(|error| {
            let source = std::io::Error::other(error);
            HypervisorError::Refused { operation: "keep a CPU's state", source }
        })
    }

    /// Does what the entry stub would have done, on a CPU that lacks one of its instructions. Which ones
    /// there are is only known by trying: a paravirtual KVM offers neither `xrstor` nor `wrfsbase` in its
    /// CPUID table, and ring 3 has them all the same.
    fn enter_without_stub(&mut self, space: &AddressSpace) -> Result<(), HypervisorError> {
        self.entry = Entry::Hypervisor;
        let registers = self.vcpu.registers();
        let state = self.pages.read_entry_state(&registers, space).ok_or_else(|| {
            HypervisorError::Refused {
                operation: "go back to a CPU's state",
                source: std::io::ErrorKind::InvalidData.into(),
            }
        })?;
        self.vcpu.set_segments(state.fs_base, state.gs_base)?;
        self.vcpu.load_extended(&state.extended)?;
        self.vcpu.set_registers(&state.registers);
        Ok(())
    }

    /// Whether [`Self::load`] leads to a known state. It does not when the CPU was shut down, left an
    /// access unfinished, or the hypervisor could not go on with it: then only a new machine will do.
    #[must_use]
    pub const fn is_sound(&self) -> bool {
        self.is_sound
    }

    /// Where the pages of ring 0 lie in the memory that this machine runs.
    #[must_use]
    pub const fn system_pages(&self) -> SystemPages {
        self.pages
    }

    /// Forgets kicks that came while nothing ran: they were meant for what ran before.
    pub fn forget_kicks(&mut self) {
        self.vcpu.forget_kicks();
    }

    /// A handle that makes [`Machine::run`] return, from any thread.
    #[must_use]
    pub fn kicker(&self) -> Kicker {
        self.vcpu.kicker()
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
                if !SystemPages::is_system_call_stub(r.rip) {
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

impl std::fmt::Debug for Machine {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Machine").field("registers", &self.vcpu.registers()).finish()
    }
}

#[cfg(test)]
mod tests;
