//! The state of a ready sandbox.

use crate::config::Limits;
use crate::error::{CallError, CreateError};
use crate::loaded::LoadedProgram;
use ampoule_linux::Personality;
use ampoule_machine::{CpuState, MachineError};
use ampoule_memory::SealedSpace;
use ampoule_wire::interface::Interface;
use std::io;
use std::sync::{Arc, Weak};

/// The state of a ready sandbox: sealed memory, registers, personality and interface.
///
/// Cheap to clone and to send; any number of sandboxes start from one or go back to it, and it lives
/// until the last of them is gone.
#[derive(Debug, Clone)]
pub struct Snapshot(Arc<SnapshotParts>);

/// What a snapshot is made of.
#[derive(Debug)]
pub(crate) struct SnapshotParts {
    pub(crate) loaded: Arc<LoadedProgram>,
    pub(crate) space: Arc<SealedSpace>,
    pub(crate) cpu: CpuState,
    pub(crate) personality: Personality,
    pub(crate) sequence: u32,
    pub(crate) message_bytes: u64,
    pub(crate) interface: Arc<Interface>,
    pub(crate) limits: Limits,
    pub(crate) stack_bytes: u64,
    /// What the guest was told about its time-stamp counter.
    pub(crate) tsc_frequency: Option<u64>,
}

/// A snapshot could not be taken or gone back to.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The sandbox is not in a state in which this can be done.
    #[error(transparent)]
    State(#[from] CallError),
    /// A new VM was needed for the snapshot and could not be made.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// The host has no memory to give.
    #[error("the host could not change its mapping of guest memory: {source}")]
    Memory {
        /// What it said.
        source: io::Error,
    },
    /// The hypervisor refused.
    #[error(transparent)]
    Hypervisor(#[from] MachineError),
}

impl Snapshot {
    /// The snapshot that is made of these.
    pub(crate) fn from_parts(parts: SnapshotParts) -> Self {
        Self(Arc::new(parts))
    }

    /// What it is made of.
    pub(crate) fn parts(&self) -> &SnapshotParts {
        &self.0
    }

    /// What the guest exports and imports.
    #[must_use]
    pub fn interface(&self) -> &Interface {
        &self.0.interface
    }

    /// Bytes of guest memory in use, page tables included.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        self.0.space.committed_bytes()
    }

    /// Pages of guest memory that sandboxes which start here get ready at once, because calls touch
    /// them; 0 until that was learned.
    #[must_use]
    pub fn working_set_pages(&self) -> u64 {
        self.0.space.working_set_pages()
    }

    /// Bytes of the largest message of sandboxes that start here.
    #[must_use]
    pub fn message_bytes(&self) -> u64 {
        self.0.message_bytes
    }

    /// Whether both are the same snapshot.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Whether `space` is the memory of this snapshot.
    pub(super) fn is_of(&self, space: &Arc<SealedSpace>) -> bool {
        Arc::ptr_eq(&self.0.space, space)
    }

    /// Notes where the snapshot is without keeping it.
    #[must_use]
    pub fn downgrade(&self) -> WeakSnapshot {
        WeakSnapshot(Arc::downgrade(&self.0))
    }
}

/// A snapshot, as long as somebody else keeps it.
#[derive(Debug)]
pub struct WeakSnapshot(Weak<SnapshotParts>);

impl WeakSnapshot {
    /// The snapshot, if somebody still keeps it.
    #[must_use]
    pub fn upgrade(&self) -> Option<Snapshot> {
        self.0.upgrade().map(Snapshot)
    }

    /// Whether somebody still keeps it.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.0.strong_count() > 0
    }

    /// Whether it is this snapshot.
    #[must_use]
    pub fn is(&self, snapshot: &Snapshot) -> bool {
        std::ptr::eq(self.0.as_ptr(), Arc::as_ptr(&snapshot.0))
    }
}
