//! Copying memory, page tables included, into a file that does not change any more.

use super::PageTables;
use super::entry::Entry;
use super::layout::Layout;
use crate::address::to_usize;
use crate::extent::Extent;
use crate::frame::Frame;
use crate::meter::Meter;
use crate::physical::PhysicalMemory;
use ampoule_abi::layout::PAGE_SIZE;
use rustix::fs::{MemfdFlags, SealFlags};
use std::collections::BTreeSet;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// Bytes written to an image at once.
const RUN_MAX: usize = 1 << 20;

impl PageTables {
    /// Copies memory into a new memfd and seals it. Pages of zeros stay holes. Large leaves are split here,
    /// because pages of an image are copied and tracked one by one.
    ///
    /// Cost: one pass over the frames in use.
    ///
    /// # Errors
    /// When the host cannot make or fill a memfd.
    pub(crate) fn seal(&mut self, meter: &mut Meter) -> io::Result<(Layout, Extent)> {
        self.split_all(meter);
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = rustix::fs::memfd_create("ampoule-image", flags)?;
        let image_end = self.layout.frames.high_water();
        let layout = Layout { image_end, ..self.layout.clone() }.bounded();
        let length = image_end.address().get();
        rustix::fs::ftruncate(&file, length)?;
        let tables = layout.tables.frames(&self.memory);
        copy_pages(&self.memory, &file, &layout, &tables)?;
        rustix::fs::fcntl_add_seals(
            &file,
            SealFlags::FUTURE_WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL,
        )?;
        Ok((
            layout,
            Extent { file: Arc::new(file), file_offset: 0, start: Frame::ZERO.address(), length },
        ))
    }
}

/// Copies the frames in use into `file`: runs of pages that are not zero by one write each, for system
/// calls cost more than copies. Tables lose their [use bits](forget_use). Free frames stay zero, so
/// that one which is handed out later can be brought back from the image, too.
fn copy_pages(
    memory: &PhysicalMemory,
    file: &OwnedFd,
    layout: &Layout,
    tables: &BTreeSet<Frame>,
) -> io::Result<()> {
    let end = layout.image_end.get();
    let mut free = layout.frames.free().peekable();
    let mut run = Vec::new();
    let zeros = vec![0_u8; to_usize(PAGE_SIZE)];
    let mut page = zeros.clone();
    for number in 0..end {
        let frame = Frame::new(number);
        while free.next_if(|run| run.end() <= frame).is_some() {}
        if free.peek().is_some_and(|run| run.first <= frame) {
            page.fill(0);
        } else {
            memory.read(frame.address(), &mut page).map_err(io::Error::other)?;
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
            write_all_at(file, &run, start(number))?;
            run.clear();
        } else if run.len() >= RUN_MAX || number + 1 == end {
            write_all_at(file, &run, start(number + 1))?;
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
