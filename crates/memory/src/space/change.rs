//! Changing what is mapped: unmapping, protecting, moving, discarding.
//!
//! Each comes twice: `*_some` does a portion ([`AddressSpace::begin_portion`]) and tells where it stopped,
//! for requests whose size the guest chooses; the other does all of it, for the host's own. Whoever works in
//! portions first asks [`AddressSpace::check_change`], once: in between, nobody else changes anything.

use super::area::Area;
use super::{AREAS_MAX, AddressSpace, BLOCK, MapError, check_rights};
use crate::frames::{BLOCK_FRAMES, Run};
use crate::meter::cost;
use crate::protection::{Privilege, Protection};
use crate::table::Entry;
use ampoule_abi::layout::PAGE_SIZE;

/// Free or foreign frames between two runs over which an eviction spans them: the hypervisor forgets a few
/// pages more, which costs the guest a look at each, and the host two system calls less.
const EVICTION_GAP: u64 = 64;

impl AddressSpace {
    /// Checks that a range can be changed: it is the guest's, and enough separate ranges are left for what
    /// is cut off at its ends.
    ///
    /// # Errors
    /// [`MapError`].
    pub fn check_change(&self, start: u64, length: u64) -> Result<(), MapError> {
        let end = self.user_range(start, length)?;
        self.refuse_pinned(start, end)?;
        if self.shape.areas.len() + self.shape.areas.splits(start, end) > AREAS_MAX {
            return Err(MapError::TooManyAreas { limit: AREAS_MAX });
        }
        Ok(())
    }

    /// Unmaps the range, as `munmap(2)`: holes are fine.
    ///
    /// # Errors
    /// [`MapError`]; nothing is changed then, except when the host refuses half-way
    /// ([`MapError::Host`]).
    pub fn unmap(&mut self, start: u64, length: u64) -> Result<(), MapError> {
        let end = self.user_range(start, length)?;
        self.check_change(start, length)?;
        self.in_full(start, end, Self::unmap_some)
    }

    /// A portion of [`Self::unmap`]: from `start` up to what is returned, at most `end`.
    ///
    /// # Errors
    /// [`MapError::Host`].
    pub fn unmap_some(&mut self, start: u64, end: u64) -> Result<u64, MapError> {
        self.for_each_area(start, end, |space, from, to, _| {
            space.note_change(from, to);
            let reached = space.take_back(from, to)?;
            space.shape.areas.cut(from, reached);
            Ok(reached)
        })
    }

    /// Makes the range read as zeros again, as `madvise(2)` with `MADV_DONTNEED`. Must be mapped.
    ///
    /// # Errors
    /// [`MapError`].
    pub fn discard(&mut self, start: u64, length: u64) -> Result<(), MapError> {
        let end = self.user_range(start, length)?;
        self.refuse_pinned(start, end)?;
        self.refuse_hole(start, end)?;
        self.in_full(start, end, Self::discard_some)
    }

    /// A portion of [`Self::discard`], for which holes are fine.
    ///
    /// # Errors
    /// [`MapError::Host`].
    pub fn discard_some(&mut self, start: u64, end: u64) -> Result<u64, MapError> {
        self.for_each_area(start, end, |space, from, to, _| {
            space.note_change(from, to);
            space.take_back(from, to)
        })
    }

    /// Changes the rights of every page in the range, as `mprotect(2)`.
    ///
    /// # Errors
    /// [`MapError`]; nothing is changed then, except when the host refuses half-way
    /// ([`MapError::Host`]).
    pub fn protect(
        &mut self,
        start: u64,
        length: u64,
        protection: Protection,
    ) -> Result<(), MapError> {
        let end = self.user_range(start, length)?;
        check_rights(protection)?;
        self.refuse_pinned(start, end)?;
        self.refuse_hole(start, end)?;
        self.check_change(start, length)?;
        self.in_full(start, end, |space, at, end| space.protect_some(at, end, protection))
    }

    /// A portion of [`Self::protect`], for rights that memory can have.
    ///
    /// # Errors
    /// [`MapError::Host`].
    pub fn protect_some(
        &mut self,
        start: u64,
        end: u64,
        protection: Protection,
    ) -> Result<u64, MapError> {
        self.for_each_area(start, end, |space, from, to, area| {
            if area.protection == protection {
                return Ok(to);
            }
            space.note_change(from, to);
            let (reached, changed) = space.rewrite(from, to, cost::EVICTION, |_, entry| {
                (Entry::leaf(entry.target(), protection, Privilege::User), 0)
            });
            space.shape.areas.protect(from, reached, protection);
            space.evict(changed)?;
            Ok(reached)
        })
    }

