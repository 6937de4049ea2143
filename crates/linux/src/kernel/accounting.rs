//! What the guest used so far.

/// What the guest used so far, as it may be told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Accounting {
    /// Nanoseconds that it computed.
    pub(crate) computed: u64,
    /// Nanoseconds for which the host worked for it: on its system calls and page faults.
    pub(crate) served: u64,
    /// The most bytes of memory that it had at a system call.
    pub(crate) peak_memory: u64,
}

impl Accounting {
    /// Nanoseconds of processor time, of which a system call is a part, too.
    pub(crate) const fn processor_time(&self) -> u64 {
        self.computed.saturating_add(self.served)
    }
}
