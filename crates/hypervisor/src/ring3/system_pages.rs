//! The pages that ring 0 needs so that ring 3 can be left: descriptor tables, stubs, a stack.
//!
//! ```text
//! SYSTEM_BASE + 0x0000  GDT, TSS with I/O bitmap, IDT       ring 0, read
//!             + 0x1000  exception stubs, 16 bytes each      ring 0, execute
//!             + 0x2000  system call stub and return, entry  ring 3, execute
//!             + 0x3000  (not mapped: guard)
//!             + 0x4000  ring-0 stack                        ring 0, read and write
//!             + 0x5000  state that the entry stub loads     ring 3, read
//! ```
//!
//! The *entry stub* is how a CPU goes back to a saved state without an `ioctl`: it sets what the host does
//! not set by itself of everything that ring 3 can change. That is the extended state, from its page by
//! `xrstor`; the segment selectors, and then the bases, which loading a selector changes; the registers that
//! it needed for that; and it jumps to where the guest was. It runs in ring 3 and can do nothing that the
//! guest could not.

use ampoule_abi::layout::{PAGE_SIZE, SYSTEM_BASE};
use ampoule_abi::port;
use ampoule_machine::{CpuState, Exception, Registers, SystemPage, SystemPages};
use ampoule_memory::{
    AddressSpace, OutOfBounds, PhysicalAddress, PhysicalMemory, PinnedRange, Privilege, Protection,
};

const TABLES: u64 = SYSTEM_BASE;
const EXCEPTION_STUBS: u64 = SYSTEM_BASE + PAGE_SIZE;
const SYSTEM_CALL_STUB: u64 = SYSTEM_BASE + 2 * PAGE_SIZE;
const RING_0_STACK: u64 = SYSTEM_BASE + 4 * PAGE_SIZE;
const ENTRY_STATE: u64 = SYSTEM_BASE + 5 * PAGE_SIZE;

/// Where the entry stub lies in the page of the system call stub.
const ENTRY_STUB_OFFSET: u64 = 32;
/// Where the bases of FS and GS, RCX, RAX, RDX and RIP stand in the page of the entry state, behind the
/// extended state.
const ENTRY_FS_BASE: u64 = PAGE_SIZE - 48;
const ENTRY_GS_BASE: u64 = PAGE_SIZE - 40;
const ENTRY_RCX: u64 = PAGE_SIZE - 32;
const ENTRY_RAX: u64 = PAGE_SIZE - 24;
const ENTRY_RDX: u64 = PAGE_SIZE - 16;
const ENTRY_RIP: u64 = PAGE_SIZE - 8;
/// Bytes of extended state that are kept: x87, SSE, AVX and AVX-512 end at 2688 (Intel SDM vol. 1,
/// section 13.4.3, and CPUID leaf 0xd).
const EXTENDED_MAX: usize = 2688;
/// The header of an `XSAVE` area: which components it holds, then its format and reserved words
/// (Intel SDM vol. 1, section 13.4.2).
const XSAVE_COMPONENTS: usize = 512;
const XSAVE_FORMAT: usize = 520;
const XSAVE_HEADER_END: usize = 576;

/// Bytes between two exception stubs.
const STUB_SIZE: u64 = 16;
/// Offsets in the page of tables.
const GDT_OFFSET: u64 = 0;
const TSS_OFFSET: u64 = 0x100;
const IDT_OFFSET: u64 = 0x400;
/// Fixed part of a 64-bit TSS (Intel SDM vol. 3, figure 8-11).
const TSS_FIXED: usize = 104;
/// One bit a port for ports 0 to 255, and the byte of ones that must end the bitmap.
const IO_BITMAP: usize = 256 / 8 + 1;
/// Selector of the ring-0 code segment.
const KERNEL_CODE: u64 = 0x10;
/// Vectors for which the processor pushes an error code (Intel SDM vol. 3, table 6-1; the last three
/// are AMD's).
const WITH_ERROR_CODE: [u8; 10] = [8, 10, 11, 12, 13, 14, 17, 21, 29, 30];
const VECTOR_INVALID_OPCODE: u8 = 6;
/// RF.
const RESUME_FLAG: u64 = 1 << 16;
/// The only vector that ring 3 may raise by an instruction: `int3`.
const VECTOR_BREAKPOINT: u8 = 3;

