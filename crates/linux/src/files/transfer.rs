//! Moving bytes: `read`, `write` and their relatives.

use super::system::{Device, Node};
use super::{Files, NONBLOCK, Object, OutputStream, pipe};
use crate::answer::{Answer, Outcome};
use crate::errno::Errno;
use crate::guest::{
    Arguments, CHUNK, IOV_MAX, MAX_TRANSFER, read_pair, read_some, to_usize, write_some,
};
use crate::personality::Personality;
use crate::signals::SIGPIPE;
use ampoule_memory::AddressSpace;
use std::collections::VecDeque;

/// Most bytes that one call reads from a device: what `/dev/urandom` gives in Linux. A read cannot
/// be interrupted, so this bounds how long the guest can keep a host thread busy with one call.
pub(crate) const DEVICE_READ_MAX: u64 = (1 << 25) - 1;
/// Most bytes that one call reads from a file, for the same reason.
const FILE_READ_MAX: u64 = 256 << 20;

/// Transfers up to this size pass through a smaller buffer: clearing [`CHUNK`] bytes would cost more
/// than the rest of a write of one line.
const SMALL: usize = 512;

/// The guest's buffers, in order, with at most [`MAX_TRANSFER`] bytes altogether.
#[derive(Debug)]
struct Buffers {
    segments: Vec<(u64, u64)>,
    total: u64,
}

impl Buffers {
    fn one(address: u64, length: u64) -> Self {
        let length = length.min(MAX_TRANSFER);
        Self { segments: vec![(address, length)], total: length }
    }

    /// Reads an array of `iovec`.
    fn vector(space: &mut AddressSpace, address: u64, count: u64) -> Result<Self, Errno> {
        if count > IOV_MAX {
            return Err(Errno::EINVAL);
        }
        let mut buffers = Self { segments: Vec::new(), total: 0 };
        for index in 0..count {
            let at = address.checked_add(index * 16).ok_or(Errno::EFAULT)?;
            let (base, length) = read_pair(space, at)?;
            if i64::try_from(length).is_err() {
                return Err(Errno::EINVAL);
            }
            let length = length.min(MAX_TRANSFER - buffers.total);
            buffers.total += length;
            if length > 0 {
                buffers.segments.push((base, length));
            }
        }
        Ok(buffers)
    }

    /// Drops everything beyond the first `limit` bytes.
    fn truncate(&mut self, limit: u64) {
        let mut left = limit;
        for segment in &mut self.segments {
            segment.1 = segment.1.min(left);
            left -= segment.1;
        }
        self.total = self.total.min(limit);
    }

    /// Drops the first `count` bytes.
    fn skip(&mut self, count: u64) {
        let mut left = count;
        for segment in &mut self.segments {
            let dropped = segment.1.min(left);
            segment.0 = segment.0.wrapping_add(dropped);
            segment.1 -= dropped;
            left -= dropped;
        }
        self.total = self.total.saturating_sub(count);
    }

    /// Fills the buffers piece by piece from `source`, which tells how much of a piece it filled
    /// and ends the transfer by filling less. A source is told through `taken` what arrived.
    fn fill(
        &self,
        space: &mut AddressSpace,
        mut source: impl FnMut(u64, &mut [u8]) -> usize,
    ) -> Result<u64, Errno> {
        let (mut small, mut large);
        let chunk: &mut [u8] = if self.total <= SMALL as u64 {
            small = [0; SMALL];
            &mut small
        } else {
            large = [0; CHUNK];
            &mut large
        };
        let mut done = 0;
        for &(base, length) in &self.segments {
            let mut offset = 0;
            while offset < length {
                let wanted = to_usize((length - offset).min(CHUNK as u64));
                let got = source(done, &mut chunk[..wanted]);
                let written = match base.checked_add(offset) {
                    Some(address) => write_some(space, address, &chunk[..got]),
                    None => 0,
                };
                done += written as u64;
                if written < got {
                    // As Linux: what arrived counts, the fault shows only when nothing did.
                    return if done == 0 { Err(Errno::EFAULT) } else { Ok(done) };
                }
                if got < wanted {
                    return Ok(done);
                }
                offset += wanted as u64;
            }
        }
        Ok(done)
    }

