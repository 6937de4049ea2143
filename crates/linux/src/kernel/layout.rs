//! Where the guest's heap and stack lie, and what it may do with which addresses.
//!
//! A range that the guest names must lie between the null guard and the end of the lower `mmap` area, behind
//! the host's part, or in the guest's stack. The host's part is out of reach here, whatever
//! [`AddressSpace`] would say to it.
//!
//! Memory is committed at first touch. A request that could not be filled with what is free now, and with
//! what it gives back, is refused with `ENOMEM`, as Linux refuses obvious overcommitment; several requests
//! that together exceed the guest's memory succeed, and touching them all ends the guest.

use crate::errno::Errno;
use ampoule_abi::layout::{
    CHANNEL_BASE, HOST_END, MESSAGE_MAX, MMAP_TOP, NULL_GUARD_END, PAGE_SIZE, STACK_TOP, USER_END,
};
use ampoule_memory::{AddressSpace, MapError};
use std::ops::Range;

/// Smallest stack.
pub const STACK_MIN: u64 = 64 << 10;
/// Largest stack: what lies between the channel and the stack's top, less guard space.
pub const STACK_MAX: u64 = STACK_TOP - (CHANNEL_BASE + 3 * MESSAGE_MAX) - (1 << 20);
/// How far a stack reaches below what was touched of it. Linux maps as much of a new stack (kernel:
/// `setup_arg_pages`) and the rest when it is touched.
const STACK_AHEAD: u64 = 128 << 10;

/// Where the guest's heap and stack lie.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    /// The program break at start; page-aligned.
    pub(crate) break_start: u64,
    /// The program break now.
    pub(crate) break_now: u64,
    /// The initial stack.
    pub(crate) stack: Range<u64>,
    /// Requests that were refused because memory ran out.
    pub(crate) out_of_memory: u64,
}

impl Layout {
    /// Whether the guest may map, unmap and protect this range.
    pub(crate) fn owns(&self, range: &Range<u64>) -> bool {
        let within = |outer: Range<u64>| range.start >= outer.start && range.end <= outer.end;
        within(NULL_GUARD_END..MMAP_TOP) || within(HOST_END..USER_END) || within(self.stack.clone())
    }

    /// Checks that a range which must already be the guest's is.
    ///
    /// # Errors
    /// `EPERM` where the host's part is touched, `ENOMEM`.
    pub(crate) fn check_owned(&self, range: &Range<u64>) -> Result<(), Errno> {
        if self.owns(range) {
            return Ok(());
        }
        let is_host_s = range.start < HOST_END && range.end > MMAP_TOP;
        Err(if is_host_s { Errno::EPERM } else { Errno::ENOMEM })
    }

    /// Whether the guest's kernel would know a range, which is mapped here: of the stack Linux has what was
    /// touched, and a little more. A libc that asks page by page how far its stack reaches gets to
    /// the end of that soon (musl's `pthread_getattr_np`).
    pub(crate) fn looks_mapped(&self, space: &AddressSpace, range: &Range<u64>) -> bool {
        let stack = &self.stack;
        let above = range.start.saturating_add(STACK_AHEAD + PAGE_SIZE).min(stack.end);
        self.owns(range) && (!stack.contains(&range.start) || space.was_used(range.start, above))
    }

    /// Refuses a request for memory that certainly cannot be filled. As many bytes of addresses as `replaced`
    /// says are given back before: when it depends on that, it is told how many must have memory, else 0.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub(crate) fn check_room(
        &mut self,
        space: &AddressSpace,
        length: u64,
        replaced: u64,
    ) -> Result<u64, Errno> {
        // Page tables take one page in 512, and a few more at the edges.
        let tables = length / 256 + 16 * PAGE_SIZE;
        let free = space.capacity_bytes().saturating_sub(space.committed_bytes());
        let missing = length.saturating_add(tables).saturating_sub(free);
        if missing > replaced { Err(self.ran_out()) } else { Ok(missing) }
    }

    /// Counts a refusal for lack of memory.
    pub(crate) fn ran_out(&mut self) -> Errno {
        self.out_of_memory += 1;
        Errno::ENOMEM
    }

    /// The errno for a refusal, which is counted when memory is lacking.
    pub(crate) fn refused(&mut self, error: MapError) -> Errno {
        match error {
            MapError::OutOfMemory { .. } => self.ran_out(),
            other => other.into(),
        }
    }
}

const _: () =
    assert!(MMAP_TOP < STACK_TOP && STACK_TOP < HOST_END, "the stack lies in the host's part");
