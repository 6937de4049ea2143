//! How an address space is shown to a CPU.
//!
//! [`crate::AddressSpace`] keeps what the guest asked for: which ranges there are, with which rights. A
//! *view* makes a CPU see it. [`page_tables`] is the view for a virtual processor. A second one, for a traced
//! process whose mappings the host's kernel keeps, belongs beside it; nothing above this module names
//! an entry, a frame, a dirty bit or a table.
//!
//! # What every view answers
//!
//! | operation | page tables | a traced process, later |
//! |---|---|---|
//! | commit memory at a touched page, and around it | frames, entries, large leaves | nothing, where the kernel does it; else an injected `mmap` |
//! | show pinned or attached memory | entries to frames or to the attached part | an injected `mmap` of the shared file |
//! | withdraw a range | entries cleared, frames discarded and freed | an injected `munmap`, or `MADV_DONTNEED` where the area stays |
//! | protect a range | entries rewritten, what is cached evicted | an injected `mprotect` |
//! | prepare and relocate a range | tables made, entries moved | nothing, and an injected `mremap` |
//! | count what is committed in a range | a walk | `PAGEMAP_SCAN` |
//! | read, write, load guest bytes | a walk for each page, a copy, a dirty bit | `process_vm_readv` and `writev` for all of it |
//! | was a short range used? | accessed bits | `PAGEMAP_SCAN` |
//! | undo what was written since the image | dirty bits, a copy of each page | `PAGEMAP_SCAN`, a copy of each page |
//! | drop everything, take an image over | one discard | a fork of the image's zygote |
//! | the working set of an image | used bits, made present in bulk | the zygote has it present |
//! | seal into an image | frames copied into a memfd | the same: an image holds page tables, whoever made it |
//!
//! # The contract
//!
//! - *The guest is stopped.* It runs neither during an operation nor between a [`portion::Portion`] that says
//!   that the host refused and the end of the sandbox.
//! - *Ranges are checked.* A view gets [`crate::PageRange`]s and [`crate::VirtualAddress`]es, never a guest's
//!   number, and rights that are not both writable and executable. It does not ask whether there is an area:
//!   whoever calls it keeps the areas right.
//! - *What was withdrawn is gone before the operation ends*: no CPU reaches it, whatever it had cached, and
//!   the memory reads as zeros wherever it shows up again. So are rights that were taken away.
//! - *What is committed or prepared for is there*: to withdraw, protect or relocate it needs no more memory.
//! - *Changes come in portions.* Whoever changes a range gets past one page at least and stops when the
//!   [meter](crate::meter) is over; it tells how far it came, and everything before is done. What a view's own work
//!   costs it charges by prices of its own; copies are charged by who asked for them.
//! - *Pages that the host writes count as written*, like those that the guest writes ([`load`] aside, which
//!   fills pages that an image will hold).
//! - *Errors* are [`MapError::OutOfMemory`] and [`MapError::Host`] and no others.
//! - *Cost*: one call for a range or a copy, none for a page.
//!
//! # What a second view finds
//!
//! There is no trait yet, because there is one view: the methods of [`page_tables::PageTables`] that
//! [`crate::space`] calls are what a trait or an enum of views would list. Views are made in two places,
//! [`crate::AddressSpace::new`] and [`crate::SealedSpace::instantiate`], and only whoever runs the guest asks for what
//! is of one view only: [`crate::AddressSpace::root`], [`generation`] and [`memory`]. An image holds page tables; a
//! view that has none learns from its [`page_tables::layout::Layout`] which page of the files shows where, once. What
//! it needs of a back end, such as system calls that a stopped process is made to make, a back end has to hand
//! in as an object, for this crate knows none.
//!
//! [`generation`]: crate::AddressSpace::generation
//! [`memory`]: crate::AddressSpace::memory
//!
//! [`load`]: page_tables::PageTables::load
//! [`MapError::OutOfMemory`]: crate::MapError::OutOfMemory
//! [`MapError::Host`]: crate::MapError::Host

pub(crate) mod page_tables;
pub(crate) mod portion;
