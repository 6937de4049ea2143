//! Compile-time pins on every number a built guest may have baked in.
//!
//! If one of these fails, an already published guest would break: read `docs/guest-abi.md`,
//! "Compatibility", raise [`crate::version`] accordingly and only then change the number here.

use crate::channel::{
    AT_AMPOULE, Area, CALL_IS_TRACED, ControlPage, GuestMessage, HEADER_SIZE, HostMessage, MAGIC,
    MessageHeader, TRACE_AREA_SIZE, TRACE_BATCH_MAX, TRACE_DIRECTIVES_MAX, TRACE_DIRECTIVES_OFFSET,
    TRACE_RECORD_ALIGNMENT, TraceHeader,
};
use crate::{layout, port, version};
use core::mem::{offset_of, size_of};

macro_rules! pin {
    ($($value:expr => $pinned:expr),* $(,)?) => {
        $(const _: () = assert!(
            $value == $pinned,
            "a number of the guest ABI changed: read docs/guest-abi.md, Compatibility"
        );)*
    };
}

pin! {
    version::MAJOR => 1,
    version::MINOR => 1,
    version::CURRENT => 0x1_0001,

    layout::PAGE_SIZE => 4096,
    layout::NULL_GUARD_END => 0x1_0000,
    layout::PIE_BASE => 0x10_0000_0000,
    layout::CHANNEL_BASE => 0x7e_8000_0000,
    layout::STACK_TOP => 0x7f_0000_0000,
    layout::SYSTEM_BASE => 0x7f_8000_0000,
    layout::HOST_END => 0x80_0000_0000,
    layout::USER_END => 0x7fff_ffff_f000,

    port::SYSTEM_CALL => 0x50,
    port::DOORBELL => 0x51,
    port::TRACE => 0x52,
    port::EXCEPTION_BASE => 0xe0,

    AT_AMPOULE => 0x414d_504f,
    CALL_IS_TRACED => 1,
    MAGIC => 0x0045_4c55_4f50_4d41,
    HEADER_SIZE => 64,
    size_of::<MessageHeader>() => 64,
    offset_of!(MessageHeader, sequence) => 0,
    offset_of!(MessageHeader, kind) => 4,
    offset_of!(MessageHeader, function) => 8,
    offset_of!(MessageHeader, flags) => 12,
    offset_of!(MessageHeader, length) => 16,
    offset_of!(MessageHeader, trace_id) => 24,
    offset_of!(MessageHeader, span_id) => 40,
    offset_of!(MessageHeader, trace_flags) => 48,
    size_of::<Area>() => 16,
    offset_of!(ControlPage, magic) => 0,
    offset_of!(ControlPage, abi_version) => 8,
    offset_of!(ControlPage, features) => 16,
    offset_of!(ControlPage, to_guest) => 24,
    offset_of!(ControlPage, to_host) => 40,
    offset_of!(ControlPage, trace) => 56,
    offset_of!(ControlPage, tsc_frequency) => 72,
    offset_of!(ControlPage, epoch_tsc) => 80,
    offset_of!(ControlPage, epoch_wall) => 88,
    offset_of!(ControlPage, trace_level) => 96,
    offset_of!(ControlPage, trace_generation) => 104,
    offset_of!(ControlPage, trace_acknowledged) => 112,
    offset_of!(ControlPage, trace_directives) => 120,
    size_of::<ControlPage>() => 136,
    TRACE_DIRECTIVES_OFFSET => 1024,
    TRACE_DIRECTIVES_MAX => 2048,
    size_of::<TraceHeader>() => 64,
    offset_of!(TraceHeader, sequence) => 0,
    offset_of!(TraceHeader, address) => 8,
    offset_of!(TraceHeader, length) => 16,
    offset_of!(TraceHeader, dropped) => 24,
    TRACE_AREA_SIZE => 0x1_0000,
    TRACE_BATCH_MAX => 0x10_0000,
    TRACE_RECORD_ALIGNMENT => 8,

    GuestMessage::Ready as u32 => 1,
    GuestMessage::Return as u32 => 2,
    GuestMessage::Error as u32 => 3,
    GuestMessage::HostCall as u32 => 4,
    GuestMessage::Abort as u32 => 5,
    HostMessage::Call as u32 => 1,
    HostMessage::HostReturn as u32 => 2,
    HostMessage::HostError as u32 => 3,
}

// Relations between the numbers, which hold whatever their values are.
const _: () = {
    assert!(layout::MMAP_TOP < layout::CHANNEL_BASE);
    assert!(layout::CHANNEL_BASE + 3 * layout::MESSAGE_MAX + TRACE_AREA_SIZE < layout::STACK_TOP);
    assert!(layout::STACK_TOP < layout::SYSTEM_BASE);
    assert!(layout::SYSTEM_BASE < layout::HOST_END);
    assert!(layout::HOST_END < layout::USER_END);
    assert!(layout::MEMORY_MAX <= layout::CHANNEL_PHYSICAL_BASE);
    assert!(port::EXCEPTION_BASE as u32 + port::EXCEPTION_COUNT as u32 - 1 <= 0xff);
    assert!(size_of::<ControlPage>() as u64 <= TRACE_DIRECTIVES_OFFSET);
    assert!(TRACE_DIRECTIVES_OFFSET + TRACE_DIRECTIVES_MAX <= layout::PAGE_SIZE);
    assert!(TRACE_AREA_SIZE <= TRACE_BATCH_MAX);
};
