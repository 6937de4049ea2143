//! What the program said about signals, and what becomes of one.
//!
//! No signal is ever delivered to a handler: that would need the guest's registers, which this crate
//! does not see. Everything else is as in Linux: dispositions and masks are kept, blocked signals are
//! pending and can be waited for, ignored ones vanish, and default actions are carried out. A signal
//! for which a handler is installed ends the guest with [`Termination::Handler`], which names it: a program
//! that goes on as if its handler had run would be wrong in silence.

use crate::answer::Termination;
use crate::errno::Errno;
use crate::guest::Record;
use crate::task::signals::{
    SIGCONT, SIGKILL, SIGNALS, SIGSEGV, SIGSTOP, Signal, SignalState, UNBLOCKABLE, bit,
};

const SIG_DFL: u64 = 0;
const SIG_IGN: u64 = 1;
/// `SIGCHLD`, `SIGCONT`, `SIGURG` and `SIGWINCH` do nothing by default.
const IGNORED_BY_DEFAULT: u64 = bit(17) | bit(SIGCONT) | bit(23) | bit(28);
/// The stop signals: there is nobody who could continue the program, so they do nothing either.
const STOPPING: u64 = bit(SIGSTOP) | bit(20) | bit(21) | bit(22);
/// Flags of an action that Linux knows; it clears the others (`UAPI_SA_FLAGS` and those of x86).
const ACTION_FLAGS: u64 = 0xdc00_0807;

/// `struct kernel_sigaction`: handler, flags, restorer, mask.
pub(crate) type Action = [u8; 32];

/// The actions of a program, by signal.
#[derive(Debug, Clone)]
pub(crate) struct Dispositions {
    actions: [Action; SIGNALS as usize],
}

impl Dispositions {
    pub(crate) const fn new() -> Self {
        Self { actions: [[0; 32]; SIGNALS as usize] }
    }

    /// The actions that are not the default, by signal.
    pub(crate) fn changed(&self) -> impl Iterator<Item = (u32, &Action)> {
        (1..).zip(&self.actions).filter(|(_, action)| action.iter().any(|&byte| byte != 0))
    }

    /// Sets the action of `signal`; `false` when there is no such signal.
    pub(crate) fn set(&mut self, signal: u32, action: Action) -> bool {
        let known = (1..=SIGNALS).contains(&signal);
        if known {
            self.actions[signal as usize - 1] = action;
        }
        known
    }

    /// The action of one of the [`SIGNALS`].
    pub(crate) const fn action(&self, signal: u32) -> &Action {
        &self.actions[signal as usize - 1]
    }

    /// Sets the action of `signal` as Linux keeps it, and tells whether the signal is ignored then.
    pub(crate) fn replace(&mut self, signal: u32, action: Action) -> bool {
        let action = Record::<32>::from(action);
        let (flags, mask) = (action.u64(8) & ACTION_FLAGS, action.u64(24) & !UNBLOCKABLE);
        self.set(signal, action.set_u64(8, flags).set_u64(24, mask).into());
        let quiet = IGNORED_BY_DEFAULT & bit(signal) != 0;
        let handler = action.u64(0);
        handler == SIG_IGN || handler == SIG_DFL && quiet
    }

    /// Sends a signal to a task; the ending when that ends the program.
    ///
    /// # Errors
    /// `EAGAIN` when too many wait.
    pub(crate) fn raise(
        &self,
        state: &mut SignalState,
        signal: Signal,
    ) -> Result<Option<Termination>, Errno> {
        let number = signal.number();
        // Each undoes the other, also where it waits.
        if number == SIGCONT {
            state.forget(STOPPING);
        } else if STOPPING & bit(number) != 0 {
            state.forget(bit(SIGCONT));
        }
        if state.mask & bit(number) != 0 {
            // Even one that is ignored now: that can change before it is unblocked.
            state.keep(signal)?;
            return Ok(None);
        }
        Ok(self.act(number))
    }

    /// Acts on an unblocked signal.
    fn act(&self, signal: u32) -> Option<Termination> {
        let number = u8::try_from(signal).unwrap_or(SIGSEGV);
        let quiet = (IGNORED_BY_DEFAULT | STOPPING) & bit(signal) != 0;
        match Record::<32>::from(*self.action(signal)).u64(0) {
            _ if signal == SIGKILL => Some(Termination::Killed { signal: number }),
            SIG_IGN => None,
            SIG_DFL if quiet => None,
            SIG_DFL => Some(Termination::Killed { signal: number }),
            _ => Some(Termination::Handler { signal: number }),
        }
    }

    /// Acts on signals of a task that are not blocked any more; the ending when one ends the program.
    pub(crate) fn take_pending(&self, state: &mut SignalState) -> Option<Termination> {
        loop {
            let signal = state.dequeue(!state.mask)?;
            if let Some(ending) = self.act(signal.number()) {
                return Some(ending);
            }
        }
    }
}
