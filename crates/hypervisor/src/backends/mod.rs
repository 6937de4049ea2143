//! The hypervisors, each in a folder of its own.

pub mod fake;
pub mod kvm;
pub mod mshv;
