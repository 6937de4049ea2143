//! Changing what is mapped: unmapping, protecting, moving, discarding.
//!
//! Each comes twice: `*_some` does a portion ([`AddressSpace::begin_portion`]) and tells what is left, for
//! requests whose size the guest chooses; the other does all of it, for the host's own. Whoever works in
//! portions first asks [`AddressSpace::check_change`], once, which makes a range of what the guest said: in
//! between, nobody else changes anything.

use super::{AddressSpace, check_rights, user_range};
use crate::address::{PageRange, VirtualAddress};
use crate::area::{AREAS_MAX, Area};
use crate::count::PageCount;
use crate::error::MapError;
use crate::meter::cost;
use crate::protection::Protection;

impl AddressSpace {
    /// Checks that the pages of a range can be changed, and returns them: they are the guest's, and enough
    /// separate ranges are left for what is cut off at the ends.
    ///
    /// # Errors
    /// [`MapError`].
    pub fn check_change(&self, start: u64, length: u64) -> Result<PageRange, MapError> {
        let range = user_range(start, length)?;
        self.refuse_pinned(range)?;
        let areas = self.mapped.areas();
        if areas.len() + areas.splits(range) > AREAS_MAX {
            return Err(MapError::TooManyAreas { limit: AREAS_MAX });
        }
        Ok(range)
    }

    /// Unmaps the range, as `munmap(2)`: holes are fine.
    ///
    /// # Errors
    /// [`MapError`]; nothing is changed then, except when the host refuses half-way
    /// ([`MapError::Host`]).
    pub fn unmap(&mut self, start: u64, length: u64) -> Result<(), MapError> {
        let range = self.check_change(start, length)?;
        self.in_full(range, Self::unmap_some)
    }

    /// A portion of [`Self::unmap`]; returns what is left of the range.
    ///
    /// # Errors
    /// [`MapError::Host`].
    pub fn unmap_some(&mut self, range: PageRange) -> Result<PageRange, MapError> {
        self.for_each_area(range, |space, part, _| {
            space.note_change(part);
            let reached = space.view.withdraw(part, &mut space.meter).finished()?;
            space.mapped.cut(PageRange::new(part.start(), reached));
            Ok(reached)
        })
    }

    /// Makes the range read as zeros again, as `madvise(2)` with `MADV_DONTNEED`. Must be mapped.
    ///
    /// # Errors
    /// [`MapError`].
    pub fn discard(&mut self, start: u64, length: u64) -> Result<(), MapError> {
        let range = user_range(start, length)?;
        self.refuse_pinned(range)?;
        self.refuse_hole(range)?;
        self.in_full(range, Self::discard_some)
    }

