//! Pipes: a guest has one thread, so a pipe only holds what that thread wrote until it reads it
//! back. Shells use this for here-documents, event loops to wake themselves.
//!
//! As in Linux a pipe has a number of slots, each for up to a page of bytes: what is written goes behind what
//! the last slot holds, if it fits there, or else into free slots. So its room is not only a number of bytes.

use super::buffers::{Buffers, End};
use super::{ACCESS_MODE, CLOSE_ON_EXEC, DIRECT, Description, Files, NONBLOCK, Object};
use super::{PATH_ONLY, READ_ONLY, READ_WRITE, WRITE_ONLY};
use crate::answer::{Answer, Outcome};
use crate::errno::Errno;
use crate::guest::{Arguments, Record, to_usize};
use crate::personality::Personality;
use crate::signals::Signal;
use ampoule_abi::layout::PAGE_SIZE;
use ampoule_memory::AddressSpace;
use std::collections::VecDeque;

/// Bytes of a slot.
pub(crate) const SLOT: usize = 4096;
/// Linux' default size of a pipe, in slots.
const SLOTS: usize = 16;
/// Linux' default size of a pipe in bytes, which standard streams have, too.
pub(crate) const PIPE_SIZE: usize = SLOTS * SLOT;
/// Linux' `pipe-max-size`: bytes that a pipe may be given.
const PIPE_SIZE_MAX: u32 = 1 << 20;
/// Most pipes.
pub(crate) const PIPES_MAX: usize = 64;
/// Slots of all pipes; bounds the host memory that they can take to 4 MiB.
pub(crate) const SLOTS_MAX: usize = PIPES_MAX * SLOTS;

/// Up to a page of bytes on their way.
#[derive(Debug, Clone, Default)]
pub(crate) struct Slot {
    pub(crate) bytes: Vec<u8>,
    /// How many of them were read.
    pub(crate) start: usize,
    /// Written as a packet, which one read takes, all of it or the start.
    pub(crate) is_packet: bool,
}

/// Bytes on their way, and how many descriptions are open at each end.
#[derive(Debug, Clone)]
pub(crate) struct Pipe {
    pub(crate) slots: VecDeque<Slot>,
    /// How many slots there may be.
    pub(crate) capacity: usize,
    pub(crate) readers: usize,
    pub(crate) writers: usize,
}

impl Pipe {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { slots: VecDeque::new(), capacity, readers: 0, writers: 0 }
    }

    /// Bytes that wait.
    pub(crate) fn len(&self) -> usize {
        self.slots.iter().map(|slot| slot.bytes.len() - slot.start).sum()
    }

    /// Whether no slot is free.
    pub(crate) fn is_full(&self) -> bool {
        self.slots.len() >= self.capacity
    }

    /// Room that the last slot has for the part of a write that is no whole page.
    fn room_behind(&mut self, part: usize) -> Option<&mut Slot> {
        let last = self.slots.back_mut()?;
        (part > 0 && !last.is_packet && last.bytes.len() + part <= SLOT).then_some(last)
    }

    /// Whether all of a write fits now.
    fn fits(&mut self, count: usize, in_packets: bool) -> bool {
        let part = count % SLOT;
        let free = self.capacity.saturating_sub(self.slots.len());
        let behind = !in_packets && self.room_behind(part).is_some();
        let needed = if behind { count / SLOT } else { count.div_ceil(SLOT) };
        needed <= free
    }
}

impl Files {
    pub(crate) fn pipe(&mut self, index: usize) -> Result<&mut Pipe, Errno> {
        self.pipes.get_mut(index).and_then(Option::as_mut).ok_or(Errno::EBADF)
    }

    /// Counts a new description of an end of a pipe; of both ends, if it may do both.
    pub(crate) fn hold_pipe(&mut self, object: Object, flags: u32) {
        let Object::Pipe(index) = object else { return };
        let (reads, writes) = ends(flags);
        if let Ok(pipe) = self.pipe(index) {
            pipe.readers += usize::from(reads);
            pipe.writers += usize::from(writes);
        }
    }

    /// Forgets a description of a pipe that is gone, and the pipe with the last one of them.
    pub(crate) fn release_pipe(&mut self, description: &Description) {
        let Object::Pipe(index) = description.object else { return };
        let (reads, writes) = ends(description.flags);
        let Ok(pipe) = self.pipe(index) else { return };
        pipe.readers -= usize::from(reads);
        pipe.writers -= usize::from(writes);
        // One that is only named may be left.
        let is_used = |used: &Description| used.object == Object::Pipe(index);
        if pipe.readers + pipe.writers == 0 && !self.descriptions.iter().flatten().any(is_used) {
            self.pipes[index] = None;
        }
    }

    /// Slots that pipes other than `index` may fill.
    fn slots_without(&self, index: usize) -> usize {
        let others = self.pipes.iter().enumerate().filter(|&(other, _)| other != index);
        others.filter_map(|(_, pipe)| pipe.as_ref()).map(|pipe| pipe.capacity).sum()
    }

    fn make_pipe(&mut self, flags: u32) -> Result<(usize, usize), Errno> {
        let index = match self.pipes.iter().position(Option::is_none) {
            Some(free) => free,
            None if self.pipes.len() < PIPES_MAX => {
                self.pipes.push(None);
                self.pipes.len() - 1
            }
            None => return Err(Errno::ENFILE),
        };
        let capacity = SLOTS.min(SLOTS_MAX.saturating_sub(self.slots_without(index)));
        if capacity == 0 {
            return Err(Errno::ENFILE);
        }
        self.pipes[index] = Some(Pipe::new(capacity));
        let reader = self.open(Object::Pipe(index), flags | READ_ONLY);
        let reader = reader.inspect_err(|_| self.pipes[index] = None)?;
        match self.open(Object::Pipe(index), flags | WRITE_ONLY) {
            Ok(writer) => Ok((reader, writer)),
            Err(errno) => {
                self.close(reader)?;
                Err(errno)
            }
        }
    }

