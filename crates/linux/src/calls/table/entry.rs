//! One line of the table of system calls.

use crate::answer::Outcome;
use crate::calls::argument::ArgumentRegisters;
use crate::calls::call::Call;
use crate::errno::Errno;

/// Answers one system call.
pub(crate) type Answering = fn(&mut Call<'_>, &ArgumentRegisters) -> Outcome;

/// How much work a call can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// The same, whatever it is asked for. Paths have at most 4,096 bytes, descriptors are 1,024 at most.
    Constant,
    /// As much as the guest likes, in portions.
    Sized,
}

/// How a system call is treated.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Treatment {
    /// By a handler, which may still refuse what it is asked.
    Answered { handler: Answering, work: Work },
    /// With this error, always.
    Refused(Errno),
    /// With `ENOSYS`: it has a name, and that is all.
    Absent,
}

/// A system call that has a name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) number: u32,
    pub(crate) name: &'static str,
    pub(crate) treatment: Treatment,
    /// For users: what is special, and the errors that Linux would not give.
    pub(crate) note: &'static str,
}

impl Entry {
    /// Whether a handler answers it.
    pub(crate) const fn is_answered(&self) -> bool {
        matches!(self.treatment, Treatment::Answered { .. })
    }
}
