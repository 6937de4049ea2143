//! Moving bytes: `read`, `write` and their relatives.

use super::buffers::{Buffers, End};
use super::system::Device;
use super::{Description, Object, OutputStream, pipe};
use crate::answer::{Answer, Outcome};
use crate::errno::Errno;
use crate::guest::{Arguments, CHUNK, to_usize};
use crate::personality::{Parked, Personality};
use crate::process::RANDOM_PRICE;
use ampoule_memory::AddressSpace;
use std::collections::VecDeque;

/// Most bytes that one call reads from a device: what `/dev/urandom` gives in Linux.
pub(crate) const DEVICE_READ_MAX: u64 = (1 << 25) - 1;

/// Where and how a call moves bytes.
#[derive(Debug, Clone, Copy)]
struct Transfer {
    descriptor: i32,
    /// A place in the file, instead of the description's own.
    position: Option<u64>,
    /// `RWF_NOWAIT`.
    is_impatient: bool,
}

impl Transfer {
    /// By a call that has no position.
    fn plain(arguments: &Arguments) -> Self {
        Self { descriptor: arguments.int(0), position: None, is_impatient: false }
    }

    /// By a call with a position.
    ///
    /// # Errors
    /// `EINVAL` for a negative one, before anything else is looked at.
    fn positioned(arguments: &Arguments) -> Result<Self, Errno> {
        let position = u64::try_from(arguments.long(3)).map_err(|_| Errno::EINVAL)?;
        Ok(Self { position: Some(position), ..Self::plain(arguments) })
    }

    /// By `preadv2` and `pwritev2`, where -1 stands for the description's own position.
    fn extended(arguments: &Arguments) -> Result<Self, Errno> {
        let own = arguments.long(3) == -1;
        let transfer = if own { Self::plain(arguments) } else { Self::positioned(arguments)? };
        Ok(Self { is_impatient: arguments.uint(5) & RWF_NOWAIT != 0, ..transfer })
    }

    /// The description, if it may be used so: a stream has no positions, which Linux says before it looks
    /// whether this end may be read or written at all.
    fn description(
        &self,
        personality: &Personality,
        may: impl Fn(&Description) -> bool,
    ) -> Result<Description, Errno> {
        let description = *personality.files.usable(self.descriptor)?;
        if self.position.is_some() && description.object.is_stream() {
            return Err(Errno::ESPIPE);
        }
        if may(&description) { Ok(description) } else { Err(Errno::EBADF) }
    }

    /// Checks that no position beyond the largest would be reached.
    fn check_end(&self, description: &Description, buffers: &Buffers) -> Result<(), Errno> {
        let start = self.position.unwrap_or(description.offset);
        let end = start.checked_add(buffers.total());
        let is_possible = end.is_some_and(|end| i64::try_from(end).is_ok());
        if is_possible || description.object.is_stream() { Ok(()) } else { Err(Errno::EINVAL) }
    }
}

const RWF_NOWAIT: u32 = 8;

/// Checks the flags of `preadv2` and `pwritev2`, if there is anything to move: high priority and the ways to
/// synchronise have no effect, and appending is what every file that can be written does anyway.
fn check_flags(flags: u32, description: &Description) -> Result<(), Errno> {
    const HIGH_PRIORITY: u32 = 1;
    const SYNCHRONOUS: u32 = 2 | 4;
    const APPEND: u32 = 16;
    let known = HIGH_PRIORITY | SYNCHRONOUS | RWF_NOWAIT | APPEND;
    // Files in memory do not know how not to wait, and directories know of no flags.
    let is_refused = match description.object {
        Object::File(_) => flags & RWF_NOWAIT != 0,
        Object::Directory(_) => flags & !HIGH_PRIORITY != 0,
        _ => false,
    };
    if flags & !known != 0 || is_refused { Err(Errno::EOPNOTSUPP) } else { Ok(()) }
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
    transfer: Transfer,
    description: Description,
    mut buffers: Buffers,
) -> Outcome {
    let files = &mut personality.files;
    let before = buffers.done();
    let end = match description.object {
        Object::Directory(_) => return Err(Errno::EISDIR),
        // The other end of a stream that only the host reads.
        Object::Output(_) => return Err(Errno::EBADF),
        Object::File(node) => {
            let position = transfer.position;
            // An own position moves with every portion.
            let start = position.map_or(description.offset, |start| start.saturating_add(before));
            let system = &files.system;
            let end = buffers.fill(space, |_, done, out| match start.checked_add(done) {
                Some(offset) => system.read(node, offset, out),
                None => 0,
            });
            if position.is_none() {
                let moved = buffers.done() - before;
                files.description_mut(transfer.descriptor)?.offset = start.saturating_add(moved);
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
                return Ok(Answer::NeedInput { wanted: to_usize(buffers.left()) });
            }
            drain(&mut files.input, &mut buffers, space)
        }
        Object::Pipe(index) => {
            let waits = !transfer.is_impatient && !description.is_nonblocking();
            return pipe::read(personality, space, index, buffers, waits);
        }
    };
    buffers.finish(personality, end)
}

