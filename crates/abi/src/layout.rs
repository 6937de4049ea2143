//! The address map of a guest: guest-physical and guest-virtual.
//!
//! What a guest gets without asking for an address lies in the lowest 512 GiB of virtual memory (one entry
//! of the top page table), so that four table pages cover a small guest. What it asks for may lie anywhere
//! in the 47 bits that Linux gives a program, but for the host's part at the end of those 512 GiB.
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
//! 0x80_0000_0000  mmap area for large reservations, and by address    HOST_END
//! 0x7fff_ffff_f000  end                                       USER_END
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
/// The lower `mmap` area ends here and grows downwards; the host's part begins.
pub const MMAP_TOP: u64 = 0x7e_0000_0000;
/// Guest-virtual address of the channel's first page, the control page.
pub const CHANNEL_BASE: u64 = 0x7e_8000_0000;
/// The initial stack ends here and grows downwards.
pub const STACK_TOP: u64 = 0x7f_0000_0000;
/// First of the pages that the host's ring-0 part occupies.
pub const SYSTEM_BASE: u64 = 0x7f_8000_0000;
/// End of the host's part; what lies behind is the guest's.
pub const HOST_END: u64 = 0x80_0000_0000;
/// End of the address space that may ever be mapped: a page below 128 TiB, as in Linux (kernel:
/// `TASK_SIZE_MAX`), so that no instruction ends where there are no addresses.
pub const USER_END: u64 = 0x7fff_ffff_f000;

/// Guest-physical address of the channel's slot; guest memory must end below it.
pub const CHANNEL_PHYSICAL_BASE: u64 = 0x40_0000_0000;

/// Largest guest memory, in bytes (64 GiB).
pub const MEMORY_MAX: u64 = 64 << 30;
/// Largest message area in one direction, in bytes (256 MiB).
pub const MESSAGE_MAX: u64 = 256 << 20;
