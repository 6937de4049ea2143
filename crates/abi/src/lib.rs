//! The guest ABI: what a guest built today can rely on in later releases.
//!
//! Numbers only: the address map ([`layout`]), the I/O ports ([`port`]), the channel between guest
//! and host ([`channel`]) and their version ([`version`]). No behaviour and no dependencies, so that
//! the host's crates and the guest SDK can share it. Every number is pinned in [`tripwires`].
#![no_std]
#![forbid(unsafe_code)]

pub mod channel;
pub mod layout;
pub mod port;
pub mod version;

mod tripwires;
