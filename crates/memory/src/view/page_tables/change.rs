//! Withdrawing, protecting and moving pages that are shown, a portion at a time.
//!
//! Each goes from the start of a range up to where the portion ends, and gets past a page at least.

use super::PageTables;
use super::entry::Entry;
use super::price;
use super::tables::write;
use crate::address::{Block, PageRange, VirtualAddress};
use crate::count::PageCount;
use crate::error::MapError;
use crate::frame::Run;
use crate::meter::{Meter, cost};
use crate::protection::{Privilege, Protection};
use crate::view::portion::Portion;
use ampoule_abi::layout::PAGE_SIZE;

/// Free or foreign frames between two runs over which an eviction spans them: the hypervisor forgets a few
/// pages more, which costs the guest a look at each, and the host two system calls less.
const EVICTION_GAP: PageCount = PageCount::new(64);

impl PageTables {
    /// Takes the memory of a part of `range` away and frees it.
    pub(crate) fn withdraw(&mut self, range: PageRange, meter: &mut Meter) -> Portion {
        let mut frames = Vec::new();
        let (mut at, start, end) = (range.start(), range.start(), range.end());
        while at < end && (at == start || !meter.is_over()) {
            match self.layout.large_from(at, end) {
                Some(block) if block.start() == at && block.end() <= end => {
                    frames.extend(self.drop_large(block, meter));
                    at = block.end();
                }
                Some(block) if block.start() <= at => self.split(block, meter),
                next => {
                    let piece = PageRange::new(at, next.map_or(end, Block::start));
                    let gone = |_, _| (Entry::EMPTY, price::PAGE_BACK);
                    let run_price = cost::HOST_CALL + price::RUN;
                    at = self.replace(piece, run_price, &mut frames, meter, gone);
                }
            }
        }
        Portion { reached: at, done: self.give_back(frames) }
    }

    /// Withdraws all of `range`, for the host's own purposes.
    pub(super) fn withdraw_all(
        &mut self,
        range: PageRange,
        meter: &mut Meter,
    ) -> Result<(), MapError> {
        let mut rest = range;
        while !rest.is_empty() {
            meter.extend();
            rest = rest.rest(self.withdraw(rest, meter).finished()?);
        }
        Ok(())
    }

    /// Gives frames back to the host, and then to be handed out again.
    fn give_back(&mut self, frames: Vec<Run>) -> Result<(), MapError> {
        for run in Run::merged(frames, PageCount::ZERO) {
            let discarded = self.memory.discard(run.start(), run.bytes());
            discarded.map_err(|error| MapError::Host { kind: error.kind() })?;
            self.layout.frames.release(run);
        }
        Ok(())
    }

    /// Shows what is committed of a part of `range` with other rights.
    pub(crate) fn protect(
        &mut self,
        range: PageRange,
        protection: Protection,
        meter: &mut Meter,
    ) -> Portion {
        let (reached, changed) = self.rewrite(range, price::EVICTION, meter, |_, _, entry| {
            (Entry::leaf(entry.target(), protection, Privilege::User), 0)
        });
        Portion { reached, done: self.evict(changed) }
    }

    /// Makes the page tables that the pages of a part of `range` need at `to`. Returns where the part ends.
    ///
    /// # Errors
    /// [`MapError::OutOfMemory`].
    pub(crate) fn prepare(
        &mut self,
        range: PageRange,
        to: VirtualAddress,
        meter: &mut Meter,
    ) -> Result<VirtualAddress, MapError> {
        // Three tables, with the zeros in them.
        const PRICE: u64 = 3 * (price::RUN + PAGE_SIZE / cost::BYTES);
        let mut blocks: Vec<Block> = Vec::new();
        let (reached, _) = self.rewrite(range, 0, meter, |_, page, entry| {
            let block = to.plus(page.since(range.start())).block();
            if blocks.last() == Some(&block) {
                return (entry, 0);
            }
            blocks.push(block);
            (entry, PRICE)
        });
        for block in blocks {
            self.prepare_tables(block.range(), meter)?;
        }
        Ok(reached)
    }

    /// Moves the pages of a part of `range`, contents and all, to `to`, where nothing is shown and
    /// [`Self::prepare`] was done for all of them.
    pub(crate) fn relocate(
        &mut self,
        range: PageRange,
        to: VirtualAddress,
        meter: &mut Meter,
    ) -> Portion {
        let (reached, moved) = self.rewrite(range, price::EVICTION, meter, |view, page, entry| {
            let target = to.plus(page.since(range.start()));
            view.layout.tables.replace(&view.memory, target, entry);
            (Entry::EMPTY, price::ENTRY)
        });
        Portion { reached, done: self.evict(moved) }
    }

