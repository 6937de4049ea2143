//! What a back end cannot do.

use crate::availability::Obstacle;
use std::io;

/// A back end cannot do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// It cannot be used here.
    #[error("no usable {}: {obstacle}", .obstacle.lacking)]
    Unavailable {
        /// What is missing and what to do.
        obstacle: Obstacle,
    },
    /// It refused an operation.
    #[error("{by} refused to {operation}")]
    Refused {
        /// Who refused, for example "the hypervisor".
        by: &'static str,
        /// What was asked, for example "create a VM".
        operation: &'static str,
        /// What it said.
        source: io::Error,
    },
}
