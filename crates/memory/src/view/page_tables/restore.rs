//! Going back to what an image shows: page by page, or by giving all memory back.

use super::PageTables;
use super::layout::Layout;
use crate::address::PhysicalAddress;
use crate::count::PageCount;
use crate::extent::Extent;
use crate::frame::Frame;
use crate::frames::FrameAllocator;
use crate::mapping::Mapping;
use crate::meter::Meter;
use std::io;

/// Hot pages above which memory is dropped wholesale: 4 MiB, about a millisecond of copying.
pub(crate) const HOT_PAGES_MAX: usize = 1024;
/// Frames beside the image's that may stay committed: 16 MiB, or an eighth of a small memory. So much
/// less may be left for mappings of another kind in the next run.
const KEPT_FRAMES_MAX: u64 = 4096;
const KEPT_SHARE: u64 = 8;
/// Large leaves above which giving them back one by one does not pay: 32 MiB.
const LARGE_LEAVES_MAX: usize = 16;

impl PageTables {
    /// Whether going back page by page may pay, as far as that is known without a look at the tables.
    pub(crate) fn may_undo(&self) -> bool {
        self.layout.large.len() <= LARGE_LEAVES_MAX
    }

    /// Goes back page by page to the image with the layout and the contents given, and returns how many
    /// pages were copied; `None` when [`Self::drop_all`] is better. What the image does not map is withdrawn
    /// already.
    ///
    /// The dirty bits stay set, because a page that a workload wrote once it writes every time: it stays
    /// private, mapped and writable, and the next run takes no fault for it. (Nor could they be cleared:
    /// KVM's shadow paging would not set one again while its page stays mapped.)
    pub(crate) fn undo(
        &mut self,
        image: &Layout,
        contents: &Mapping,
        meter: &mut Meter,
    ) -> io::Result<Option<u64>> {
        let large: Vec<_> = self.layout.large.keys().copied().collect();
        for block in large {
            self.withdraw_all(block.range(), meter).map_err(io::Error::other)?;
        }
        let frames = &self.layout.frames;
        let kept = frames.in_use().saturating_sub(image.frames.in_use());
        let limit = frames.limit().get();
        // Frames that were given back in pieces add up; going back at once makes them one again.
        let worn = image.frames.fresh().saturating_sub(frames.fresh()).get() > limit / 2;
        if kept.get() > KEPT_FRAMES_MAX.min(limit / KEPT_SHARE) || worn {
            return Ok(None);
        }
        self.copy_back(image.image_end, contents)
    }

    /// Brings the bytes of the image, which ends at `image_end`, back to the hot pages; frames that it does
    /// not have become zero.
    fn copy_back(&mut self, image_end: Frame, contents: &Mapping) -> io::Result<Option<u64>> {
        let Self { memory, layout, tracking, .. } = self;
        let (hot, count) = tracking.find_hot(layout.tables, memory)?;
        if count > HOT_PAGES_MAX {
            return Ok(None);
        }
        let first = memory.first().ok_or(io::ErrorKind::NotFound)?;
        for run in hot {
            let of_image = run.before(image_end);
            let copied = of_image.bytes();
            if of_image > PageCount::ZERO {
                let offset = run.start().get();
                first.copy_from(contents, offset, copied).map_err(io::Error::other)?;
            }
            if of_image < run.count {
                let rest = run.bytes() - copied;
                memory.zero(run.start().plus(copied), rest).map_err(io::Error::other)?;
            }
        }
        Ok(Some(count as u64))
    }

    /// Gives all memory back to the image that it is a view of.
    ///
    /// To be followed by [`Self::adopt`].
    pub(crate) fn drop_all(&mut self) -> io::Result<()> {
        self.memory.discard(Frame::ZERO.address(), self.layout.used_bytes())
    }

    /// Whether an image with this layout can take the place of what is in this memory: it is divided alike.
    pub(crate) fn fits(&self, image: &Layout) -> bool {
        let first = self.memory.first().map(Mapping::length);
        let here = &self.layout;
        first == Some(image.boundary.address().get())
            && here.frames.limit() == image.frames.limit()
            && here.tables.root() == image.tables.root()
    }

    /// Puts the contents of another image, which [fits](Self::fits), in the place of what is in memory.
    ///
    /// To be followed by [`Self::adopt`].
    pub(crate) fn show_image(&mut self, image: &Layout, extents: &[Extent]) -> io::Result<()> {
        let first = self.memory.first().ok_or(io::ErrorKind::NotFound)?;
        first.replace_by(extents)?;
        self.drop_behind(image.boundary.address().get())
    }

    /// Takes over the layout of an image, whose bytes stand in memory.
    pub(crate) fn adopt(&mut self, image: &Layout) {
        self.layout = image.clone();
        self.tables_were_replaced();
    }

    /// Gives all memory back, the image's bytes included. Only [`Self::show_image`] makes it usable again.
    pub(crate) fn clear(&mut self) -> io::Result<()> {
        if let Some(first) = self.memory.first() {
            first.replace_by(&[])?;
            self.drop_behind(first.length())?;
        }
        self.layout.frames = FrameAllocator::new(self.layout.frames.limit());
        self.layout.image_end = Frame::ZERO;
        self.tables_were_replaced();
        Ok(())
    }

    /// Gives back what was ever used of the memory behind the image's part, which has as many bytes.
    fn drop_behind(&self, image_part: u64) -> io::Result<()> {
        let used = self.layout.used_bytes();
        if used > image_part {
            let start = PhysicalAddress::new(image_part);
            self.memory.discard(start, used - image_part)?;
        }
        Ok(())
    }

    fn tables_were_replaced(&mut self) {
        self.tracking.forget_tables();
        self.generation += 1;
    }
}
