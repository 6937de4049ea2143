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

use super::entry_stub;
use super::map::{
    ENTRY_STATE, ENTRY_STUB, EXCEPTION_STUBS, IDT_OFFSET, RING_0_STACK, SYSTEM_CALL_RETURN,
    SYSTEM_CALL_STUB, TABLES, TSS, TSS_OFFSET, WITH_ERROR_CODE,
};
use ampoule_abi::layout::PAGE_SIZE;
use ampoule_abi::port;
use ampoule_machine::SystemPage;
use ampoule_memory::{PinnedRange, Privilege, Protection};

/// Bytes between two exception stubs.
const STUB_SIZE: u64 = 16;
/// Fixed part of a 64-bit TSS (Intel SDM vol. 3, figure 8-11).
const TSS_FIXED: usize = 104;
/// One bit a port for ports 0 to 255, and the byte of ones that must end the bitmap.
const IO_BITMAP: usize = 256 / 8 + 1;
/// Selector of the ring-0 code segment.
const KERNEL_CODE: u64 = 0x10;
/// The only vector that ring 3 may raise by an instruction: `int3`.
const VECTOR_BREAKPOINT: u8 = 3;

/// Descriptors by index: null twice, kernel code and data, then the order that `sysret` wants
/// (AMD64 APM vol. 2, section 6.1.1): 32-bit code, data, 64-bit code. All marked accessed, because
/// the table is read-only for the processor too. The TSS follows at 0x40.
const DESCRIPTORS: [u64; 8] = [
    0,
    0,
    0x00af_9b00_0000_ffff,
    0x00cf_9300_0000_ffff,
    0x00cf_fb00_0000_ffff,
    0x00cf_f300_0000_ffff,
    0x00af_fb00_0000_ffff,
    0,
];

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
            place(0, &gdt());
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
            place(SYSTEM_CALL_RETURN - SYSTEM_CALL_STUB, &[0x48, 0x0f, 0x07]);
            place(ENTRY_STUB - SYSTEM_CALL_STUB, &entry_stub::code());
        }
        _ => return None,
    }
    Some(page)
}

fn gdt() -> Vec<u8> {
    let (base, limit) = TSS;
    // A busy 64-bit TSS descriptor takes two entries (Intel SDM vol. 3, figure 8-4).
    let low = u64::from(limit) | (base & 0xff_ffff) << 16 | 0x8b << 40 | (base >> 24 & 0xff) << 56;
    DESCRIPTORS.iter().copied().chain([low, base >> 32]).flat_map(u64::to_le_bytes).collect()
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

const _: () = assert!(TSS.1 as usize == TSS_FIXED + IO_BITMAP - 1);
const _: () = assert!(TSS_OFFSET + (TSS_FIXED + IO_BITMAP) as u64 <= IDT_OFFSET);

#[cfg(test)]
mod tests;
