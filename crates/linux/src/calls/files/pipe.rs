//! Making pipes, reading from them and writing into them.

use crate::answer::{Answer, Outcome};
use crate::calls::call::Call;
use crate::errno::Errno;
use crate::guest::{Record, to_usize};
use crate::task::blocked::{BlockedOn, Event};
use crate::task::signals::Signal;
use crate::vfs::buffers::{Buffers, End};
use crate::vfs::flags::{CLOSE_ON_EXEC, DIRECT, NONBLOCK};
use crate::vfs::pipe::{SLOT, Slot};
use ampoule_memory::AddressSpace;

/// Reads from a pipe.
pub(super) fn read(
    call: &mut Call<'_>,
    index: usize,
    mut buffers: Buffers,
    waits: bool,
) -> Outcome {
    if buffers.total() == 0 {
        return Ok(Answer::ZERO);
    }
    let pipe = call.kernel.files.pipes.get(index)?;
    if pipe.slots.is_empty() && pipe.writers > 0 && buffers.done() == 0 {
        return if waits {
            Ok(Answer::Wait(BlockedOn::event(Event::PipeData { pipe: index })))
        } else {
            Err(Errno::EAGAIN)
        };
    }
    let mut end = End::Reached;
    while end == End::Reached
        && buffers.left() > 0
        && let Some(slot) = pipe.slots.front_mut()
    {
        if call.space.portion_is_over() {
            end = End::Portion;
            break;
        }
        let moved;
        (moved, end) = buffers.put(call.space, &slot.bytes[slot.start..]);
        slot.start += moved;
        let was_packet = slot.is_packet && end == End::Reached;
        if slot.start == slot.bytes.len() || was_packet {
            pipe.slots.pop_front();
        }
        if was_packet {
            break;
        }
    }
    call.moved(buffers, end)
}

/// Writes into a pipe.
pub(super) fn write(
    call: &mut Call<'_>,
    index: usize,
    mut buffers: Buffers,
    waits: bool,
    in_packets: bool,
) -> Outcome {
    if buffers.total() == 0 {
        return Ok(Answer::ZERO);
    }
    let pipe = call.kernel.files.pipes.get(index)?;
    if pipe.readers == 0 {
        return call.raise(Signal::broken_pipe())?.map(Answer::End).ok_or(Errno::EPIPE);
    }
    let left = to_usize(buffers.left());
    if waits && !pipe.fits(left, in_packets) {
        return Ok(Answer::Wait(BlockedOn::event(Event::PipeRoom { pipe: index })));
    }
    let mut end = End::Reached;
    // The odd part of a write comes first, where there is room for it behind what waits.
    if buffers.done() == 0
        && !in_packets
        && let Some(last) = pipe.room_behind(left % SLOT)
    {
        end = append(call.space, &mut buffers, &mut last.bytes, left % SLOT);
    }
    while end == End::Reached && buffers.left() > 0 {
        if pipe.is_full() {
            if buffers.done() == 0 {
                return Err(Errno::EAGAIN);
            }
            break;
        }
        if call.space.portion_is_over() {
            end = End::Portion;
            break;
        }
        let mut slot = Slot { is_packet: in_packets, ..Slot::default() };
        let size = SLOT.min(to_usize(buffers.left()));
        end = append(call.space, &mut buffers, &mut slot.bytes, size);
        if !slot.bytes.is_empty() {
            pipe.slots.push_back(slot);
        }
    }
    call.moved(buffers, end)
}

/// Appends bytes of the guest's to a slot; what can only be read in part is left out.
fn append(
    space: &mut AddressSpace,
    buffers: &mut Buffers,
    bytes: &mut Vec<u8>,
    count: usize,
) -> End {
    let mut page = [0; SLOT];
    let (taken, end) = buffers.take(space, &mut page[..count]);
    bytes.extend_from_slice(&page[..taken]);
    end
}

fn pipe_with(call: &mut Call<'_>, address: u64, flags: u32) -> Outcome {
    let (reader, writer) = call.kernel.files.make_pipe(flags)?;
    let number = |descriptor: usize| u32::try_from(descriptor).unwrap_or(u32::MAX);
    let record = Record::<8>::new().set_u32(0, number(reader)).set_u32(4, number(writer));
    if let Err(errno) = record.store(call.space, address) {
        call.kernel.files.close(reader)?;
        call.kernel.files.close(writer)?;
        return Err(errno);
    }
    Ok(Answer::ZERO)
}

/// `pipe(int fds[2])`
pub(crate) fn pipe(call: &mut Call<'_>, fds: u64) -> Outcome {
    pipe_with(call, fds, 0)
}

/// `pipe2(int fds[2], int flags)`
pub(crate) fn pipe2(call: &mut Call<'_>, fds: u64, flags: u32) -> Outcome {
    if flags & !(CLOSE_ON_EXEC | NONBLOCK | DIRECT) != 0 {
        return Err(Errno::EINVAL);
    }
    pipe_with(call, fds, flags)
}
