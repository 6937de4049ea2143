//! Waiting for descriptors: `poll`, `select` and their relatives.
//!
//! Standard input always counts as readable: a `read` fetches what the host has, or parks. Output
//! and files are always ready. So a wait ends at once unless the guest waits for nothing but time
//! or pipes of its own.

use super::{Files, Object};
use crate::answer::{Answer, Outcome};
use crate::errno::Errno;
use crate::guest::{Arguments, Record, read_array, read_pair};
use crate::personality::Personality;
use crate::time;
use ampoule_memory::AddressSpace;

const POLLIN: u16 = 0x1;
const POLLOUT: u16 = 0x4;
const POLLERR: u16 = 0x8;
const POLLHUP: u16 = 0x10;
const POLLNVAL: u16 = 0x20;
const POLLRDNORM: u16 = 0x40;
const POLLWRNORM: u16 = 0x100;
/// What is reported whether asked for or not.
const ALWAYS: u16 = POLLERR | POLLHUP | POLLNVAL;
/// What a wait without timeout on nothing waits for.
const NOTHING: &str = "descriptors that can never become ready";

impl Files {
    /// The events that stand for `descriptor` now.
    fn ready(&mut self, descriptor: i32) -> u16 {
        const READ: u16 = POLLIN | POLLRDNORM;
        const WRITE: u16 = POLLOUT | POLLWRNORM;
        let Ok(description) = self.usable(descriptor) else { return POLLNVAL };
        match description.object {
            Object::Input if self.input.is_empty() && self.input_ended => READ | POLLHUP,
            Object::Input => READ,
            Object::Output(_) => WRITE,
            Object::File(_) | Object::Directory(_) | Object::Device(..) => READ | WRITE,
            Object::Pipe(index) => {
                let (reads, writes) = (description.is_readable(), description.is_writable());
                let Ok(pipe) = self.pipe(index) else { return POLLNVAL };
                let mut events = 0;
                if reads {
                    events |= if pipe.slots.is_empty() { 0 } else { READ };
                    events |= if pipe.writers == 0 { POLLHUP } else { 0 };
                }
                if writes {
                    events |= if pipe.is_full() { 0 } else { WRITE };
                    events |= if pipe.readers == 0 { POLLERR } else { 0 };
                }
                events
            }
        }
    }
}

/// Ends a wait that found nothing ready: at its timeout, in nanoseconds, with the answer 0.
fn nothing_ready(personality: &mut Personality, timeout: Option<u64>) -> Outcome {
    match timeout {
        Some(nanoseconds) => personality.sleep(nanoseconds, Ok(Answer::ZERO)),
        None => Ok(Answer::Deadlock { waiting_for: NOTHING }),
    }
}

fn poll_with(
    personality: &mut Personality,
    space: &mut AddressSpace,
    address: u64,
    count: u32,
    timeout: Option<u64>,
) -> Outcome {
    if count as usize > personality.files.descriptor_limit {
        return Err(Errno::EINVAL);
    }
    let mut found = 0;
    for index in 0..u64::from(count) {
        let at = address.checked_add(index * 8).ok_or(Errno::EFAULT)?;
        let entry = Record::<8>::from(read_array(space, at)?);
        let descriptor = entry.u32(0).cast_signed();
        let events = match descriptor {
            ..0 => 0,
            _ => personality.files.ready(descriptor) & (entry.u16(4) | ALWAYS),
        };
        found += u64::from(events != 0);
        let out = at.checked_add(6).ok_or(Errno::EFAULT)?;
        space.write(out, &events.to_le_bytes())?;
    }
    if found > 0 { Ok(Answer::value(found)) } else { nothing_ready(personality, timeout) }
}

/// `poll(struct pollfd *fds, unsigned count, int timeout_in_milliseconds)`
pub(crate) fn poll(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let timeout = u64::try_from(arguments.int(2)).ok().map(|timeout| timeout * 1_000_000);
    poll_with(personality, space, arguments.get(0), arguments.uint(1), timeout)
}

/// `ppoll(struct pollfd *fds, unsigned count, struct timespec *timeout, mask, size)`
pub(crate) fn ppoll(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let timeout = time::read_optional_timespec(space, arguments.get(2))?;
    let (mask, size) = (arguments.get(3), arguments.get(4));
    if let Some(answer) = personality.take_pending_through(space, mask, size)? {
        return Ok(answer);
    }
    let rest = timeout.map(|timeout| personality.rest_of(timeout));
    let outcome = poll_with(personality, space, arguments.get(0), arguments.uint(1), timeout);
    if let Some(rest) = rest {
        store_rest(space, arguments.get(2), time::timespec(rest), &outcome);
    }
    outcome
}

