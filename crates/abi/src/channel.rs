//! The channel: shared memory through which guest and host exchange messages.
//!
//! The first page is the [`ControlPage`], read-only for the guest. It tells where the areas lie:
//! `to_guest` (read-only for the guest) and `to_host` (writable) are a [`MessageHeader`] with the
//! payload right behind it, `trace` (writable) is a [`TraceHeader`] with room for a batch.
//!
//! The two sides alternate strictly, and every message carries the sequence number of the one
//! before it plus one: the guest's `Ready` is 1, the host's first `Call` 2, its `Return` 3, and so
//! on. The sender writes payload, then the other header fields, then `sequence`; the guest then
//! rings [`crate::port::DOORBELL`] and, when the `out` returns, finds the host's next message.
//!
//! Trace events go another way. The guest appends records to a *batch* and publishes its address and
//! length in the [`TraceHeader`]; the host reads what is new whenever the guest rings anyway, and says
//! so in [`ControlPage::trace_acknowledged`]. Only a batch that is full rings by itself
//! ([`crate::port::TRACE`]), and then no message changes hands.

use core::sync::atomic::{AtomicU32, AtomicU64};

/// `a_type` of the auxiliary-vector entry that holds the control page's address. A program started
/// without it runs on plain Linux.
pub const AT_AMPOULE: u64 = 0x414d_504f;

/// First field of the control page: `"AMPOULE\0"` in little-endian order.
pub const MAGIC: u64 = u64::from_le_bytes(*b"AMPOULE\0");

/// Where one direction's area lies in the channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Area {
    /// Bytes from the control page to the area's [`MessageHeader`]; a multiple of the page size.
    pub offset: u64,
    /// Bytes of the area, header included; a multiple of the page size.
    pub size: u64,
}

/// Shared facts, written by the host before the guest starts and read-only for the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct ControlPage {
    /// [`MAGIC`].
    pub magic: u64,
    /// [`crate::version::CURRENT`] of the host.
    pub abi_version: u32,
    /// Reserved, zero.
    pub reserved: u32,
    /// Feature bits; none is defined yet, unknown ones are to be ignored.
    pub features: u64,
    /// Messages from host to guest.
    pub to_guest: Area,
    /// Messages from guest to host.
    pub to_host: Area,
    /// Trace events from guest to host; size 0 while there is no such area.
    pub trace: Area,
    /// Frequency of the guest's time-stamp counter in Hz, 0 when unknown.
    pub tsc_frequency: u64,
    /// Time-stamp counter at the sandbox's epoch.
    pub epoch_tsc: u64,
    /// Nanoseconds since 1970-01-01T00:00:00Z at the sandbox's epoch.
    pub epoch_wall: u64,
    /// The most verbose level that the host wants to hear of during this call: 0 nothing, 1 errors,
    /// 2 warnings, 3 information, 4 debugging, 5 everything.
    pub trace_level: u32,
    /// Reserved, zero.
    pub trace_reserved: u32,
    /// With another value, the guest sends each callsite again before its first use and reads
    /// `trace_directives` again.
    pub trace_generation: u64,
    /// [`TraceHeader::sequence`] of the batch of which the host has read everything.
    pub trace_acknowledged: u64,
    /// Text (UTF-8) of the directives that narrow `trace_level` by target: `level` or `target=level`,
    /// separated by commas. At most [`TRACE_DIRECTIVES_MAX`] bytes, in the control page.
    pub trace_directives: Area,
}

/// Bytes from the control page to the text that [`ControlPage::trace_directives`] names.
pub const TRACE_DIRECTIVES_OFFSET: u64 = 1024;
/// Most bytes of that text.
pub const TRACE_DIRECTIVES_MAX: u64 = 2048;

/// Where a guest publishes a batch of trace events, at the start of [`ControlPage::trace`].
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct TraceHeader {
    /// Number of the batch, from 1. The guest begins another one only when the host has acknowledged
    /// this one: `length` becomes 0, then `address` and this change.
    pub sequence: AtomicU64,
    /// Guest-virtual address of the batch.
    pub address: AtomicU64,
    /// Bytes of complete records in the batch; written last.
    pub length: AtomicU64,
    /// Events that could not be written, since the guest was started.
    pub dropped: AtomicU64,
    /// Reserved, zero.
    pub reserved: [u64; 4],
}

/// Bytes of the trace area, header included.
pub const TRACE_AREA_SIZE: u64 = 64 << 10;
/// Most bytes of a batch, wherever it lies.
pub const TRACE_BATCH_MAX: u64 = 1 << 20;
/// Every record of a batch takes a multiple of this, filled with zeros.
pub const TRACE_RECORD_ALIGNMENT: u64 = 8;

/// Header of an area.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct MessageHeader {
    /// Number of the message that stands in the area; written last.
    pub sequence: AtomicU32,
    /// A [`GuestMessage`] or [`HostMessage`].
    pub kind: AtomicU32,
    /// Index into the interface's exports (`Call`) or imports (`HostCall`), else 0.
    pub function: AtomicU32,
    /// [`CALL_IS_TRACED`] in a `Call`; the others are reserved, zero.
    pub flags: AtomicU32,
    /// Payload bytes behind the header.
    pub length: AtomicU64,
    /// W3C trace id of the call; zero when there is none.
    pub trace_id: [u8; 16],
    /// W3C span id of the call's span; zero when there is none. In a `HostCall` the guest's own number
    /// of the span that is current, little-endian.
    pub span_id: [u8; 8],
    /// W3C trace flags.
    pub trace_flags: u8,
    /// Reserved, zero.
    pub reserved: [u8; 15],
}

/// Flag of a `Call`: the header has a trace context or the control page says what to trace. Without it a
/// guest need not look there.
pub const CALL_IS_TRACED: u32 = 1;

/// Bytes of a [`MessageHeader`]: a payload starts this far into its area.
pub const HEADER_SIZE: u64 = 64;

/// Declares a message-kind enum with its checked conversion from the wire.
macro_rules! message_kinds {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $value:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u32)]
        pub enum $name { $($(#[$doc])* $variant = $value,)* }

        impl $name {
            /// The kind that `value` stands for, if any.
            #[must_use]
            pub const fn from_wire(value: u32) -> Option<Self> {
                match value {
                    $($value => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

message_kinds! {
    /// What a guest says to the host.
    GuestMessage {
        /// Initialised and serving. Payload: the FlatBuffers `Interface`.
        Ready = 1,
        /// The called function returned. Payload: its result, one CBOR item.
        Return = 2,
        /// The called function returned an error. Payload: CBOR map `{kind, message, data?}`.
        Error = 3,
        /// Asks the host to run an import. Payload: CBOR array of arguments.
        HostCall = 4,
        /// The guest gave up (a panic). Payload: CBOR map `{message, file?, line?, column?,
        /// backtrace: [instruction address, ...]}`. The guest never runs again.
        Abort = 5,
    }
}

message_kinds! {
    /// What the host says to a guest.
    HostMessage {
        /// Run an export. Payload: CBOR array of arguments.
        Call = 1,
        /// The import returned. Payload: its result, one CBOR item.
        HostReturn = 2,
        /// The import failed. Payload: CBOR map `{kind, message, data?}`.
        HostError = 3,
    }
}