    /// Moves the pages of a range, contents and all, as `mremap(2)` with `MREMAP_MAYMOVE`.
    ///
    /// # Errors
    /// [`MapError`]; nothing is changed then, except when the host refuses half-way
    /// ([`MapError::Host`]) or memory for page tables runs out ([`MapError::OutOfMemory`]).
    pub fn relocate(&mut self, from: u64, length: u64, to: u64) -> Result<(), MapError> {
        let end = self.user_range(from, length)?;
        self.free_range(to, length)?;
        self.refuse_pinned(from, end)?;
        self.refuse_hole(from, end)?;
        self.check_change(from, length)?;
        self.in_full(from, end, |space, at, end| space.prepare_some(at, end, to + (at - from)))?;
        self.in_full(from, end, |space, at, end| space.relocate_some(at, end, to + (at - from)))
    }

    /// A portion of what comes before a move: makes the page tables that the pages of `[start, end)` need
    /// at `to`.
    ///
    /// # Errors
    /// [`MapError::OutOfMemory`]; nothing has moved then.
    pub fn prepare_some(&mut self, start: u64, end: u64, to: u64) -> Result<u64, MapError> {
        // Three tables, with the zeros in them.
        const PRICE: u64 = 3 * (cost::RUN + PAGE_SIZE / cost::BYTES);
        let mut blocks: Vec<u64> = Vec::new();
        let (reached, _) = self.rewrite(start, end, 0, |page, entry| {
            let block = (to + (page - start)) & !(BLOCK - 1);
            if blocks.last() == Some(&block) {
                return (entry, 0);
            }
            blocks.push(block);
            (entry, PRICE)
        });
        for block in blocks {
            self.prepare_tables(block, block + BLOCK)?;
        }
        Ok(reached)
    }

    /// A portion of a move to `to`, where nothing is mapped and [`Self::prepare_some`] was done for all.
    ///
    /// # Errors
    /// [`MapError::Host`].
    pub fn relocate_some(&mut self, start: u64, end: u64, to: u64) -> Result<u64, MapError> {
        self.for_each_area(start, end, |space, from, until, _| {
            space.note_change(from, until);
            let (tables, memory) = (space.shape.tables, space.memory.clone());
            let (reached, moved) = space.rewrite(from, until, cost::EVICTION, |page, entry| {
                tables.replace(&memory, to + (page - start), entry);
                (Entry::EMPTY, cost::ENTRY)
            });
            if let Some(area) = space.shape.areas.cut(from, reached) {
                let end = to + (reached - start);
                space.shape.areas.insert(to + (from - start), Area { end, ..area });
            }
            space.evict(moved)?;
            Ok(reached)
        })
    }

    /// Counts pages of `[start, end)` that have frames, up to `wanted` of them, a portion at a time. Returns
    /// where the count stopped, and it.
    pub fn count_some(&mut self, start: u64, end: u64, wanted: u64) -> (u64, u64) {
        let mut count = 0;
        let mut at = start;
        while at < end && count < wanted && !self.meter.is_over() {
            match self.large_from(at, end) {
                Some(block) if block <= at => {
                    let stop = end.min(block + BLOCK);
                    count += (stop - at) / PAGE_SIZE;
                    self.meter.charge(cost::STEP);
                    at = stop;
                }
                next => {
                    let range = (at, next.unwrap_or(end));
                    let Self { shape, memory, meter, .. } = self;
                    at = shape.tables.walk(memory, range, meter, |_, _, _| {
                        count += 1;
                        0
                    });
                }
            }
        }
        (at, count)
    }

    /// Splits every large leaf that has a page in `[start, end)`. Needs no memory: each one's table
    /// was set aside when it was made, so that a guest without memory can still give some back.
    pub(super) fn split_large(&mut self, start: u64, end: u64) {
        while let Some(block) = self.large_from(start, end) {
            self.split(block);
        }
    }

    /// Takes the frames of `[start, end)` away and frees them, for what the base does not have. Does it
    /// all.
    pub(super) fn take_back_all(&mut self, start: u64, end: u64) -> Result<(), MapError> {
        self.in_full(start, end, Self::take_back)
    }

    /// Does the whole of something that works in portions.
    fn in_full(
        &mut self,
        start: u64,
        end: u64,
        mut some: impl FnMut(&mut Self, u64, u64) -> Result<u64, MapError>,
    ) -> Result<(), MapError> {
        let mut at = start;
        while at < end {
            self.meter.extend();
            at = some(self, at, end)?;
        }
        Ok(())
    }

    /// Lets `act` go through the areas in `[start, end)`, piece by piece, until the portion is over. It tells
    /// how far it came with a piece.
    fn for_each_area(
        &mut self,
        start: u64,
        end: u64,
        mut act: impl FnMut(&mut Self, u64, u64, Area) -> Result<u64, MapError>,
    ) -> Result<u64, MapError> {
        let mut at = start;
        while at < end {
            let Some((first, &area)) = self.shape.areas.within(at, end).next() else {
                return Ok(end);
            };
            self.meter.charge(cost::AREA);
            at = act(self, first.max(at), area.end.min(end), area)?;
            if self.meter.is_over() {
                break;
            }
        }
        Ok(at)
    }

