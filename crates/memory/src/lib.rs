//! Guest memory: host mappings, sealed images, page tables and the address space over them.
//!
//! This crate alone touches memory that a guest can write. It offers *copying* access only
//! ([`Mapping::read`], [`AddressSpace::read`]); no reference into guest memory ever exists, because
//! another processor may change the bytes at any time. It knows no hypervisor: a back end hands a
//! [`Mapping`] to its VM and asks the [`AddressSpace`] for the root of the page tables.
//!
//! ```text
//! space            AddressSpace: checks what is asked, keeps areas right, counts work     begin here
//!   mapped, area   what the guest asked for
//!   view           the contract of what shows it to a CPU; view/page_tables
//!     frames       free guest-physical pages
//!     physical     guest-physical memory, made of mappings
//! image            a sealed space; description is one as data, and the checked way back
//! mapping          host memory that a guest can see: the unsafe code
//! address, count, frame, protection, meter, error: what all of them speak of
//! ```

mod address;
mod area;
mod count;
mod description;
mod error;
mod extent;
mod frame;
mod frames;
mod image;
mod mapped;
mod mapping;
mod meter;
mod outcome;
mod physical;
mod protection;
mod space;
mod view;

pub use address::{BLOCK_BYTES, PageRange, PhysicalAddress, VirtualAddress, round_up_to_page};
pub use area::Search;
pub use count::PageCount;
pub use description::{AreaDescription, PinnedRange, SpaceDescription};
pub use error::{AccessError, DescriptionError, MapError, RestoreError};
pub use extent::Extent;
pub use image::SealedSpace;
pub use mapping::{Mapping, OutOfBounds};
pub use meter::PORTION;
pub use outcome::{FaultOutcome, Restored};
pub use physical::PhysicalMemory;
pub use protection::{Access, Privilege, Protection};
pub use space::AddressSpace;
