//! What operations on an address space came to.

/// What became of a page fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultOutcome {
    /// The page is accessible now: run the instruction again.
    Repaired,
    /// The guest has no right to this access.
    Denied,
    /// The guest has the right, but its memory is used up.
    OutOfMemory,
}

/// What [`crate::AddressSpace::restore`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restored {
    /// Pages copied back.
    pub pages: u64,
    /// Whether all memory was given back instead.
    pub wholesale: bool,
}
