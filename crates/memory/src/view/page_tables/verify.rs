//! Whether page tables that somebody else may have made are those that this code would have written.

use super::entry::Entry;
use super::layout::Layout;
use crate::address::{PhysicalAddress, VirtualAddress, to_usize};
use crate::count::PageCount;
use crate::error::DescriptionError;
use crate::frame::Frame;
use crate::physical::PhysicalMemory;
use crate::protection::{Privilege, Protection};

/// What the entry for a page has to say.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Due {
    pub(crate) protection: Protection,
    pub(crate) privilege: Privilege,
    pub(crate) place: Place,
}

/// Where a page has to lie.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place {
    /// In a frame of its own.
    Own,
    /// In a frame of its own, and it is the host's.
    OwnOfHost,
    /// Here, in memory that is attached; it is the host's.
    Attached(PhysicalAddress),
}

/// Which pages of an image have a use already.
pub(crate) struct Uses(Vec<bool>);

impl Uses {
    pub(crate) fn new(pages: PageCount) -> Self {
        Self(vec![false; to_usize(pages.get())])
    }

    /// Takes the page for a use; `false` when it has one already or does not exist.
    pub(crate) fn take(&mut self, page: Frame) -> bool {
        let slot = usize::try_from(page.get()).ok().and_then(|page| self.0.get_mut(page));
        slot.is_some_and(|used| !std::mem::replace(used, true))
    }
}

impl Layout {
    /// Walks over every entry of the page tables in `memory` and finds each to be exactly the one that this
    /// code would have written for what is `due` at an address: nothing, where nothing is mapped. No two
    /// lead to one page, and none to one that has a use already. Returns how many pages of the host's there
    /// are.
    ///
    /// # Errors
    /// [`DescriptionError::Entry`], [`DescriptionError::Shared`].
    pub(crate) fn verify(
        &self,
        memory: &PhysicalMemory,
        mut uses: Uses,
        due: impl Fn(VirtualAddress) -> Option<Due>,
    ) -> Result<PageCount, DescriptionError> {
        let root = self.root();
        if !uses.take(root) {
            return Err(DescriptionError::Shared { address: 0, page: root.get() });
        }
        let counted = self.tables.verify(memory, &mut |address, entry, is_leaf| {
            if is_leaf {
                let due = VirtualAddress::checked(address).and_then(&due);
                check_leaf(address, entry, due, &mut uses)
            } else {
                self.check_table(address, entry, &mut uses).map(|()| false)
            }
        });
        counted.map(PageCount::new)
    }

    /// Checks an entry that leads to a table, or should.
    fn check_table(
        &self,
        address: u64,
        entry: Entry,
        uses: &mut Uses,
    ) -> Result<(), DescriptionError> {
        if entry != Entry::table(entry.target()) || entry.frame() >= self.image_end {
            return Err(DescriptionError::Entry { address, entry: entry.bits() });
        }
        take(uses, address, entry.frame())
    }
}

/// Checks an entry that maps a page; tells whether that is one of the host's.
fn check_leaf(
    address: u64,
    entry: Entry,
    due: Option<Due>,
    uses: &mut Uses,
) -> Result<bool, DescriptionError> {
    let wrong = DescriptionError::Entry { address, entry: entry.bits() };
    let Some(due) = due else { return Err(wrong) };
    if entry != Entry::leaf(entry.target(), due.protection, due.privilege) {
        return Err(wrong);
    }
    match due.place {
        Place::Own => take(uses, address, entry.frame()).map(|()| false),
        Place::OwnOfHost => take(uses, address, entry.frame()).map(|()| true),
        Place::Attached(target) if entry.target() == target => Ok(true),
        Place::Attached(_) => Err(wrong),
    }
}

fn take(uses: &mut Uses, address: u64, page: Frame) -> Result<(), DescriptionError> {
    let taken = uses.take(page);
    if taken { Ok(()) } else { Err(DescriptionError::Shared { address, page: page.get() }) }
}
