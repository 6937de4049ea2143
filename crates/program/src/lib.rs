//! Executables: what is in an ELF file, and what its addresses are called.
//!
//! - [`Program::parse`] reads and checks a file's headers: where its [`Segment`]s go.
//! - [`Symbols`] names addresses after the functions that hold them, each a [`Location`].
//! - [`authors_part`] leaves of a backtrace what the program's author wrote.
//!
//! Files are whatever somebody wrote: every offset is checked, every walk has a bound, and the steps of a
//! report are counted. Knows nothing of sandboxes, nor of how memory is mapped.
#![forbid(unsafe_code)]

mod backtrace;
mod elf;
mod error;
mod location;
mod symbols;

pub use backtrace::authors_part;
pub use elf::{Addresses, ElfKind, Program, Rights, Segment};
pub use error::{ElfError, SegmentProblem};
pub use location::Location;
pub use symbols::{Report, Symbols, report_of};