    /// A portion of [`Self::discard`], for which holes are fine; returns what is left of the range.
    ///
    /// # Errors
    /// [`MapError::Host`].
    pub fn discard_some(&mut self, range: PageRange) -> Result<PageRange, MapError> {
        self.for_each_area(range, |space, part, _| {
            space.note_change(part);
            space.view.withdraw(part, &mut space.meter).finished()
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
        let range = user_range(start, length)?;
        check_rights(protection)?;
        self.refuse_pinned(range)?;
        self.refuse_hole(range)?;
        self.check_change(start, length)?;
        self.in_full(range, |space, rest| space.protect_some(rest, protection))
    }

    /// A portion of [`Self::protect`], for rights that memory can have; returns what is left of the range.
    ///
    /// # Errors
    /// [`MapError::Host`].
    pub fn protect_some(
        &mut self,
        range: PageRange,
        protection: Protection,
    ) -> Result<PageRange, MapError> {
        self.for_each_area(range, |space, part, area| {
            if area.protection == protection {
                return Ok(part.end());
            }
            space.note_change(part);
            let portion = space.view.protect(part, protection, &mut space.meter);
            // Even if the host refuses: the view shows it so.
            space.mapped.protect(PageRange::new(part.start(), portion.reached), protection);
            portion.finished()
        })
    }

    /// Moves the pages of a range, contents and all, as `mremap(2)` with `MREMAP_MAYMOVE`.
    ///
    /// # Errors
    /// [`MapError`]; nothing is changed then, except when the host refuses half-way
    /// ([`MapError::Host`]) or memory for page tables runs out ([`MapError::OutOfMemory`]).
    pub fn relocate(&mut self, from: u64, length: u64, to: u64) -> Result<(), MapError> {
        let range = user_range(from, length)?;
        let target = self.free_range(to, length)?;
        self.refuse_pinned(range)?;
        self.refuse_hole(range)?;
        self.check_change(from, length)?;
        let mut to = target.start();
        self.in_full(range, |space, rest| {
            let (rest, target) = space.prepare_some(rest, to)?;
            to = target;
            Ok(rest)
        })?;
        let mut to = target.start();
        self.in_full(range, |space, rest| {
            let (rest, target) = space.relocate_some(rest, to)?;
            to = target;
            Ok(rest)
        })
    }

    /// A portion of what comes before a move: makes what the pages of the range need at `to`. Returns what
    /// is left of the range, and where that is to go.
    ///
    /// # Errors
    /// [`MapError::OutOfMemory`]; nothing has moved then.
    pub fn prepare_some(
        &mut self,
        range: PageRange,
        to: VirtualAddress,
    ) -> Result<(PageRange, VirtualAddress), MapError> {
        let reached = self.view.prepare(range, to, &mut self.meter)?;
        Ok((range.rest(reached), to.plus(reached.since(range.start()))))
    }

    /// A portion of a move to `to`, where nothing is mapped and [`Self::prepare_some`] was done for all.
    /// Returns what is left of the range, and where that is to go.
    ///
    /// # Errors
    /// [`MapError::Host`].
    pub fn relocate_some(
        &mut self,
        range: PageRange,
        to: VirtualAddress,
    ) -> Result<(PageRange, VirtualAddress), MapError> {
        let target = |at: VirtualAddress| to.plus(at.since(range.start()));
        let rest = self.for_each_area(range, |space, part, _| {
            space.note_change(part);
            let to = target(part.start());
            let portion = space.view.relocate(part, to, &mut space.meter);
            // Even if the host refuses: the view shows it so.
            space.mapped.relocate(PageRange::new(part.start(), portion.reached), to);
            portion.finished()
        })?;
        Ok((rest, target(rest.start())))
    }

    /// Counts pages of the range that have memory, up to `wanted` of them, a portion at a time. Returns what
    /// is left of the range, and the count.
    pub fn count_some(&mut self, range: PageRange, wanted: PageCount) -> (PageRange, PageCount) {
        let (reached, count) = self.view.count(range, wanted, &mut self.meter);
        (range.rest(reached), count)
    }

    /// Withdraws all of a range from the view, for what the base does not have.
    pub(super) fn withdraw_all(&mut self, range: PageRange) -> Result<(), MapError> {
        self.in_full(range, |space, rest| {
            let reached = space.view.withdraw(rest, &mut space.meter).finished()?;
            Ok(rest.rest(reached))
        })
    }

    /// Does the whole of something that works in portions.
    fn in_full(
        &mut self,
        range: PageRange,
        mut some: impl FnMut(&mut Self, PageRange) -> Result<PageRange, MapError>,
    ) -> Result<(), MapError> {
        let mut rest = range;
        while !rest.is_empty() {
            self.meter.extend();
            rest = some(self, rest)?;
        }
        Ok(())
    }

    /// Lets `act` go through the areas in the range, part by part, until the portion is over. It tells how
    /// far it came with a part. Returns what is left of the range.
    fn for_each_area(
        &mut self,
        range: PageRange,
        mut act: impl FnMut(&mut Self, PageRange, Area) -> Result<VirtualAddress, MapError>,
    ) -> Result<PageRange, MapError> {
        let mut rest = range;
        while !rest.is_empty() {
            let Some((first, &area)) = self.mapped.areas().within(rest).next() else {
                return Ok(rest.rest(rest.end()));
            };
            self.meter.charge(cost::AREA);
            let reached = act(self, rest.clip(first, area.end), area)?;
            rest = rest.rest(reached);
            if self.meter.is_over() {
                break;
            }
        }
        Ok(rest)
    }

    /// Notes that the pages of a range are about to be mapped otherwise.
    fn note_change(&mut self, range: PageRange) {
        let image = self.base.as_deref().map(|base| &base.mapped);
        self.mapped.note_change(range, image);
    }

    fn refuse_hole(&self, range: PageRange) -> Result<(), MapError> {
        if self.mapped.areas().covers(range.start(), range.end()) {
            Ok(())
        } else {
            Err(MapError::NotMapped { start: range.start().get(), length: range.bytes() })
        }
    }
}
