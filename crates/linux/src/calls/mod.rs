//! The system calls, a module for each family, and the table that knows them all.

pub(crate) mod argument;
pub(crate) mod call;
pub(crate) mod control;
pub(crate) mod files;
pub(crate) mod futex;
pub(crate) mod limits;
pub(crate) mod memory;
pub(crate) mod process;
pub(crate) mod scheduling;
pub(crate) mod signals;
pub(crate) mod table;
pub(crate) mod time;
pub(crate) mod timers;
