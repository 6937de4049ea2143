//! Stopping a sandbox from any thread.

use crate::providers::deadlines::{Deadlines, Watch, Watched};
use crate::stop::Stop;
use ampoule_machine::Kicker;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// How long a guest computes on the thread of its caller before it is asked whether that still wants it.
/// A look costs a kick, some tens of microseconds.
pub const CALLER_SLICE: Duration = Duration::from_millis(50);

/// Why the owner stops a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopRequest {
    /// `sandbox.kill()`.
    Killed,
    /// An abort signal.
    Aborted,
    /// `sandbox.close()`.
    Closed,
}

/// A handle that stops a sandbox from any thread, at once and without blocking.
#[derive(Debug, Clone)]
pub struct Control(Arc<Inner>);

/// What is told when a stop was requested while nobody drives the sandbox.
pub trait Waker: Send + Sync + std::fmt::Debug {
    /// Has the sandbox look whether it is to stop. Called on any thread; it must not block.
    fn wake(&self);
}

#[derive(Debug)]
pub(crate) struct Inner {
    /// Mirrors "`state.stop` is set", for the look before each run.
    stop_pending: AtomicBool,
    /// The runner's time slice is over.
    slice_over: AtomicBool,
    /// Whether the call runs on its caller's thread, in slices that begin with it.
    on_callers_thread: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    stop: Option<Stop>,
    kicker: Option<Kicker>,
    waker: Option<Weak<dyn Waker>>,
    /// When the current call runs out of wall-clock time, and the limit that says so.
    deadline: Option<(Instant, Duration)>,
    /// When the guest can have used up its CPU time at the earliest.
    cpu_check: Option<Instant>,
    /// When one of the guest's own timers is due.
    timer_check: Option<Instant>,
    /// When the runner's time slice ends, or that of a call on its caller's thread.
    slice_end: Option<Instant>,
    /// The sandbox's entry with who keeps its deadlines.
    watch: Watch,
}

impl Control {
    /// A handle for a sandbox to be made with [`crate::Sandbox::create`], whose deadlines `deadlines` keeps.
    #[must_use]
    pub fn new(deadlines: Arc<dyn Deadlines>) -> Self {
        Self(Arc::new(Inner {
            stop_pending: AtomicBool::new(false),
            slice_over: AtomicBool::new(false),
            on_callers_thread: AtomicBool::new(false),
            state: Mutex::new(State {
                stop: None,
                kicker: None,
                waker: None,
                deadline: None,
                cpu_check: None,
                timer_check: None,
                slice_end: None,
                watch: Watch::new(deadlines),
            }),
        }))
    }

    /// Asks the sandbox to stop. The first reason counts, but killing and closing outrank what ends a
    /// call only.
    ///
    /// A running guest is kicked; a waiting one is woken; one that nobody drives is poisoned when
    /// it is next used.
    pub fn stop(&self, request: StopRequest) {
        self.0.stop(match request {
            StopRequest::Killed => Stop::Killed,
            StopRequest::Aborted => Stop::Aborted,
            StopRequest::Closed => Stop::Closed,
        });
    }

    /// Whether a stop was requested that has not been acted on.
    #[must_use]
    pub fn stop_is_pending(&self) -> bool {
        self.0.stop_pending.load(Ordering::Acquire)
    }

    /// The reason for which to stop, once.
    pub(crate) fn take_stop(&self) -> Option<Stop> {
        if !self.stop_is_pending() {
            return None;
        }
        let mut state = self.0.state.lock();
        self.0.stop_pending.store(false, Ordering::Release);
        state.stop.take()
    }

    pub(crate) fn attach_kicker(&self, kicker: Kicker) {
        let mut state = self.0.state.lock();
        if state.stop.is_some() {
            kicker.kick();
        }
        state.kicker = Some(kicker);
    }

    /// Names who is told when a stop is asked for.
    pub fn attach_waker(&self, waker: Weak<dyn Waker>) {
        self.0.state.lock().waker = Some(waker);
    }

    /// Clears a requested stop, for a sandbox that is made ready again. Closing is final.
    pub(crate) fn clear_stop(&self) {
        self.clear(|stop| *stop != Stop::Closed);
    }

