//! Memory calls, carried out in portions.
//!
//! A call checks what it is asked for once, in its first portion, and makes a plan: a [`Job`]. The job then
//! does as much as a portion allows and is parked with the thread. Nobody else changes the guest's memory
//! meanwhile, so that what was checked stays true.

use super::length_of;
use crate::answer::{Answer, Outcome};
use crate::errno::Errno;
use crate::files::system::Node;
use crate::guest::{CHUNK, to_usize};
use crate::personality::{Parked, Personality};
use ampoule_abi::layout::PAGE_SIZE;
use ampoule_memory::{AddressSpace, Protection};
use std::ops::Range;

/// What is left to do of a memory call, and its answer.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    /// What comes next stands last.
    tasks: Vec<Task>,
    outcome: Result<u64, Errno>,
}

/// One step of a job; the ranges shrink as it is done.
#[derive(Debug, Clone)]
pub(super) enum Task {
    /// Finds as many pages that will be given back; without them there is not enough memory.
    Room(Range<u64>, u64),
    Unmap(Range<u64>),
    Discard(Range<u64>),
    Protect(Range<u64>, Protection),
    Map(Range<u64>, Protection),
    /// Makes the tables for a move of the range to the address.
    Prepare(Range<u64>, u64),
    Move(Range<u64>, u64),
    /// Fills the rest of a fresh mapping, which began at `start`, from a file.
    Fill {
        start: u64,
        rest: Range<u64>,
        node: Node,
        offset: u64,
    },
}

impl Job {
    /// The tasks in order, those that there are, and what the call answers when they are done.
    pub(super) fn new<const N: usize>(
        tasks: [Option<Task>; N],
        outcome: Result<u64, Errno>,
    ) -> Self {
        Self { tasks: tasks.into_iter().rev().flatten().collect(), outcome }
    }

    /// Does a portion.
    pub(super) fn run(
        mut self,
        personality: &mut Personality,
        space: &mut AddressSpace,
    ) -> Outcome {
        while let Some(task) = self.tasks.last_mut() {
            match task.advance(personality, space) {
                Ok(true) => {
                    self.tasks.pop();
                }
                Ok(false) => {}
                Err(errno) => self = Self::after(task, errno)?,
            }
            if space.portion_is_over() && !self.tasks.is_empty() {
                return Ok(personality.park(Parked::Memory(self)));
            }
        }
        self.outcome.map(Answer::value)
    }

    /// What is to be done when `task` has failed.
    fn after(task: &Task, errno: Errno) -> Result<Self, Errno> {
        match task {
            Task::Fill { start, rest, .. } => {
                Ok(Self::new([Some(Task::Unmap(*start..rest.end))], Err(errno)))
            }
            _ => Err(errno),
        }
    }
}

impl Task {
    /// Does a portion; tells whether that was the last one.
    fn advance(
        &mut self,
        personality: &mut Personality,
        space: &mut AddressSpace,
    ) -> Result<bool, Errno> {
        let range = match self {
            Self::Room(range, wanted) => {
                let (reached, found) = space.count_some(range.start, range.end, *wanted);
                *wanted = wanted.saturating_sub(found);
                range.start = reached;
                if *wanted > 0 && range.is_empty() {
                    return Err(personality.ran_out());
                }
                return Ok(*wanted == 0);
            }
            Self::Unmap(range) => {
                range.start = space.unmap_some(range.start, range.end)?;
                range
            }
            Self::Discard(range) => {
                range.start = space.discard_some(range.start, range.end)?;
                range
            }
            Self::Protect(range, protection) => {
                range.start = space.protect_some(range.start, range.end, *protection)?;
                range
            }
            Self::Map(range, protection) => {
                personality.map(space, range, *protection)?;
                return Ok(true);
            }
            Self::Prepare(range, to) => {
                let reached = space.prepare_some(range.start, range.end, *to);
                let reached = reached.map_err(|error| personality.refused(error))?;
                *to += reached - range.start;
                range.start = reached;
                range
            }
            Self::Move(range, to) => {
                let reached = space.relocate_some(range.start, range.end, *to)?;
                *to += reached - range.start;
                range.start = reached;
                range
            }
            Self::Fill { rest, node, offset, .. } => {
                fill(personality, space, rest, *node, offset)?;
                rest
            }
        };
        Ok(range.is_empty())
    }
}

/// Copies a file to `rest`, up to the end of the file or the portion; what lies behind the file's end stays
/// zero.
fn fill(
    personality: &mut Personality,
    space: &mut AddressSpace,
    rest: &mut Range<u64>,
    node: Node,
    offset: &mut u64,
) -> Result<(), Errno> {
    let mut chunk = [0; CHUNK];
    while !rest.is_empty() && !space.portion_is_over() {
        let wanted = to_usize(length_of(rest).min(CHUNK as u64));
        let count = personality.files.system.read(node, *offset, &mut chunk[..wanted]);
        if space.load(rest.start, &chunk[..count]).is_err() {
            return Err(personality.ran_out());
        }
        let is_end = count < wanted;
        rest.start = if is_end { rest.end } else { rest.start + wanted as u64 };
        *offset = offset.saturating_add(wanted as u64);
    }
    Ok(())
}

/// How many pages `bytes` are.
pub(super) const fn pages(bytes: u64) -> u64 {
    bytes.div_ceil(PAGE_SIZE)
}
