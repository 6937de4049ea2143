//! Flags of an open file description, as `open` takes them (`asm-generic/fcntl.h`).

/// `O_ACCMODE`.
pub(crate) const ACCESS_MODE: u32 = 3;
/// `O_RDONLY`.
pub(crate) const READ_ONLY: u32 = 0;
/// `O_WRONLY`.
pub(crate) const WRITE_ONLY: u32 = 1;
/// `O_RDWR`.
pub(crate) const READ_WRITE: u32 = 2;
/// `O_NONBLOCK`.
pub(crate) const NONBLOCK: u32 = 0o4000;
/// `O_DIRECT`: a pipe whose writes are packets.
pub(crate) const DIRECT: u32 = 0o4_0000;
/// `O_CLOEXEC`.
pub(crate) const CLOSE_ON_EXEC: u32 = 0o200_0000;
/// `O_PATH`: the description names a file and cannot be read.
pub(crate) const PATH_ONLY: u32 = 0o1000_0000;

/// Whether a description with these flags reads, and whether it writes. The fourth access mode asks for the
/// rights to both and does neither.
pub(crate) const fn ends(flags: u32) -> (bool, bool) {
    match flags & ACCESS_MODE {
        _ if flags & PATH_ONLY != 0 => (false, false),
        READ_ONLY => (true, false),
        WRITE_ONLY => (false, true),
        READ_WRITE => (true, true),
        _ => (false, false),
    }
}
