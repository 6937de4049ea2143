//! The address map of a guest: guest-physical and guest-virtual.
//!
//! Everything of the guest's own lies in the lowest 512 GiB of virtual memory (one entry of the
//! top page table), so that four table pages cover a small guest.
//!
//! ```text
//! guest-virtual
//! 0x00_0000_0000  never mapped (null accesses fault)          NULL_GUARD_END
//! 0x00_0001_0000  ET_EXEC images at their own addresses, heap (brk) behind them
//! 0x10_0000_0000  static-PIE images, heap (brk) behind them   PIE_BASE
//! 0x7e_0000_0000  mmap area, allocated downwards from here    MMAP_TOP
//! 0x7e_8000_0000  channel (guard space on both sides)         CHANNEL_BASE
//! 0x7f_0000_0000  stack grows down from here                  STACK_TOP
//! 0x7f_8000_0000  system pages: descriptor tables, stubs      SYSTEM_BASE
//! 0x80_0000_0000  end                                         USER_END
//!
//! guest-physical
//! 0x00_0000_0000  memory: system pages, page tables, guest pages, in order of allocation
//! 0x40_0000_0000  channel                                     CHANNEL_PHYSICAL_BASE
//! ```

/// Bytes in a page.
pub const PAGE_SIZE: u64 = 4096;

/// The first mappable guest-virtual address: Linux's usual `mmap_min_addr`.
pub const NULL_GUARD_END: u64 = 0x1_0000;
/// Where static-PIE executables are placed.
pub const PIE_BASE: u64 = 0x10_0000_0000;
/// The `mmap` area ends here and grows downwards.
pub const MMAP_TOP: u64 = 0x7e_0000_0000;
/// Guest-virtual address of the channel's first page, the control page.
pub const CHANNEL_BASE: u64 = 0x7e_8000_0000;
/// The initial stack ends here and grows downwards.
pub const STACK_TOP: u64 = 0x7f_0000_0000;
/// First of the pages that the host's ring-0 part occupies.
pub const SYSTEM_BASE: u64 = 0x7f_8000_0000;
/// End of the address space that may ever be mapped.
pub const USER_END: u64 = 0x80_0000_0000;

/// Guest-physical address of the channel's slot; guest memory must end below it.
pub const CHANNEL_PHYSICAL_BASE: u64 = 0x40_0000_0000;

/// Largest guest memory, in bytes (64 GiB).
pub const MEMORY_MAX: u64 = 64 << 30;
/// Largest message area in one direction, in bytes (256 MiB).
pub const MESSAGE_MAX: u64 = 256 << 20;
