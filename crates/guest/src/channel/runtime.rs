//! What the C library and the unwinder must be asked for.

use std::ffi::{c_int, c_void};

/// Keeps the C library's allocator from returning memory, so that a call whose needs have been met
/// before makes no system call. The host takes everything back when the sandbox is closed or
/// restored.
pub(crate) fn keep_memory() {
    #[cfg(target_env = "gnu")]
    {
        // From glibc's malloc.h.
        const M_TRIM_THRESHOLD: c_int = -1;
        const M_TOP_PAD: c_int = -2;
        const M_MMAP_MAX: c_int = -4;
        unsafe extern "C" {
            safe fn mallopt(parameter: c_int, value: c_int) -> c_int;
        }
        mallopt(M_TRIM_THRESHOLD, c_int::MAX);
        mallopt(M_TOP_PAD, 1 << 20);
        // Large blocks come from the heap too, where they are found again; `mmap` remains the
        // C library's way out when the heap cannot grow.
        mallopt(M_MMAP_MAX, 0);
    }
}

/// Addresses inside the active call instructions, innermost first, at most `limit`.
pub(crate) fn backtrace(limit: usize) -> Vec<u64> {
    type Step = unsafe extern "C" fn(*mut c_void, *mut c_void) -> c_int;
    // The Itanium C++ ABI's unwinder, which every Rust `std` program contains.
    unsafe extern "C" {
        fn _Unwind_Backtrace(step: Step, argument: *mut c_void) -> c_int;
        fn _Unwind_GetIP(context: *mut c_void) -> usize;
    }
    const CONTINUE: c_int = 0;
    const END: c_int = 5;

    struct Frames {
        addresses: Vec<u64>,
        limit: usize,
    }

    unsafe extern "C" fn step(context: *mut c_void, argument: *mut c_void) -> c_int {
        // SAFETY: `argument` is the exclusive reference that is given to `_Unwind_Backtrace` below,
        // which passes it on unchanged and calls this function one time after the other.
        let frames = unsafe { &mut *argument.cast::<Frames>() };
        // SAFETY: `context` is what the unwinder gave to this callback, valid until it returns.
        let address = unsafe { _Unwind_GetIP(context) };
        if address == 0 || frames.addresses.len() >= frames.limit {
            return END;
        }
        // A return address may lie behind its function; one byte before is in the call.
        frames.addresses.push(u64::try_from(address - 1).unwrap_or(u64::MAX));
        CONTINUE
    }

    let mut frames = Frames { addresses: Vec::with_capacity(limit.min(64)), limit };
    // SAFETY: `step` has the type that the ABI asks for, does not unwind (pushing to a vector can
    // only abort), and `frames` outlives the call.
    unsafe { _Unwind_Backtrace(step, (&raw mut frames).cast()) };
    frames.addresses
}

#[cfg(test)]
mod tests {
    use super::backtrace;

    #[test]
    fn a_backtrace_has_addresses_of_this_program() {
        let here = a_backtrace_has_addresses_of_this_program as *const () as usize;
        let addresses = backtrace(100);
        assert!(addresses.len() > 2);
        assert!(addresses.iter().any(|&address| {
            usize::try_from(address).is_ok_and(|address| address.abs_diff(here) < 1 << 16)
        }));
        assert_eq!(backtrace(1).len(), 1);
    }
}
