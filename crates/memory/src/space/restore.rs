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

use super::{AddressSpace, Areas, BLOCK, MapError, Shape};
use crate::address::PhysicalAddress;
use crate::frames::{FrameAllocator, Run};
use crate::image::SealedSpace;
use crate::mapping::Mapping;
use ampoule_abi::layout::PAGE_SIZE;
use std::io;
use std::sync::Arc;

/// Hot pages above which memory is dropped wholesale: 4 MiB, about a millisecond of copying.
const HOT_PAGES_MAX: usize = 1024;
/// Frames beside the image's that may stay committed: 16 MiB, or an eighth of a small memory. So much
/// less may be left for mappings of another kind in the next run.
const KEPT_FRAMES_MAX: u64 = 4096;
const KEPT_SHARE: u64 = 8;
/// Ranges beside the image's above which unmapping them one by one does not pay.
const ADDED_AREAS_MAX: usize = 256;
/// Large leaves above which giving them back one by one does not pay: 32 MiB.
const LARGE_LEAVES_MAX: usize = 16;

/// What one restore knows for the next.
#[derive(Debug, Default)]
pub(super) struct Tracking {
    /// The page directories, each as its first entry in use and their number up to the last one. Found
    /// at the first restore, and right until a table is added.
    directories: Option<Vec<(PhysicalAddress, u64)>>,
    /// The hot pages as runs of frames; kept for its room.
    hot: Vec<Run>,
}

