//! Which frame stands behind which page, as an image keeps it.

use super::entry::Entry;
use super::tables::Tables;
use crate::address::{Block, PhysicalAddress, VirtualAddress};
use crate::count::PageCount;
use crate::frame::{Frame, Run};
use crate::frames::FrameAllocator;
use crate::physical::PhysicalMemory;
use std::collections::BTreeMap;

/// Frames for pages of 4 KiB behind an image's own: 4 MiB at least.
const SMALL_FRAMES: PageCount = PageCount::new(1024);
/// The image's part of memory is a multiple of this, 64 MiB, so that most images of a guest have the
/// same shape and can take each other's place in a VM.
const BOUNDARY_UNIT: u64 = 32 * Block::PAGES.get();

/// All that page tables are but the memory that they stand in.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(super) frames: FrameAllocator,
    /// Frames before come from a sealed image: discarding them brings the image's bytes back.
    pub(super) image_end: Frame,
    /// Frames from here on are anonymous memory that can have huge pages; the limit if none are.
    pub(super) boundary: Frame,
    /// Blocks that a large leaf maps, with the tables that take its place when it is split.
    pub(super) large: BTreeMap<Block, PhysicalAddress>,
    pub(super) tables: Tables,
}

impl Layout {
    /// Page tables with nothing mapped, whose root is the first of `frames`; `None` when there is none.
    pub(super) fn empty(mut frames: FrameAllocator) -> Option<Self> {
        let root = frames.allocate(PageCount::ONE)?;
        let boundary = frames.limit();
        Some(Self {
            frames,
            image_end: Frame::ZERO,
            boundary,
            large: BTreeMap::new(),
            tables: Tables::new(root.first),
        })
    }

    /// The layout of an image that has the frames before `image_end`, of which `free` are free, and whose
    /// root table is the frame `root`. Nothing of it is checked here.
    pub(crate) fn of_image(limit: Frame, image_end: Frame, free: Vec<Run>, root: Frame) -> Self {
        let frames = FrameAllocator::with(image_end, limit, free);
        let tables = Tables::new(root);
        Self { frames, image_end, boundary: limit, large: BTreeMap::new(), tables }.bounded()
    }

    /// Ends the image's part of memory behind its frames and spare ones for small needs, so that a guest
    /// which needs little takes no huge page.
    pub(super) fn bounded(mut self) -> Self {
        let end = self.image_end.plus(SMALL_FRAMES).get().next_multiple_of(BOUNDARY_UNIT);
        self.boundary = Frame::new(end).min(self.frames.limit());
        self
    }

    /// Whether enough small pages were used up that a guest shows a need for large ones. Below, it
    /// keeps to pages that are shared with its image and can be tracked one by one.
    pub(super) fn wants_large_leaves(&self) -> bool {
        self.boundary < self.frames.limit()
            && self.frames.high_water() >= self.image_end.plus(SMALL_FRAMES)
    }

    /// The first block with a large leaf that has a page in `[start, end)`.
    pub(super) fn large_from(&self, start: VirtualAddress, end: VirtualAddress) -> Option<Block> {
        let blocks = self.large.range(start.block()..);
        blocks.map(|(&block, _)| block).next().filter(|block| block.start() < end)
    }

    /// Pages in use, those of the tables included.
    pub(crate) fn in_use(&self) -> PageCount {
        self.frames.in_use()
    }

    /// Behind the last frame that the guest may have.
    pub(crate) const fn limit(&self) -> Frame {
        self.frames.limit()
    }

    /// Behind the last frame of the image.
    pub(crate) const fn image_end(&self) -> Frame {
        self.image_end
    }

    /// Where the image's part of memory ends.
    pub(crate) const fn boundary(&self) -> Frame {
        self.boundary
    }

    /// The frame of the root table.
    pub(crate) const fn root(&self) -> Frame {
        self.tables.root().frame()
    }

    /// Runs of frames that are free, in order; no two touch.
    pub(crate) fn free(&self) -> impl Iterator<Item = Run> {
        self.frames.free()
    }

    /// Where the page at `address` lies in `memory`, whatever its rights.
    pub(crate) fn find(
        &self,
        memory: &PhysicalMemory,
        address: VirtualAddress,
    ) -> Option<PhysicalAddress> {
        let entry = self.tables.lookup(memory, address).filter(|entry| entry.is_committed());
        entry.map(Entry::target)
    }

    /// Bytes from the start of memory up to the last frame that was ever used.
    pub(super) fn used_bytes(&self) -> u64 {
        self.frames.high_water().max(self.image_end).address().get()
    }
}

#[cfg(test)]
impl Layout {
    /// The pages that the tables take.
    pub(crate) fn table_frames(&self, memory: &PhysicalMemory) -> Vec<Frame> {
        self.tables.frames(memory).into_iter().collect()
    }

    /// Where the leaf for `address` stands.
    pub(crate) fn leaf_slot(
        &self,
        memory: &PhysicalMemory,
        address: VirtualAddress,
    ) -> Option<PhysicalAddress> {
        let table = self.tables.leaf_table(memory, address)?;
        Some(super::tables::slot_in(table, address))
    }
}
