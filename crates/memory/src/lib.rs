//! Guest memory: host mappings, sealed images, page tables and the address space over them.
//!
//! This crate alone touches memory that a guest can write. It offers *copying* access only
//! ([`Mapping::read`], [`AddressSpace::read`]); no reference into guest memory ever exists, because
//! another processor may change the bytes at any time. It knows no hypervisor: a back end hands a
//! [`Mapping`] to its VM and asks the [`AddressSpace`] for the root of the page tables.

mod address;
mod extent;
mod frames;
mod image;
mod mapping;
mod meter;
mod physical;
mod protection;
mod space;
mod table;

pub use address::{PhysicalAddress, round_up_to_page};
pub use extent::Extent;
pub use image::SealedSpace;
pub use mapping::{Mapping, OutOfBounds};
pub use meter::PORTION;
pub use physical::PhysicalMemory;
pub use protection::{Access, Privilege, Protection};
pub use space::{
    AccessError, AddressSpace, AreaDescription, DescriptionError, FaultOutcome, MapError,
    PinnedRange, RestoreError, Restored, Search, SpaceDescription,
};
