//! Waiting for descriptors: `poll`, `select` and their relatives.
//!
//! Standard input always counts as readable: a `read` fetches what the host has, or parks. Output
//! and files are always ready. So a wait ends at once unless the guest waits for nothing but time
//! or pipes of its own.

use crate::answer::{Answer, Outcome};
use crate::calls::call::Call;
use crate::calls::signals::wait::take_pending_through;
use crate::calls::time::{read_optional_timespec, read_optional_timeval, timespec, timeval};
use crate::errno::Errno;
use crate::guest::{Record, read_array, read_pair};
use crate::task::blocked::Event;
use crate::vfs::files::{DESCRIPTORS_MAX, Files, Object};
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

/// The events that stand for `descriptor` now.
fn ready(files: &mut Files, descriptor: i32) -> u16 {
    const READ: u16 = POLLIN | POLLRDNORM;
    const WRITE: u16 = POLLOUT | POLLWRNORM;
    let Ok(description) = files.usable(descriptor) else { return POLLNVAL };
    match description.object {
        Object::Input if files.input.is_empty() && files.input_ended => READ | POLLHUP,
        Object::Input => READ,
        Object::Output(_) => WRITE,
        Object::File(_) | Object::Directory(_) | Object::Device(..) => READ | WRITE,
        Object::Pipe(index) => {
            let (reads, writes) = (description.is_readable(), description.is_writable());
            let Ok(pipe) = files.pipes.get(index) else { return POLLNVAL };
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

/// Ends a wait that found nothing ready: at its timeout, in nanoseconds, with the answer 0.
fn nothing_ready(call: &mut Call<'_>, timeout: Option<u64>) -> Outcome {
    call.wait(Event::Descriptors, timeout, Ok(Answer::ZERO))
}

fn poll_with(call: &mut Call<'_>, address: u64, count: u32, timeout: Option<u64>) -> Outcome {
    if count as usize > call.kernel.files.descriptor_limit() {
        return Err(Errno::EINVAL);
    }
    let mut found = 0;
    for index in 0..u64::from(count) {
        let at = address.checked_add(index * 8).ok_or(Errno::EFAULT)?;
        let entry = Record::<8>::from(read_array(call.space, at)?);
        let descriptor = entry.u32(0).cast_signed();
        let events = match descriptor {
            ..0 => 0,
            _ => ready(&mut call.kernel.files, descriptor) & (entry.u16(4) | ALWAYS),
        };
        found += u64::from(events != 0);
        let out = at.checked_add(6).ok_or(Errno::EFAULT)?;
        call.space.write(out, &events.to_le_bytes())?;
    }
    if found > 0 { Ok(Answer::value(found)) } else { nothing_ready(call, timeout) }
}

/// `poll(struct pollfd *fds, unsigned count, int milliseconds)`
pub(crate) fn poll(call: &mut Call<'_>, fds: u64, count: u32, milliseconds: i32) -> Outcome {
    let timeout = u64::try_from(milliseconds).ok().map(|timeout| timeout * 1_000_000);
    poll_with(call, fds, count, timeout)
}

/// `ppoll(struct pollfd *fds, unsigned count, struct timespec *timeout, mask, size)`
pub(crate) fn ppoll(
    call: &mut Call<'_>,
    fds: u64,
    count: u32,
    timeout: u64,
    mask: u64,
    size: u64,
) -> Outcome {
    let longest = read_optional_timespec(call.space, timeout)?;
    if let Some(ending) = take_pending_through(call, mask, size)? {
        return Ok(Answer::End(ending));
    }
    let rest = longest.map(|longest| call.rest_of(longest));
    let outcome = poll_with(call, fds, count, longest);
    if let Some(rest) = rest {
        store_rest(call.space, timeout, timespec(rest), &outcome);
    }
    outcome
}

/// Tells a guest whose wait is over how much of its timeout is left. Linux, too, does not mind when that
/// cannot be stored.
fn store_rest(space: &mut AddressSpace, address: u64, rest: Record<16>, outcome: &Outcome) {
    if address != 0 && !matches!(outcome, Ok(reply) if reply.is_parked()) {
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
            let ready = ready(files, i32::try_from(number).map_err(|_| Errno::EBADF)?);
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

/// Addresses of the sets of a `select`: those to read, to write, and with something exceptional.
type Sets = [u64; 3];

fn select_with(
    call: &mut Call<'_>,
    count: i32,
    [read, write, except]: Sets,
    timeout: Option<u64>,
) -> Outcome {
    let count = usize::try_from(count).map_err(|_| Errno::EINVAL)?;
    // Linux, too, looks at no more bits than there are descriptors.
    let count = count.min(DESCRIPTORS_MAX);
    let mut read = Set::read(call.space, read, count)?;
    let mut write = Set::read(call.space, write, count)?;
    let mut except = Set::read(call.space, except, count)?;
    let files = &mut call.kernel.files;
    let found = read.keep(files, count, POLLIN | POLLHUP | POLLERR)?
        + write.keep(files, count, POLLOUT | POLLERR)?
        + except.keep(files, count, 0)?;
    if found == 0 {
        // The sets must stay as they are while the call is parked, for it is read again.
        let outcome = nothing_ready(call, timeout)?;
        if outcome.is_parked() {
            return Ok(outcome);
        }
        store_sets(call.space, &[read, write, except])?;
        return Ok(outcome);
    }
    store_sets(call.space, &[read, write, except])?;
    Ok(Answer::value(found))
}

fn store_sets(space: &mut AddressSpace, sets: &[Set]) -> Result<(), Errno> {
    sets.iter().try_for_each(|set| set.write(space))
}

/// `select(int count, read, write, except, struct timeval *timeout)`
pub(crate) fn select(
    call: &mut Call<'_>,
    count: i32,
    read: u64,
    write: u64,
    except: u64,
    timeout: u64,
) -> Outcome {
    let longest = read_optional_timeval(call.space, timeout)?;
    let rest = longest.map(|longest| call.rest_of(longest));
    let outcome = select_with(call, count, [read, write, except], longest);
    if let Some(rest) = rest {
        store_rest(call.space, timeout, timeval(rest), &outcome);
    }
    outcome
}

/// `pselect6(int count, read, write, except, struct timespec *timeout, mask)`
pub(crate) fn pselect6(
    call: &mut Call<'_>,
    count: i32,
    read: u64,
    write: u64,
    except: u64,
    timeout: u64,
    mask: u64,
) -> Outcome {
    let (mask, size) = match mask {
        0 => (0, 0),
        // A mask and its size, for there are no more registers.
        pair => read_pair(call.space, pair)?,
    };
    let longest = read_optional_timespec(call.space, timeout)?;
    if let Some(ending) = take_pending_through(call, mask, size)? {
        return Ok(Answer::End(ending));
    }
    let rest = longest.map(|longest| call.rest_of(longest));
    let outcome = select_with(call, count, [read, write, except], longest);
    if let Some(rest) = rest {
        store_rest(call.space, timeout, timespec(rest), &outcome);
    }
    outcome
}
