//! What may be done with a page, and by whom.

/// Rights of a mapping, as in `mmap(2)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Protection {
    /// Loads are allowed. x86 cannot express write-only or execute-only: any right implies it.
    pub read: bool,
    /// Stores are allowed.
    pub write: bool,
    /// Instruction fetches are allowed.
    pub execute: bool,
}

impl Protection {
    /// No access at all; the range is reserved.
    pub const NONE: Self = Self { read: false, write: false, execute: false };
    /// Loads.
    pub const READ: Self = Self { read: true, write: false, execute: false };
    /// Loads and stores.
    pub const READ_WRITE: Self = Self { read: true, write: true, execute: false };
    /// Loads and instruction fetches.
    pub const READ_EXECUTE: Self = Self { read: true, write: false, execute: true };

    /// Whether `access` is among the rights.
    #[must_use]
    pub const fn allows(self, access: Access) -> bool {
        match access {
            Access::Read => self.read || self.write || self.execute,
            Access::Write => self.write,
            Access::Execute => self.execute,
        }
    }

    /// Whether no access is allowed.
    #[must_use]
    pub const fn is_none(self) -> bool {
        !self.read && !self.write && !self.execute
    }
}

/// One kind of memory access.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// A load.
    Read,
    /// A store.
    Write,
    /// An instruction fetch.
    Execute,
}

impl std::fmt::Display for Access {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Execute => "execute",
        })
    }
}

/// Which privilege level may use a mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Privilege {
    /// Ring 3 (and ring 0).
    User,
    /// Ring 0 only: descriptor tables and stubs.
    Supervisor,
}
