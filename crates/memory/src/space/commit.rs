//! Giving pages their frames, and the tables that lead to them.

use super::{AddressSpace, BLOCK, MapError, Shape};
use crate::address::{PhysicalAddress, page_of};
use crate::frames::{BLOCK_FRAMES, Run};
use crate::meter::{Meter, cost};
use crate::physical::PhysicalMemory;
use crate::protection::{Privilege, Protection};
use crate::table::{Entry, slot_in};
use ampoule_abi::layout::PAGE_SIZE;

/// What is committed ahead of its touch is at most this share of the free frames, so that little is
/// wasted when they run short.
const AHEAD_SHARE: u64 = 16;
/// Units of work after which nothing more is committed ahead, so that a fault stays cheap where memory has
/// fallen into pieces, and where frames have to be cleared.
const AHEAD_WORK: u64 = crate::PORTION / 4;
/// Entries that are filled for a unit of work.
const ENTRIES_A_UNIT: u64 = 8;
/// Frames of the image that are cleared in one piece.
const STALE_MAX: u64 = 64;

impl AddressSpace {
    /// How many pages may be committed together.
    pub(super) fn committable(&self) -> u64 {
        (self.shape.frames.available() / AHEAD_SHARE).clamp(1, BLOCK_FRAMES)
    }

    /// Gives the page at `address` a frame, and its neighbours in the same block: one of 2 MiB where
    /// frames are plentiful, else a smaller one.
    pub(super) fn commit_around(
        &mut self,
        address: u64,
        protection: Protection,
    ) -> Result<(), MapError> {
        let page = page_of(address);
        let length = (1 << self.committable().ilog2()) * PAGE_SIZE;
        let block = page & !(length - 1);
        let (area_start, area_end) = self
            .shape
            .areas
            .containing(address)
            .map_or((page, page + PAGE_SIZE), |(start, area)| (start, area.end));
        let (start, end) = (block.max(area_start), (block + length).min(area_end));
        let whole = end - start == BLOCK && self.shape.wants_large_leaves();
        if whole && !self.has_committed(block) && self.commit_large(block, protection)? {
            return Ok(());
        }
        self.commit(page, (start, end), protection)
    }

    /// Whether a page of the block at `block` has a frame.
    fn has_committed(&mut self, block: u64) -> bool {
        if self.shape.large.contains_key(&block) {
            return true;
        }
        let mut any = false;
        let Self { shape, memory, meter, .. } = self;
        shape.tables.walk(memory, (block, block + BLOCK), meter, |_, _, _| {
            any = true;
            0
        });
        any
    }

    /// Maps the empty block at `block` by one large leaf; `false` when there is no block of frames.
    fn commit_large(&mut self, block: u64, protection: Protection) -> Result<bool, MapError> {
        let Some(run) = self.shape.frames.allocate_block(self.shape.boundary) else {
            return Ok(false);
        };
        if let Err(error) = self.prepare_tables(block, block + BLOCK) {
            self.shape.frames.release(run);
            return Err(error);
        }
        let physical = PhysicalAddress::new(run.offset());
        let leaf = Entry::leaf(physical, protection, Privilege::User);
        if let Some(table) = self.shape.tables.join(&self.memory, block, leaf) {
            self.shape.large.insert(block, table);
        }
        self.meter.charge(cost::AREA);
        Ok(true)
    }

    /// Gives the page at `needed` a frame, and others of `[start, end)` as far as that is cheap.
    ///
    /// # Errors
    /// When there is no frame for `needed`.
    pub(super) fn commit(
        &mut self,
        needed: u64,
        (start, end): (u64, u64),
        protection: Protection,
    ) -> Result<(), MapError> {
        let enough = self.meter.spent() + AHEAD_WORK;
        let done = self.commit_pieces((needed, end), protection, enough);
        if done.is_err() && !self.entry(needed).is_committed() {
            return done;
        }
        // What lies before is nobody's need yet.
        let _ = self.commit_pieces((start, needed), protection, enough);
        Ok(())
    }

