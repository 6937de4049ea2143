//! The errors of a hypervisor.

use ampoule_machine::{MachineError, Obstacle, ObstacleKind};
use std::io;

/// For `map_err`: the hypervisor refused `operation`.
pub(crate) fn refused<E: Into<io::Error>>(operation: &'static str) -> impl Fn(E) -> MachineError {
    move |source| MachineError::Refused { by: "the hypervisor", operation, source: source.into() }
}

/// Why a hypervisor cannot be used.
pub(crate) const fn obstacle(
    kind: ObstacleKind,
    finding: String,
    remedy: &'static str,
) -> Obstacle {
    Obstacle { lacking: "hypervisor", kind, finding, remedy }
}
