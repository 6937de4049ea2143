//! Moving bytes: `read`, `write` and their relatives.

use super::system::Device;
use super::{NONBLOCK, Object, OutputStream, pipe};
use crate::answer::{Answer, Outcome};
use crate::errno::Errno;
use crate::guest::{
    Arguments, CHUNK, IOV_MAX, MAX_TRANSFER, read_pair, read_some, to_usize, write_some,
};
use crate::personality::{Parked, Personality};
use crate::process::RANDOM_PRICE;
use crate::signals::Signal;
use ampoule_memory::AddressSpace;
use std::collections::VecDeque;

/// Most bytes that one call reads from a device: what `/dev/urandom` gives in Linux.
pub(crate) const DEVICE_READ_MAX: u64 = (1 << 25) - 1;

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
enum End {
    /// The buffers are done, or what is on the other side is.
    Reached,
    /// The guest's memory ended before.
    Fault,
    /// The portion is over.
    Portion,
}

impl Buffers {
    fn one(address: u64, length: u64) -> Self {
        let left = length.min(MAX_TRANSFER);
        Self { segments: VecDeque::from([(address, left)]), left, done: 0 }
    }

    /// Reads an array of `iovec`.
    fn vector(space: &mut AddressSpace, address: u64, count: u64) -> Result<Self, Errno> {
        if count > IOV_MAX {
            return Err(Errno::EINVAL);
        }
        let mut buffers = Self { segments: VecDeque::new(), left: 0, done: 0 };
        for index in 0..count {
            let at = address.checked_add(index * 16).ok_or(Errno::EFAULT)?;
            let (base, length) = read_pair(space, at)?;
            if i64::try_from(length).is_err() {
                return Err(Errno::EINVAL);
            }
            let length = length.min(MAX_TRANSFER - buffers.left);
            buffers.left += length;
            if length > 0 {
                buffers.segments.push_back((base, length));
            }
        }
        Ok(buffers)
    }

    /// Bytes asked for.
    const fn total(&self) -> u64 {
        self.left + self.done
    }

    /// Drops everything beyond the first `limit` bytes of what is left.
    fn truncate(&mut self, limit: u64) {
        let mut left = limit;
        for segment in &mut self.segments {
            segment.1 = segment.1.min(left);
            left -= segment.1;
        }
        self.left = self.left.min(limit);
    }

    /// Moves pieces of at most `limit` bytes in all, until the buffers end, or `piece` moves less than it
    /// was given an address and a chunk of memory for. It tells how much it moved, and why it is not all.
    fn each(
        &mut self,
        space: &mut AddressSpace,
        limit: u64,
        mut piece: impl FnMut(&mut AddressSpace, u64, &mut [u8]) -> (usize, End),
    ) -> End {
        let mut left = limit;
        let (mut small, mut large);
        let chunk: &mut [u8] = if self.left <= SMALL as u64 {
            small = [0; SMALL];
            &mut small
        } else {
            large = [0; CHUNK];
            &mut large
        };
        while left > 0
            && let Some(&(base, length)) = self.segments.front()
        {
            if space.portion_is_over() {
                return End::Portion;
            }
            let wanted = to_usize(length.min(chunk.len() as u64).min(left));
            let (moved, end) = piece(space, base, &mut chunk[..wanted]);
            self.skip(moved as u64);
            left -= moved as u64;
            if moved < wanted {
                return end;
            }
        }
        End::Reached
    }

    /// Notes that `count` bytes of the first segment were moved.
    fn skip(&mut self, count: u64) {
        self.done += count;
        self.left -= count;
        if let Some((base, length)) = self.segments.front_mut() {
            *base = base.wrapping_add(count);
            *length -= count;
            if *length == 0 {
                self.segments.pop_front();
            }
        }
    }

