//! Pipes: a guest has one thread, so a pipe only holds what that thread wrote until it reads it
//! back. Shells use this for here-documents, event loops to wake themselves.
//!
//! As in Linux a pipe has a number of slots, each for up to a page of bytes: what is written goes behind what
//! the last slot holds, if it fits there, or else into free slots. So its room is not only a number of bytes.

use super::flags::ends;
use crate::errno::Errno;
use crate::guest::to_usize;
use ampoule_abi::layout::PAGE_SIZE;
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
    pub(crate) fn room_behind(&mut self, part: usize) -> Option<&mut Slot> {
        let last = self.slots.back_mut()?;
        (part > 0 && !last.is_packet && last.bytes.len() + part <= SLOT).then_some(last)
    }

    /// Whether all of a write fits now.
    pub(crate) fn fits(&mut self, count: usize, in_packets: bool) -> bool {
        let part = count % SLOT;
        let free = self.capacity.saturating_sub(self.slots.len());
        let behind = !in_packets && self.room_behind(part).is_some();
        let needed = if behind { count / SLOT } else { count.div_ceil(SLOT) };
        needed <= free
    }
}

/// The pipes of a guest, by number.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pipes(Vec<Option<Pipe>>);

impl Pipes {
    /// Those that there are.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &Pipe)> {
        let pipes = self.0.iter().enumerate();
        pipes.filter_map(|(index, pipe)| Some((index, pipe.as_ref()?)))
    }

    pub(crate) fn get(&mut self, index: usize) -> Result<&mut Pipe, Errno> {
        self.0.get_mut(index).and_then(Option::as_mut).ok_or(Errno::EBADF)
    }

    /// Makes an empty pipe without ends.
    ///
    /// # Errors
    /// `ENFILE`.
    pub(crate) fn make(&mut self) -> Result<usize, Errno> {
        let index = match self.0.iter().position(Option::is_none) {
            Some(free) => free,
            None if self.0.len() < PIPES_MAX => {
                self.0.push(None);
                self.0.len() - 1
            }
            None => return Err(Errno::ENFILE),
        };
        let capacity = SLOTS.min(SLOTS_MAX.saturating_sub(self.slots_without(index)));
        if capacity == 0 {
            return Err(Errno::ENFILE);
        }
        self.0[index] = Some(Pipe::new(capacity));
        Ok(index)
    }

    /// Places a pipe, from a description.
    pub(crate) fn place(&mut self, index: usize, pipe: Pipe) {
        self.0.resize(index + 1, None);
        self.0[index] = Some(pipe);
    }

    /// Forgets a pipe.
    pub(crate) fn remove(&mut self, index: usize) {
        self.0[index] = None;
    }

    /// Counts a new description with these flags of an end of a pipe; of both ends, if it may do both.
    pub(crate) fn hold(&mut self, index: usize, flags: u32) {
        let (reads, writes) = ends(flags);
        if let Ok(pipe) = self.get(index) {
            pipe.readers += usize::from(reads);
            pipe.writers += usize::from(writes);
        }
    }

    /// Forgets a description with these flags, and tells whether no end of the pipe is left.
    pub(crate) fn release(&mut self, index: usize, flags: u32) -> bool {
        let (reads, writes) = ends(flags);
        let Ok(pipe) = self.get(index) else { return false };
        pipe.readers -= usize::from(reads);
        pipe.writers -= usize::from(writes);
        pipe.readers + pipe.writers == 0
    }

    /// Slots that pipes other than `index` may fill.
    fn slots_without(&self, index: usize) -> usize {
        self.iter().filter(|&(other, _)| other != index).map(|(_, pipe)| pipe.capacity).sum()
    }

    /// Gives a pipe room for `wanted` bytes (kernel: `pipe_set_size`), and tells how much it has then.
    ///
    /// # Errors
    /// `EINVAL`, `EPERM` for more than there may be, `EBUSY` for less than what waits.
    pub(crate) fn resize(&mut self, index: usize, wanted: u32) -> Result<u64, Errno> {
        let size = wanted.max(1 << 12).checked_next_power_of_two().ok_or(Errno::EINVAL)?;
        let slots = to_usize(size.into()) / SLOT;
        let others = self.slots_without(index);
        let pipe = self.get(index)?;
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

const _: () =
    assert!(SLOT as u64 == PAGE_SIZE, "what counts of a faulting transfer is whole slots");