    /// Appends up to `limit` bytes of the buffers to a sink; returns how many there were and whether
    /// the guest's memory ended before.
    fn gather(
        &self,
        space: &mut AddressSpace,
        limit: usize,
        mut sink: impl FnMut(&[u8]),
    ) -> (u64, bool) {
        let (mut small, mut large);
        let chunk: &mut [u8] = if self.total <= SMALL as u64 {
            small = [0; SMALL];
            &mut small
        } else {
            large = [0; CHUNK];
            &mut large
        };
        let mut left = limit as u64;
        for &(base, length) in &self.segments {
            let mut offset = 0;
            while offset < length && left > 0 {
                let wanted = to_usize((length - offset).min(CHUNK as u64).min(left));
                let got = match base.checked_add(offset) {
                    Some(address) => read_some(space, address, &mut chunk[..wanted]),
                    None => 0,
                };
                sink(&chunk[..got]);
                left -= got as u64;
                if got < wanted {
                    return (limit as u64 - left, true);
                }
                offset += wanted as u64;
            }
        }
        (limit as u64 - left, false)
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
    let count = match description.object {
        Object::Directory(_) => return Err(Errno::EISDIR),
        Object::Output(_) | Object::PipeWriter(_) => return Err(Errno::EBADF),
        Object::Input | Object::PipeReader(_) if position.is_some() => return Err(Errno::ESPIPE),
        Object::File(node) => {
            buffers.truncate(FILE_READ_MAX);
            let start = position.unwrap_or(description.offset);
            let count = read_file(files, space, &buffers, node, start)?;
            if position.is_none() {
                files.description_mut(descriptor)?.offset = start.saturating_add(count);
            }
            count
        }
        Object::Device(device, _) => {
            buffers.truncate(DEVICE_READ_MAX);
            let random = &mut personality.random;
            buffers.fill(space, |_, out| match device {
                Device::Null => 0,
                Device::Zero | Device::Full => {
                    out.fill(0);
                    out.len()
                }
                Device::Random => {
                    random.fill(out);
                    out.len()
                }
            })?
        }
        Object::Input => {
            if buffers.total == 0 {
                return Ok(Answer::ZERO);
            }
            if files.input.is_empty() && !files.input_ended {
                return Ok(Answer::NeedInput { wanted: to_usize(buffers.total) });
            }
            let input = &mut files.input;
            let count = buffers.fill(space, |done, out| peek(input, done, out))?;
            input.drain(..to_usize(count));
            count
        }
        Object::PipeReader(index) => {
            let pipe = files.pipe(index)?;
            if pipe.buffer.is_empty() && pipe.has_writer && buffers.total > 0 {
                return if description.flags & NONBLOCK != 0 {
                    Err(Errno::EAGAIN)
                } else {
                    Ok(Answer::Deadlock { waiting_for: "data in a pipe that only it can write to" })
                };
            }
            let count = buffers.fill(space, |done, out| peek(&pipe.buffer, done, out))?;
            pipe.buffer.drain(..to_usize(count));
            count
        }
    };
    Ok(Answer::value(count))
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

fn read_file(
    files: &Files,
    space: &mut AddressSpace,
    buffers: &Buffers,
    node: Node,
    start: u64,
) -> Result<u64, Errno> {
    buffers.fill(space, |done, out| match start.checked_add(done) {
        Some(offset) => files.system.read(node, offset, out),
        None => 0,
    })
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
            write_pipe(personality, space, index, &buffers, nonblocking)
        }
        Object::Device(Device::Full, _) if buffers.total > 0 => Err(Errno::ENOSPC),
        Object::Device(..) => Ok(Answer::value(buffers.total)),
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
    let before = personality.thread().parked.written;
    buffers.skip(before);
    let files = &mut personality.files;
    let room = files.high_water.saturating_sub(files.pending_output());
    let sink = files.output(stream);
    let (written, faulted) = buffers.gather(space, room, |bytes| sink.extend_from_slice(bytes));
    let done = before + written;
    if faulted {
        return if done == 0 { Err(Errno::EFAULT) } else { Ok(Answer::value(done)) };
    }
    if written < buffers.total {
        personality.thread_mut().parked.written = done;
        return Ok(Answer::OutputFull);
    }
    Ok(Answer::value(done))
}

fn write_pipe(
    personality: &mut Personality,
    space: &mut AddressSpace,
    index: usize,
    buffers: &Buffers,
    nonblocking: bool,
) -> Outcome {
    let pipe = personality.files.pipe(index)?;
    if !pipe.has_reader {
        let killed = personality.raise(SIGPIPE);
        return killed.ok_or(Errno::EPIPE);
    }
    let total = to_usize(buffers.total);
    let room = pipe.room();
    if total > room && !nonblocking {
        return Ok(Answer::Deadlock { waiting_for: "room in a pipe that only it can read from" });
    }
    if total > room && (room == 0 || total <= pipe::PIPE_BUF) {
        return Err(Errno::EAGAIN);
    }
    let buffer = &mut pipe.buffer;
    let (written, faulted) = buffers.gather(space, room, |bytes| buffer.extend(bytes));
    if faulted && written == 0 { Err(Errno::EFAULT) } else { Ok(Answer::value(written)) }
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
    let buffers = Buffers::one(arguments.get(1), arguments.get(2));
    read_into(personality, space, arguments.int(0), buffers, None)
}

/// `pread64(int fd, void *buffer, size_t count, off_t position)`
pub(crate) fn pread64(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let buffers = Buffers::one(arguments.get(1), arguments.get(2));
    read_into(personality, space, arguments.int(0), buffers, position(arguments)?)
}

/// `readv(int fd, const struct iovec *vector, int count)`
pub(crate) fn readv(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    personality.files.description_of(arguments.int(0))?;
    let buffers = Buffers::vector(space, arguments.get(1), arguments.get(2))?;
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
    let buffers = Buffers::vector(space, arguments.get(1), arguments.get(2))?;
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
    let buffers = Buffers::vector(space, arguments.get(1), arguments.get(2))?;
    read_into(personality, space, arguments.int(0), buffers, position)
}

/// `write(int fd, const void *buffer, size_t count)`
pub(crate) fn write(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let buffers = Buffers::one(arguments.get(1), arguments.get(2));
    write_from(personality, space, arguments.int(0), buffers, None)
}

/// `pwrite64(int fd, const void *buffer, size_t count, off_t position)`
pub(crate) fn pwrite64(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let buffers = Buffers::one(arguments.get(1), arguments.get(2));
    write_from(personality, space, arguments.int(0), buffers, position(arguments)?)
}

/// `writev(int fd, const struct iovec *vector, int count)`
pub(crate) fn writev(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    personality.files.description_of(arguments.int(0))?;
    let buffers = Buffers::vector(space, arguments.get(1), arguments.get(2))?;
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
    let buffers = Buffers::vector(space, arguments.get(1), arguments.get(2))?;
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
    let buffers = Buffers::vector(space, arguments.get(1), arguments.get(2))?;
    write_from(personality, space, arguments.int(0), buffers, position)
}
