//! Guest memory with page tables, a TSS and a little machine code.

use super::memory::{Memory, PAGE, file_of};
use anyhow::Result;
use std::os::fd::OwnedFd;

/// Where things lie; virtual equals physical.
pub(super) const ROOT: usize = 0x1000;
const POINTERS: usize = 0x2000;
const DIRECTORY: usize = 0x3000;
pub(super) const TSS: usize = 0x4000;
const TABLES: usize = 0x8000;
pub(super) const CODE: usize = 0x30000;
pub(super) const STACK_TOP: usize = 0x40000;
/// A page for exchange between host and guest; three more behind it.
pub(super) const EXCHANGE: usize = 0x40000;
/// Pages from here on hold ones.
pub(super) const FIRST_PAGE: usize = 0x10_0000;

/// Memory of every floor's guest.
pub(super) const LENGTH: usize = 16 << 20;
/// Present, writable, user.
const ALL: u64 = 7;
/// Fixed part of a 64-bit TSS; the I/O bitmap follows it.
const TSS_FIXED: u8 = 104;
/// Bytes of the bitmap: 256 ports, and the byte that ends it.
pub(super) const TSS_LIMIT: u32 = 104 + 33 - 1;

/// The contents of a guest's memory, to be mapped by any number of VMs.
#[derive(Debug)]
pub(super) struct Image {
    file: OwnedFd,
}

impl Image {
    /// Memory with `code` at [`CODE`] and 4 KiB leaves for all of it.
    pub(super) fn new(code: &[u8]) -> Result<Self> {
        let mut bytes = vec![0_u8; LENGTH];
        let mut set = |offset: usize, value: u64| {
            bytes[offset..offset + 8].copy_from_slice(&value.to_le_bytes());
        };
        set(ROOT, POINTERS as u64 | ALL);
        set(POINTERS, DIRECTORY as u64 | ALL);
        for table in 0..LENGTH / (512 * PAGE) {
            let at = TABLES + table * PAGE;
            set(DIRECTORY + table * 8, at as u64 | ALL);
            for entry in 0..512 {
                let page = (table * 512 + entry) * PAGE;
                set(at + entry * 8, page as u64 | ALL);
            }
        }
        // The I/O bitmap stands right behind the fixed part and lets every port through.
        bytes[TSS + 102..TSS + 104].copy_from_slice(&[TSS_FIXED, 0]);
        bytes[TSS + TSS_FIXED as usize + 32] = 0xff;
        bytes[CODE..CODE + code.len()].copy_from_slice(code);
        for word in bytes[FIRST_PAGE..].chunks_exact_mut(8) {
            word[0] = 1;
        }
        Ok(Self { file: file_of(&bytes)? })
    }

    /// A copy-on-write view.
    pub(super) fn view(&self) -> Result<Memory> {
        Ok(Memory::private(&self.file, LENGTH)?)
    }
}
