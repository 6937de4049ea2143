//! Why a change of mappings can be refused.

use std::io;

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
