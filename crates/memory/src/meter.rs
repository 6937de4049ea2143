//! What a guest's request costs the host, counted.
//!
//! The guest chooses how large a request is, so whoever answers one does a *portion* of it at a time and
//! then goes back to where a stop, a deadline and the end of a time slice are seen. Counted work decides
//! where a portion ends, not a clock: it is the same on every machine, and a test can hold it to a bound.

/// Units of work in a portion: about half a millisecond. A unit is about 0.1 us of a slow machine; the
/// prices in [`cost`] were measured under nested virtualisation, where host system calls are dear.
pub const PORTION: u64 = 4096;

/// What work costs, in units.
pub(crate) mod cost {
    /// A look at an entry of an upper table, or at a few bytes of a guest's.
    pub(crate) const STEP: u64 = 1;
    /// A look at the 512 entries of a page table.
    pub(crate) const TABLE: u64 = 32;
    /// A page-table entry changed.
    pub(crate) const ENTRY: u64 = 1;
    /// A range added to the list of areas, or taken from it.
    pub(crate) const AREA: u64 = 8;
    /// A run of frames allocated or given back.
    pub(crate) const RUN: u64 = 4;
    /// A page given back to the host, beside [`HOST_CALL`] for all the pages of a run.
    pub(crate) const PAGE_BACK: u64 = 2;
    /// A system call of the host's.
    pub(crate) const HOST_CALL: u64 = 16;
    /// A run of frames that the hypervisor is made to forget, which takes two system calls that split a
    /// mapping of the host's and join it again.
    pub(crate) const EVICTION: u64 = 48;
    /// A large leaf taken apart.
    pub(crate) const SPLIT: u64 = 128;
    /// Bytes copied, or filled with zeros, for a unit; a page may be touched for the first time by that.
    pub(crate) const BYTES: u64 = 256;
}

/// Counts work against a portion.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Meter {
    spent: u64,
    /// Where the portion ends.
    limit: u64,
}

impl Meter {
    pub(crate) const fn new() -> Self {
        Self { spent: 0, limit: PORTION }
    }

    pub(crate) const fn charge(&mut self, units: u64) {
        self.spent = self.spent.saturating_add(units);
    }

    pub(crate) const fn charge_bytes(&mut self, bytes: u64) {
        self.charge(cost::STEP + bytes / cost::BYTES);
    }

    pub(crate) const fn is_over(&self) -> bool {
        self.spent >= self.limit
    }

    pub(crate) const fn spent(&self) -> u64 {
        self.spent
    }

    /// Grants another portion, for work that is not a guest's to interrupt.
    pub(crate) const fn extend(&mut self) {
        self.limit = self.spent.saturating_add(PORTION);
    }
}
