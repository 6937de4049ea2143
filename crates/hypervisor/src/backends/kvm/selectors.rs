//! The segment selectors of a thread that has run a guest.
//!
//! A paravirtual KVM runs ring 3 with whatever DS, ES, FS and GS select on the thread that enters it, and
//! leaves on that thread what the guest selected. It tells nothing of them. The next guest on the thread would
//! find them, and so would the host. A KVM that uses the processor's virtualisation brings the thread's own
//! back by itself.

use std::arch::asm;

/// `arch_prctl` requests (linux/arch/x86/include/uapi/asm/prctl.h). Setting a base also makes the selector
/// null, in one step for signal handlers and the scheduler: between the two instructions that it would take
/// here, the thread's own data could not be found.
const ARCH_SET_GS: libc::c_int = 0x1001;
const ARCH_SET_FS: libc::c_int = 0x1002;
const ARCH_GET_FS: libc::c_int = 0x1003;
const ARCH_GET_GS: libc::c_int = 0x1004;

/// Makes them null, as they are in every thread of a 64-bit process.
///
/// Cost: reading four registers; two or four system calls for a thread on which a guest loaded FS or GS.
pub(super) fn clear() {
    let (data, extra, thread, other): (u32, u32, u32, u32);
    // SAFETY: reads registers.
    unsafe {
        asm!(
            "mov {:e}, ds",
            "mov {:e}, es",
            "mov {:e}, fs",
            "mov {:e}, gs",
            out(reg) data,
            out(reg) extra,
            out(reg) thread,
            out(reg) other,
            options(nomem, nostack, preserves_flags),
        );
    }
    if data | extra != 0 {
        // SAFETY: 64-bit code does not use these segments.
        unsafe {
            asm!(
                "mov ds, {0:e}",
                "mov es, {0:e}",
                in(reg) 0,
                options(nomem, nostack, preserves_flags),
            );
        }
    }
    for (selector, get, set) in
        [(thread, ARCH_GET_FS, ARCH_SET_FS), (other, ARCH_GET_GS, ARCH_SET_GS)]
    {
        if selector != 0 {
            rebase(get, set);
        }
    }
}

/// Sets a base to what it is.
#[cold]
fn rebase(get: libc::c_int, set: libc::c_int) {
    let mut base: libc::c_ulong = 0;
    // SAFETY: writes one word to where it is told.
    let got = unsafe { libc::syscall(libc::SYS_arch_prctl, get, &raw mut base) };
    if got == 0 {
        // SAFETY: the base stays what it is.
        unsafe { libc::syscall(libc::SYS_arch_prctl, set, base) };
    }
}
