//! Where everything of ring 0 stands in a guest's address space.

use ampoule_abi::layout::{PAGE_SIZE, SYSTEM_BASE};

/// Descriptor tables.
pub(super) const TABLES: u64 = SYSTEM_BASE;
/// A stub for each exception.
pub(super) const EXCEPTION_STUBS: u64 = SYSTEM_BASE + PAGE_SIZE;
/// Where `syscall` goes.
pub(super) const SYSTEM_CALL_STUB: u64 = SYSTEM_BASE + 2 * PAGE_SIZE;
/// A `sysretq`, for processors that enter the stub at ring 0.
pub(super) const SYSTEM_CALL_RETURN: u64 = SYSTEM_CALL_STUB + 16;
/// The entry stub, in the page of the system call stub.
pub(super) const ENTRY_STUB: u64 = SYSTEM_CALL_STUB + 32;
/// The page of the ring-0 stack.
pub(super) const RING_0_STACK: u64 = SYSTEM_BASE + 4 * PAGE_SIZE;
/// The page of the entry state: extended state, and behind it what follows.
pub(super) const ENTRY_STATE: u64 = SYSTEM_BASE + 5 * PAGE_SIZE;

/// Where the bases of FS and GS, RCX, RAX, RDX and RIP stand in the page of the entry state.
pub(super) const ENTRY_FS_BASE: u64 = PAGE_SIZE - 48;
pub(super) const ENTRY_GS_BASE: u64 = PAGE_SIZE - 40;
pub(super) const ENTRY_RCX: u64 = PAGE_SIZE - 32;
pub(super) const ENTRY_RAX: u64 = PAGE_SIZE - 24;
pub(super) const ENTRY_RDX: u64 = PAGE_SIZE - 16;
pub(super) const ENTRY_RIP: u64 = PAGE_SIZE - 8;

/// Offset of the TSS in the page of tables, behind the GDT.
pub(super) const TSS_OFFSET: u64 = 0x100;
/// Offset of the IDT.
pub(super) const IDT_OFFSET: u64 = 0x400;
/// Base and limit of the GDT.
pub(super) const GDT: (u64, u16) = (TABLES, 10 * 8 - 1);
/// Base and limit of the TSS.
pub(super) const TSS: (u64, u16) = (TABLES + TSS_OFFSET, 104 + 33 - 1);
/// Base and limit of the IDT: 32 gates, so that any other `int n` is a protection fault.
pub(super) const IDT: (u64, u16) = (TABLES + IDT_OFFSET, 32 * 16 - 1);

/// Vectors for which the processor pushes an error code (Intel SDM vol. 3, table 6-1; the last three
/// are AMD's).
pub(super) const WITH_ERROR_CODE: [u8; 10] = [8, 10, 11, 12, 13, 14, 17, 21, 29, 30];
