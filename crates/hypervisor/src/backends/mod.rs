//! The hypervisors, each in a folder of its own.

pub mod fake;
pub mod kvm;
pub mod mshv;

use ampoule_machine::Backends;

/// The hypervisor of this machine: KVM where it can be used, else the Microsoft Hypervisor.
pub static BACKENDS: Backends = Backends::new(&kvm::Kvm, &[&mshv::Mshv]);
