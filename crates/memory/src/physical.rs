//! Guest-physical memory: host mappings side by side.

use crate::address::PhysicalAddress;
use crate::mapping::{Mapping, OutOfBounds};
use std::io;
use std::sync::Arc;

/// Host mappings by guest-physical address.
///
/// ```text
/// 0 .................. boundary .................. capacity     CHANNEL_PHYSICAL_BASE ...
/// [ image, copy-on-write ][ fresh, anonymous, huge pages  ]     [ attached ]
/// ```
///
/// A space that is being built has no image and one fresh part from zero on. Accesses never cross
/// from one part into another: callers go page by page or run by run within a part.
#[derive(Debug, Clone, Default)]
pub struct PhysicalMemory {
    parts: Vec<(PhysicalAddress, Arc<Mapping>)>,
}

impl PhysicalMemory {
    pub(crate) fn new(parts: Vec<(PhysicalAddress, Arc<Mapping>)>) -> Self {
        Self { parts }
    }

    pub(crate) fn add(&mut self, base: PhysicalAddress, mapping: Arc<Mapping>) {
        self.parts.push((base, mapping));
    }

    /// The mappings and where they belong, for handing to a hypervisor.
    pub fn parts(&self) -> impl Iterator<Item = (PhysicalAddress, &Arc<Mapping>)> {
        self.parts.iter().map(|(base, mapping)| (*base, mapping))
    }

    /// The first part, from guest-physical zero.
    pub(crate) fn first(&self) -> Option<&Mapping> {
        self.parts.first().map(|(_, mapping)| mapping.as_ref())
    }

    /// As [`Mapping::read`], at a guest-physical address.
    ///
    /// # Errors
    /// [`OutOfBounds`] when no mapping holds the whole range.
    pub fn read(&self, address: PhysicalAddress, out: &mut [u8]) -> Result<(), OutOfBounds> {
        let (mapping, offset) = self.part(address)?;
        mapping.read(offset, out)
    }

    /// As [`Mapping::write`], at a guest-physical address.
    ///
    /// # Errors
    /// [`OutOfBounds`] when no mapping holds the whole range.
    pub fn write(&self, address: PhysicalAddress, bytes: &[u8]) -> Result<(), OutOfBounds> {
        let (mapping, offset) = self.part(address)?;
        mapping.write(offset, bytes)
    }

    /// As [`Mapping::zero`], at a guest-physical address.
    ///
    /// # Errors
    /// [`OutOfBounds`] when no mapping holds the whole range.
    pub fn zero(&self, address: PhysicalAddress, length: u64) -> Result<(), OutOfBounds> {
        let (mapping, offset) = self.part(address)?;
        mapping.zero(offset, length)
    }

    /// As [`Mapping::read_u64`], at a guest-physical address.
    ///
    /// # Errors
    /// [`OutOfBounds`] when no mapping holds the word or it is not aligned.
    pub fn read_u64(&self, address: PhysicalAddress) -> Result<u64, OutOfBounds> {
        let (mapping, offset) = self.part(address)?;
        mapping.read_u64(offset)
    }

    /// As [`Mapping::write_u64`], at a guest-physical address.
    ///
    /// # Errors
    /// [`OutOfBounds`] when no mapping holds the word or it is not aligned.
    pub fn write_u64(&self, address: PhysicalAddress, value: u64) -> Result<(), OutOfBounds> {
        let (mapping, offset) = self.part(address)?;
        mapping.write_u64(offset, value)
    }

    /// As [`Mapping::for_each_word`], at a guest-physical address.
    pub(crate) fn for_each_word(
        &self,
        address: PhysicalAddress,
        count: u64,
        see: impl FnMut(u64),
    ) -> io::Result<()> {
        let (mapping, offset) = self.part(address).map_err(io::Error::other)?;
        mapping.for_each_word(offset, count, see).map_err(io::Error::other)
    }

    /// As [`Mapping::discard`], over a range that may span parts.
    pub(crate) fn discard(&self, address: PhysicalAddress, length: u64) -> io::Result<()> {
        self.for_each_part(address, length, Mapping::discard)
    }

    /// As [`Mapping::evict_translations`], over a range that may span parts.
    pub(crate) fn evict_translations(
        &self,
        address: PhysicalAddress,
        length: u64,
    ) -> io::Result<()> {
        self.for_each_part(address, length, Mapping::evict_translations)
    }

    fn for_each_part(
        &self,
        address: PhysicalAddress,
        length: u64,
        act: impl Fn(&Mapping, u64, u64) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut at = address.get();
        let end = at.saturating_add(length);
        while at < end {
            let (mapping, offset) =
                self.part(PhysicalAddress::new(at)).map_err(io::Error::other)?;
            let count = (mapping.length() - offset).min(end - at);
            act(mapping, offset, count)?;
            at += count;
        }
        Ok(())
    }

    /// The mapping that holds `address`, and the offset in it.
    fn part(&self, address: PhysicalAddress) -> Result<(&Mapping, u64), OutOfBounds> {
        self.parts
            .iter()
            .find_map(|(base, mapping)| {
                let offset = address.get().checked_sub(base.get())?;
                (offset < mapping.length()).then_some((mapping.as_ref(), offset))
            })
            .ok_or(OutOfBounds { offset: address.get(), length: 1, available: 0 })
    }
}