    /// Clears a requested stop that was meant for the call that is over.
    pub(crate) fn clear_stop_of_call(&self) {
        self.clear(|stop| stop.is_of_a_call());
    }

    fn clear(&self, is_void: impl FnOnce(&Stop) -> bool) {
        let mut state = self.0.state.lock();
        if state.stop.take_if(|stop| is_void(stop)).is_some() {
            self.0.stop_pending.store(false, Ordering::Release);
        }
    }

    /// Whether the clock of the next call starts a slice with it: together with its clock, that costs next to
    /// nothing.
    pub fn set_on_callers_thread(&self, here: bool) {
        self.0.on_callers_thread.store(here, Ordering::Relaxed);
    }

    /// Starts the wall clock of a call.
    pub(crate) fn arm(&self, limit: Option<Duration>) {
        let now = Instant::now();
        let deadline = limit.and_then(|limit| Some((now.checked_add(limit)?, limit)));
        let mut state = self.0.state.lock();
        state.deadline = deadline;
        if self.0.on_callers_thread.load(Ordering::Relaxed) {
            self.0.slice_over.store(false, Ordering::Release);
            state.slice_end = now.checked_add(CALLER_SLICE);
        }
        self.watch(&mut state);
    }

    /// Asks for a kick when this much CPU time can have passed; `None` takes that back.
    pub(crate) fn arm_cpu_check(&self, remaining: Option<Duration>) {
        let mut state = self.0.state.lock();
        state.cpu_check = remaining.and_then(|remaining| Instant::now().checked_add(remaining));
        self.watch(&mut state);
    }

    /// Asks for a kick when a timer of the guest's is due; `None` takes that back.
    pub(crate) fn arm_timer_check(&self, remaining: Option<Duration>) {
        let mut state = self.0.state.lock();
        state.timer_check = remaining.and_then(|remaining| Instant::now().checked_add(remaining));
        self.watch(&mut state);
    }

    /// Starts a time slice: after it, the guest is kicked once, and [`crate::Step::Preempted`] is where it stands. `None`
    /// ends the slice without that.
    pub fn arm_slice(&self, length: Option<Duration>) {
        let mut state = self.0.state.lock();
        // Under the lock, so that the end of the slice before cannot come in between.
        self.0.slice_over.store(false, Ordering::Release);
        state.slice_end = length.and_then(|length| Instant::now().checked_add(length));
        self.watch(&mut state);
    }

    /// Whether the time slice is over.
    pub(crate) fn slice_is_over(&self) -> bool {
        self.0.slice_over.load(Ordering::Acquire)
    }

    /// Ends the clocks of a call that is over. A timeout that struck meanwhile is forgotten, because
    /// the call made it in time.
    pub(crate) fn disarm(&self) {
        let mut state = self.0.state.lock();
        state.deadline = None;
        state.cpu_check = None;
        state.timer_check = None;
        state.slice_end = None;
        if matches!(state.stop, Some(Stop::Timeout { .. })) {
            state.stop = None;
            self.0.stop_pending.store(false, Ordering::Release);
        }
    }

    /// Makes sure that somebody looks in time. An entry that is due earlier serves as well, so that in
    /// the steady state of short calls with long limits nothing is entered and no thread is woken.
    fn watch(&self, state: &mut State) {
        if let Some(due) = state.due() {
            state.watch.by(due, || Arc::downgrade(&self.0) as _);
        }
    }
}

impl State {
    fn due(&self) -> Option<Instant> {
        let deadline = self.deadline.map(|(at, _)| at);
        [deadline, self.cpu_check, self.timer_check, self.slice_end].into_iter().flatten().min()
    }
}

