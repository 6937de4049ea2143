//! Kicking a thread out of `MSHV_RUN_VP`.
//!
//! A signal interrupts the call as it does `KVM_RUN`: the kernel returns `EINTR` when one is pending
//! at entry or comes while the guest runs (`drivers/hv/mshv_root_main.c`, `mshv_pre_guest_mode_work`
//! and the `wait_event_interruptible`s). But there is neither KVM's `immediate_exit` nor a signal mask
//! for the call, so a signal that is handled *just before* the call has no effect on it. Blocking the
//! signal does not help: a blocked signal does not interrupt.
//!
//! Therefore a kick is not one signal but a timer that signals the running thread at once and then
//! every [`PERIOD`], until the thread has seen the kick. Under the lock:
//!
//! - a kick sets `pending` and, if a thread is running, starts its timer;
//! - the runner takes `pending` before every entry and after every interruption, and stops the timer
//!   when it was set;
//! - a runner enters and leaves only under the lock, so a kicker never touches a timer whose thread
//!   is elsewhere or gone.
//!
//! No kick is lost: one that finds no runner is taken before the next entry. One that finds a runner
//! is either taken before the entry, or its timer goes on; of the signals that follow, the first that
//! is handled later than the few instructions between the last `take` and the call interrupts the
//! call, and [`PERIOD`] is far longer than those instructions. When the guest exits by itself first,
//! the exit is delivered and `pending` ends the next run.

use crate::signal::{current_thread, kick_signal};
use ampoule_machine::Kick;
use parking_lot::Mutex;
use std::cell::OnceCell;
use std::io;
use std::time::Duration;

/// Time between two signals of an unanswered kick.
const PERIOD: Duration = Duration::from_micros(250);

/// Who runs the virtual CPU, and whether it was asked to stop.
#[derive(Debug, Default)]
pub(super) struct KickState {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    pending: bool,
    /// The timer of the thread that runs the CPU.
    runner: Option<TimerId>,
}

impl KickState {
    /// To be called by the thread that is about to run the CPU.
    ///
    /// # Errors
    /// When there is no free signal, or no timer because of `RLIMIT_SIGPENDING`.
    pub(super) fn enter(&self) -> io::Result<()> {
        let timer = this_threads_timer()?;
        self.inner.lock().runner = Some(timer);
        Ok(())
    }

    /// To be called by the same thread when it will not run the CPU again for now.
    pub(super) fn leave(&self) {
        let mut inner = self.inner.lock();
        if let Some(timer) = inner.runner.take()
            && inner.pending
        {
            timer.stop();
        }
    }

    /// Whether there was a kick; consumes it. To be called by the runner.
    pub(super) fn take(&self) -> bool {
        let mut inner = self.inner.lock();
        let kicked = std::mem::take(&mut inner.pending);
        if kicked && let Some(timer) = inner.runner {
            timer.stop();
        }
        kicked
    }
}

impl Kick for KickState {
    fn kick(&self) {
        let mut inner = self.inner.lock();
        inner.pending = true;
        if let Some(timer) = inner.runner {
            timer.start();
        }
    }
}

/// Names a thread's timer.
///
/// Invariant: exists only where the timer does, that is on the timer's own thread or in
/// [`Inner::runner`] under the lock while that thread is between `enter` and `leave`.
#[derive(Debug, Clone, Copy)]
struct TimerId(libc::timer_t);

// SAFETY: the value is an identifier, whose C type happens to be a pointer; the C library allows its
// use by every thread of the process (timer_settime(2), attributes).
unsafe impl Send for TimerId {}

impl TimerId {
    fn start(self) {
        // The shortest delay there is, then the period.
        self.set(1, i64::from(PERIOD.subsec_nanos()));
    }

    fn stop(self) {
        self.set(0, 0);
    }

    fn set(self, first: i64, then: i64) {
        let time = |tv_nsec| libc::timespec { tv_sec: 0, tv_nsec };
        let value = libc::itimerspec { it_interval: time(then), it_value: time(first) };
        // SAFETY: the timer exists by the type's invariant; `value` is a valid time; the null old
        // value is allowed.
        unsafe { libc::timer_settime(self.0, 0, &raw const value, std::ptr::null_mut()) };
    }
}

/// A timer that signals the thread which made it.
#[derive(Debug)]
struct Timer(TimerId);

impl Timer {
    fn new() -> io::Result<Self> {
        let signal = kick_signal()?;
        let thread = current_thread();
        // SAFETY: all-zero bytes are a valid sigevent: integers and a null pointer.
        let mut event = unsafe { std::mem::zeroed::<libc::sigevent>() };
        event.sigev_notify = libc::SIGEV_THREAD_ID;
        event.sigev_signo = signal;
        event.sigev_notify_thread_id = thread;
        let mut id: libc::timer_t = std::ptr::null_mut();
        // SAFETY: both pointers are valid for the call; the event names a signal with a handler and
        // a thread of this process.
        let made =
            unsafe { libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut id) };
        if made != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self(TimerId(id)))
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        // SAFETY: the timer was made by `new` and is deleted only here. The thread is ending, so it
        // has left every `KickState`, and no other copy of the identifier is in use.
        unsafe { libc::timer_delete(self.0.0) };
    }
}

/// The calling thread's timer, made on first use and deleted when the thread ends.
fn this_threads_timer() -> io::Result<TimerId> {
    thread_local! {
        static TIMER: OnceCell<Timer> = const { OnceCell::new() };
    }
    TIMER
        .try_with(|cell| match cell.get() {
            Some(timer) => Ok(timer.0),
            None => {
                let timer = Timer::new()?;
                Ok(cell.get_or_init(|| timer).0)
            }
        })
        .map_err(|_| io::Error::other("the thread is ending"))?
}
