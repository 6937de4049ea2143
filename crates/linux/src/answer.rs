//! What a system call came to.

use crate::errno::Errno;
use crate::task::blocked::BlockedOn;

/// What the driver of the guest has to do after a system call.
///
/// *Finished*: [`Answer::Return`] and [`Answer::SetFsBase`]; the guest goes on. *Over*: [`Answer::End`]; it never
/// runs again. *Parked*: [`Answer::Again`] and [`Answer::Wait`]; the driver does what is asked and then has the
/// personality [go on](crate::Personality::go_on). What was already done of a parked call (pages unmapped, bytes
/// written, the end of a sleep) is remembered, so that it goes on where it stopped, and a host thread is never
/// blocked, nor kept for longer than a portion of work takes.
///
/// `On` is what a wait is for. A handler says what its task waits for, and the scheduler makes of it what the
/// driver has to bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer<On = WaitFor> {
    /// The value for `rax`: a result, or the negative of an [`Errno`].
    Return(i64),
    /// Load the thread's FS base with this address and put 0 into `rax`.
    SetFsBase(u64),
    /// A portion of the call is done: go on, unless the guest is to stop or another one's turn has come.
    Again,
    /// Nothing can be done before this has happened.
    Wait(On),
    /// The guest is over.
    End(Termination),
}

/// What the driver has to wait for before the guest can go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitFor {
    /// Standard input, of which nothing is buffered: call [`crate::Personality::provide_input`] or
    /// [`crate::Personality::end_input`].
    Input {
        /// How many bytes the guest can take; more may be provided, the rest stays buffered.
        wanted: usize,
    },
    /// Room for output, whose buffers reached their high-water mark: drain them with
    /// [`crate::Personality::take_output`].
    OutputRoom,
    /// Time of the monotonic clock. Going on too early is harmless: the answer is then the rest of it.
    Time {
        /// Nanoseconds to wait.
        nanoseconds: u64,
    },
}

/// How a guest comes to its end by what it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Termination {
    /// The program ended by itself with this status (0 to 255).
    Exit {
        /// The exit status.
        code: i32,
    },
    /// The program raised a signal whose default action ends it.
    Killed {
        /// The signal's number.
        signal: u8,
    },
    /// A signal came for which the program installed a handler, and handlers are not delivered.
    Handler {
        /// The signal's number.
        signal: u8,
    },
    /// Every task of the program waits for something that nothing can bring about any more.
    Deadlock {
        /// What it waits for.
        waiting_for: &'static str,
    },
}

/// What a handler answers.
pub(crate) type Reply = Answer<BlockedOn>;

/// How a handler ends: a [`Reply`], or an error that becomes `Reply::Return(-errno)`.
pub(crate) type Outcome = Result<Reply, Errno>;

impl<On> Answer<On> {
    /// Success without a value.
    pub(crate) const ZERO: Self = Self::Return(0);

    /// Whether the call is not over yet.
    #[must_use]
    pub const fn is_parked(&self) -> bool {
        matches!(self, Self::Again | Self::Wait(_))
    }

    /// A count or an address as the result. All of them fit: addresses end at 128 TiB and counts at
    /// [`crate::guest::MAX_TRANSFER`].
    pub(crate) fn value(value: u64) -> Self {
        Self::Return(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl<On> From<Termination> for Answer<On> {
    fn from(ending: Termination) -> Self {
        Self::End(ending)
    }
}
