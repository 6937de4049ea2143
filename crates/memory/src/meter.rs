//! What a guest's request costs the host, counted.
//!
//! The guest chooses how large a request is, so whoever answers one does a *portion* of it at a time and
//! then goes back to where a stop, a deadline and the end of a time slice are seen. Counted work decides
//! where a portion ends, not a clock: it is the same on every machine, and a test can hold it to a bound.

use crate::address::VirtualAddress;
use ampoule_abi::layout::PAGE_SIZE;

/// Units of work in a portion: about half a millisecond. A unit is about 0.1 us of a slow machine; the
/// prices were measured under nested virtualisation, where host system calls are dear.
pub const PORTION: u64 = 4096;

/// What work costs that every view of an address space has; each view has prices of its own beside them.
pub(crate) mod cost {
    /// A look at one thing that is at hand, or at a few bytes of a guest's.
    pub(crate) const STEP: u64 = 1;
    /// A range added to the list of areas, or taken from it.
    pub(crate) const AREA: u64 = 8;
    /// A system call of the host's.
    pub(crate) const HOST_CALL: u64 = 16;
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

    /// Counts a copy of `bytes` from or to `address` on, which goes page by page.
    #[inline]
    pub(crate) const fn charge_copy(&mut self, address: VirtualAddress, bytes: u64) {
        let first = address.left_in_page();
        if bytes == 0 {
            return;
        }
        if bytes <= first {
            return self.charge_bytes(bytes);
        }
        self.charge_bytes(first);
        self.charge((bytes - first) / PAGE_SIZE * (cost::STEP + PAGE_SIZE / cost::BYTES));
        let last = (bytes - first) % PAGE_SIZE;
        if last > 0 {
            self.charge_bytes(last);
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_costs_what_its_pieces_in_each_page_cost() {
        for (address, bytes) in
            [(0, 0), (0, 1), (0, 4096), (0, 4097), (4095, 1), (4000, 300), (4000, 96), (7, 1 << 20)]
        {
            let (mut whole, mut pieces) = (Meter::new(), Meter::new());
            whole.charge_copy(VirtualAddress::clamped(address), bytes);
            let mut at = VirtualAddress::clamped(address);
            let end = at.plus(bytes);
            while at < end {
                let count = at.left_in_page().min(end.since(at));
                pieces.charge_bytes(count);
                at = at.plus(count);
            }
            assert_eq!(whole.spent(), pieces.spent(), "{bytes} bytes at {address}");
        }
    }

    #[test]
    fn a_portion_is_over_after_its_units_and_another_one_can_be_granted() {
        let mut meter = Meter::new();
        meter.charge(PORTION - 1);
        assert!(!meter.is_over());
        meter.charge(1);
        assert!(meter.is_over());
        meter.extend();
        assert!(!meter.is_over());
        meter.charge(u64::MAX);
        assert_eq!((meter.is_over(), meter.spent()), (true, u64::MAX));
    }
}
