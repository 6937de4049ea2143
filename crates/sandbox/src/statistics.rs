//! What a sandbox has done so far.

use ampoule_linux::SystemCallCount;
use std::time::Duration;

/// Counters of one sandbox since it was made. None is ever reset.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Statistics {
    /// Calls of guest functions that were begun.
    pub calls: u64,
    /// Calls of host functions by the guest.
    pub host_calls: u64,
    /// Times the virtual CPU was left, whatever for.
    pub exits: u64,
    /// Exits that the host asked for: the end of a time slice on a runner, a look at the CPU time, a
    /// stop. How many there are is a matter of time; all other exits are the guest's own.
    pub interruptions: u64,
    /// Exits that were page faults which gave the guest fresh memory.
    pub page_faults: u64,
    /// Times a guest was initialised here: 0 for a sandbox that began as a snapshot.
    pub initialisations: u64,
    /// Times the sandbox went back to a snapshot.
    pub restores: u64,
    /// Pages copied back by that.
    pub restored_pages: u64,
    /// Restores that gave all memory back instead of copying pages.
    pub wholesale_restores: u64,
    /// Payload bytes of messages to the guest.
    pub bytes_to_guest: u64,
    /// Payload bytes of messages from the guest.
    pub bytes_from_guest: u64,
    /// Bytes the guest wrote to standard output and error.
    pub output_bytes: u64,
    /// Wall-clock time inside the guest, host functions and waiting excluded.
    pub guest_time: Duration,
    /// CPU time of the guest and of the host's work for it, of calls that have a limit on it or whose owner asked to measure it.
    pub cpu_time: Duration,
    /// Bytes of trace records that the guest published.
    pub trace_bytes: u64,
    /// Trace records that were read.
    pub trace_events: u64,
    /// Trace records that were left out or never written, and times in them that were moved.
    pub trace_dropped: u64,
    /// Steps of putting faults and aborts into words, a few nanoseconds each: symbols that were looked at
    /// and bytes of names that were gone along.
    pub report_steps: u64,
    /// Bytes of guest memory in use, page tables included.
    pub memory_bytes: u64,
    /// System calls that the guest made, by name.
    pub system_calls: Vec<SystemCallCount>,
}