    /// Fills the buffers piece by piece from `source`, which is told how many bytes arrived so far in this
    /// portion, tells how much of a piece it filled, and ends the transfer by filling less.
    fn fill(
        &mut self,
        space: &mut AddressSpace,
        mut source: impl FnMut(&mut AddressSpace, u64, &mut [u8]) -> usize,
    ) -> End {
        let mut arrived = 0;
        self.each(space, u64::MAX, |space, address, chunk| {
            let got = source(space, arrived, chunk);
            let written = write_some(space, address, &chunk[..got]);
            arrived += written as u64;
            (written, if written < got { End::Fault } else { End::Reached })
        })
    }

    /// Gives up to `limit` bytes of the buffers to a sink.
    fn gather(
        &mut self,
        space: &mut AddressSpace,
        limit: usize,
        mut sink: impl FnMut(&[u8]),
    ) -> End {
        self.each(space, limit as u64, |space, address, chunk| {
            let got = read_some(space, address, chunk);
            sink(&chunk[..got]);
            (got, End::Fault)
        })
    }

    /// What the call comes to: the bytes that were moved, or another portion. As in Linux, a fault shows
    /// only when nothing was moved.
    fn finish(self, personality: &mut Personality, end: End) -> Outcome {
        match end {
            End::Portion => Ok(personality.park(Parked::Transfer(self))),
            End::Fault if self.done == 0 => Err(Errno::EFAULT),
            End::Fault | End::Reached => Ok(Answer::value(self.done)),
        }
    }
}

impl Personality {
    /// The buffers of a call: those that are kept while it is parked, or new ones.
    fn buffers(&mut self, make: impl FnOnce() -> Result<Buffers, Errno>) -> Result<Buffers, Errno> {
        match self.take_parked() {
            Parked::Transfer(buffers) => Ok(buffers),
            _ => make(),
        }
    }
}

fn read_into(
    personality: &mut Personality,
    space: &mut AddressSpace,
    descriptor: i32,
    mut buffers: Buffers,
    position: Option<u64>,
) -> Outcome {
    let description = *personality.files.description_of(descriptor)?;
    if !description.is_readable() {
        return Err(Errno::EBADF);
    }
    let files = &mut personality.files;
    let before = buffers.done;
    let end = match description.object {
        Object::Directory(_) => return Err(Errno::EISDIR),
        Object::Output(_) | Object::PipeWriter(_) => return Err(Errno::EBADF),
        Object::Input | Object::PipeReader(_) if position.is_some() => return Err(Errno::ESPIPE),
        Object::File(node) => {
            // An own position moves with every portion.
            let start = position.map_or(description.offset, |start| start.saturating_add(before));
            let system = &files.system;
            let end = buffers.fill(space, |_, done, out| match start.checked_add(done) {
                Some(offset) => system.read(node, offset, out),
                None => 0,
            });
            if position.is_none() {
                let moved = buffers.done - before;
                files.description_mut(descriptor)?.offset = start.saturating_add(moved);
            }
            end
        }
        Object::Device(device, _) => {
            buffers.truncate(DEVICE_READ_MAX.saturating_sub(before));
            let random = &mut personality.random;
            buffers.fill(space, |space, _, out| match device {
                Device::Null => 0,
                Device::Zero | Device::Full => {
                    out.fill(0);
                    out.len()
                }
                Device::Random | Device::UnlimitedRandom => {
                    random.fill(out);
                    space.charge_bytes(RANDOM_PRICE * out.len() as u64);
                    out.len()
                }
            })
        }
        Object::Input => {
            if buffers.total() == 0 {
                return Ok(Answer::ZERO);
            }
            if files.input.is_empty() && !files.input_ended && before == 0 {
                return Ok(Answer::NeedInput { wanted: to_usize(buffers.left) });
            }
            drain(&mut files.input, &mut buffers, space)
        }
        Object::PipeReader(index) => {
            let pipe = files.pipe(index)?;
            if pipe.buffer.is_empty() && pipe.has_writer && buffers.left > 0 && before == 0 {
                return if description.flags & NONBLOCK != 0 {
                    Err(Errno::EAGAIN)
                } else {
                    Ok(Answer::Deadlock { waiting_for: "data in a pipe that only it can write to" })
                };
            }
            drain(&mut pipe.buffer, &mut buffers, space)
        }
    };
    buffers.finish(personality, end)
}

