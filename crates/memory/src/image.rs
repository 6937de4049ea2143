//! Sealed copies of guest memory from which sandboxes start.

use crate::address::to_usize;
use crate::extent::{self, Extent};
use crate::frames::BLOCK_FRAMES;
use crate::mapping::Mapping;
use crate::physical::PhysicalMemory;
use crate::space::{AddressSpace, Shape, WorkingSet};
use crate::table::Entry;
use ampoule_abi::layout::PAGE_SIZE;
use rustix::fs::{MemfdFlags, SealFlags};
use std::collections::BTreeSet;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, OnceLock};

/// Frames for pages of 4 KiB behind an image's own: 4 MiB at least.
pub(crate) const SMALL_FRAMES: u64 = 1024;
/// Bytes written to an image at once.
const RUN_MAX: usize = 1 << 20;
/// The image's part of memory is a multiple of this, 64 MiB, so that most images of a guest have the
/// same shape and can take each other's place in a VM.
const BOUNDARY_UNIT: u64 = 32 * BLOCK_FRAMES;

/// An address space whose memory stands in files that do not change any more.
///
/// ```text
/// 0 ................................................ boundary
/// [ extent ][ zeros ][ extent ][ zeros              ]
/// ```
///
/// [`AddressSpace::seal`] makes one of a single extent: a memfd. One that was written to disk has an
/// extent for each run of pages that a file holds ([`SealedSpace::from_extents`]). Every
/// [`SealedSpace::instantiate`] maps the same files copy-on-write, so that any number of sandboxes
/// share the pages they do not write.
///
/// A memfd's seals (`F_SEAL_FUTURE_WRITE | GROW | SHRINK | SEAL`) make it impossible, for this process
/// too, to change or truncate it from then on. `F_SEAL_WRITE` would say the same here, where no shared
/// mapping of the file ever exists, but it waits until the kernel has no other reference to any page
/// and fails with `EBUSY` when that takes long, as it does while memory is compacted (kernel:
/// `memfd_wait_for_pins`).
#[derive(Debug)]
pub struct SealedSpace {
    /// In order, not overlapping, inside their files and below the boundary.
    extents: Vec<Extent>,
    /// The image again, for copying pages out of it; never written.
    pub(crate) view: Arc<Mapping>,
    pub(crate) shape: Shape,
    /// The pages that calls touch, once they are known.
    pub(crate) working_set: OnceLock<WorkingSet>,
}

impl SealedSpace {
    /// Copies `space` into a new memfd and seals it. Pages of zeros stay holes.
    ///
    /// Cost: one pass over the frames in use.
    pub(crate) fn new(memory: &PhysicalMemory, mut shape: Shape) -> io::Result<Self> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = rustix::fs::memfd_create("ampoule-image", flags)?;
        shape.image_frames = shape.frames.high_water();
        shape.has_grown = false;
        let length = shape.image_frames * PAGE_SIZE;
        rustix::fs::ftruncate(&file, length)?;
        let tables = shape.tables.frames(memory);
        copy_pages(memory, &file, &shape, &tables)?;
        rustix::fs::fcntl_add_seals(
            &file,
            SealFlags::FUTURE_WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL,
        )?;
        let extent = Extent { file: Arc::new(file), file_offset: 0, offset: 0, length };
        Self::of_shape(vec![extent], shape)
    }

    /// `shape`, with its boundary set, over the memory that `extents` show.
    pub(crate) fn of_shape(extents: Vec<Extent>, mut shape: Shape) -> io::Result<Self> {
        shape.boundary = boundary(&shape);
        let length = shape.boundary * PAGE_SIZE;
        extent::check(&extents, length)?;
        let view = Arc::new(Mapping::over(&extents, length)?);
        Ok(Self { extents, view, shape, working_set: OnceLock::new() })
    }

    /// Bytes of guest memory in use, page tables included.
    #[must_use]
    pub fn committed_bytes(&self) -> u64 {
        self.shape.frames.in_use() * PAGE_SIZE
    }

    /// A new address space that starts as a copy-on-write view of this one.
    ///
    /// Cost: an `mmap` for each extent and two more; no memory is copied.
    ///
    /// # Errors
    /// What `mmap(2)` reports.
    pub fn instantiate(self: &Arc<Self>) -> io::Result<AddressSpace> {
        let boundary = self.shape.boundary * PAGE_SIZE;
        let mut parts = vec![(0, Arc::new(Mapping::over(&self.extents, boundary)?))];
        let fresh = self.shape.frames.limit() * PAGE_SIZE - boundary;
        if fresh > 0 {
            parts.push((boundary, Arc::new(Mapping::anonymous_huge(fresh)?)));
        }
        let memory = PhysicalMemory::new(parts);
        let space = AddressSpace::with_shape(memory, self.shape.clone(), Some(Arc::clone(self)));
        space.prefault()?;
        Ok(space)
    }

    /// Puts a copy-on-write view of the image in the place of `mapping`, which has its length.
    pub(crate) fn show_in(&self, mapping: &Mapping) -> io::Result<()> {
        mapping.replace_by(&self.extents)
    }
}

/// Where the image's part of memory ends: behind its frames and spare ones for small needs, so that a
/// guest which needs little takes no huge page.
fn boundary(shape: &Shape) -> u64 {
    let end = (shape.image_frames + SMALL_FRAMES).next_multiple_of(BOUNDARY_UNIT);
    end.min(shape.frames.limit())
}

/// Copies the frames in use into `file`: runs of pages that are not zero by one write each, for system
/// calls cost more than copies. Tables lose their [use bits](forget_use). Free frames stay zero, so
/// that one which is handed out later can be brought back from the image, too.
fn copy_pages(
    memory: &PhysicalMemory,
    file: &OwnedFd,
    shape: &Shape,
    tables: &BTreeSet<u64>,
) -> io::Result<()> {
    let end = shape.frames.high_water();
    let mut free = shape.frames.free().peekable();
    let mut run = Vec::new();
    let zeros = vec![0_u8; to_usize(PAGE_SIZE)];
    let mut page = zeros.clone();
    for frame in 0..end {
        while free.next_if(|run| run.first + run.count <= frame).is_some() {}
        if free.peek().is_some_and(|run| run.first <= frame) {
            page.fill(0);
        } else {
            memory.read(frame * PAGE_SIZE, &mut page).map_err(io::Error::other)?;
        }
        if tables.contains(&frame) {
            forget_use(&mut page);
        }
        let is_zero = page == zeros;
        if !is_zero {
            run.extend_from_slice(&page);
        }
        let start = |next_frame: u64| next_frame * PAGE_SIZE - run.len() as u64;
        if is_zero && !run.is_empty() {
            write_all_at(file, &run, start(frame))?;
            run.clear();
        } else if run.len() >= RUN_MAX || frame + 1 == end {
            write_all_at(file, &run, start(frame + 1))?;
            run.clear();
        }
    }
    Ok(())
}

/// Clears the bits by which the processor says that it used an entry: in an instance they are to tell
/// what *that* guest wrote.
fn forget_use(table: &mut [u8]) {
    for entry in table.as_chunks_mut::<8>().0 {
        *entry = (u64::from_le_bytes(*entry) & !Entry::USED).to_le_bytes();
    }
}

fn write_all_at(file: &OwnedFd, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::pwrite(file, bytes, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                bytes = &bytes[count..];
                offset += count as u64;
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
