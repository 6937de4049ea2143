//! Kicking a thread out of `KVM_RUN` by a signal.

use crate::kick::Kick;
use parking_lot::Mutex;
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

/// Who runs the virtual CPU, and whether it was asked to stop.
///
/// Protocol, free of lost kicks: the kicker sets `pending`, then `immediate_exit`, then signals a
/// running thread. The runner, when `KVM_RUN` was interrupted, clears `immediate_exit`, then takes
/// `pending`. A kick between the two leaves `immediate_exit` set, which costs one spurious return
/// of the next run (it finds nothing pending and runs on) and loses nothing. The signal is only
/// sent under the lock that the runner takes before it leaves, so it can reach no other thread.
#[derive(Debug)]
pub(super) struct KickState {
    pending: AtomicBool,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// The thread inside `KVM_RUN`.
    runner: Option<libc::pid_t>,
    /// `kvm_run.immediate_exit`; null once the virtual CPU is gone.
    immediate_exit: *mut u8,
}

// SAFETY: the pointer is only used under the mutex, atomically, and nulled before its target goes.
unsafe impl Send for Inner {}

impl KickState {
    pub(super) fn new(immediate_exit: *mut u8) -> Self {
        let inner = Inner { runner: None, immediate_exit };
        Self { pending: AtomicBool::new(false), inner: Mutex::new(inner) }
    }

    /// To be called by the thread that is about to enter `KVM_RUN`.
    pub(super) fn enter(&self) {
        self.inner.lock().runner = Some(current_thread());
    }

    /// To be called by the same thread when it will not enter `KVM_RUN` again for now.
    pub(super) fn leave(&self) {
        self.inner.lock().runner = None;
    }

    /// Whether a kick caused the interruption; consumes the kick.
    pub(super) fn take(&self) -> bool {
        self.inner.lock().set_immediate_exit(0);
        self.pending.swap(false, Ordering::SeqCst)
    }

    /// To be called before the memory of `kvm_run` is unmapped.
    pub(super) fn detach(&self) {
        self.inner.lock().immediate_exit = std::ptr::null_mut();
    }
}

impl Inner {
    fn set_immediate_exit(&self, value: u8) {
        if !self.immediate_exit.is_null() {
            // SAFETY: non-null means that the virtual CPU, and with it the mapped `kvm_run`, is
            // alive; the kernel and this process only access the byte as a whole.
            unsafe { AtomicU8::from_ptr(self.immediate_exit) }.store(value, Ordering::SeqCst);
        }
    }
}

impl Kick for KickState {
    fn kick(&self) {
        let inner = self.inner.lock();
        self.pending.store(true, Ordering::SeqCst);
        inner.set_immediate_exit(1);
        if let (Some(runner), Ok(signal)) = (inner.runner, kick_signal()) {
            let process = rustix::process::getpid().as_raw_nonzero().get();
            // SAFETY: tgkill takes plain numbers; the thread is alive because it clears `runner`
            // under the lock held here before it leaves. A failure means that it already left.
            unsafe { libc::syscall(libc::SYS_tgkill, process, runner, signal) };
        }
    }
}

/// The calling thread's id. On a thread's first call the kick signal is unblocked there, in case the
/// thread inherited a mask that would keep a kick from it.
fn current_thread() -> libc::pid_t {
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
/// `KVM_RUN` from seeing it.
pub(super) fn kick_signal() -> io::Result<libc::c_int> {
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