/// Fills the buffers from a queue, which loses what arrived.
fn drain(queue: &mut VecDeque<u8>, buffers: &mut Buffers, space: &mut AddressSpace) -> End {
    let before = buffers.done;
    let end = buffers.fill(space, |_, done, out| peek(queue, done, out));
    queue.drain(..to_usize(buffers.done - before));
    end
}

/// Copies what stands `from` bytes into the queue.
fn peek(queue: &VecDeque<u8>, from: u64, out: &mut [u8]) -> usize {
    let (front, back) = queue.as_slices();
    let from = to_usize(from);
    let front_rest = front.get(from..).unwrap_or_default();
    let back_rest = back.get(from.saturating_sub(front.len())..).unwrap_or_default();
    let first = front_rest.len().min(out.len());
    out[..first].copy_from_slice(&front_rest[..first]);
    let second = back_rest.len().min(out.len() - first);
    out[first..first + second].copy_from_slice(&back_rest[..second]);
    first + second
}

fn write_from(
    personality: &mut Personality,
    space: &mut AddressSpace,
    descriptor: i32,
    buffers: Buffers,
    position: Option<u64>,
) -> Outcome {
    let description = *personality.files.description_of(descriptor)?;
    if !description.is_writable() {
        return Err(Errno::EBADF);
    }
    match description.object {
        Object::Output(_) | Object::PipeWriter(_) if position.is_some() => Err(Errno::ESPIPE),
        Object::Output(stream) => write_output(personality, space, stream, buffers),
        Object::PipeWriter(index) => {
            let nonblocking = description.flags & NONBLOCK != 0;
            write_pipe(personality, space, index, buffers, nonblocking)
        }
        Object::Device(Device::Full, _) if buffers.left > 0 => Err(Errno::ENOSPC),
        Object::Device(..) => Ok(Answer::value(buffers.left)),
        // Nothing else can have been opened for writing.
        _ => Err(Errno::EBADF),
    }
}

/// Appends to a stream's buffer. A write larger than the room left is parked and goes on when the
/// buffer was drained: a blocking pipe, too, returns only when everything is written.
fn write_output(
    personality: &mut Personality,
    space: &mut AddressSpace,
    stream: OutputStream,
    mut buffers: Buffers,
) -> Outcome {
    let files = &mut personality.files;
    let room = files.high_water.saturating_sub(files.pending_output());
    let sink = files.output(stream);
    let end = buffers.gather(space, room, |bytes| sink.extend_from_slice(bytes));
    if end == End::Reached && buffers.left > 0 {
        personality.thread_mut().parked = Parked::Transfer(buffers);
        return Ok(Answer::OutputFull);
    }
    buffers.finish(personality, end)
}

fn write_pipe(
    personality: &mut Personality,
    space: &mut AddressSpace,
    index: usize,
    mut buffers: Buffers,
    nonblocking: bool,
) -> Outcome {
    let pipe = personality.files.pipe(index)?;
    if !pipe.has_reader {
        return personality.raise(Signal::broken_pipe())?.ok_or(Errno::EPIPE);
    }
    let left = to_usize(buffers.left);
    let room = pipe.room();
    if left > room && !nonblocking {
        return Ok(Answer::Deadlock { waiting_for: "room in a pipe that only it can read from" });
    }
    if left > room && (room == 0 || left <= pipe::PIPE_BUF) {
        return Err(Errno::EAGAIN);
    }
    // Whatever does not fit now is not waited for; another portion finds what fits.
    buffers.truncate(room as u64);
    let buffer = &mut pipe.buffer;
    let end = buffers.gather(space, room, |bytes| buffer.extend(bytes));
    buffers.finish(personality, end)
}

