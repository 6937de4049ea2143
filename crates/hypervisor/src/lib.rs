//! One interface over KVM, the Microsoft Hypervisor and a scripted fake.
