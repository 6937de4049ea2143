//! Going back to an image.
//!
//! Two ways lead back, and the cheaper one is taken whenever it can:
//!
//! - *Page by page*, when only contents changed: every page whose dirty bit is set is copied back from
//!   the image. The bit is never cleared, because a page that a workload wrote once it writes every
//!   time: it stays private, mapped and writable, and the next run takes no fault for it. (Nor could
//!   the bit be cleared: KVM's shadow paging would not set it again while the page stays mapped.)
//! - *Wholesale*, when mappings changed too or the set of such *hot* pages grew too large: all memory
//!   is given back to the image. That costs a fault for each page of the next run.

use super::AddressSpace;
use crate::address::{PhysicalAddress, to_usize};
use crate::image::SealedSpace;
use crate::table::dirty_frames;
use ampoule_abi::layout::PAGE_SIZE;
use std::io;
use std::sync::Arc;

/// Hot pages above which memory is dropped wholesale: 4 MiB, about a millisecond of copying.
const HOT_PAGES_MAX: usize = 1024;

/// What one restore knows for the next.
#[derive(Debug, Default)]
pub(super) struct Tracking {
    /// Tables with a leaf that the guest could write through; found at the first restore after the
    /// base changed, and right until mappings change.
    tables: Option<Vec<PhysicalAddress>>,
}

/// What [`AddressSpace::restore`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restored {
    /// Pages copied back.
    pub pages: u64,
    /// Whether all memory was given back instead.
    pub wholesale: bool,
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

impl AddressSpace {
    /// Makes memory and mappings what they are in `image`. Attached memory stays attached; what the
    /// guest wrote there is zeroed, unless the restore was wholesale: then its owner must do it, by
    /// [`crate::Mapping::discard`], so that the next writes are seen.
    ///
    /// Cost: for the image that this space was made from or last restored to, a look at the tables of
    /// its writable pages and a copy of each hot page, independent of the size of memory; for another
    /// one, a new mapping of it in place.
    ///
    /// # Errors
    /// [`RestoreError`].
    pub fn restore(&mut self, image: &Arc<SealedSpace>) -> Result<Restored, RestoreError> {
        let host = |source| RestoreError::Host { source };
        if !self.base.as_ref().is_some_and(|base| Arc::ptr_eq(base, image)) {
            self.rebase(image)?;
        } else if self.shape.changes == image.shape.changes
            && let Some(pages) = self.copy_hot_pages(image).map_err(host)?
        {
            return Ok(Restored { pages, wholesale: false });
        } else {
            self.memory.discard(0, self.used_bytes()).map_err(host)?;
        }
        self.shape = image.shape.clone();
        self.tracking = Tracking::default();
        Ok(Restored { pages: 0, wholesale: true })
    }

    /// The image that [`Self::restore`] goes back to cheaply, if there is one.
    #[must_use]
    pub const fn base(&self) -> Option<&Arc<SealedSpace>> {
        self.base.as_ref()
    }

    /// Puts `image` in the place of this space's base.
    fn rebase(&mut self, image: &Arc<SealedSpace>) -> Result<(), RestoreError> {
        let host = |source| RestoreError::Host { source };
        let image_part = image.shape.boundary * PAGE_SIZE;
        let first = self.memory.first().filter(|first| first.length() == image_part);
        let first = first.ok_or(RestoreError::OtherShape)?;
        if self.base.is_none() || self.shape.frames.limit() != image.shape.frames.limit() {
            return Err(RestoreError::OtherShape);
        }
        // Without a base until all is done: after a failure half-way neither image is what is there.
        self.base = None;
        image.show_in(first).map_err(host)?;
        let used = self.used_bytes();
        if used > image_part {
            self.memory.discard(image_part, used - image_part).map_err(host)?;
        }
        self.base = Some(Arc::clone(image));
        Ok(())
    }

    /// Copies the hot pages back; `None` when there are too many.
    fn copy_hot_pages(&mut self, image: &SealedSpace) -> io::Result<Option<u64>> {
        let tables = match self.tracking.tables.take() {
            Some(tables) => tables,
            None => self.writable_tables(),
        };
        let mut hot = Vec::new();
        let mut table = [0; to_usize(PAGE_SIZE)];
        for at in &tables {
            self.memory.read(at.get(), &mut table).map_err(io::Error::other)?;
            hot.extend(dirty_frames(&table));
        }
        self.tracking.tables = Some(tables);
        if hot.len() > HOT_PAGES_MAX {
            return Ok(None);
        }
        let first = self.memory.first().ok_or(io::ErrorKind::NotFound)?;
        for frame in &hot {
            let offset = frame * PAGE_SIZE;
            let restored = if offset < first.length() {
                first.copy_from(&image.view, offset, PAGE_SIZE)
            } else {
                self.memory.zero(offset, PAGE_SIZE)
            };
            restored.map_err(io::Error::other)?;
        }
        Ok(Some(hot.len() as u64))
    }

    fn writable_tables(&self) -> Vec<PhysicalAddress> {
        let mut tables: Vec<PhysicalAddress> = self
            .shape
            .areas
            .iter()
            .filter(|(_, area)| area.protection.write)
            .flat_map(|(start, area)| self.committed(start, area.end))
            .filter_map(|(page, _)| self.shape.tables.leaf_table(&self.memory, page))
            .collect();
        tables.dedup();
        tables.sort_unstable();
        tables.dedup();
        tables
    }

    /// Bytes from the start of memory up to the last frame that was ever used.
    fn used_bytes(&self) -> u64 {
        self.shape.frames.high_water().max(self.shape.image_frames) * PAGE_SIZE
    }
}

#[cfg(test)]
mod tests;
