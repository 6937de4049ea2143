//! The version of this ABI.

/// Major number: a guest and a host with different majors cannot work together.
pub const MAJOR: u16 = 1;
/// Minor number: a host accepts every guest whose minor is not above its own.
pub const MINOR: u16 = 1;
/// Major in the upper, minor in the lower 16 bits, as stored in the control page.
pub const CURRENT: u32 = ((MAJOR as u32) << 16) | MINOR as u32;

/// Whether a host that implements version `host` can serve a guest built against `guest`.
///
/// A guest is served when the majors are equal and it does not expect a later minor.
#[must_use]
pub const fn is_compatible(host: u32, guest: u32) -> bool {
    guest >> 16 == host >> 16 && guest & 0xffff <= host & 0xffff
}
