//! Sealed copies of guest memory from which sandboxes start.

use crate::address::to_usize;
use crate::mapping::Mapping;
use crate::space::{AddressSpace, Shape};
use ampoule_abi::layout::PAGE_SIZE;
use rustix::fs::{MemfdFlags, SealFlags};
use std::io;
use std::os::fd::OwnedFd;

/// An address space whose memory was copied into a sealed memfd.
///
/// Every [`SealedSpace::instantiate`] maps the same file copy-on-write, so that any number of
/// sandboxes share the pages they do not write. The seals (`F_SEAL_WRITE | GROW | SHRINK | SEAL`)
/// make it impossible, for this process too, to change or truncate the file while it is mapped.
#[derive(Debug)]
pub struct SealedSpace {
    file: OwnedFd,
    shape: Shape,
}

impl SealedSpace {
    /// Copies `space` into a new memfd and seals it. Pages of zeros stay holes.
    ///
    /// Cost: one pass over the frames in use.
    pub(crate) fn new(memory: &Mapping, mut shape: Shape) -> io::Result<Self> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = rustix::fs::memfd_create("ampoule-image", flags)?;
        rustix::fs::ftruncate(&file, shape.frames.limit() * PAGE_SIZE)?;
        let mut page = vec![0_u8; to_usize(PAGE_SIZE)];
        for frame in 0..shape.frames.high_water() {
            let offset = frame * PAGE_SIZE;
            memory.read(offset, &mut page).map_err(io::Error::other)?;
            if page.iter().any(|&byte| byte != 0) {
                write_all_at(&file, &page, offset)?;
            }
        }
        rustix::fs::fcntl_add_seals(
            &file,
            SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL,
        )?;
        shape.image_frames = shape.frames.high_water();
        Ok(Self { file, shape })
    }

    /// A new address space that starts as a copy-on-write view of this one.
    ///
    /// Cost: one `mmap`; no memory is copied.
    ///
    /// # Errors
    /// What `mmap(2)` reports.
    pub fn instantiate(&self) -> io::Result<AddressSpace> {
        let memory = Mapping::private(&self.file, self.shape.frames.limit() * PAGE_SIZE)?;
        Ok(AddressSpace::with_shape(memory, self.shape.clone()))
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
