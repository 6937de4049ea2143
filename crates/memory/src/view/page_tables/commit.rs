//! Giving pages their frames, and the tables that lead to them.

use super::PageTables;
use super::entry::Entry;
use super::layout::Layout;
use super::price;
use super::tables::{read, slot_in, write};
use crate::address::{Block, PageRange, PhysicalAddress, VirtualAddress};
use crate::count::PageCount;
use crate::error::MapError;
use crate::frame::Run;
use crate::meter::{Meter, PORTION, cost};
use crate::physical::PhysicalMemory;
use crate::protection::{Privilege, Protection};
use ampoule_abi::layout::PAGE_SIZE;

/// Units of work after which nothing more is committed ahead, so that a fault stays cheap where memory has
/// fallen into pieces, and where frames have to be cleared.
const AHEAD_WORK: u64 = PORTION / 4;
/// Entries that are filled for a unit of work.
const ENTRIES_A_UNIT: u64 = 8;
/// Frames of the image that are cleared in one piece.
const STALE_MAX: PageCount = PageCount::new(64);

impl PageTables {
    /// Gives the page at `needed` memory that reads as zeros, and others of `range` as far as that is cheap.
    /// A whole block gets a large leaf where there is no need to keep to small pages.
    ///
    /// # Errors
    /// [`MapError::OutOfMemory`] when there is none for `needed`.
    pub(crate) fn commit(
        &mut self,
        needed: VirtualAddress,
        range: PageRange,
        protection: Protection,
        meter: &mut Meter,
    ) -> Result<(), MapError> {
        if let Some(block) = range.as_block()
            && self.layout.wants_large_leaves()
            && !self.has_committed(block, meter)
            && self.commit_large(block, protection, meter)?
        {
            return Ok(());
        }
        let enough = meter.spent() + AHEAD_WORK;
        let from_needed = PageRange::new(needed, range.end());
        let done = self.commit_pieces(from_needed, protection, enough, meter);
        if done.is_err() && !self.leaf(needed).is_committed() {
            return done;
        }
        // What lies before is nobody's need yet.
        let before = PageRange::new(range.start(), needed);
        let _ = self.commit_pieces(before, protection, enough, meter);
        Ok(())
    }

    /// Whether a page of `block` has a frame.
    fn has_committed(&self, block: Block, meter: &mut Meter) -> bool {
        if self.layout.large.contains_key(&block) {
            return true;
        }
        let mut any = false;
        self.layout.tables.walk(&self.memory, block.range(), meter, |_, _, _| {
            any = true;
            0
        });
        any
    }

    /// Maps the empty `block` by one large leaf; `false` when there is no block of frames.
    fn commit_large(
        &mut self,
        block: Block,
        protection: Protection,
        meter: &mut Meter,
    ) -> Result<bool, MapError> {
        let Some(run) = self.layout.frames.allocate_block(self.layout.boundary) else {
            return Ok(false);
        };
        if let Err(error) = self.prepare_tables(block.range(), meter) {
            self.layout.frames.release(run);
            return Err(error);
        }
        let leaf = Entry::leaf(run.start(), protection, Privilege::User);
        if let Some(table) = self.layout.tables.join(&self.memory, block, leaf) {
            self.layout.large.insert(block, table);
        }
        meter.charge(cost::AREA);
        Ok(true)
    }

