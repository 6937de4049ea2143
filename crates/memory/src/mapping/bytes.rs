//! Copies that the compiler can assume nothing about.

use std::arch::asm;

/// Copies `count` bytes; the ranges must not overlap.
///
/// # Safety
/// `source` must be readable and `target` writable for `count` bytes.
#[inline]
pub(super) unsafe fn copy(source: *const u8, target: *mut u8, count: usize) {
    // SAFETY: the caller vouches for both ranges; the direction flag is clear by the System V ABI
    // (supplement, section 3.2.1); the registers that change are declared.
    unsafe {
        asm!(
            "rep movsb",
            inout("rcx") count => _,
            inout("rsi") source => _,
            inout("rdi") target => _,
            options(nostack, preserves_flags)
        );
    }
}

/// Writes zeros over `count` bytes.
///
/// # Safety
/// `target` must be writable for `count` bytes.
#[inline]
pub(super) unsafe fn fill_with_zeros(target: *mut u8, count: usize) {
    // SAFETY: as in `copy`.
    unsafe {
        asm!(
            "rep stosb",
            inout("rcx") count => _,
            inout("rdi") target => _,
            in("al") 0_u8,
            options(nostack, preserves_flags)
        );
    }
}
