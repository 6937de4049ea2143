//! Why what is asked of an address space can be refused.

use crate::protection::Access;
use std::io;

/// A guest-virtual address that the guest itself could not have accessed so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("guest address {address:#x} is not accessible for {access}")]
pub struct AccessError {
    /// The first address that was not accessible.
    pub address: u64,
    /// What was to be done there.
    pub access: Access,
}

/// Why an address-space change was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MapError {
    /// The start is not page-aligned, or the length is zero.
    #[error("range {start:#x}+{length:#x} is not made of whole pages")]
    Unaligned {
        /// Start of the range.
        start: u64,
        /// Its length in bytes.
        length: u64,
    },
    /// The range leaves the addresses that may be mapped.
    #[error("range {start:#x}+{length:#x} lies outside the mappable addresses")]
    OutOfRange {
        /// Start of the range.
        start: u64,
        /// Its length in bytes.
        length: u64,
    },
    /// The range is in use.
    #[error("range {start:#x}+{length:#x} overlaps a mapping")]
    Overlap {
        /// Start of the range.
        start: u64,
        /// Its length in bytes.
        length: u64,
    },
    /// The range belongs to the host (channel, system pages).
    #[error("range {start:#x}+{length:#x} contains pages that belong to the host")]
    Pinned {
        /// Start of the range.
        start: u64,
        /// Its length in bytes.
        length: u64,
    },
    /// Memory may be writable or executable, never both.
    #[error("memory cannot be writable and executable at once")]
    WritableAndExecutable,
    /// Some page of the range is not mapped.
    #[error("range {start:#x}+{length:#x} is not mapped throughout")]
    NotMapped {
        /// Start of the range.
        start: u64,
        /// Its length in bytes.
        length: u64,
    },
    /// The guest's memory is used up.
    #[error("the guest's {capacity} bytes of memory are used up")]
    OutOfMemory {
        /// Size of the guest's memory in bytes.
        capacity: u64,
    },
    /// The guest made too many separate mappings.
    #[error("more than {limit} separate mappings")]
    TooManyAreas {
        /// The limit.
        limit: usize,
    },
    /// The host refused to change its own mapping.
    #[error("the host could not change its mapping of guest memory: {kind}")]
    Host {
        /// What the host said.
        kind: io::ErrorKind,
    },
}

/// A restore that could not be done.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The image's memory has another size or division. The address space is as it was.
    #[error("the image's memory is divided differently; make a new address space from it")]
    OtherShape,
    /// The host refused; what memory holds is not known then. After a failure to put another image
    /// in place every further restore ends in [`Self::OtherShape`].
    #[error("the host could not change its mapping of guest memory")]
    Host {
        /// What it said.
        source: io::Error,
    },
}

/// A description or an image that no address space of ours can have. Addresses are guest-virtual where
/// nothing else is said.
#[derive(Debug, thiserror::Error)]
pub enum DescriptionError {
    /// Sizes contradict each other or a limit of this version.
    #[error("{used} pages in use with the root at page {root} of at most {limit} pages")]
    Size {
        /// Pages in use.
        used: u64,
        /// Page of the root table.
        root: u64,
        /// Pages there may be.
        limit: u64,
    },
    /// A free run is empty, out of range, or overlaps another one or a page in use.
    #[error("page {first} and the {count} from it on cannot be free")]
    Free {
        /// First page of the run.
        first: u64,
        /// Pages of the run.
        count: u64,
    },
    /// An area is empty, not aligned, out of range, out of order, writable and executable, or one too
    /// many.
    #[error("the area at {start:#x} is not one that a guest can have")]
    Area {
        /// Its start.
        start: u64,
    },
    /// The host's own range is missing or different, or there is one that the host does not have.
    #[error("the host's range at {start:#x} is missing, different or not the host's")]
    Pinned {
        /// Its start.
        start: u64,
    },
    /// A page-table entry is not what it would be for the areas.
    #[error("the page-table entry for {address:#x} is {entry:#x}, which its area does not allow")]
    Entry {
        /// The first address that the entry maps.
        address: u64,
        /// The entry.
        entry: u64,
    },
    /// Two entries lead to one page, or one leads to a page of the page tables.
    #[error("the page-table entry for {address:#x} leads to page {page}, which has another use")]
    Shared {
        /// The first address that the entry maps.
        address: u64,
        /// The page.
        page: u64,
    },
    /// The files do not hold what the extents say, or cannot be mapped.
    #[error("the image cannot be mapped: {source}")]
    Host {
        /// What was wrong.
        source: io::Error,
    },
}
