//! What a system call came to.

use crate::errno::Errno;

/// What the driver of the guest has to do after a system call.
///
/// The answers fall in three groups. *Finished*: [`Answer::Return`] and [`Answer::SetFsBase`]; the
/// guest goes on. *Over*: [`Answer::Exit`], [`Answer::Killed`], [`Answer::Handler`] and
/// [`Answer::Deadlock`]; it never runs again. *Parked*: [`Answer::Again`], [`Answer::NeedInput`], [`Answer::OutputFull`] and
/// [`Answer::Sleep`]; the driver does what is asked and then makes the same call again with unchanged
/// registers. What was already done of a parked call (pages unmapped, bytes written, the end of a sleep)
/// is remembered, so the repeated call goes on where it stopped, and a host thread is never blocked, nor
/// kept for longer than a portion of work takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The value for `rax`: a result, or the negative of an [`Errno`].
    Return(i64),
    /// Load the thread's FS base with this address and put 0 into `rax`.
    SetFsBase(u64),
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
    /// The program's only thread waits for something that nothing can bring about any more.
    Deadlock {
        /// What it waits for.
        waiting_for: &'static str,
    },
    /// A portion of the call is done: repeat it, unless the guest is to stop or another one's turn has come.
    Again,
    /// Standard input has nothing buffered: call [`crate::Personality::provide_input`] or
    /// [`crate::Personality::end_input`], then repeat the call.
    NeedInput {
        /// How many bytes the guest can take; more may be provided, the rest stays buffered.
        wanted: usize,
    },
    /// The buffered output reached its high-water mark: drain it with
    /// [`crate::Personality::take_output`], then repeat the call.
    OutputFull,
    /// Let this much time of the monotonic clock pass, then repeat the call. Repeating it too early
    /// is harmless: the answer is then the rest of the time.
    Sleep {
        /// Nanoseconds to wait.
        nanoseconds: u64,
    },
}

impl Answer {
    /// Success without a value.
    pub(crate) const ZERO: Self = Self::Return(0);

    /// Whether the call is to be repeated with unchanged registers.
    #[must_use]
    pub const fn is_parked(self) -> bool {
        matches!(self, Self::Again | Self::NeedInput { .. } | Self::OutputFull | Self::Sleep { .. })
    }

    /// A count or an address as the result. All of them fit: addresses end at 128 TiB and counts at
    /// [`crate::guest::MAX_TRANSFER`].
    pub(crate) fn value(value: u64) -> Self {
        Self::Return(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

/// How a handler ends: an [`Answer`], or an error that becomes `Answer::Return(-errno)`.
pub(crate) type Outcome = Result<Answer, Errno>;
