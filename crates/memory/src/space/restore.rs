//! Going back to an image.
//!
//! Two ways lead back, and the cheaper one is taken whenever it can:
//!
//! - *Page by page*, when all that the image maps still stands where it did: every page whose dirty bit
//!   is set is copied back from the image. The bit is never cleared, because a page that a workload
//!   wrote once it writes every time: it stays private, mapped and writable, and the next run takes no
//!   fault for it. (Nor could the bit be cleared: KVM's shadow paging would not set it again while the
//!   page stays mapped.) What was mapped beside the image is unmapped. Pages that the image maps but
//!   left untouched, and the run touched, stay committed, as zeros: the next run finds them there.
//! - *Wholesale*, when the guest unmapped or protected something of the image, or the set of such *hot*
//!   pages grew too large: all memory is given back to the image. That costs a fault for each page of
//!   the next run.

use super::AddressSpace;
use crate::error::RestoreError;
use crate::image::SealedSpace;
use crate::mapping::Mapping;
use crate::outcome::Restored;
use crate::view::page_tables::PageTables;
use std::io;
use std::sync::Arc;

/// Ranges beside the image's above which unmapping them one by one does not pay.
const ADDED_AREAS_MAX: usize = 256;

impl SealedSpace {
    /// A new address space that starts as a copy-on-write view of this one.
    ///
    /// Cost: an `mmap` for each extent and two more; no memory is copied.
    ///
    /// # Errors
    /// What `mmap(2)` reports.
    pub fn instantiate(self: &Arc<Self>) -> io::Result<AddressSpace> {
        let contents = Mapping::over(&self.extents, self.contents.length())?;
        let view = PageTables::of_image(contents, &self.layout)?;
        let mapped = self.mapped.clone();
        let space = AddressSpace::with_view(view, mapped, Some(Arc::clone(self)));
        space.prefault()?;
        Ok(space)
    }
}

impl AddressSpace {
    /// Makes memory and mappings what they are in `image`. Attached memory stays attached; what the
    /// guest wrote there is zeroed, unless the restore was wholesale: then its owner must do it, by
    /// [`crate::Mapping::discard`], so that the next writes are seen.
    ///
    /// Cost: for the image that this space was made from or last restored to, a look at the tables that
    /// the guest used and a copy of each hot page, independent of the size of memory; for another one,
    /// a new mapping of it in place.
    ///
    /// # Errors
    /// [`RestoreError`].
    pub fn restore(&mut self, image: &Arc<SealedSpace>) -> Result<Restored, RestoreError> {
        let host = |source| RestoreError::Host { source };
        if !self.base.as_ref().is_some_and(|base| Arc::ptr_eq(base, image)) {
            self.rebase(image)?;
        } else if self.mapped.stands_as_in(&image.mapped)
            && let Some(pages) = self.undo(image).map_err(host)?
        {
            return Ok(Restored { pages, wholesale: false });
        } else {
            self.view.drop_all().map_err(host)?;
        }
        self.view.adopt(&image.layout);
        self.mapped = image.mapped.clone();
        self.prefault().map_err(host)?;
        Ok(Restored { pages: 0, wholesale: true })
    }

    /// The image that [`Self::restore`] goes back to cheaply, if there is one.
    #[must_use]
    pub const fn base(&self) -> Option<&Arc<SealedSpace>> {
        self.base.as_ref()
    }

    /// Whether `image` can take the place of what is in this memory: it is divided alike.
    #[must_use]
    pub fn fits(&self, image: &SealedSpace) -> bool {
        (self.base.is_some() || self.is_blank) && self.view.fits(&image.layout)
    }

    /// Gives all memory back, and the image too. Only [`Self::restore`] makes the space usable again.
    ///
    /// # Errors
    /// What `mmap(2)` and `madvise(2)` report; the space is of no use then.
    pub fn clear(&mut self) -> io::Result<()> {
        self.base = None;
        self.view.clear()?;
        self.is_blank = true;
        Ok(())
    }

    /// Learns which pages of the image this space has used, unless that is known. To be called after
    /// the guest has done what it usually does, once.
    ///
    /// Cost: a look at the tables that were used, the first time for an image.
    pub fn learn_working_set(&self) {
        if let Some(base) = &self.base
            && self.mapped.stands_as_in(&base.mapped)
        {
            base.working_set.get_or_init(|| self.view.working_set().unwrap_or_default());
        }
    }

    /// Makes the working set of the image present, if one is known. To be called when all memory is
    /// the image's, before the guest runs.
    fn prefault(&self) -> io::Result<()> {
        let set = self.base.as_ref().and_then(|base| base.working_set.get());
        set.map_or(Ok(()), |set| self.view.prefault(set))
    }

    /// Puts `image` in the place of this space's base.
    fn rebase(&mut self, image: &Arc<SealedSpace>) -> Result<(), RestoreError> {
        if !self.fits(image) {
            return Err(RestoreError::OtherShape);
        }
        // Without a base until all is done: after a failure half-way neither image is what is there.
        self.base = None;
        self.is_blank = false;
        let shown = self.view.show_image(&image.layout, &image.extents);
        shown.map_err(|source| RestoreError::Host { source })?;
        self.base = Some(Arc::clone(image));
        Ok(())
    }

    /// Goes back page by page; `None` when wholesale is better.
    fn undo(&mut self, image: &SealedSpace) -> io::Result<Option<u64>> {
        if self.mapped.more_than(&image.mapped) > ADDED_AREAS_MAX || !self.view.may_undo() {
            return Ok(None);
        }
        for range in self.mapped.beside(&image.mapped) {
            self.withdraw_all(range).map_err(io::Error::other)?;
        }
        self.mapped.forget_added(&image.mapped);
        self.view.undo(&image.layout, &image.contents, &mut self.meter)
    }
}

#[cfg(test)]
mod tests;
