//! The signal that ends a run: which one it is, and that a thread lets it through.

use std::io;
use std::sync::OnceLock;

/// The calling thread's id. On a thread's first call the kick signal is unblocked there, in case the
/// thread inherited a mask that would keep a kick from it.
pub(crate) fn current_thread() -> libc::pid_t {
    thread_local! {
        static THREAD: libc::pid_t = {
            if let Ok(signal) = kick_signal() {
                unblock(signal);
            }
            rustix::thread::gettid().as_raw_nonzero().get()
        };
    }
    THREAD.with(|thread| *thread)
}

fn unblock(signal: libc::c_int) {
    let mut set = std::mem::MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: `set` is writable for a sigset.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: `set` was made a valid, empty set above.
    unsafe { libc::sigaddset(set.as_mut_ptr(), signal) };
    // SAFETY: `set` is a valid set; the null old set is allowed.
    unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, set.as_ptr(), std::ptr::null_mut()) };
}

/// The real-time signal used for kicks, with an empty handler installed on first use.
///
/// The highest one that nobody else handles is taken; `SA_RESTART` keeps every system call but
/// `KVM_RUN` and `MSHV_RUN_VP` from seeing it.
pub(crate) fn kick_signal() -> io::Result<libc::c_int> {
    static SIGNAL: OnceLock<Option<libc::c_int>> = OnceLock::new();
    SIGNAL
        .get_or_init(|| (libc::SIGRTMIN()..=libc::SIGRTMAX()).rev().find(|&s| claim(s)))
        .ok_or_else(|| io::Error::other("every real-time signal is in use by this process"))
}

extern "C" fn on_kick(_signal: libc::c_int) {}

/// Installs the empty handler unless the signal has another.
fn claim(signal: libc::c_int) -> bool {
    let mut current = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: `current` is writable for a sigaction; the null new action only queries.
    let queried = unsafe { libc::sigaction(signal, std::ptr::null(), current.as_mut_ptr()) };
    if queried != 0 {
        return false;
    }
    // SAFETY: the query succeeded, and all-zero bytes are a valid sigaction in any case.
    let current = unsafe { current.assume_init() };
    if current.sa_sigaction != libc::SIG_DFL {
        return false;
    }
    let handler: extern "C" fn(libc::c_int) = on_kick;
    let action = libc::sigaction {
        sa_sigaction: handler as libc::sighandler_t,
        sa_flags: libc::SA_RESTART,
        ..current
    };
    // SAFETY: `action` holds a handler of the right type that touches nothing.
    unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) == 0 }
}
