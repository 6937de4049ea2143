//! What belongs to one task: a thread of the guest's.
//!
//! A task runs, or makes a system call. A call that cannot be answered yet stays with it, together with how far
//! it came and what it waits for; it is made again from there.

pub(crate) mod blocked;
pub(crate) mod id;
pub(crate) mod progress;
pub(crate) mod registers;
pub(crate) mod signals;

use blocked::BlockedOn;
use id::PROCESS_ID;
use progress::Progress;
use registers::{Registers, SystemCall};
use signals::SignalState;

/// A thread of the guest's.
#[derive(Debug, Clone)]
pub(crate) struct Task {
    /// What `gettid` says.
    pub(crate) id: u32,
    pub(crate) name: [u8; 16],
    pub(crate) registers: Registers,
    pub(crate) signals: SignalState,
    /// The call that is not answered yet.
    call: Option<SystemCall>,
    progress: Progress,
    /// What the call waits for, if it does.
    pub(crate) blocked_on: Option<BlockedOn>,
}

impl Task {
    /// The first task of a program, which makes no call.
    pub(crate) const fn first(name: [u8; 16], registers: Registers, signals: SignalState) -> Self {
        Self {
            id: PROCESS_ID,
            name,
            registers,
            signals,
            call: None,
            progress: Progress::Nothing,
            blocked_on: None,
        }
    }

    /// Keeps a call that is not answered yet.
    pub(crate) const fn park(&mut self, call: &SystemCall) {
        self.call = Some(*call);
    }

    /// The call that is not answered yet.
    pub(crate) const fn call(&self) -> Option<SystemCall> {
        self.call
    }

    /// Forgets the call, and all that is known of it: it was answered, or another one is made. Cost: nothing,
    /// unless it was parked or kept something.
    pub(crate) fn finish(&mut self) {
        self.call = None;
        self.blocked_on = None;
        if !matches!(self.progress, Progress::Nothing) {
            self.progress = Progress::Nothing;
        }
    }

    /// Keeps how far the call came.
    pub(crate) fn keep(&mut self, progress: Progress) {
        self.progress = progress;
    }

    /// How far the call came.
    pub(crate) const fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Takes what is known of how far the call came.
    pub(crate) fn take_progress(&mut self) -> Progress {
        std::mem::take(&mut self.progress)
    }
}
