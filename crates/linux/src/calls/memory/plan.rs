//! Memory calls, carried out in portions.
//!
//! A call checks what it is asked for once, in its first portion, and makes a [`Plan`]. As much of it is then
//! done as a portion allows, and the rest is parked with the task. Nobody else changes the guest's memory
//! meanwhile, so that what was checked stays true.

use super::place::map;
use super::range::{length_of, pages};
use crate::answer::{Answer, Outcome};
use crate::calls::call::Call;
use crate::errno::Errno;
use crate::guest::{CHUNK, to_usize};
use crate::task::progress::{Plan, Progress, Step};
use crate::vfs::system::Node;
use ampoule_memory::PageCount;
use std::ops::Range;

/// Goes on with the plan of a call that is made again.
pub(super) fn go_on(call: &mut Call<'_>) -> Option<Outcome> {
    match call.task.take_progress() {
        Progress::Memory(plan) => Some(run(call, plan)),
        other => {
            call.task.keep(other);
            None
        }
    }
}

/// Does a portion of a plan.
pub(super) fn run(call: &mut Call<'_>, mut plan: Plan) -> Outcome {
    while let Some(step) = plan.steps.last_mut() {
        match advance(call, step) {
            Ok(true) => {
                plan.steps.pop();
            }
            Ok(false) => {}
            Err(errno) => plan = after(step, errno)?,
        }
        if call.space.portion_is_over() && !plan.steps.is_empty() {
            return Ok(call.park(Progress::Memory(plan)));
        }
    }
    plan.outcome.map(Answer::value)
}

/// What is to be done when `step` has failed.
fn after(step: &Step, errno: Errno) -> Result<Plan, Errno> {
    match step {
        Step::Fill { start, rest, .. } => {
            let filled = pages(&(*start..rest.end));
            Ok(Plan::new([filled.map(Step::Unmap)], Err(errno)))
        }
        _ => Err(errno),
    }
}

/// Does a portion; tells whether that was the last one.
fn advance(call: &mut Call<'_>, step: &mut Step) -> Result<bool, Errno> {
    let range = match step {
        Step::Room(range, wanted) => {
            let (rest, found) = call.space.count_some(*range, *wanted);
            (*range, *wanted) = (rest, wanted.saturating_sub(found));
            if *wanted > PageCount::ZERO && range.is_empty() {
                return Err(call.kernel.memory.ran_out());
            }
            return Ok(*wanted == PageCount::ZERO);
        }
        Step::Unmap(range) => {
            *range = call.space.unmap_some(*range)?;
            range
        }
        Step::Discard(range) => {
            *range = call.space.discard_some(*range)?;
            range
        }
        Step::Protect(range, protection) => {
            *range = call.space.protect_some(*range, *protection)?;
            range
        }
        Step::Map(range, protection) => {
            map(call, range, *protection)?;
            return Ok(true);
        }
        Step::Prepare(range, to) => {
            let left = call.space.prepare_some(*range, *to);
            (*range, *to) = left.map_err(|error| call.kernel.memory.refused(error))?;
            range
        }
        Step::Move(range, to) => {
            (*range, *to) = call.space.relocate_some(*range, *to)?;
            range
        }
        Step::Fill { rest, node, offset, .. } => {
            fill(call, rest, *node, offset)?;
            return Ok(rest.is_empty());
        }
    };
    Ok(range.is_empty())
}

/// Copies a file to `rest`, up to the end of the file or the portion; what lies behind the file's end stays
/// zero.
fn fill(
    call: &mut Call<'_>,
    rest: &mut Range<u64>,
    node: Node,
    offset: &mut u64,
) -> Result<(), Errno> {
    let mut chunk = [0; CHUNK];
    while !rest.is_empty() && !call.space.portion_is_over() {
        let wanted = to_usize(length_of(rest).min(CHUNK as u64));
        let count = call.kernel.files.system.read(node, *offset, &mut chunk[..wanted]);
        if call.space.load(rest.start, &chunk[..count]).is_err() {
            return Err(call.kernel.memory.ran_out());
        }
        let is_end = count < wanted;
        rest.start = if is_end { rest.end } else { rest.start + wanted as u64 };
        *offset = offset.saturating_add(wanted as u64);
    }
    Ok(())
}
