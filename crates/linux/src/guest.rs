//! Values that cross between registers, guest memory and this crate.
//!
//! Everything here treats what the guest says as an allegation: lengths are clamped, sums are
//! checked, and host memory is used in pieces of at most [`CHUNK`] bytes, whatever the guest claims.

use crate::errno::Errno;
use ampoule_memory::AddressSpace;

/// Linux' `MAX_RW_COUNT`: no transfer moves more bytes than this in one call.
pub(crate) const MAX_TRANSFER: u64 = 0x7fff_f000;
/// Linux' `UIO_MAXIOV`.
pub(crate) const IOV_MAX: u64 = 1024;
/// Linux' `PATH_MAX`, with the terminating NUL.
pub(crate) const PATH_MAX: usize = 4096;
/// Bytes copied at a time between guest memory and this crate.
pub(crate) const CHUNK: usize = 16 << 10;

const PAGE: u64 = ampoule_abi::layout::PAGE_SIZE;

/// The lower 32 bits.
pub(crate) fn low_half(value: u64) -> u32 {
    u32::try_from(value & 0xffff_ffff).unwrap_or_default()
}

/// Lossless on the 64-bit hosts that Ampoule runs on; on others it saturates.
pub(crate) fn to_usize(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// Reads a little-endian `u64`.
pub(crate) fn read_u64(space: &mut AddressSpace, address: u64) -> Result<u64, Errno> {
    Ok(u64::from_le_bytes(read_array(space, address)?))
}

/// Reads a little-endian `u32`.
pub(crate) fn read_u32(space: &mut AddressSpace, address: u64) -> Result<u32, Errno> {
    Ok(u32::from_le_bytes(read_array(space, address)?))
}

/// Reads `N` bytes.
pub(crate) fn read_array<const N: usize>(
    space: &mut AddressSpace,
    address: u64,
) -> Result<[u8; N], Errno> {
    let mut bytes = [0; N];
    space.read(address, &mut bytes)?;
    Ok(bytes)
}

/// Reads two consecutive little-endian `u64`, such as a `timespec` or an `iovec`.
pub(crate) fn read_pair(space: &mut AddressSpace, address: u64) -> Result<(u64, u64), Errno> {
    let record = Record::<16>::from(read_array(space, address)?);
    Ok((record.u64(0), record.u64(8)))
}

/// Reads a NUL-terminated path.
///
/// # Errors
/// `EFAULT`; `ENAMETOOLONG` when no NUL comes within [`PATH_MAX`].
pub(crate) fn read_path(space: &mut AddressSpace, address: u64) -> Result<Vec<u8>, Errno> {
    space.read_until_nul(address, PATH_MAX)?.ok_or(Errno::ENAMETOOLONG)
}

/// Copies as much of `bytes` to `address` as the guest's mappings allow and tells how much that was,
/// as the kernel's `copy_to_user` does.
pub(crate) fn write_some(space: &mut AddressSpace, address: u64, bytes: &[u8]) -> usize {
    some(address, bytes.len(), |at, from, to| space.write(at, &bytes[from..to]).is_ok())
}

/// Fills as much of `out` from `address` as the guest's mappings allow and tells how much that was.
pub(crate) fn read_some(space: &mut AddressSpace, address: u64, out: &mut [u8]) -> usize {
    some(address, out.len(), |at, from, to| space.read(at, &mut out[from..to]).is_ok())
}

/// Tries the whole range first, and page by page only when that fails.
fn some(address: u64, length: usize, mut copy: impl FnMut(u64, usize, usize) -> bool) -> usize {
    if length == 0 || copy(address, 0, length) {
        return length;
    }
    let mut done = 0;
    while done < length {
        let Some(at) = address.checked_add(done as u64) else { break };
        let to_page_end = to_usize(PAGE - at % PAGE);
        let end = length.min(done.saturating_add(to_page_end));
        if !copy(at, done, end) {
            break;
        }
        done = end;
    }
    done
}

/// A C structure of `N` bytes, zero at first, whose fields are placed by offset.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record<const N: usize>([u8; N]);

impl<const N: usize> From<[u8; N]> for Record<N> {
    fn from(bytes: [u8; N]) -> Self {
        Self(bytes)
    }
}

impl<const N: usize> From<Record<N>> for [u8; N] {
    fn from(record: Record<N>) -> Self {
        record.0
    }
}

impl<const N: usize> Record<N> {
    pub(crate) const fn new() -> Self {
        Self([0; N])
    }

    pub(crate) const fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Places `bytes` at `offset`; offsets are constants of the calling code.
    pub(crate) fn bytes(mut self, offset: usize, bytes: &[u8]) -> Self {
        self.0[offset..offset + bytes.len()].copy_from_slice(bytes);
        self
    }

    pub(crate) fn set_u16(self, offset: usize, value: u16) -> Self {
        self.bytes(offset, &value.to_le_bytes())
    }

    pub(crate) fn set_u32(self, offset: usize, value: u32) -> Self {
        self.bytes(offset, &value.to_le_bytes())
    }

    pub(crate) fn set_u64(self, offset: usize, value: u64) -> Self {
        self.bytes(offset, &value.to_le_bytes())
    }

    pub(crate) fn u16(&self, offset: usize) -> u16 {
        u16::from_le_bytes([self.0[offset], self.0[offset + 1]])
    }

    pub(crate) fn u32(&self, offset: usize) -> u32 {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(&self.0[offset..offset + 4]);
        u32::from_le_bytes(bytes)
    }

    pub(crate) fn u64(&self, offset: usize) -> u64 {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.0[offset..offset + 8]);
        u64::from_le_bytes(bytes)
    }

    /// Copies the structure to the guest.
    pub(crate) fn store(&self, space: &mut AddressSpace, address: u64) -> Result<(), Errno> {
        Ok(space.write(address, &self.0)?)
    }

    /// Copies the structure to the guest unless the guest passed a null pointer.
    pub(crate) fn store_if(&self, space: &mut AddressSpace, address: u64) -> Result<(), Errno> {
        if address == 0 { Ok(()) } else { self.store(space, address) }
    }
}
