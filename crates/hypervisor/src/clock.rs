//! The processor's time-stamp counter.

use std::arch::x86_64::{__cpuid, _rdtsc};

/// The time-stamp counter of this processor. Guests see the same one where the hypervisor does as it was
/// asked ([`crate::Vcpu::initialise`]).
///
/// Cost: some 10 ns, no system call.
#[must_use]
pub fn time_stamp() -> u64 {
    // SAFETY: `rdtsc` is there on every 64-bit processor, and Linux leaves it to user programs unless one
    // gives it up for its own threads (prctl, PR_SET_TSC); it has no other condition.
    unsafe { _rdtsc() }
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
    use super::time_stamp;

    #[test]
    fn the_counter_counts() {
        let first = time_stamp();
        assert!((0..1000).any(|_| time_stamp() > first));
    }
}
