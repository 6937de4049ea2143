//! How far a system call came that is made in portions, or again after a wait.

use crate::errno::Errno;
use crate::vfs::buffers::Buffers;
use crate::vfs::system::Node;
use ampoule_memory::{PageCount, PageRange, Protection, VirtualAddress};
use std::ops::Range;

/// How far a call came that is made again.
#[derive(Debug, Clone, Default)]
pub(crate) enum Progress {
    /// It begins.
    #[default]
    Nothing,
    /// When its wait ends, on the monotonic clock.
    Until(u64),
    /// Bytes that are done.
    Done(u64),
    /// A transfer, with what was moved.
    Transfer(Buffers),
    /// A search for free addresses, which goes on below.
    Search { below: u64 },
    /// A memory call, with what is left to do.
    Memory(Plan),
}

/// What is left to do of a memory call, and its answer.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// What comes next stands last.
    pub(crate) steps: Vec<Step>,
    pub(crate) outcome: Result<u64, Errno>,
}

/// One step of a plan; the ranges shrink as it is done.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// Finds as many pages that will be given back; without them there is not enough memory.
    Room(PageRange, PageCount),
    Unmap(PageRange),
    Discard(PageRange),
    Protect(PageRange, Protection),
    Map(Range<u64>, Protection),
    /// Makes the tables for a move of the range to the address.
    Prepare(PageRange, VirtualAddress),
    Move(PageRange, VirtualAddress),
    /// Fills the rest of a fresh mapping, which began at `start`, from a file.
    Fill {
        start: u64,
        rest: Range<u64>,
        node: Node,
        offset: u64,
    },
}

impl Plan {
    /// The steps in order, those that there are, and what the call answers when they are done.
    pub(crate) fn new<const N: usize>(
        steps: [Option<Step>; N],
        outcome: Result<u64, Errno>,
    ) -> Self {
        Self { steps: steps.into_iter().rev().flatten().collect(), outcome }
    }
}
