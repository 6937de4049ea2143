//! The hypervisor that this machine uses.

use crate::backends::kvm::Kvm;
use crate::backends::mshv::Mshv;
use ampoule_machine::Backends;

/// KVM where it can be used, else the Microsoft Hypervisor.
pub static BACKENDS: Backends = Backends::new(&Kvm, &[&Mshv]);
