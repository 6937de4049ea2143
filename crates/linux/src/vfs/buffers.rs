//! The guest's buffers of one transfer.

use crate::errno::Errno;
use crate::guest::{CHUNK, IOV_MAX, MAX_TRANSFER, read_pair, read_some, to_usize, write_some};
use ampoule_abi::layout::{PAGE_SIZE, USER_END};
use ampoule_memory::AddressSpace;
use std::collections::VecDeque;

/// Transfers up to this size pass through a smaller buffer: clearing [`CHUNK`] bytes would cost more
/// than the rest of a write of one line.
const SMALL: usize = 512;

/// The guest's buffers, in order, with at most [`MAX_TRANSFER`] bytes altogether, and how far they were
/// filled or emptied. A call that is parked keeps them: an array that the guest gave is read once.
#[derive(Debug, Clone)]
pub(crate) struct Buffers {
    /// What is still to be moved.
    segments: VecDeque<(u64, u64)>,
    /// Bytes of the segments.
    left: u64,
    /// Bytes that were moved.
    done: u64,
}

/// Why the moving of bytes came to an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The buffers are done, or what is on the other side is.
    Reached,
    /// The guest's memory ended before.
    Fault,
    /// The portion is over.
    Portion,
}

/// Checks that a buffer can be the guest's at all, which Linux does before anything is moved: its end lies
/// within a program's addresses, whatever is mapped there.
fn check_range(address: u64, length: u64) -> Result<(), Errno> {
    let is_possible = address.checked_add(length).is_some_and(|end| end <= USER_END);
    if is_possible { Ok(()) } else { Err(Errno::EFAULT) }
}

/// How much of a piece counts of which only `moved` bytes could be moved: streams move whole pages.
fn whole(moved: usize, wanted: usize) -> usize {
    if moved < wanted { moved - moved % to_usize(PAGE_SIZE) } else { moved }
}

impl Buffers {
    /// One buffer.
    ///
    /// # Errors
    /// `EFAULT` when it cannot be the guest's.
    pub(crate) fn one(address: u64, length: u64) -> Result<Self, Errno> {
        check_range(address, length)?;
        let left = length.min(MAX_TRANSFER);
        Ok(Self { segments: VecDeque::from([(address, left)]), left, done: 0 })
    }

    /// Reads an array of `iovec`.
    ///
    /// # Errors
    /// `EINVAL` for too many, or a negative length; `EFAULT`.
    pub(crate) fn vector(
        space: &mut AddressSpace,
        address: u64,
        count: u64,
    ) -> Result<Self, Errno> {
        if count > IOV_MAX {
            return Err(Errno::EINVAL);
        }
        // All lengths are looked at before any address.
        let mut pairs = Vec::new();
        for index in 0..count {
            let at = address.checked_add(index * 16).ok_or(Errno::EFAULT)?;
            let (base, length) = read_pair(space, at)?;
            i64::try_from(length).map_err(|_| Errno::EINVAL)?;
            pairs.push((base, length));
        }
        if let [(base, length)] = pairs[..] {
            // As if it had been given without an array, but that it is cut before its end is looked at.
            return Self::one(base, length.min(MAX_TRANSFER));
        }
        let mut buffers = Self { segments: VecDeque::new(), left: 0, done: 0 };
        for (base, length) in pairs {
            check_range(base, length)?;
            let length = length.min(MAX_TRANSFER - buffers.left);
            buffers.left += length;
            if length > 0 {
                buffers.segments.push_back((base, length));
            }
        }
        Ok(buffers)
    }

    /// Bytes asked for.
    pub(crate) const fn total(&self) -> u64 {
        self.left + self.done
    }

    /// Bytes that are not moved yet.
    pub(crate) const fn left(&self) -> u64 {
        self.left
    }

    /// Bytes that were moved.
    pub(crate) const fn done(&self) -> u64 {
        self.done
    }

    /// Drops everything beyond the first `limit` bytes of what is left.
    pub(crate) fn truncate(&mut self, limit: u64) {
        let mut left = limit;
        for segment in &mut self.segments {
            segment.1 = segment.1.min(left);
            left -= segment.1;
        }
        self.left = self.left.min(limit);
    }

