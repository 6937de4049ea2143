//! `futex`, and what else threads ask for. With one thread nobody waits, so waking wakes none, and a wait can
//! end by its timeout only.

use crate::answer::{Answer, Outcome};
use crate::errno::Errno;
use crate::guest::{Arguments, read_u32};
use crate::personality::Personality;
use crate::time;
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

/// `futex(uint32_t *word, int operation, uint32_t value, timeout, uint32_t *word2, uint32_t value3)`
pub(crate) fn futex(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let operation = arguments.uint(1);
    let command = operation & !(PRIVATE | CLOCK_REALTIME);
    let waits = matches!(command, WAIT | WAIT_BITSET);
    let timeout = if waits { time::read_optional_timespec(space, arguments.get(3))? } else { None };
    if operation & CLOCK_REALTIME != 0 && command != WAIT_BITSET {
        return Err(Errno::ENOSYS);
    }
    let (word, other) = (arguments.get(0), arguments.get(4));
    match command {
        WAIT_BITSET | WAKE_BITSET if arguments.uint(5) == 0 => Err(Errno::EINVAL),
        WAIT | WAIT_BITSET => {
            check_word(space, word, operation)?;
            if read_u32(space, word)? != arguments.uint(2) {
                return Err(Errno::EAGAIN);
            }
            let Some(time) = timeout else {
                return Ok(Answer::Deadlock { waiting_for: "a futex that nobody else can wake" });
            };
            let clock = &personality.clock;
            let nanoseconds = match (command, operation & CLOCK_REALTIME) {
                (WAIT, _) => time,
                (_, 0) => time.saturating_sub(clock.monotonic()),
                _ => time.saturating_sub(clock.realtime()),
            };
            personality.sleep(nanoseconds, Err(Errno::ETIMEDOUT))
        }
        WAKE | WAKE_BITSET => {
            check_word(space, word, operation)?;
            Ok(Answer::ZERO)
        }
        REQUEUE | CMP_REQUEUE => {
            if arguments.int(2) < 0 || arguments.int(3) < 0 {
                return Err(Errno::EINVAL);
            }
            check_word(space, word, operation)?;
            check_word(space, other, operation)?;
            if command == CMP_REQUEUE && read_u32(space, word)? != arguments.uint(5) {
                return Err(Errno::EAGAIN);
            }
            Ok(Answer::ZERO)
        }
        WAKE_OP => {
            check_word(space, word, operation)?;
            check_word(space, other, operation)?;
            change_word(space, other, arguments.uint(5))?;
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
pub(crate) fn set_robust_list(
    _: &mut Personality,
    _: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    const SIZE: u64 = 24;
    if arguments.get(1) == SIZE { Ok(Answer::ZERO) } else { Err(Errno::EINVAL) }
}