    /// Gives the pages of a range that have none frames, one piece of free memory at least, until `enough`
    /// work is done.
    fn commit_pieces(
        &mut self,
        range: PageRange,
        protection: Protection,
        enough: u64,
        meter: &mut Meter,
    ) -> Result<(), MapError> {
        let (mut at, start) = (range.start(), range.start());
        while at < range.end() {
            let stop = range.end().min(at.block().end());
            self.prepare_tables(PageRange::new(at, stop), meter)?;
            let Some(table) = self.layout.tables.leaf_table(&self.memory, at) else {
                // A large leaf.
                at = stop;
                continue;
            };
            meter.charge(price::TABLE);
            while at < stop {
                let gap = self.gap_in(table, PageRange::new(at, stop));
                if gap == PageCount::ZERO {
                    at = at.step(PAGE_SIZE);
                    continue;
                }
                if at > start && meter.spent() >= enough {
                    return Ok(());
                }
                let run = self.allocate(gap, meter).ok_or(self.out_of_memory())?;
                meter.charge(run.count.get() / ENTRIES_A_UNIT);
                for index in 0..run.count.get() {
                    let offset = index * PAGE_SIZE;
                    let target = run.start().step(offset);
                    let leaf = Entry::leaf(target, protection, Privilege::User);
                    // The table lies in guest memory by construction.
                    let _ = write(&self.memory, slot_in(table, at.step(offset)), leaf);
                }
                at = at.step(run.bytes());
            }
        }
        Ok(())
    }

    /// Pages of `range`, from its start on, for which `table` has no frame.
    fn gap_in(&self, table: PhysicalAddress, range: PageRange) -> PageCount {
        let is_free = |&index: &u64| {
            let slot = slot_in(table, range.start().step(index * PAGE_SIZE));
            // Not empty: the working set of the image may have marked it as used already.
            read(&self.memory, slot).is_some_and(|entry| !entry.is_committed())
        };
        PageCount::new((0..range.pages().get()).take_while(is_free).count() as u64)
    }

    /// Frames that read as zero: up to `wanted`, contiguous.
    pub(super) fn allocate(&mut self, wanted: PageCount, meter: &mut Meter) -> Option<Run> {
        allocate(&mut self.layout, &self.memory, meter, wanted)
    }

    /// Makes the tables for `range`.
    pub(super) fn prepare_tables(
        &mut self,
        range: PageRange,
        meter: &mut Meter,
    ) -> Result<(), MapError> {
        let in_use = self.layout.frames.in_use();
        let tables = self.layout.tables;
        let Self { layout, memory, .. } = self;
        let prepared = range.blocks().try_for_each(|block| {
            let one = || allocate(layout, memory, meter, PageCount::ONE).map(|run| run.first);
            tables.prepare(memory, block.start(), one)
        });
        if self.layout.frames.in_use() != in_use {
            self.tracking.forget_tables();
        }
        prepared.map_err(|_| self.out_of_memory())
    }

    /// Enters `range` onto contiguous memory from `physical` on.
    pub(super) fn enter(
        &mut self,
        range: PageRange,
        physical: PhysicalAddress,
        protection: Protection,
        privilege: Privilege,
        meter: &mut Meter,
    ) -> Result<(), MapError> {
        self.prepare_tables(range, meter)?;
        for index in 0..range.pages().get() {
            let offset = index * PAGE_SIZE;
            let entry = Entry::leaf(physical.plus(offset), protection, privilege);
            self.layout.tables.replace(&self.memory, range.start().plus(offset), entry);
        }
        Ok(())
    }

    pub(super) fn out_of_memory(&self) -> MapError {
        MapError::OutOfMemory { capacity: self.limit().bytes() }
    }
}

fn allocate(
    layout: &mut Layout,
    memory: &PhysicalMemory,
    meter: &mut Meter,
    wanted: PageCount,
) -> Option<Run> {
    let mut run = layout.frames.allocate(wanted)?;
    if run.first < layout.image_end && run.count > STALE_MAX {
        let kept = Run { first: run.first, count: STALE_MAX };
        layout.frames.release(Run::between(kept.end(), run.end()));
        run = kept;
    }
    let stale = run.before(layout.image_end);
    if stale > PageCount::ZERO {
        // Discarded frames of an image show the image's bytes again.
        memory.zero(run.start(), stale.bytes()).ok()?;
        meter.charge_bytes(stale.bytes());
    }
    meter.charge(price::RUN);
    Some(run)
}