    /// Notes that `count` bytes were moved.
    fn skip(&mut self, count: u64) {
        self.done += count;
        self.left -= count;
        let mut rest = count;
        while let Some((base, length)) = self.segments.front_mut() {
            let moved = rest.min(*length);
            *base = base.wrapping_add(moved);
            *length -= moved;
            rest -= moved;
            if *length > 0 {
                break;
            }
            self.segments.pop_front();
        }
    }

    /// Fills the buffers piece by piece from a file or a device: `source` is told how many bytes arrived so
    /// far in this portion, tells how much of a piece it filled, and ends the transfer by filling less.
    pub(crate) fn fill(
        &mut self,
        space: &mut AddressSpace,
        mut source: impl FnMut(&mut AddressSpace, u64, &mut [u8]) -> usize,
    ) -> End {
        let (mut small, mut large);
        let chunk: &mut [u8] = if self.left <= SMALL as u64 {
            small = [0; SMALL];
            &mut small
        } else {
            large = [0; CHUNK];
            &mut large
        };
        let mut arrived = 0;
        while let Some(&(base, length)) = self.segments.front() {
            if space.portion_is_over() {
                return End::Portion;
            }
            let wanted = to_usize(length.min(chunk.len() as u64));
            let got = source(space, arrived, &mut chunk[..wanted]);
            let written = write_some(space, base, &chunk[..got]);
            arrived += written as u64;
            self.skip(written as u64);
            if written < got {
                return End::Fault;
            }
            if got < wanted {
                break;
            }
        }
        End::Reached
    }

    /// Puts bytes of a stream into the buffers, across their borders, and tells how many count: all for
    /// which there is room or, where the guest's memory ends before, whole pages.
    pub(crate) fn put(&mut self, space: &mut AddressSpace, bytes: &[u8]) -> (usize, End) {
        let wanted = bytes.len().min(to_usize(self.left));
        let mut moved = 0;
        for &(base, length) in &self.segments {
            let piece = to_usize(length).min(wanted - moved);
            let written = write_some(space, base, &bytes[moved..moved + piece]);
            moved += written;
            if written < piece || moved == wanted {
                break;
            }
        }
        let counted = whole(moved, wanted);
        self.skip(counted as u64);
        (counted, if moved < wanted { End::Fault } else { End::Reached })
    }

    /// Takes bytes for a stream out of the buffers, across their borders, and tells how many count, as
    /// [`Self::put`] does.
    pub(crate) fn take(&mut self, space: &mut AddressSpace, out: &mut [u8]) -> (usize, End) {
        let wanted = out.len().min(to_usize(self.left));
        let mut moved = 0;
        for &(base, length) in &self.segments {
            let piece = to_usize(length).min(wanted - moved);
            let read = read_some(space, base, &mut out[moved..moved + piece]);
            moved += read;
            if read < piece || moved == wanted {
                break;
            }
        }
        let counted = whole(moved, wanted);
        self.skip(counted as u64);
        (counted, if moved < wanted { End::Fault } else { End::Reached })
    }

    /// Gives up to `limit` bytes of the buffers to a sink, piece by piece.
    pub(crate) fn gather(
        &mut self,
        space: &mut AddressSpace,
        limit: usize,
        mut sink: impl FnMut(&[u8]),
    ) -> End {
        let (mut small, mut large);
        let chunk: &mut [u8] = if self.left <= SMALL as u64 {
            small = [0; SMALL];
            &mut small
        } else {
            large = [0; CHUNK];
            &mut large
        };
        let mut rest = limit;
        while rest > 0 && self.left > 0 {
            if space.portion_is_over() {
                return End::Portion;
            }
            let wanted = rest.min(chunk.len());
            let (counted, end) = self.take(space, &mut chunk[..wanted]);
            sink(&chunk[..counted]);
            rest -= counted;
            if end != End::Reached {
                return end;
            }
        }
        End::Reached
    }
}