    /// Counts pages of `range` that have memory, up to `wanted` of them. Returns where the count stopped,
    /// and it.
    pub(crate) fn count(
        &self,
        range: PageRange,
        wanted: PageCount,
        meter: &mut Meter,
    ) -> (VirtualAddress, PageCount) {
        let mut count = PageCount::ZERO;
        let (mut at, end) = (range.start(), range.end());
        while at < end && count < wanted && !meter.is_over() {
            match self.layout.large_from(at, end) {
                Some(block) if block.start() <= at => {
                    let part = PageRange::new(at, end.min(block.end()));
                    count += part.pages();
                    meter.charge(cost::STEP);
                    at = part.end();
                }
                next => {
                    let piece = PageRange::new(at, next.map_or(end, Block::start));
                    at = self.layout.tables.walk(&self.memory, piece, meter, |_, _, _| {
                        count += PageCount::ONE;
                        0
                    });
                }
            }
        }
        (at, count)
    }

    /// Splits every large leaf. Needs no memory: each one's table was set aside when it was made, so that a
    /// guest without memory can still give some back.
    pub(super) fn split_all(&mut self, meter: &mut Meter) {
        while let Some((&block, _)) = self.layout.large.first_key_value() {
            self.split(block, meter);
        }
    }

    /// Replaces the committed entries of a part of `range`, and returns where the part ends and the frames
    /// behind the entries. `replacement` tells what it cost, and each run of frames costs `price`.
    fn rewrite(
        &mut self,
        range: PageRange,
        price: u64,
        meter: &mut Meter,
        mut replacement: impl FnMut(&Self, VirtualAddress, Entry) -> (Entry, u64),
    ) -> (VirtualAddress, Vec<Run>) {
        let mut frames = Vec::new();
        let (mut at, start, end) = (range.start(), range.start(), range.end());
        while at < end && (at == start || !meter.is_over()) {
            match self.layout.large_from(at, end) {
                Some(block) if block.start() <= at => self.split(block, meter),
                next => {
                    let piece = PageRange::new(at, next.map_or(end, Block::start));
                    let replacement = |page, entry| replacement(self, page, entry);
                    at = self.replace(piece, price, &mut frames, meter, replacement);
                }
            }
        }
        (at, frames)
    }

    /// As [`Self::rewrite`] where there is no large leaf; adds the frames to `frames`, and returns where the
    /// part ends.
    fn replace(
        &self,
        range: PageRange,
        price: u64,
        frames: &mut Vec<Run>,
        meter: &mut Meter,
        mut replacement: impl FnMut(VirtualAddress, Entry) -> (Entry, u64),
    ) -> VirtualAddress {
        self.layout.tables.walk(&self.memory, range, meter, |page, slot, entry| {
            let (new, extra) = replacement(page, entry);
            if new != entry {
                // The slot lies in guest memory by construction.
                let _ = write(&self.memory, slot, new);
            }
            let is_new_run = Run::append(frames, entry.frame());
            price::ENTRY + extra + if is_new_run { price } else { 0 }
        })
    }

    fn split(&mut self, block: Block, meter: &mut Meter) {
        if let Some(table) = self.layout.large.remove(&block) {
            self.generation += 1;
            self.layout.tables.split(&self.memory, block, table);
            meter.charge(price::SPLIT);
        }
    }

    /// Takes a large leaf away, and returns its frames.
    fn drop_large(&mut self, block: Block, meter: &mut Meter) -> Option<Run> {
        let table = self.layout.large.remove(&block)?;
        self.generation += 1;
        let leaf = self.layout.tables.part(&self.memory, block, table)?;
        meter.charge(cost::HOST_CALL + price::RUN + price::PAGE_BACK * Block::PAGES.get());
        Some(Run { first: leaf.frame(), count: Block::PAGES })
    }

    /// Makes the hypervisor forget what it cached for these frames.
    ///
    /// It does not see what the host writes to page tables; see [`crate::Mapping::evict_translations`].
    fn evict(&self, frames: Vec<Run>) -> Result<(), MapError> {
        for run in Run::merged(frames, EVICTION_GAP) {
            let evicted = self.memory.evict_translations(run.start(), run.bytes());
            evicted.map_err(|error| MapError::Host { kind: error.kind() })?;
        }
        Ok(())
    }
}
