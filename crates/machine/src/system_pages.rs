//! The pages that a back end needs in an address space besides the guest's.

use ampoule_abi::layout::PAGE_SIZE;
use ampoule_memory::{AddressSpace, MapError, PhysicalAddress, PinnedRange, SealedSpace};

/// A page that a back end needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemPage {
    /// Where it stands, and with which rights.
    pub range: PinnedRange,
    /// What stands at its start, zeros behind it, for ever; `None` for one that changes and that a guest may
    /// have filled with anything.
    pub contents: Option<Vec<u8>>,
}

/// Where the pages of a back end lie in a memory, in the order in which it asks for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemPages {
    backend: &'static str,
    places: Box<[PhysicalAddress]>,
}

impl SystemPages {
    /// Maps and fills the pages that are `wanted` by the back end of this name.
    ///
    /// # Errors
    /// [`MapError`], in practice only [`MapError::OutOfMemory`].
    pub fn install(
        backend: &'static str,
        wanted: &[SystemPage],
        space: &mut AddressSpace,
    ) -> Result<Self, MapError> {
        let mut places = Vec::with_capacity(wanted.len());
        for SystemPage { range, contents } in wanted {
            let length = range.end - range.start;
            let at = space.map_pinned(range.start, length, range.protection, range.privilege)?;
            if let Some(bytes) = contents {
                let written = space.memory().write(at, bytes);
                debug_assert!(written.is_ok(), "system pages lie inside guest memory");
            }
            places.push(at);
        }
        Ok(Self { backend, places: places.into() })
    }

    /// Finds the pages in a space that was not made here, whose mappings are known to be those that are
    /// `wanted`. `None` when one holds other bytes than [`Self::install`] writes: it could be code or
    /// descriptors of somebody else's.
    #[must_use]
    pub fn find(backend: &'static str, wanted: &[SystemPage], space: &SealedSpace) -> Option<Self> {
        let mut places = Vec::with_capacity(wanted.len());
        for SystemPage { range, contents } in wanted {
            debug_assert_eq!(range.end - range.start, PAGE_SIZE, "one page each is looked at");
            let (physical, found) = space.page(range.start)?;
            if let Some(bytes) = contents {
                let (used, rest) = found.split_at_checked(bytes.len())?;
                if used != bytes || rest.iter().any(|&byte| byte != 0) {
                    return None;
                }
            }
            places.push(physical);
        }
        Some(Self { backend, places: places.into() })
    }

    /// Everything that [`Self::find`] compares with: equal in releases whose system pages are equal.
    #[must_use]
    pub fn fixed_bytes(wanted: &[SystemPage]) -> Vec<u8> {
        wanted.iter().filter_map(|page| page.contents.as_deref()).flatten().copied().collect()
    }

    /// Name of the back end whose pages they are.
    #[must_use]
    pub const fn backend(&self) -> &'static str {
        self.backend
    }

    /// Guest-physical addresses, in the order of the pages.
    #[must_use]
    pub fn places(&self) -> &[PhysicalAddress] {
        &self.places
    }
}
