//! What can be wrong with a channel.

use ampoule_abi::version;

/// Why there is no channel to speak through.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChannelError {
    #[error("AT_AMPOULE points to something else than a control page")]
    Magic,
    #[error(
        "the guest needs ABI {}.{}, this host offers {}.{}: rebuild the guest or update Ampoule",
        version::MAJOR, version::MINOR, .host >> 16, .host & 0xffff
    )]
    Version { host: u32 },
    #[error("the control page describes an impossible area")]
    Area,
}

/// A payload that does not fit into its area.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("a message of {size} bytes, the sandbox's limit is {limit}")]
pub(crate) struct TooLarge {
    pub(crate) size: usize,
    pub(crate) limit: usize,
}

/// A host that does not keep to the protocol.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProtocolError {
    #[error("protocol: message {found} from the host where {expected} was due")]
    Sequence { expected: u32, found: u32 },
    #[error("protocol: unknown message kind {0} from the host")]
    Kind(u32),
    #[error("protocol: a payload of {length} bytes in an area of {capacity}")]
    Length { length: u64, capacity: usize },
}
