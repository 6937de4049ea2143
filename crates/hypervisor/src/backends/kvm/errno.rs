//! Errors of KVM's system calls.

use crate::refusal;
use ampoule_machine::MachineError;
use std::io;

/// For `map_err`: KVM refused `operation`.
pub(super) fn refused(operation: &'static str) -> impl Fn(kvm_ioctls::Error) -> MachineError {
    let refused = refusal::refused(operation);
    move |error| refused(io::Error::from_raw_os_error(error.errno()))
}
