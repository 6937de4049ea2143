//! Guest-physical addresses and page arithmetic.

use ampoule_abi::layout::PAGE_SIZE;

/// A guest-physical address.
///
/// Deliberately without arithmetic traits: adding happens with [`PhysicalAddress::checked_add`], so
/// that a wild offset from a guest cannot wrap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PhysicalAddress(u64);

impl PhysicalAddress {
    /// The address `value`.
    #[must_use]
    pub const fn new(value: u64) -> Self {
        Self(value)
    }

    /// The address as a number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The address `offset` bytes further on, unless that wraps.
    #[must_use]
    pub const fn checked_add(self, offset: u64) -> Option<Self> {
        match self.0.checked_add(offset) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }
}

/// `bytes` rounded up to whole pages, unless that overflows.
#[must_use]
pub const fn round_up_to_page(bytes: u64) -> Option<u64> {
    match bytes.checked_add(PAGE_SIZE - 1) {
        Some(sum) => Some(sum & !(PAGE_SIZE - 1)),
        None => None,
    }
}

/// Whether `value` is a multiple of the page size.
pub(crate) const fn is_page_aligned(value: u64) -> bool {
    value.is_multiple_of(PAGE_SIZE)
}

/// The page that holds `address`.
pub(crate) const fn page_of(address: u64) -> u64 {
    address & !(PAGE_SIZE - 1)
}

/// Lossless on the 64-bit hosts this crate supports.
#[expect(clippy::cast_possible_truncation, reason = "usize has 64 bits, asserted below")]
pub(crate) const fn to_usize(value: u64) -> usize {
    value as usize
}

const _: () = assert!(usize::BITS == 64, "Ampoule runs on 64-bit hosts");
