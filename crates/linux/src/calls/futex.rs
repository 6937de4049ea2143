//! `futex`, and what else threads ask for. With one thread nobody waits, so waking wakes none, and a wait can
//! end by its timeout only.

use super::call::Call;
use super::time::read_optional_timespec;
use crate::answer::{Answer, Outcome};
use crate::errno::Errno;
use crate::guest::{low_half, read_u32};
use crate::task::blocked::Event;
use ampoule_abi::layout::USER_END;
use ampoule_memory::AddressSpace;

const PRIVATE: u32 = 128;
const CLOCK_REALTIME: u32 = 256;

const WAIT: u32 = 0;
const WAKE: u32 = 1;
const REQUEUE: u32 = 3;
const CMP_REQUEUE: u32 = 4;
const WAKE_OP: u32 = 5;
const WAIT_BITSET: u32 = 9;
const WAKE_BITSET: u32 = 10;

/// Checks where a word lies. One that may be shared must be there, for Linux looks at its page.
fn check_word(space: &mut AddressSpace, word: u64, operation: u32) -> Result<(), Errno> {
    if !word.is_multiple_of(4) {
        return Err(Errno::EINVAL);
    }
    if word >= USER_END {
        return Err(Errno::EFAULT);
    }
    if operation & PRIVATE == 0 {
        read_u32(space, word)?;
    }
    Ok(())
}

/// `futex(uint32_t *word, int operation, uint32_t value, timeout, uint32_t *other, uint32_t third)`; where no time
/// is given, a second value stands in its place.
pub(crate) fn futex(
    call: &mut Call<'_>,
    word: u64,
    operation: u32,
    value: u32,
    timeout: u64,
    other: u64,
    third: u32,
) -> Outcome {
    let command = operation & !(PRIVATE | CLOCK_REALTIME);
    let waits = matches!(command, WAIT | WAIT_BITSET);
    let time = if waits { read_optional_timespec(call.space, timeout)? } else { None };
    if operation & CLOCK_REALTIME != 0 && command != WAIT_BITSET {
        return Err(Errno::ENOSYS);
    }
    match command {
        WAIT_BITSET | WAKE_BITSET if third == 0 => Err(Errno::EINVAL),
        WAIT | WAIT_BITSET => {
            check_word(call.space, word, operation)?;
            if read_u32(call.space, word)? != value {
                return Err(Errno::EAGAIN);
            }
            let clock = &call.kernel.clock;
            let timeout = time.map(|time| match (command, operation & CLOCK_REALTIME) {
                (WAIT, _) => time,
                (_, 0) => time.saturating_sub(clock.monotonic()),
                _ => time.saturating_sub(clock.realtime()),
            });
            call.wait(Event::Futex { word }, timeout, Err(Errno::ETIMEDOUT))
        }
        WAKE | WAKE_BITSET => {
            check_word(call.space, word, operation)?;
            Ok(Answer::ZERO)
        }
        REQUEUE | CMP_REQUEUE => {
            if value.cast_signed() < 0 || low_half(timeout).cast_signed() < 0 {
                return Err(Errno::EINVAL);
            }
            check_word(call.space, word, operation)?;
            check_word(call.space, other, operation)?;
            if command == CMP_REQUEUE && read_u32(call.space, word)? != third {
                return Err(Errno::EAGAIN);
            }
            Ok(Answer::ZERO)
        }
        WAKE_OP => {
            check_word(call.space, word, operation)?;
            check_word(call.space, other, operation)?;
            change_word(call.space, other, third)?;
            Ok(Answer::ZERO)
        }
        _ => Err(Errno::ENOSYS),
    }
}

/// The change that `FUTEX_WAKE_OP` makes to its second word: four bits of operation, four of a comparison
/// that only says whom to wake, and two arguments of twelve bits with their signs.
fn change_word(space: &mut AddressSpace, word: u64, encoded: u32) -> Result<(), Errno> {
    const SHIFTED: u32 = 8;
    let argument = (encoded.cast_signed() << 8 >> 20).cast_unsigned();
    let (operation, comparison) = (encoded >> 28, encoded >> 24 & 0xf);
    let argument = if operation & SHIFTED != 0 { 1 << (argument & 31) } else { argument };
    let old = read_u32(space, word)?;
    let new = match operation & !SHIFTED {
        0 => argument,
        1 => old.wrapping_add(argument),
        2 => old | argument,
        3 => old & !argument,
        4 => old ^ argument,
        _ => return Err(Errno::ENOSYS),
    };
    space.write(word, &new.to_le_bytes())?;
    if comparison > 5 { Err(Errno::ENOSYS) } else { Ok(()) }
}

/// `set_robust_list(struct robust_list_head *list, size_t size)`: nobody would look at it.
pub(crate) fn set_robust_list(_: &mut Call<'_>, _: u64, size: u64) -> Outcome {
    const SIZE: u64 = 24;
    if size == SIZE { Ok(Answer::ZERO) } else { Err(Errno::EINVAL) }
}