/// Descriptors by index: null twice, kernel code and data, then the order that `sysret` wants
/// (AMD64 APM vol. 2, section 6.1.1): 32-bit code, data, 64-bit code. All marked accessed, because
/// the table is read-only for the processor too. The TSS follows at 0x40.
const GDT: [u64; 8] = [
    0,
    0,
    0x00af_9b00_0000_ffff,
    0x00cf_9300_0000_ffff,
    0x00cf_fb00_0000_ffff,
    0x00cf_f300_0000_ffff,
    0x00af_fb00_0000_ffff,
    0,
];

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
    /// Base and limit of the GDT.
    pub(super) const GDT: (u64, u16) = (TABLES + GDT_OFFSET, 10 * 8 - 1);
    /// Base and limit of the TSS.
    pub(super) const TSS: (u64, u16) = (TABLES + TSS_OFFSET, 104 + 33 - 1);
    /// Base and limit of the IDT: 32 gates, so that any other `int n` is a protection fault.
    pub(super) const IDT: (u64, u16) = (TABLES + IDT_OFFSET, 32 * 16 - 1);
    /// Where `syscall` goes.
    pub(super) const SYSTEM_CALL_ENTRY: u64 = SYSTEM_CALL_STUB;
    /// A `sysretq`, for processors that enter the stub at ring 0.
    pub(super) const SYSTEM_CALL_RETURN: u64 = SYSTEM_CALL_STUB + 16;
    /// RFLAGS that `syscall` clears: TF, IF, DF, NT, RF, AC.
    pub(super) const SYSTEM_CALL_FLAG_MASK: u64 = 0x5_4700;

    /// Those of [`system_pages`] that lie at `pages`; `None` for pages of another back end.
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
        let start = SYSTEM_CALL_STUB + ENTRY_STUB_OFFSET;
        (start..start + ENTRY_STUB_LENGTH).contains(&instruction)
    }

    /// The registers with which the entry stub leads to `registers`.
    pub(super) const fn entry_registers(registers: &Registers) -> Registers {
        // All components that there are: `xrstor` takes the mask in EDX:EAX.
        let mask = 0xffff_ffff;
        let rip = SYSTEM_CALL_STUB + ENTRY_STUB_OFFSET;
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

/// Where the system pages stand, in order of addresses.
const RANGES: [PinnedRange; 5] = [
    range(TABLES, Protection::READ, Privilege::Supervisor),
    range(EXCEPTION_STUBS, Protection::READ_EXECUTE, Privilege::Supervisor),
    range(SYSTEM_CALL_STUB, Protection::READ_EXECUTE, Privilege::User),
    range(RING_0_STACK, Protection::READ_WRITE, Privilege::Supervisor),
    range(ENTRY_STATE, Protection::READ, Privilege::User),
];

/// The pages that every hypervisor needs.
#[must_use]
pub fn system_pages() -> Vec<SystemPage> {
    RANGES.map(|range| SystemPage { range, contents: contents(range.start) }).into()
}

const fn range(start: u64, protection: Protection, privilege: Privilege) -> PinnedRange {
    PinnedRange { start, end: start + PAGE_SIZE, protection, privilege, attached: None }
}

/// What stands at the start of the page at `start`, zeros behind it. `None` for the pages that change:
/// the stack, which every exception writes before anything reads it, and the entry state, which ring 3
/// loads with its own rights.
fn contents(start: u64) -> Option<Vec<u8>> {
    let mut page = Vec::new();
    let mut place = |offset: u64, bytes: &[u8]| {
        page.resize(usize::try_from(offset).unwrap_or_default(), 0);
        page.extend_from_slice(bytes);
    };
    match start {
        TABLES => {
            place(GDT_OFFSET, &gdt());
            place(TSS_OFFSET, &tss());
            place(IDT_OFFSET, &idt());
        }
        EXCEPTION_STUBS => {
            for vector in 0..port::EXCEPTION_COUNT {
                place(u64::from(vector) * STUB_SIZE, &exception_stub(vector));
            }
        }
        SYSTEM_CALL_STUB => {
            // out %al, $SYSTEM_CALL; jmp *%rcx
            place(0, &[0xe6, port::SYSTEM_CALL, 0xff, 0xe1]);
            // sysretq
            place(16, &[0x48, 0x0f, 0x07]);
            place(ENTRY_STUB_OFFSET, &entry_stub());
        }
        _ => return None,
    }
    Some(page)
}

fn gdt() -> Vec<u8> {
    let (base, limit) = Ring0Pages::TSS;
    // A busy 64-bit TSS descriptor takes two entries (Intel SDM vol. 3, figure 8-4).
    let low = u64::from(limit) | (base & 0xff_ffff) << 16 | 0x8b << 40 | (base >> 24 & 0xff) << 56;
    GDT.iter().copied().chain([low, base >> 32]).flat_map(u64::to_le_bytes).collect()
}

fn tss() -> Vec<u8> {
    let mut tss = vec![0_u8; TSS_FIXED];
    tss[4..12].copy_from_slice(&(RING_0_STACK + PAGE_SIZE).to_le_bytes());
    tss[102..104].copy_from_slice(&104_u16.to_le_bytes());
    let mut bitmap = [0xff_u8; IO_BITMAP];
    for allowed in [port::SYSTEM_CALL, port::DOORBELL, port::TRACE] {
        bitmap[usize::from(allowed / 8)] &= !(1 << (allowed % 8));
    }
    tss.extend_from_slice(&bitmap);
    tss
}

fn idt() -> Vec<u8> {
    (0..port::EXCEPTION_COUNT)
        .flat_map(|vector| {
            let handler = EXCEPTION_STUBS + u64::from(vector) * STUB_SIZE;
            // Present interrupt gate; ring 3 may raise only a breakpoint by itself.
            let access: u64 = if vector == VECTOR_BREAKPOINT { 0xee } else { 0x8e };
            let low = handler & 0xffff
                | KERNEL_CODE << 16
                | access << 40
                | (handler >> 16 & 0xffff) << 48;
            [low, handler >> 32]
        })
        .flat_map(u64::to_le_bytes)
        .collect()
}

/// One instruction of the entry stub: its bytes, and what it refers to relative to RIP.
type Step = (&'static [u8], Option<u64>);

/// The entry stub. None of its instructions changes a flag.
const ENTRY_STUB: [Step; 19] = [
    // fninit: `xrstor` leaves the x87 pointers of whoever ran before on AMD processors without
    // `XSaveErPtr`, unless an exception is pending (AMD64 APM vol. 3, CPUID 8000_0008 EBX bit 2)
    (&[0xdb, 0xe3], None),
    // xrstor64
    (&[0x48, 0x0f, 0xae, 0x2d], Some(ENTRY_STATE)),
    // mov $0, %eax; and then for each of DS, ES, FS and GS: mov to %ecx; jrcxz behind the next; mov from %eax.
    // Null selectors are what programs have natively, and to load one takes a hundred times a look at it.
    (&[0xb8, 0, 0, 0, 0], None),
    (&[0x8c, 0xd9, 0xe3, 2], None),
    (&[0x8e, 0xd8], None),
    (&[0x8c, 0xc1, 0xe3, 2], None),
    (&[0x8e, 0xc0], None),
    (&[0x8c, 0xe1, 0xe3, 2], None),
    (&[0x8e, 0xe0], None),
    (&[0x8c, 0xe9, 0xe3, 2], None),
    (&[0x8e, 0xe8], None),
    // wrfsbase %rax; wrgsbase %rax
    (&[0x48, 0x8b, 0x05], Some(ENTRY_STATE + ENTRY_FS_BASE)),
    (&[0xf3, 0x48, 0x0f, 0xae, 0xd0], None),
    (&[0x48, 0x8b, 0x05], Some(ENTRY_STATE + ENTRY_GS_BASE)),
    (&[0xf3, 0x48, 0x0f, 0xae, 0xd8], None),
    // mov to %rcx, %rax and %rdx; jmp
    (&[0x48, 0x8b, 0x0d], Some(ENTRY_STATE + ENTRY_RCX)),
    (&[0x48, 0x8b, 0x05], Some(ENTRY_STATE + ENTRY_RAX)),
    (&[0x48, 0x8b, 0x15], Some(ENTRY_STATE + ENTRY_RDX)),
    (&[0xff, 0x25], Some(ENTRY_STATE + ENTRY_RIP)),
];
const ENTRY_STUB_LENGTH: u64 = {
    let (mut length, mut index) = (0, 0);
    while index < ENTRY_STUB.len() {
        let (instruction, target) = ENTRY_STUB[index];
        length += instruction.len() + if target.is_some() { 4 } else { 0 };
        index += 1;
    }
    length as u64
};

fn entry_stub() -> Vec<u8> {
    let mut code = Vec::new();
    for (instruction, target) in ENTRY_STUB {
        code.extend_from_slice(instruction);
        if let Some(target) = target {
            let end = SYSTEM_CALL_STUB + ENTRY_STUB_OFFSET + code.len() as u64 + 4;
            // Both lie in the system pages, so the difference always fits.
            code.extend_from_slice(&(target - end).to_le_bytes()[..4]);
        }
    }
    code
}

/// `out` to the vector's port; when the host repaired the cause, drop the error code and return.
fn exception_stub(vector: u8) -> Vec<u8> {
    let mut code = vec![0xe6, port::EXCEPTION_BASE + vector];
    if WITH_ERROR_CODE.contains(&vector) {
        // add $8, %rsp
        code.extend_from_slice(&[0x48, 0x83, 0xc4, 0x08]);
    }
    // iretq
    code.extend_from_slice(&[0x48, 0xcf]);
    code
}

const _: () = assert!(Ring0Pages::TSS.1 as usize == TSS_FIXED + IO_BITMAP - 1);
const _: () = assert!(TSS_OFFSET + (TSS_FIXED + IO_BITMAP) as u64 <= IDT_OFFSET);

#[cfg(test)]
mod tests;
