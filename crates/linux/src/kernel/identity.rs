//! What a process says of itself, and reads back.

/// What `PR_GET_TIMERSLACK` says at first, in nanoseconds.
pub(crate) const TIMER_SLACK: u64 = 50_000;

/// What a process says of itself, and reads back. Nothing here has an effect, and any values go together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// `umask`
    pub(crate) file_mode_mask: u64,
    /// `personality`
    pub(crate) persona: u64,
    pub(crate) nice: i32,
    pub(crate) is_dumpable: bool,
    pub(crate) timer_slack: u64,
    pub(crate) gets_no_privileges: bool,
    pub(crate) parent_death_signal: u32,
}

impl Identity {
    pub(crate) const fn new() -> Self {
        Self {
            file_mode_mask: 0o022,
            persona: 0,
            nice: 0,
            is_dumpable: true,
            timer_slack: TIMER_SLACK,
            gets_no_privileges: false,
            parent_death_signal: 0,
        }
    }
}