    /// Gives a pipe room for `wanted` bytes (kernel: `pipe_set_size`), and tells how much it has then.
    ///
    /// # Errors
    /// `EINVAL`, `EPERM` for more than there may be, `EBUSY` for less than what waits.
    pub(crate) fn resize_pipe(&mut self, index: usize, wanted: u32) -> Result<u64, Errno> {
        let size = wanted.max(1 << 12).checked_next_power_of_two().ok_or(Errno::EINVAL)?;
        let slots = to_usize(size.into()) / SLOT;
        let others = self.slots_without(index);
        let pipe = self.pipe(index)?;
        let too_many = size > PIPE_SIZE_MAX || others + slots > SLOTS_MAX;
        if slots > pipe.capacity && too_many {
            return Err(Errno::EPERM);
        }
        if slots < pipe.slots.len() {
            return Err(Errno::EBUSY);
        }
        pipe.capacity = slots;
        Ok(size.into())
    }
}

/// Whether a description with these flags reads, and whether it writes. The fourth access mode asks for the
/// rights to both and does neither.
pub(crate) const fn ends(flags: u32) -> (bool, bool) {
    match flags & ACCESS_MODE {
        _ if flags & PATH_ONLY != 0 => (false, false),
        READ_ONLY => (true, false),
        WRITE_ONLY => (false, true),
        READ_WRITE => (true, true),
        _ => (false, false),
    }
}

/// Reads from a pipe.
pub(super) fn read(
    personality: &mut Personality,
    space: &mut AddressSpace,
    index: usize,
    mut buffers: Buffers,
    waits: bool,
) -> Outcome {
    if buffers.total() == 0 {
        return Ok(Answer::ZERO);
    }
    let pipe = personality.files.pipe(index)?;
    if pipe.slots.is_empty() && pipe.writers > 0 && buffers.done() == 0 {
        return if waits {
            Ok(Answer::Deadlock { waiting_for: "data in a pipe that only it can write to" })
        } else {
            Err(Errno::EAGAIN)
        };
    }
    let mut end = End::Reached;
    while end == End::Reached
        && buffers.left() > 0
        && let Some(slot) = pipe.slots.front_mut()
    {
        if space.portion_is_over() {
            end = End::Portion;
            break;
        }
        let moved;
        (moved, end) = buffers.put(space, &slot.bytes[slot.start..]);
        slot.start += moved;
        let was_packet = slot.is_packet && end == End::Reached;
        if slot.start == slot.bytes.len() || was_packet {
            pipe.slots.pop_front();
        }
        if was_packet {
            break;
        }
    }
    buffers.finish(personality, end)
}

/// Writes into a pipe.
pub(super) fn write(
    personality: &mut Personality,
    space: &mut AddressSpace,
    index: usize,
    mut buffers: Buffers,
    waits: bool,
    in_packets: bool,
) -> Outcome {
    if buffers.total() == 0 {
        return Ok(Answer::ZERO);
    }
    let pipe = personality.files.pipe(index)?;
    if pipe.readers == 0 {
        return personality.raise(Signal::broken_pipe())?.ok_or(Errno::EPIPE);
    }
    let left = to_usize(buffers.left());
    if waits && !pipe.fits(left, in_packets) {
        return Ok(Answer::Deadlock { waiting_for: "room in a pipe that only it can read from" });
    }
    let mut end = End::Reached;
    // The odd part of a write comes first, where there is room for it behind what waits.
    if buffers.done() == 0
        && !in_packets
        && let Some(last) = pipe.room_behind(left % SLOT)
    {
        end = append(space, &mut buffers, &mut last.bytes, left % SLOT);
    }
    while end == End::Reached && buffers.left() > 0 {
        if pipe.is_full() {
            if buffers.done() == 0 {
                return Err(Errno::EAGAIN);
            }
            break;
        }
        if space.portion_is_over() {
            end = End::Portion;
            break;
        }
        let mut slot = Slot { is_packet: in_packets, ..Slot::default() };
        let size = SLOT.min(to_usize(buffers.left()));
        end = append(space, &mut buffers, &mut slot.bytes, size);
        if !slot.bytes.is_empty() {
            pipe.slots.push_back(slot);
        }
    }
    buffers.finish(personality, end)
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

fn pipe_with(
    personality: &mut Personality,
    space: &mut AddressSpace,
    address: u64,
    flags: u32,
) -> Outcome {
    let (reader, writer) = personality.files.make_pipe(flags)?;
    let number = |descriptor: usize| u32::try_from(descriptor).unwrap_or(u32::MAX);
    let record = Record::<8>::new().set_u32(0, number(reader)).set_u32(4, number(writer));
    if let Err(errno) = record.store(space, address) {
        personality.files.close(reader)?;
        personality.files.close(writer)?;
        return Err(errno);
    }
    Ok(Answer::ZERO)
}

/// `pipe(int fds[2])`
pub(crate) fn pipe(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    pipe_with(personality, space, arguments.get(0), 0)
}

/// `pipe2(int fds[2], int flags)`
pub(crate) fn pipe2(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let flags = arguments.uint(1);
    if flags & !(CLOSE_ON_EXEC | NONBLOCK | DIRECT) != 0 {
        return Err(Errno::EINVAL);
    }
    pipe_with(personality, space, arguments.get(0), flags)
}

const _: () =
    assert!(SLOT as u64 == PAGE_SIZE, "what counts of a faulting transfer is whole slots");
