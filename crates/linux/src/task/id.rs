//! The numbers by which a program and its tasks are known.

/// What `getpid` says, and `gettid` of the first task.
pub(crate) const PROCESS_ID: u32 = 2;
/// What `getppid` says.
pub(crate) const PARENT_ID: u32 = 1;
