//! The processor's time-stamp counter, and the clock that is read together with it.

use std::arch::x86_64::{__cpuid, _rdtsc};

/// The time-stamp counter of this processor. Guests see the same one where the back end can see to it.
///
/// Cost: some 10 ns, no system call.
#[must_use]
pub fn time_stamp() -> u64 {
    // SAFETY: `rdtsc` is there on every 64-bit processor, and Linux leaves it to user programs unless one
    // gives it up for its own threads (prctl, PR_SET_TSC); it has no other condition.
    unsafe { _rdtsc() }
}

/// The monotonic clock in nanoseconds.
///
/// Cost: some 25 ns: the C library reads it from the kernel's page without a system call, and faster than
/// rustix, which stands for everything that a measurement does not contain.
#[must_use]
pub fn monotonic() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is writable, and the clock is one that every Linux has.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// Whether the counter runs at a constant rate in all power states (Intel SDM vol. 3, section 17.17.1:
/// CPUID leaf 0x80000007, EDX bit 8). Otherwise times that are made of it are approximate.
#[must_use]
pub fn time_stamp_is_invariant() -> bool {
    const LAST_EXTENDED: u32 = 0x8000_0000;
    const POWER_MANAGEMENT: u32 = 0x8000_0007;
    const INVARIANT: u32 = 1 << 8;
    __cpuid(LAST_EXTENDED).eax >= POWER_MANAGEMENT && __cpuid(POWER_MANAGEMENT).edx & INVARIANT != 0
}

#[cfg(test)]
mod tests {
    use super::{monotonic, time_stamp};

    #[test]
    fn the_clock_is_the_kernels() {
        let before = monotonic();
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let now = u64::try_from(now.tv_sec * 1_000_000_000 + now.tv_nsec).unwrap();
        assert!((before..=monotonic()).contains(&now));
    }

    #[test]
    fn the_counter_counts() {
        let first = time_stamp();
        assert!((0..1000).any(|_| time_stamp() > first));
    }
}