impl Inner {
    fn stop(&self, stop: Stop) {
        let waker = self.request(&mut self.state.lock(), stop);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Notes the stop and kicks the guest; whoever is returned has to be woken, without the lock.
    fn request(&self, state: &mut State, stop: Stop) -> Option<Arc<dyn Waker>> {
        // What ends the sandbox outranks what ends a call only: a restore clears the latter.
        if state.stop.as_ref().is_none_or(|first| first.is_of_a_call() && !stop.is_of_a_call()) {
            state.stop = Some(stop);
        }
        self.stop_pending.store(true, Ordering::Release);
        if let Some(kicker) = &state.kicker {
            kicker.kick();
        }
        state.waker.as_ref().and_then(Weak::upgrade)
    }
}

impl Watched for Inner {
    fn check(self: Arc<Self>, now: Instant, entry: Instant) {
        let waker = {
            let mut state = self.state.lock();
            // The runner looks at the CPU clock and arms the next check.
            let check = state.cpu_check.take_if(|at| *at <= now).is_some();
            let timer = state.timer_check.take_if(|at| *at <= now).is_some();
            let slice = state.slice_end.take_if(|at| *at <= now).is_some();
            if slice {
                self.slice_over.store(true, Ordering::Release);
            }
            if let Some(kicker) = state.kicker.as_ref().filter(|_| check || timer || slice) {
                kicker.kick();
            }
            // Under the same lock as the look at the deadline: the call cannot end in between and
            // leave its timeout to the next one.
            let timed_out = state.deadline.take_if(|(at, _)| *at <= now);
            let waker =
                timed_out.and_then(|(_, limit)| self.request(&mut state, Stop::Timeout { limit }));
            // One that an earlier entry replaced is not renewed.
            if state.watch.take(entry)
                && let Some(due) = state.due()
            {
                state.watch.by(due, || Arc::downgrade(&self) as _);
            }
            waker
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    const LONG: Option<Duration> = Some(Duration::from_secs(3600));

    /// Deadlines that come when a test says so.
    #[derive(Default)]
    struct ByHand(Mutex<BTreeMap<(Instant, u64), Weak<dyn Watched>>>);

    impl ByHand {
        fn control(self: &Arc<Self>) -> Control {
            Control::new(Arc::clone(self) as _)
        }

        fn entries(&self) -> usize {
            self.0.lock().len()
        }

        /// Looks at what is due by now.
        fn pass(&self) {
            let now = Instant::now();
            let later = self.0.lock().split_off(&(now, u64::MAX));
            let due = std::mem::replace(&mut *self.0.lock(), later);
            for ((entry, _), watched) in due {
                if let Some(watched) = watched.upgrade() {
                    watched.check(now, entry);
                }
            }
        }
    }

    impl Deadlines for ByHand {
        fn enter(&self, id: u64, before: Option<Instant>, due: Instant, to: Weak<dyn Watched>) {
            let mut entries = self.0.lock();
            if let Some(before) = before {
                entries.remove(&(before, id));
            }
            entries.insert((due, id), to);
        }

        fn remove(&self, id: u64, due: Instant) {
            self.0.lock().remove(&(due, id));
        }
    }

    impl std::fmt::Debug for ByHand {
        fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            formatter.write_str("ByHand")
        }
    }

    #[test]
    fn a_sandbox_has_one_entry_however_many_slices_end() {
        let deadlines = Arc::new(ByHand::default());
        let control = deadlines.control();
        assert_eq!(deadlines.entries(), 0);
        control.arm(LONG);
        for _ in 0..1000 {
            control.arm_slice(Some(Duration::ZERO));
            assert!(!control.slice_is_over());
            deadlines.pass();
            assert!(control.slice_is_over());
            assert_eq!(deadlines.entries(), 1);
        }
        assert!(!control.stop_is_pending());
    }

    #[test]
    fn limits_that_get_shorter_replace_the_entry() {
        let deadlines = Arc::new(ByHand::default());
        let control = deadlines.control();
        for seconds in (1000..2000).rev() {
            control.arm(Some(Duration::from_secs(seconds)));
            control.disarm();
        }
        assert_eq!(deadlines.entries(), 1);
        control.arm(Some(Duration::ZERO));
        deadlines.pass();
        assert_eq!(control.take_stop(), Some(Stop::Timeout { limit: Duration::ZERO }));
    }

    #[test]
    fn an_entry_goes_with_its_sandbox() {
        let deadlines = Arc::new(ByHand::default());
        let control = deadlines.control();
        control.arm(LONG);
        assert_eq!(deadlines.entries(), 1);
        drop(control);
        assert_eq!(deadlines.entries(), 0);
    }
}
