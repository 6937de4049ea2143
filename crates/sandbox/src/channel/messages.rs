//! Messages in either direction.

use super::{Channel, take};
use crate::tracing::request::TraceContext;
use ampoule_abi::channel::{CALL_IS_TRACED, GuestMessage, HEADER_SIZE, HostMessage, MessageHeader};
use ampoule_memory::OutOfBounds;
use std::mem::offset_of;

/// Bytes of a message that are copied between two looks at whether the guest is to stop.
const PART: usize = 1 << 20;

/// A message of the guest's, its header checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) kind: GuestMessage,
    pub(crate) function: u32,
    pub(crate) length: u64,
    /// The guest's number of the span that a host call is in; 0 for none.
    pub(crate) span: u64,
}

/// A doorbell without a valid message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HeaderError {
    #[error("message number {found} where {expected} was due")]
    Sequence { expected: u32, found: u32 },
    #[error("unknown message kind {found}")]
    Kind { found: u32 },
    #[error("message of {length} bytes in an area of {capacity}")]
    Length { length: u64, capacity: u64 },
}

impl Channel {
    /// Leaves a message for the guest, in the trace context that it belongs to, if it is a traced call.
    /// Cost: one copy.
    ///
    /// # Errors
    /// [`OutOfBounds`] when `payload` is larger than [`Self::capacity`]; nothing is sent then.
    pub(crate) fn send(
        &mut self,
        kind: HostMessage,
        function: u32,
        payload: &[u8],
        context: Option<&TraceContext>,
    ) -> Result<(), OutOfBounds> {
        let length = payload.len() as u64;
        if length > self.capacity() {
            let available = self.capacity();
            return Err(OutOfBounds { offset: 0, length, available });
        }
        let next = self.sequence.wrapping_add(1);
        let mut header = [0_u8; size_of::<MessageHeader>()];
        put(&mut header, offset_of!(MessageHeader, sequence), &next.to_le_bytes());
        put(&mut header, offset_of!(MessageHeader, kind), &(kind as u32).to_le_bytes());
        put(&mut header, offset_of!(MessageHeader, function), &function.to_le_bytes());
        put(&mut header, offset_of!(MessageHeader, length), &length.to_le_bytes());
        if let Some(context) = context {
            put(&mut header, offset_of!(MessageHeader, flags), &CALL_IS_TRACED.to_le_bytes());
            put(&mut header, offset_of!(MessageHeader, trace_id), &context.trace_id);
            put(&mut header, offset_of!(MessageHeader, span_id), &context.span_id);
            put(&mut header, offset_of!(MessageHeader, trace_flags), &[context.flags]);
        }
        // The guest is stopped and sees both together.
        self.mapping.write(self.to_guest.offset + HEADER_SIZE, payload)?;
        self.mapping.write(self.to_guest.offset, &header)?;
        self.sequence = next;
        self.sent = self.sent.max(length);
        Ok(())
    }

    /// Reads and checks the header of the guest's message, once.
    pub(crate) fn receive(&mut self) -> Result<Received, HeaderError> {
        let mut header = [0_u8; size_of::<MessageHeader>()];
        // The area lies inside the mapping by construction, so this cannot fail.
        let read = self.mapping.read(self.to_host.offset, &mut header);
        debug_assert!(read.is_ok(), "the area lies inside the mapping");
        let word = |at: usize| u32::from_le_bytes(take(&header, at));
        let expected = self.sequence.wrapping_add(1);
        let found = word(offset_of!(MessageHeader, sequence));
        if found != expected {
            return Err(HeaderError::Sequence { expected, found });
        }
        let found = word(offset_of!(MessageHeader, kind));
        let kind = GuestMessage::from_wire(found).ok_or(HeaderError::Kind { found })?;
        let length = u64::from_le_bytes(take(&header, offset_of!(MessageHeader, length)));
        if length > self.capacity() {
            return Err(HeaderError::Length { length, capacity: self.capacity() });
        }
        self.sequence = expected;
        let span = u64::from_le_bytes(take(&header, offset_of!(MessageHeader, span_id)));
        Ok(Received { kind, function: word(offset_of!(MessageHeader, function)), length, span })
    }

    /// Appends a part of the payload of a message that [`Self::receive`] announced to `out`, which holds
    /// what comes before it; tells whether that was the last one.
    pub(crate) fn payload_some(
        &self,
        received: &Received,
        out: &mut Vec<u8>,
    ) -> Result<bool, OutOfBounds> {
        let available = self.capacity();
        let too_long = OutOfBounds { offset: 0, length: received.length, available };
        let whole = usize::try_from(received.length).map_err(|_| too_long)?;
        let done = out.len();
        out.reserve_exact(whole.saturating_sub(done));
        out.resize(whole.min(done + PART), 0);
        self.mapping.read(self.to_host.offset + HEADER_SIZE + done as u64, &mut out[done..])?;
        Ok(out.len() == whole)
    }
}

fn put(header: &mut [u8], at: usize, bytes: &[u8]) {
    header[at..at + bytes.len()].copy_from_slice(bytes);
}