/// Tells a guest whose wait is over how much of its timeout is left. Linux, too, does not mind when that
/// cannot be stored.
fn store_rest(space: &mut AddressSpace, address: u64, rest: Record<16>, outcome: &Outcome) {
    if address != 0 && !matches!(outcome, Ok(answer) if answer.is_parked()) {
        rest.store(space, address).unwrap_or_default();
    }
}

/// An `fd_set` of the guest: up to 1,024 bits.
#[derive(Debug, Clone, Copy)]
struct Set {
    address: u64,
    bytes: usize,
    bits: [u8; 128],
}

impl Set {
    fn read(space: &mut AddressSpace, address: u64, count: usize) -> Result<Self, Errno> {
        let mut set = Self { address, bytes: count.div_ceil(64) * 8, bits: [0; 128] };
        if address != 0 {
            space.read(address, &mut set.bits[..set.bytes])?;
        }
        Ok(set)
    }

    const fn has(&self, number: usize) -> bool {
        self.bits[number / 8] & 1 << (number % 8) != 0
    }

    /// Keeps the bits below `count` whose descriptor has one of `events`, and counts them.
    fn keep(&mut self, files: &mut Files, count: usize, events: u16) -> Result<u64, Errno> {
        let mut found = 0;
        let mut kept = [0; 128];
        for number in (0..count).filter(|&number| self.has(number)) {
            let ready = files.ready(i32::try_from(number).map_err(|_| Errno::EBADF)?);
            if ready & POLLNVAL != 0 {
                return Err(Errno::EBADF);
            }
            if ready & events != 0 {
                kept[number / 8] |= 1 << (number % 8);
                found += 1;
            }
        }
        self.bits = kept;
        Ok(found)
    }

    fn write(&self, space: &mut AddressSpace) -> Result<(), Errno> {
        if self.address != 0 {
            space.write(self.address, &self.bits[..self.bytes])?;
        }
        Ok(())
    }
}

fn select_with(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
    timeout: Option<u64>,
) -> Outcome {
    let count = usize::try_from(arguments.int(0)).map_err(|_| Errno::EINVAL)?;
    // Linux, too, looks at no more bits than there are descriptors.
    let count = count.min(super::DESCRIPTORS_MAX);
    let mut read = Set::read(space, arguments.get(1), count)?;
    let mut write = Set::read(space, arguments.get(2), count)?;
    let mut except = Set::read(space, arguments.get(3), count)?;
    let files = &mut personality.files;
    let found = read.keep(files, count, POLLIN | POLLHUP | POLLERR)?
        + write.keep(files, count, POLLOUT | POLLERR)?
        + except.keep(files, count, 0)?;
    if found == 0 {
        // The sets must stay as they are while the call is parked, for it is read again.
        let outcome = nothing_ready(personality, timeout)?;
        if outcome.is_parked() {
            return Ok(outcome);
        }
        store_sets(space, &[read, write, except])?;
        return Ok(outcome);
    }
    store_sets(space, &[read, write, except])?;
    Ok(Answer::value(found))
}

fn store_sets(space: &mut AddressSpace, sets: &[Set]) -> Result<(), Errno> {
    sets.iter().try_for_each(|set| set.write(space))
}

/// `select(int count, read, write, except, struct timeval *timeout)`
pub(crate) fn select(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let timeout = time::read_optional_timeval(space, arguments.get(4))?;
    let rest = timeout.map(|timeout| personality.rest_of(timeout));
    let outcome = select_with(personality, space, arguments, timeout);
    if let Some(rest) = rest {
        store_rest(space, arguments.get(4), time::timeval(rest), &outcome);
    }
    outcome
}

/// `pselect6(int count, read, write, except, struct timespec *timeout, mask)`
pub(crate) fn pselect6(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let (mask, size) = match arguments.get(5) {
        0 => (0, 0),
        // A mask and its size, for there are no more registers.
        pair => read_pair(space, pair)?,
    };
    let timeout = time::read_optional_timespec(space, arguments.get(4))?;
    if let Some(answer) = personality.take_pending_through(space, mask, size)? {
        return Ok(answer);
    }
    let rest = timeout.map(|timeout| personality.rest_of(timeout));
    let outcome = select_with(personality, space, arguments, timeout);
    if let Some(rest) = rest {
        store_rest(space, arguments.get(4), time::timespec(rest), &outcome);
    }
    outcome
}
