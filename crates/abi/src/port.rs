//! The I/O ports through which the virtual CPU leaves the guest.
//!
//! All are reached by the one-byte-operand form `out %al, $imm8`, which changes no register. They
//! avoid the ports of devices that a hypervisor may emulate by itself (PIC, PIT, `0x61`, PCI).

/// System call: rung only by the stub at `LSTAR`.
pub const SYSTEM_CALL: u8 = 0x50;
/// Doorbell: a message stands in the guest-to-host half of the channel.
pub const DOORBELL: u8 = 0x51;
/// The batch of trace events is full: the host reads it and the guest goes on.
pub const TRACE: u8 = 0x52;
/// First of [`EXCEPTION_COUNT`] ports: `EXCEPTION_BASE + vector`, rung only by ring-0 stubs.
pub const EXCEPTION_BASE: u8 = 0xe0;
/// Number of exception vectors the processor defines (Intel SDM vol. 3, table 6-1).
pub const EXCEPTION_COUNT: u8 = 32;