    /// Gives the pages of a range that have none frames, one piece of free memory at least, until `enough`
    /// work is done.
    fn commit_pieces(
        &mut self,
        (start, end): (u64, u64),
        protection: Protection,
        enough: u64,
    ) -> Result<(), MapError> {
        let mut at = start;
        while at < end {
            let stop = end.min((at & !(BLOCK - 1)) + BLOCK);
            self.prepare_tables(at, stop)?;
            let Some(table) = self.shape.tables.leaf_table(&self.memory, at) else {
                // A large leaf.
                at = stop;
                continue;
            };
            self.meter.charge(cost::TABLE);
            while at < stop {
                let gap = self.gap_in(table, at, stop);
                if gap == 0 {
                    at += PAGE_SIZE;
                    continue;
                }
                if at > start && self.meter.spent() >= enough {
                    return Ok(());
                }
                let run = self.allocate(gap).ok_or(self.out_of_memory())?;
                self.meter.charge(run.count / ENTRIES_A_UNIT);
                for index in 0..run.count {
                    let page = PhysicalAddress::new(run.offset() + index * PAGE_SIZE);
                    let entry = Entry::leaf(page, protection, Privilege::User);
                    let slot = slot_in(table, at + index * PAGE_SIZE, 0);
                    // The table lies in guest memory by construction.
                    let _ = self.memory.write_u64(slot.get(), entry.bits());
                }
                at += run.length();
            }
        }
        Ok(())
    }

    /// Pages from `at` on, up to `stop`, for which `table` has no frame.
    fn gap_in(&self, table: PhysicalAddress, at: u64, stop: u64) -> u64 {
        let pages = (stop - at) / PAGE_SIZE;
        let is_free = |&index: &u64| {
            let slot = slot_in(table, at + index * PAGE_SIZE, 0);
            // Not empty: the working set of the image may have marked it as used already.
            self.memory
                .read_u64(slot.get())
                .is_ok_and(|word| !Entry::from_bits(word).is_committed())
        };
        (0..pages).take_while(is_free).count() as u64
    }

    /// Frames that read as zero: up to `wanted`, contiguous.
    pub(super) fn allocate(&mut self, wanted: u64) -> Option<Run> {
        allocate(&mut self.shape, &self.memory, &mut self.meter, wanted)
    }

    /// Makes the tables for `[start, end)`.
    pub(super) fn prepare_tables(&mut self, start: u64, end: u64) -> Result<(), MapError> {
        let in_use = self.shape.frames.in_use();
        let tables = self.shape.tables;
        let Self { shape, memory, meter, .. } = self;
        let mut at = start;
        let mut prepared = Ok(());
        while at < end && prepared.is_ok() {
            prepared = tables.prepare(memory, at, || allocate(shape, memory, meter, 1));
            at = (at & !(BLOCK - 1)) + BLOCK;
        }
        if self.shape.frames.in_use() != in_use {
            self.tracking.forget_tables();
        }
        prepared.map_err(|_| self.out_of_memory())
    }

    /// Enters `[start, end)` onto contiguous memory from `physical` on.
    pub(super) fn enter_range(
        &mut self,
        start: u64,
        end: u64,
        physical: PhysicalAddress,
        protection: Protection,
        privilege: Privilege,
    ) -> Result<(), MapError> {
        self.prepare_tables(start, end)?;
        for index in 0..(end - start) / PAGE_SIZE {
            let target = PhysicalAddress::new(physical.get() + index * PAGE_SIZE);
            let entry = Entry::leaf(target, protection, privilege);
            self.shape.tables.replace(&self.memory, start + index * PAGE_SIZE, entry);
        }
        Ok(())
    }
}

fn allocate(
    shape: &mut Shape,
    memory: &PhysicalMemory,
    meter: &mut Meter,
    wanted: u64,
) -> Option<Run> {
    let mut run = shape.frames.allocate(wanted)?;
    if run.first < shape.image_frames && run.count > STALE_MAX {
        let rest = Run { first: run.first + STALE_MAX, count: run.count - STALE_MAX };
        shape.frames.release(rest);
        run.count = STALE_MAX;
    }
    let stale = shape.image_frames.saturating_sub(run.first).min(run.count);
    if stale > 0 {
        // Discarded frames of an image show the image's bytes again.
        memory.zero(run.offset(), stale * PAGE_SIZE).ok()?;
        meter.charge_bytes(stale * PAGE_SIZE);
    }
    meter.charge(cost::RUN);
    Some(run)
}