/// The position argument of the `p` calls.
fn position(arguments: &Arguments) -> Result<Option<u64>, Errno> {
    u64::try_from(arguments.long(3)).map(Some).map_err(|_| Errno::EINVAL)
}

/// The position of `preadv2` and `pwritev2`, where -1 stands for the description's own.
fn position_or_current(arguments: &Arguments) -> Result<Option<u64>, Errno> {
    if arguments.long(3) == -1 { Ok(None) } else { position(arguments) }
}

/// `read(int fd, void *buffer, size_t count)`
pub(crate) fn read(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let buffers = personality.buffers(|| Ok(Buffers::one(arguments.get(1), arguments.get(2))))?;
    read_into(personality, space, arguments.int(0), buffers, None)
}

/// `pread64(int fd, void *buffer, size_t count, off_t position)`
pub(crate) fn pread64(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let buffers = personality.buffers(|| Ok(Buffers::one(arguments.get(1), arguments.get(2))))?;
    read_into(personality, space, arguments.int(0), buffers, position(arguments)?)
}

/// `readv(int fd, const struct iovec *vector, int count)`
pub(crate) fn readv(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    personality.files.description_of(arguments.int(0))?;
    let buffers =
        personality.buffers(|| Buffers::vector(space, arguments.get(1), arguments.get(2)))?;
    read_into(personality, space, arguments.int(0), buffers, None)
}

/// `preadv(int fd, const struct iovec *vector, int count, off_t position)`
pub(crate) fn preadv(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    personality.files.description_of(arguments.int(0))?;
    let position = position(arguments)?;
    let buffers =
        personality.buffers(|| Buffers::vector(space, arguments.get(1), arguments.get(2)))?;
    read_into(personality, space, arguments.int(0), buffers, position)
}

/// `preadv2(int fd, const struct iovec *vector, int count, off_t position, 0, int flags)`
pub(crate) fn preadv2(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    personality.files.description_of(arguments.int(0))?;
    if arguments.int(5) != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    let position = position_or_current(arguments)?;
    let buffers =
        personality.buffers(|| Buffers::vector(space, arguments.get(1), arguments.get(2)))?;
    read_into(personality, space, arguments.int(0), buffers, position)
}

/// `write(int fd, const void *buffer, size_t count)`
pub(crate) fn write(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let buffers = personality.buffers(|| Ok(Buffers::one(arguments.get(1), arguments.get(2))))?;
    write_from(personality, space, arguments.int(0), buffers, None)
}

/// `pwrite64(int fd, const void *buffer, size_t count, off_t position)`
pub(crate) fn pwrite64(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let buffers = personality.buffers(|| Ok(Buffers::one(arguments.get(1), arguments.get(2))))?;
    write_from(personality, space, arguments.int(0), buffers, position(arguments)?)
}

/// `writev(int fd, const struct iovec *vector, int count)`
pub(crate) fn writev(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    personality.files.description_of(arguments.int(0))?;
    let buffers =
        personality.buffers(|| Buffers::vector(space, arguments.get(1), arguments.get(2)))?;
    write_from(personality, space, arguments.int(0), buffers, None)
}

/// `pwritev(int fd, const struct iovec *vector, int count, off_t position)`
pub(crate) fn pwritev(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    personality.files.description_of(arguments.int(0))?;
    let position = position(arguments)?;
    let buffers =
        personality.buffers(|| Buffers::vector(space, arguments.get(1), arguments.get(2)))?;
    write_from(personality, space, arguments.int(0), buffers, position)
}

/// `pwritev2(int fd, const struct iovec *vector, int count, off_t position, 0, int flags)`
pub(crate) fn pwritev2(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    personality.files.description_of(arguments.int(0))?;
    if arguments.int(5) != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    let position = position_or_current(arguments)?;
    let buffers =
        personality.buffers(|| Buffers::vector(space, arguments.get(1), arguments.get(2)))?;
    write_from(personality, space, arguments.int(0), buffers, position)
}
