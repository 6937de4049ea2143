//! Error numbers, as `asm-generic/errno.h` defines them.

use ampoule_memory::{AccessError, MapError};

/// An error number of Linux.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(i32);

/// Declares the numbers and their names together, so that neither can be forgotten.
macro_rules! errnos {
    ($($name:ident = $value:literal $doc:literal,)*) => {
        impl Errno {
            $(#[doc = $doc] pub const $name: Self = Self($value);)*

            /// The name in `errno.h`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self.0 {
                    $($value => stringify!($name),)*
                    _ => "E?",
                }
            }
        }
    };
}

errnos! {
    EPERM = 1 "Operation not permitted.",
    ENOENT = 2 "No such file or directory.",
    ESRCH = 3 "No such process.",
    EINTR = 4 "Interrupted system call.",
    ENXIO = 6 "No such device or address.",
    EBADF = 9 "Bad file descriptor.",
    ECHILD = 10 "No child processes.",
    EAGAIN = 11 "Try again.",
    ENOMEM = 12 "Out of memory.",
    EACCES = 13 "Permission denied.",
    EFAULT = 14 "Bad address.",
    EBUSY = 16 "Device or resource busy.",
    EEXIST = 17 "File exists.",
    EXDEV = 18 "Cross-device link.",
    ENODEV = 19 "No such device.",
    ENOTDIR = 20 "Not a directory.",
    EISDIR = 21 "Is a directory.",
    EINVAL = 22 "Invalid argument.",
    ENFILE = 23 "File table overflow.",
    EMFILE = 24 "Too many open files.",
    ENOTTY = 25 "Not a typewriter.",
    ENOSPC = 28 "No space left on device.",
    ESPIPE = 29 "Illegal seek.",
    EROFS = 30 "Read-only file system.",
    EPIPE = 32 "Broken pipe.",
    ERANGE = 34 "Result not representable.",
    ENAMETOOLONG = 36 "File name too long.",
    ENOSYS = 38 "Function not implemented.",
    ENOTEMPTY = 39 "Directory not empty.",
    ELOOP = 40 "Too many symbolic links.",
    EOVERFLOW = 75 "Value too large for defined data type.",
    ENOTSOCK = 88 "Socket operation on non-socket.",
    EOPNOTSUPP = 95 "Operation not supported.",
    EAFNOSUPPORT = 97 "Address family not supported.",
    ETIMEDOUT = 110 "Connection timed out.",
}

impl Errno {
    /// The positive number.
    #[must_use]
    pub const fn number(self) -> i32 {
        self.0
    }

    /// What a system call leaves in `rax`: the negative number.
    #[must_use]
    pub const fn as_result(self) -> i64 {
        -(self.0 as i64)
    }
}

/// A pointer that the guest gave cannot be used the way the call needs.
impl From<AccessError> for Errno {
    fn from(_: AccessError) -> Self {
        Self::EFAULT
    }
}

/// Memory that cannot be changed the way the call needs.
impl From<MapError> for Errno {
    fn from(error: MapError) -> Self {
        match error {
            MapError::Unaligned { .. } => Self::EINVAL,
            MapError::OutOfRange { .. }
            | MapError::NotMapped { .. }
            | MapError::OutOfMemory { .. }
            | MapError::TooManyAreas { .. }
            | MapError::Host { .. } => Self::ENOMEM,
            MapError::Overlap { .. } => Self::EEXIST,
            MapError::Pinned { .. } => Self::EPERM,
            MapError::WritableAndExecutable => Self::EACCES,
        }
    }
}
