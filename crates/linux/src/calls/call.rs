//! A system call that is being answered.

use crate::answer::{Answer, Outcome, Reply, Termination};
use crate::errno::Errno;
use crate::kernel::Kernel;
use crate::task::Task;
use crate::task::blocked::{BlockedOn, Event};
use crate::task::progress::Progress;
use crate::task::signals::Signal;
use crate::vfs::buffers::{Buffers, End};
use ampoule_memory::AddressSpace;

/// A system call that is being answered: who makes it, and all that it can reach. Its arguments are the
/// handler's own, by name.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    /// Who makes the call.
    pub(crate) task: &'a mut Task,
    /// What it shares with other tasks.
    pub(crate) kernel: &'a mut Kernel,
    /// The guest's memory.
    pub(crate) space: &'a mut AddressSpace,
}

impl Call<'_> {
    /// Keeps how far the call came, to go on in another portion.
    pub(crate) fn park(&mut self, progress: Progress) -> Reply {
        self.task.keep(progress);
        Reply::Again
    }

    /// Takes how many bytes are done.
    pub(crate) fn take_done(&mut self) -> u64 {
        match self.task.take_progress() {
            Progress::Done(done) => done,
            _ => 0,
        }
    }

    /// What a transfer comes to: the bytes that were moved, or another portion. As in Linux, a fault shows
    /// only when nothing was moved.
    pub(crate) fn moved(&mut self, buffers: Buffers, end: End) -> Outcome {
        match end {
            End::Portion => Ok(self.park(Progress::Transfer(buffers))),
            End::Fault if buffers.done() == 0 => Err(Errno::EFAULT),
            End::Fault | End::Reached => Ok(Answer::value(buffers.done())),
        }
    }

    /// Lets `nanoseconds` pass since the call was first made, then ends it with `done`.
    pub(crate) fn sleep(&mut self, nanoseconds: u64, done: Outcome) -> Outcome {
        match self.time_out(nanoseconds) {
            Some(until) => Ok(Answer::Wait(BlockedOn::Time { until })),
            None => done,
        }
    }

    /// Waits for an event, for `timeout` nanoseconds at most since the call was first made; then it ends with
    /// `done`.
    pub(crate) fn wait(&mut self, event: Event, timeout: Option<u64>, done: Outcome) -> Outcome {
        let until = match timeout {
            None => None,
            Some(nanoseconds) => match self.time_out(nanoseconds) {
                None => return done,
                until => until,
            },
        };
        Ok(Answer::Wait(BlockedOn::Event { event, until }))
    }

    /// When `nanoseconds` will have passed since the call was first made; [`None`] when they have.
    fn time_out(&mut self, nanoseconds: u64) -> Option<u64> {
        let now = self.kernel.clock.monotonic();
        let until = match self.task.take_progress() {
            Progress::Until(until) => until,
            _ => now.saturating_add(nanoseconds),
        };
        self.task.keep(Progress::Until(until));
        (until > now).then_some(until)
    }

    /// What is left of `nanoseconds` since the call was first made.
    pub(crate) fn rest_of(&self, nanoseconds: u64) -> u64 {
        match *self.task.progress() {
            Progress::Until(until) => until.saturating_sub(self.kernel.clock.monotonic()),
            _ => nanoseconds,
        }
    }

    /// Sends a signal to the program; the ending when that ends it.
    ///
    /// # Errors
    /// `EAGAIN` when too many wait.
    pub(crate) fn raise(&mut self, signal: Signal) -> Result<Option<Termination>, Errno> {
        self.kernel.signals.raise(&mut self.task.signals, signal)
    }
}