    /// Takes the frames of a part of `[start, end)` away and frees them; returns where the part ends.
    fn take_back(&mut self, start: u64, end: u64) -> Result<u64, MapError> {
        let mut frames = Vec::new();
        let mut at = start;
        while at < end && (at == start || !self.meter.is_over()) {
            match self.large_from(at, end) {
                Some(block) if block == at && block + BLOCK <= end => {
                    frames.extend(self.drop_large(block));
                    at = block + BLOCK;
                }
                Some(block) if block <= at => self.split(block),
                next => {
                    let stop = next.unwrap_or(end);
                    let gone = |_, _| (Entry::EMPTY, cost::PAGE_BACK);
                    at = self.replace(at, stop, cost::HOST_CALL + cost::RUN, &mut frames, gone);
                }
            }
        }
        for run in merged(frames, 0) {
            self.memory
                .discard(run.offset(), run.length())
                .map_err(|error| MapError::Host { kind: error.kind() })?;
            self.shape.frames.release(run);
        }
        Ok(at)
    }

    /// Replaces the committed entries of a part of `[start, end)`, and returns where the part ends and the
    /// frames behind the entries. `replacement` tells what it cost, and each run of frames costs `price`.
    fn rewrite(
        &mut self,
        start: u64,
        end: u64,
        price: u64,
        mut replacement: impl FnMut(u64, Entry) -> (Entry, u64),
    ) -> (u64, Vec<Run>) {
        let mut frames = Vec::new();
        let mut at = start;
        while at < end && (at == start || !self.meter.is_over()) {
            match self.large_from(at, end) {
                Some(block) if block <= at => self.split(block),
                next => {
                    let stop = next.unwrap_or(end);
                    at = self.replace(at, stop, price, &mut frames, &mut replacement);
                }
            }
        }
        (at, frames)
    }

    /// As [`Self::rewrite`] where there is no large leaf; adds the frames to `frames`, and returns where the
    /// part ends.
    fn replace(
        &mut self,
        start: u64,
        end: u64,
        price: u64,
        frames: &mut Vec<Run>,
        mut replacement: impl FnMut(u64, Entry) -> (Entry, u64),
    ) -> u64 {
        let Self { shape, memory, meter, .. } = self;
        shape.tables.walk(memory, (start, end), meter, |page, slot, entry| {
            let (new, extra) = replacement(page, entry);
            if new != entry {
                // The slot lies in guest memory by construction.
                let _ = memory.write_u64(slot.get(), new.bits());
            }
            match frames.last_mut() {
                Some(run) if run.first + run.count == entry.frame() => {
                    run.count += 1;
                    cost::ENTRY + extra
                }
                _ => {
                    frames.push(Run { first: entry.frame(), count: 1 });
                    cost::ENTRY + extra + price
                }
            }
        })
    }

    /// The first block with a large leaf that has a page in `[start, end)`.
    fn large_from(&self, start: u64, end: u64) -> Option<u64> {
        self.shape.large.range(start & !(BLOCK - 1)..end).next().map(|(&block, _)| block)
    }

    fn split(&mut self, block: u64) {
        if let Some(table) = self.shape.large.remove(&block) {
            self.generation += 1;
            self.shape.tables.split(&self.memory, block, table);
            self.meter.charge(cost::SPLIT);
        }
    }

    /// Takes a large leaf away, and returns its frames.
    fn drop_large(&mut self, block: u64) -> Option<Run> {
        let table = self.shape.large.remove(&block)?;
        self.generation += 1;
        let leaf = self.shape.tables.part(&self.memory, block, table)?;
        self.meter.charge(cost::HOST_CALL + cost::RUN + cost::PAGE_BACK * BLOCK_FRAMES);
        Some(Run { first: leaf.frame(), count: BLOCK_FRAMES })
    }

    /// Makes the hypervisor forget what it cached for these frames.
    fn evict(&self, frames: Vec<Run>) -> Result<(), MapError> {
        for run in merged(frames, EVICTION_GAP) {
            self.memory
                .evict_translations(run.offset(), run.length())
                .map_err(|error| MapError::Host { kind: error.kind() })?;
        }
        Ok(())
    }

    fn refuse_hole(&self, start: u64, end: u64) -> Result<(), MapError> {
        if self.shape.areas.covers(start, end) {
            Ok(())
        } else {
            Err(MapError::NotMapped { start, length: end - start })
        }
    }
}

/// The runs in order, those that lie at most `gap` frames apart as one.
fn merged(mut runs: Vec<Run>, gap: u64) -> Vec<Run> {
    runs.sort_unstable_by_key(|run| run.first);
    runs.dedup_by(|next, run| {
        let end = run.first + run.count;
        let joins = next.first <= end + gap;
        if joins {
            run.count = run.count.max(next.first + next.count - run.first);
        }
        joins
    });
    runs
}