/// Fills the buffers from a queue, which loses what arrived.
fn drain(queue: &mut VecDeque<u8>, buffers: &mut Buffers, space: &mut AddressSpace) -> End {
    let mut chunk = [0; CHUNK];
    while !queue.is_empty() && buffers.left() > 0 {
        if space.portion_is_over() {
            return End::Portion;
        }
        let found = queue.len().min(chunk.len()).min(to_usize(buffers.left()));
        for (to, from) in chunk.iter_mut().zip(queue.range(..found)) {
            *to = *from;
        }
        let (moved, end) = buffers.put(space, &chunk[..found]);
        queue.drain(..moved);
        if end != End::Reached {
            return end;
        }
    }
    End::Reached
}

fn write_from(
    personality: &mut Personality,
    space: &mut AddressSpace,
    transfer: Transfer,
    description: Description,
    buffers: Buffers,
) -> Outcome {
    match description.object {
        Object::Output(stream) => write_output(personality, space, stream, buffers),
        Object::Pipe(index) => {
            let waits = !transfer.is_impatient && !description.is_nonblocking();
            let in_packets = description.writes_packets();
            pipe::write(personality, space, index, buffers, waits, in_packets)
        }
        Object::Device(Device::Full, _) => Err(Errno::ENOSPC),
        Object::Device(..) => Ok(Answer::value(buffers.left())),
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
    if end == End::Reached && buffers.left() > 0 {
        personality.thread_mut().parked = Parked::Transfer(buffers);
        return Ok(Answer::OutputFull);
    }
    buffers.finish(personality, end)
}

/// Which way bytes go.
struct Direction {
    may: fn(&Description) -> bool,
    carry: fn(&mut Personality, &mut AddressSpace, Transfer, Description, Buffers) -> Outcome,
}

const READ: Direction = Direction { may: Description::is_readable, carry: read_into };
const WRITE: Direction = Direction { may: Description::is_writable, carry: write_from };

impl Direction {
    /// By one buffer: its address and its length are arguments 1 and 2.
    fn one(
        &self,
        personality: &mut Personality,
        space: &mut AddressSpace,
        arguments: &Arguments,
        transfer: Transfer,
    ) -> Outcome {
        let description = transfer.description(personality, self.may)?;
        let buffers = personality.buffers(|| Buffers::one(arguments.get(1), arguments.get(2)))?;
        transfer.check_end(&description, &buffers)?;
        (self.carry)(personality, space, transfer, description, buffers)
    }

    /// By an array: its address and its length are arguments 1 and 2. `flags` are looked at when there is
    /// anything to move.
    fn many(
        &self,
        personality: &mut Personality,
        space: &mut AddressSpace,
        arguments: &Arguments,
        transfer: Transfer,
        flags: u32,
    ) -> Outcome {
        let description = transfer.description(personality, self.may)?;
        let buffers =
            personality.buffers(|| Buffers::vector(space, arguments.get(1), arguments.get(2)))?;
        if buffers.total() == 0 {
            return Ok(Answer::ZERO);
        }
        transfer.check_end(&description, &buffers)?;
        check_flags(flags, &description)?;
        (self.carry)(personality, space, transfer, description, buffers)
    }
}

/// `read(int fd, void *buffer, size_t count)`
pub(crate) fn read(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    READ.one(personality, space, arguments, Transfer::plain(arguments))
}

/// `pread64(int fd, void *buffer, size_t count, off_t position)`
pub(crate) fn pread64(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    READ.one(personality, space, arguments, Transfer::positioned(arguments)?)
}

/// `readv(int fd, const struct iovec *vector, int count)`
pub(crate) fn readv(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    READ.many(personality, space, arguments, Transfer::plain(arguments), 0)
}

/// `preadv(int fd, const struct iovec *vector, int count, off_t position)`
pub(crate) fn preadv(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    READ.many(personality, space, arguments, Transfer::positioned(arguments)?, 0)
}

/// `preadv2(int fd, const struct iovec *vector, int count, off_t position, 0, int flags)`
pub(crate) fn preadv2(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let transfer = Transfer::extended(arguments)?;
    READ.many(personality, space, arguments, transfer, arguments.uint(5))
}

/// `write(int fd, const void *buffer, size_t count)`
pub(crate) fn write(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    WRITE.one(personality, space, arguments, Transfer::plain(arguments))
}

/// `pwrite64(int fd, const void *buffer, size_t count, off_t position)`
pub(crate) fn pwrite64(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    WRITE.one(personality, space, arguments, Transfer::positioned(arguments)?)
}

/// `writev(int fd, const struct iovec *vector, int count)`
pub(crate) fn writev(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    WRITE.many(personality, space, arguments, Transfer::plain(arguments), 0)
}

/// `pwritev(int fd, const struct iovec *vector, int count, off_t position)`
pub(crate) fn pwritev(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    WRITE.many(personality, space, arguments, Transfer::positioned(arguments)?, 0)
}

/// `pwritev2(int fd, const struct iovec *vector, int count, off_t position, 0, int flags)`
pub(crate) fn pwritev2(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let transfer = Transfer::extended(arguments)?;
    WRITE.many(personality, space, arguments, transfer, arguments.uint(5))
}