impl Tracking {
    pub(super) fn forget_tables(&mut self) {
        self.directories = None;
    }
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
        } else if self.shape.changes == image.shape.changes
            && let Some(pages) = self.undo(image).map_err(host)?
        {
            return Ok(Restored { pages, wholesale: false });
        } else {
            self.memory.discard(0, self.used_bytes()).map_err(host)?;
        }
        self.shape = image.shape.clone();
        self.tracking.forget_tables();
        self.generation += 1;
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
        let first = self.memory.first().map(Mapping::length);
        let (here, there) = (&self.shape, &image.shape);
        (self.base.is_some() || self.is_blank)
            && first == Some(there.boundary * PAGE_SIZE)
            && here.frames.limit() == there.frames.limit()
            && here.tables.root() == there.tables.root()
    }

    /// Gives all memory back, and the image too. Only [`Self::restore`] makes the space usable again.
    ///
    /// # Errors
    /// What `mmap(2)` and `madvise(2)` report; the space is of no use then.
    pub fn clear(&mut self) -> io::Result<()> {
        let used = self.used_bytes();
        self.base = None;
        if let Some(first) = self.memory.first() {
            let image_part = first.length();
            first.replace_by(&[])?;
            if used > image_part {
                self.memory.discard(image_part, used - image_part)?;
            }
        }
        let limit = self.shape.frames.limit();
        self.shape =
            Shape { frames: FrameAllocator::new(limit), image_frames: 0, ..self.shape.clone() };
        self.tracking.forget_tables();
        self.generation += 1;
        self.is_blank = true;
        Ok(())
    }

    /// Puts `image` in the place of this space's base.
    fn rebase(&mut self, image: &Arc<SealedSpace>) -> Result<(), RestoreError> {
        let host = |source| RestoreError::Host { source };
        if !self.fits(image) {
            return Err(RestoreError::OtherShape);
        }
        let first = self.memory.first().ok_or(RestoreError::OtherShape)?;
        let image_part = image.shape.boundary * PAGE_SIZE;
        // Without a base until all is done: after a failure half-way neither image is what is there.
        self.base = None;
        self.is_blank = false;
        image.show_in(first).map_err(host)?;
        let used = self.used_bytes();
        if used > image_part {
            self.memory.discard(image_part, used - image_part).map_err(host)?;
        }
        self.base = Some(Arc::clone(image));
        Ok(())
    }

    /// Goes back page by page; `None` when wholesale is better.
    fn undo(&mut self, image: &SealedSpace) -> io::Result<Option<u64>> {
        let added = self.shape.areas.len().saturating_sub(image.shape.areas.len());
        if added > ADDED_AREAS_MAX || self.shape.large.len() > LARGE_LEAVES_MAX {
            return Ok(None);
        }
        if self.shape.has_grown {
            self.unmap_all_but(&image.shape.areas).map_err(io::Error::other)?;
            self.shape.areas = image.shape.areas.clone();
            self.shape.has_grown = false;
        }
        let large: Vec<u64> = self.shape.large.keys().copied().collect();
        for block in large {
            self.take_back_all(block, block + BLOCK).map_err(io::Error::other)?;
        }
        let kept = self.shape.frames.in_use().saturating_sub(image.shape.frames.in_use());
        let limit = self.shape.frames.limit();
        // Frames that were given back in pieces add up; going back at once makes them one again.
        let worn = image.shape.frames.fresh().saturating_sub(self.shape.frames.fresh()) > limit / 2;
        if kept > KEPT_FRAMES_MAX.min(limit / KEPT_SHARE) || worn {
            return Ok(None);
        }
        let mut hot = std::mem::take(&mut self.tracking.hot);
        let count = self.find_hot_pages(&mut hot);
        let copied = count.and_then(|count| {
            (count <= HOT_PAGES_MAX)
                .then(|| self.copy_back(&hot, image).map(|()| count as u64))
                .transpose()
        });
        self.tracking.hot = hot;
        copied
    }

    /// Unmaps what lies outside of `kept`, whose ranges are all mapped.
    fn unmap_all_but(&mut self, kept: &Areas) -> Result<(), MapError> {
        let mut added = Vec::new();
        for (start, area) in self.shape.areas.iter() {
            let mut at = start;
            for (from, kept) in kept.within(start, area.end) {
                added.push((at, from.max(at)));
                at = kept.end;
            }
            added.push((at, area.end.max(at)));
        }
        for (start, end) in added.into_iter().filter(|(start, end)| start < end) {
            self.take_back_all(start, end)?;
        }
        Ok(())
    }

    /// Fills `hot` with the pages whose dirty bit is set, and counts them.
    fn find_hot_pages(&mut self, hot: &mut Vec<Run>) -> io::Result<usize> {
        hot.clear();
        let directories = match self.tracking.directories.take() {
            Some(directories) => directories,
            None => self.shape.tables.directories(&self.memory),
        };
        let mut count = 0;
        for &(first, entries) in &directories {
            self.shape.tables.for_each_dirty(&self.memory, first, entries, |frame| {
                count += 1;
                match hot.last_mut() {
                    Some(run) if run.first + run.count == frame => run.count += 1,
                    _ => hot.push(Run { first: frame, count: 1 }),
                }
            })?;
        }
        self.tracking.directories = Some(directories);
        Ok(count)
    }

    /// Brings the image's bytes back to `hot`; frames that the image does not have become zero.
    fn copy_back(&self, hot: &[Run], image: &SealedSpace) -> io::Result<()> {
        let first = self.memory.first().ok_or(io::ErrorKind::NotFound)?;
        for run in hot {
            let of_image = image.shape.image_frames.saturating_sub(run.first).min(run.count);
            let copied = of_image * PAGE_SIZE;
            if of_image > 0 {
                first.copy_from(&image.view, run.offset(), copied).map_err(io::Error::other)?;
            }
            if of_image < run.count {
                let rest = run.length() - copied;
                self.memory.zero(run.offset() + copied, rest).map_err(io::Error::other)?;
            }
        }
        Ok(())
    }

    /// Bytes from the start of memory up to the last frame that was ever used.
    fn used_bytes(&self) -> u64 {
        self.shape.frames.high_water().max(self.shape.image_frames) * PAGE_SIZE
    }
}

#[cfg(test)]
mod tests;
