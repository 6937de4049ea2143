//! What the host reads and writes in the system pages while a guest runs.

use super::entry_stub;
use super::map::{
    ENTRY_FS_BASE, ENTRY_GS_BASE, ENTRY_RAX, ENTRY_RCX, ENTRY_RDX, ENTRY_RIP, ENTRY_STUB,
    RING_0_STACK, SYSTEM_CALL_STUB, WITH_ERROR_CODE,
};
use ampoule_abi::layout::PAGE_SIZE;
use ampoule_machine::{CpuState, Exception, Registers, SystemPages};
use ampoule_memory::{AddressSpace, OutOfBounds, PhysicalAddress, PhysicalMemory};

/// Bytes of extended state that are kept: x87, SSE, AVX and AVX-512 end at 2688 (Intel SDM vol. 1,
/// section 13.4.3, and CPUID leaf 0xd).
const EXTENDED_MAX: usize = 2688;
/// The header of an `XSAVE` area: which components it holds, then its format and reserved words
/// (Intel SDM vol. 1, section 13.4.2).
const XSAVE_COMPONENTS: usize = 512;
const XSAVE_FORMAT: usize = 520;
const XSAVE_HEADER_END: usize = 576;

const VECTOR_INVALID_OPCODE: u8 = 6;
/// RF.
const RESUME_FLAG: u64 = 1 << 16;

/// The system pages of one address space that the host looks at while the guest runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ring0Pages {
    /// Guest-physical address of the ring-0 stack's page.
    stack: PhysicalAddress,
    /// Guest-physical address of the page of the entry state.
    entry_state: PhysicalAddress,
}

/// What the processor pushes at an exception.
#[derive(Debug, Clone, Copy)]
pub(super) struct ExceptionFrame {
    pub(super) error_code: u64,
    pub(super) rip: u64,
    pub(super) rsp: u64,
    pub(super) rflags: u64,
}

impl Ring0Pages {
    /// Those of [`super::system_pages()`] that lie at `pages`; `None` for pages of another back end.
    pub(super) fn at(pages: &SystemPages) -> Option<Self> {
        let [_, _, _, stack, entry_state] = *pages.places() else { return None };
        Some(Self { stack, entry_state })
    }

    /// Fills the page of the entry state so that the entry stub, started by
    /// [`Self::entry_registers`], leads to `state`. Components that are not in `xcr0` are left out.
    ///
    /// A page that holds the state already is not written, so that it stays shared with its image.
    pub(super) fn write_entry_state(
        self,
        memory: &PhysicalMemory,
        state: &CpuState,
        xcr0: u64,
    ) -> Result<(), OutOfBounds> {
        let mut extended = [0_u8; EXTENDED_MAX];
        let length = state.extended.len().min(EXTENDED_MAX);
        extended[..length].copy_from_slice(&state.extended[..length]);
        // Components outside of XCR0 would make `xrstor` fault; without them it resets theirs.
        for (byte, allowed) in extended[XSAVE_COMPONENTS..].iter_mut().zip(xcr0.to_le_bytes()) {
            *byte &= allowed;
        }
        extended[XSAVE_FORMAT..XSAVE_HEADER_END].fill(0);
        let mut present = [0_u8; EXTENDED_MAX];
        memory.read(self.entry_state, &mut present)?;
        if present != extended {
            memory.write(self.entry_state, &extended)?;
        }
        let registers = &state.registers;
        let words = [
            (ENTRY_FS_BASE, state.fs_base),
            (ENTRY_GS_BASE, state.gs_base),
            (ENTRY_RCX, registers.rcx),
            (ENTRY_RAX, registers.rax),
            (ENTRY_RDX, registers.rdx),
            (ENTRY_RIP, registers.rip),
        ];
        for (at, word) in words {
            if memory.read_u64(self.entry_state.plus(at))? != word {
                memory.write_u64(self.entry_state.plus(at), word)?;
            }
        }
        Ok(())
    }

