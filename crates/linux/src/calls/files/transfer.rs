//! Moving bytes: `read`, `write` and their relatives.

use super::pipe;
use crate::answer::{Answer, Outcome};
use crate::calls::call::Call;
use crate::errno::Errno;
use crate::guest::{CHUNK, to_usize};
use crate::kernel::random::{DEVICE_READ_MAX, RANDOM_PRICE};
use crate::task::blocked::BlockedOn;
use crate::task::progress::Progress;
use crate::vfs::buffers::{Buffers, End};
use crate::vfs::files::{Description, Files, Object, OutputStream};
use crate::vfs::system::Device;
use ampoule_memory::AddressSpace;
use std::collections::VecDeque;

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
    const fn plain(fd: i32) -> Self {
        Self { descriptor: fd, position: None, is_impatient: false }
    }

    /// By a call with a position.
    ///
    /// # Errors
    /// `EINVAL` for a negative one, before anything else is looked at.
    fn positioned(fd: i32, position: i64) -> Result<Self, Errno> {
        let position = u64::try_from(position).map_err(|_| Errno::EINVAL)?;
        Ok(Self { position: Some(position), ..Self::plain(fd) })
    }

    /// By `preadv2` and `pwritev2`, where -1 stands for the description's own position.
    fn extended(fd: i32, position: i64, flags: u32) -> Result<Self, Errno> {
        let own = position == -1;
        let transfer = if own { Self::plain(fd) } else { Self::positioned(fd, position)? };
        Ok(Self { is_impatient: flags & RWF_NOWAIT != 0, ..transfer })
    }

    /// The description, if it may be used so: a stream has no positions, which Linux says before it looks
    /// whether this end may be read or written at all.
    fn description(
        &self,
        files: &Files,
        may: impl Fn(&Description) -> bool,
    ) -> Result<Description, Errno> {
        let description = *files.usable(self.descriptor)?;
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

/// The buffers of a call: those that are kept while it is parked, or new ones.
fn buffers(
    call: &mut Call<'_>,
    make: impl FnOnce(&mut AddressSpace) -> Result<Buffers, Errno>,
) -> Result<Buffers, Errno> {
    match call.task.take_progress() {
        Progress::Transfer(buffers) => Ok(buffers),
        _ => make(call.space),
    }
}

fn read_into(
    call: &mut Call<'_>,
    transfer: Transfer,
    description: Description,
    mut buffers: Buffers,
) -> Outcome {
    let files = &mut call.kernel.files;
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
            let end = buffers.fill(call.space, |_, done, out| match start.checked_add(done) {
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
            let random = &mut call.kernel.random;
            buffers.fill(call.space, |space, _, out| match device {
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
                let wanted = to_usize(buffers.left());
                return Ok(Answer::Wait(BlockedOn::Input { wanted }));
            }
            drain(&mut files.input, &mut buffers, call.space)
        }
        Object::Pipe(index) => {
            let waits = !transfer.is_impatient && !description.is_nonblocking();
            return pipe::read(call, index, buffers, waits);
        }
    };
    call.moved(buffers, end)
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
    call: &mut Call<'_>,
    transfer: Transfer,
    description: Description,
    buffers: Buffers,
) -> Outcome {
    match description.object {
        Object::Output(stream) => write_output(call, stream, buffers),
        Object::Pipe(index) => {
            let waits = !transfer.is_impatient && !description.is_nonblocking();
            let in_packets = description.writes_packets();
            pipe::write(call, index, buffers, waits, in_packets)
        }
        Object::Device(Device::Full, _) => Err(Errno::ENOSPC),
        Object::Device(..) => Ok(Answer::value(buffers.left())),
        // Nothing else can have been opened for writing.
        _ => Err(Errno::EBADF),
    }
}

/// Appends to a stream's buffer. A write larger than the room left is parked and goes on when the
/// buffer was drained: a blocking pipe, too, returns only when everything is written.
fn write_output(call: &mut Call<'_>, stream: OutputStream, mut buffers: Buffers) -> Outcome {
    let files = &mut call.kernel.files;
    let room = files.high_water.saturating_sub(files.pending_output());
    let sink = files.output(stream);
    let end = buffers.gather(call.space, room, |bytes| sink.extend_from_slice(bytes));
    if end == End::Reached && buffers.left() > 0 {
        call.task.keep(Progress::Transfer(buffers));
        return Ok(Answer::Wait(BlockedOn::OutputRoom));
    }
    call.moved(buffers, end)
}

/// Which way bytes go.
struct Direction {
    may: fn(&Description) -> bool,
    carry: fn(&mut Call<'_>, Transfer, Description, Buffers) -> Outcome,
}

const READ: Direction = Direction { may: Description::is_readable, carry: read_into };
const WRITE: Direction = Direction { may: Description::is_writable, carry: write_from };

impl Direction {
    /// By one buffer.
    fn one(&self, call: &mut Call<'_>, transfer: Transfer, buffer: u64, count: u64) -> Outcome {
        let description = transfer.description(&call.kernel.files, self.may)?;
        let buffers = buffers(call, |_| Buffers::one(buffer, count))?;
        transfer.check_end(&description, &buffers)?;
        (self.carry)(call, transfer, description, buffers)
    }

    /// By an array of buffers. `flags` are looked at when there is anything to move.
    fn many(
        &self,
        call: &mut Call<'_>,
        transfer: Transfer,
        vector: u64,
        count: u64,
        flags: u32,
    ) -> Outcome {
        let description = transfer.description(&call.kernel.files, self.may)?;
        let buffers = buffers(call, |space| Buffers::vector(space, vector, count))?;
        if buffers.total() == 0 {
            return Ok(Answer::ZERO);
        }
        transfer.check_end(&description, &buffers)?;
        check_flags(flags, &description)?;
        (self.carry)(call, transfer, description, buffers)
    }
}

/// `read(int fd, void *buffer, size_t count)`
pub(crate) fn read(call: &mut Call<'_>, fd: i32, buffer: u64, count: u64) -> Outcome {
    READ.one(call, Transfer::plain(fd), buffer, count)
}

/// `pread64(int fd, void *buffer, size_t count, off_t position)`
pub(crate) fn pread64(
    call: &mut Call<'_>,
    fd: i32,
    buffer: u64,
    count: u64,
    position: i64,
) -> Outcome {
    READ.one(call, Transfer::positioned(fd, position)?, buffer, count)
}

/// `readv(int fd, const struct iovec *vector, int count)`
pub(crate) fn readv(call: &mut Call<'_>, fd: i32, vector: u64, count: u64) -> Outcome {
    READ.many(call, Transfer::plain(fd), vector, count, 0)
}

/// `preadv(int fd, const struct iovec *vector, int count, off_t position)`
pub(crate) fn preadv(
    call: &mut Call<'_>,
    fd: i32,
    vector: u64,
    count: u64,
    position: i64,
) -> Outcome {
    READ.many(call, Transfer::positioned(fd, position)?, vector, count, 0)
}

/// `preadv2(int fd, const struct iovec *vector, int count, off_t position, 0, int flags)`
pub(crate) fn preadv2(
    call: &mut Call<'_>,
    fd: i32,
    vector: u64,
    count: u64,
    position: i64,
    _: u64,
    flags: u32,
) -> Outcome {
    READ.many(call, Transfer::extended(fd, position, flags)?, vector, count, flags)
}

/// `write(int fd, const void *buffer, size_t count)`
pub(crate) fn write(call: &mut Call<'_>, fd: i32, buffer: u64, count: u64) -> Outcome {
    WRITE.one(call, Transfer::plain(fd), buffer, count)
}

/// `pwrite64(int fd, const void *buffer, size_t count, off_t position)`
pub(crate) fn pwrite64(
    call: &mut Call<'_>,
    fd: i32,
    buffer: u64,
    count: u64,
    position: i64,
) -> Outcome {
    WRITE.one(call, Transfer::positioned(fd, position)?, buffer, count)
}

/// `writev(int fd, const struct iovec *vector, int count)`
pub(crate) fn writev(call: &mut Call<'_>, fd: i32, vector: u64, count: u64) -> Outcome {
    WRITE.many(call, Transfer::plain(fd), vector, count, 0)
}

/// `pwritev(int fd, const struct iovec *vector, int count, off_t position)`
pub(crate) fn pwritev(
    call: &mut Call<'_>,
    fd: i32,
    vector: u64,
    count: u64,
    position: i64,
) -> Outcome {
    WRITE.many(call, Transfer::positioned(fd, position)?, vector, count, 0)
}

/// `pwritev2(int fd, const struct iovec *vector, int count, off_t position, 0, int flags)`
pub(crate) fn pwritev2(
    call: &mut Call<'_>,
    fd: i32,
    vector: u64,
    count: u64,
    position: i64,
    _: u64,
    flags: u32,
) -> Outcome {
    WRITE.many(call, Transfer::extended(fd, position, flags)?, vector, count, flags)
}
