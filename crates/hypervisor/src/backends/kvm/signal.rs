//! Kicking a thread out of `KVM_RUN` by a signal.

use crate::signal::{current_thread, kick_signal};
use ampoule_machine::Kick;
use parking_lot::Mutex;
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

    /// Sets `immediate_exit` to what the pending kicks ask for, after it was used for something else.
    pub(super) fn rearm(&self) {
        let inner = self.inner.lock();
        inner.set_immediate_exit(u8::from(self.pending.load(Ordering::SeqCst)));
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
