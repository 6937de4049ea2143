//! Why an executable cannot be loaded.

/// An executable that cannot be a guest. Each message names the problem and the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ElfError {
    /// Not an ELF file at all.
    #[error("it is not an ELF executable; build a static x86-64 Linux program")]
    NotElf,
    /// 32-bit or big-endian, or another machine.
    #[error(
        "it is built for another machine ({found}); build it for x86-64 Linux, for example with \
         `--target x86_64-unknown-linux-gnu`"
    )]
    OtherMachine {
        /// What it is built for.
        found: String,
    },
    /// Needs a dynamic linker.
    #[error(
        "it is dynamically linked; link it statically: `-C target-feature=+crt-static` in RUSTFLAGS \
         for Rust, `gcc -static` for C"
    )]
    Dynamic,
    /// An object file, a shared library or a core dump.
    #[error("it is not an executable but {found}; link it to a static executable")]
    NotExecutable {
        /// What it is.
        found: &'static str,
    },
    /// A part of the file is missing.
    #[error("it is truncated: {what} lies beyond the end of the file; copy or build it again")]
    Truncated {
        /// Which part.
        what: &'static str,
    },
    /// A segment that cannot be loaded.
    #[error("segment {index} {problem}")]
    Segment {
        /// Its place among the program headers.
        index: usize,
        /// What is wrong with it, and the remedy.
        problem: SegmentProblem,
    },
    /// Nothing to load, or nothing to run.
    #[error("it has no {what}; link it as an executable")]
    Missing {
        /// What is missing.
        what: &'static str,
    },
}

/// What is wrong with a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SegmentProblem {
    /// Both rights at once.
    #[error("is writable and executable at once; link without `-z execstack`, `-N` or `--omagic`")]
    WritableAndExecutable,
    /// More bytes in the file than in memory.
    #[error("has more bytes in the file than in memory; the file is damaged, build it again")]
    LargerInFile,
    /// At addresses that guests do not have.
    #[error("lies outside the addresses that a guest may use; link it at the usual address")]
    OutOfRange,
    /// Two segments at one place.
    #[error("overlaps another; the file is damaged, build it again")]
    Overlap,
}