    /// The state that the entry stub would have led to, when it raised an exception; `registers` are those
    /// at the exception.
    pub(super) fn read_entry_state(
        self,
        registers: &Registers,
        space: &AddressSpace,
    ) -> Option<CpuState> {
        let frame = self.exception_frame(VECTOR_INVALID_OPCODE, registers.rsp, space)?;
        // The processor pushes RF with a fault, so that the instruction can be made again.
        let rflags = frame.rflags & !RESUME_FLAG;
        let registers = Registers { rsp: frame.rsp, rflags, ..*registers };
        self.loaded_state(&registers, space)
    }

    /// The state that the entry stub will lead to from `registers`, those made by
    /// [`Self::entry_registers`].
    pub(super) fn loaded_state(
        self,
        registers: &Registers,
        space: &AddressSpace,
    ) -> Option<CpuState> {
        let word = |at: u64| space.memory().read_u64(self.entry_state.plus(at)).ok();
        let mut extended = vec![0; usize::try_from(PAGE_SIZE).ok()?];
        let kept = &mut extended[..EXTENDED_MAX];
        space.memory().read(self.entry_state, kept).ok()?;
        let registers = Registers {
            rcx: word(ENTRY_RCX)?,
            rax: word(ENTRY_RAX)?,
            rdx: word(ENTRY_RDX)?,
            rip: word(ENTRY_RIP)?,
            ..*registers
        };
        let (fs_base, gs_base) = (word(ENTRY_FS_BASE)?, word(ENTRY_GS_BASE)?);
        Some(CpuState { registers, fs_base, gs_base, extended })
    }

    /// Whether `exception` is that of a CPU that lacks an instruction of the entry stub: `xrstor`,
    /// `wrfsbase` or `wrgsbase`.
    pub(super) fn is_missing_instruction(exception: &Exception) -> bool {
        exception.vector == VECTOR_INVALID_OPCODE && Self::is_entry_stub(exception.instruction)
    }

    /// Whether the instruction at this address is one of the entry stub.
    pub(super) fn is_entry_stub(instruction: u64) -> bool {
        (ENTRY_STUB..ENTRY_STUB + entry_stub::LENGTH).contains(&instruction)
    }

    /// The registers with which the entry stub leads to `registers`.
    pub(super) const fn entry_registers(registers: &Registers) -> Registers {
        // All components that there are: `xrstor` takes the mask in EDX:EAX.
        let mask = 0xffff_ffff;
        let rip = ENTRY_STUB;
        Registers { rax: mask, rdx: mask, rip, ..*registers }
    }

    /// Whether an `out` at or just before `instruction` belongs to the system call stub.
    pub(super) const fn is_system_call_stub(instruction: u64) -> bool {
        // Some hypervisors report the `out` itself, some the instruction behind it.
        instruction == SYSTEM_CALL_STUB || instruction == SYSTEM_CALL_STUB + 2
    }

    /// The frame of an exception that a stub reported with stack pointer `rsp`; `None` when that is
    /// not where one exception from ring 3 leaves it.
    pub(super) fn exception_frame(
        self,
        vector: u8,
        rsp: u64,
        space: &AddressSpace,
    ) -> Option<ExceptionFrame> {
        let error_code = WITH_ERROR_CODE.contains(&vector);
        let words = if error_code { 6 } else { 5 };
        if rsp != RING_0_STACK + PAGE_SIZE - words * 8 {
            return None;
        }
        let base = self.stack.plus(PAGE_SIZE - words * 8);
        let word = |index: u64| space.memory().read_u64(base.plus(index * 8)).ok();
        let skipped = words - 5;
        Some(ExceptionFrame {
            error_code: if error_code { word(0)? } else { 0 },
            rip: word(skipped)?,
            rsp: word(skipped + 3)?,
            rflags: word(skipped + 2)?,
        })
    }
}
