//! What work on page tables costs, in units of the [meter](crate::meter).

/// A look at the 512 entries of a page table.
pub(super) const TABLE: u64 = 32;
/// A page-table entry changed.
pub(super) const ENTRY: u64 = 1;
/// A run of frames allocated or given back.
pub(super) const RUN: u64 = 4;
/// A page given back to the host, beside a system call for all the pages of a run.
pub(super) const PAGE_BACK: u64 = 2;
/// A run of frames that the hypervisor is made to forget, which takes two system calls that split a
/// mapping of the host's and join it again.
pub(super) const EVICTION: u64 = 48;
/// A large leaf taken apart.
pub(super) const SPLIT: u64 = 128;
