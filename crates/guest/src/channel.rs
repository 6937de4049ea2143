//! The entry to the sandbox: the channel's memory and the doorbell.
//!
//! All `unsafe` of the SDK is here, in [`runtime`] and in [`trace`], but for what C callers hand over.

pub(crate) mod current;
mod error;
pub(crate) mod runtime;
pub(crate) mod trace;

pub(crate) use error::{ChannelError, ProtocolError, TooLarge};

use ampoule_abi::channel::{
    AT_AMPOULE, Area, CALL_IS_TRACED, ControlPage, GuestMessage, HEADER_SIZE, HostMessage, MAGIC,
    MessageHeader,
};
use ampoule_abi::{port, version};
use std::ffi::c_ulong;
use std::mem::offset_of;
use std::ptr::{with_exposed_provenance, with_exposed_provenance_mut};
use std::sync::atomic::{AtomicBool, Ordering};
use trace::TraceArea;

/// The message channel of this sandbox.
///
/// Holds addresses only; the sequence numbers are those in the areas. The host writes into
/// `to_guest` only while the guest is in [`Channel::ring`], which is what makes reading it as
/// ordinary memory sound. [`Claim`] keeps that from being broken by re-entrancy.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Channel {
    control: usize,
    to_guest: Mailbox,
    to_host: Mailbox,
    trace: Option<TraceArea>,
}

/// The W3C trace context that a call came with, as it stands in its header.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct HeaderContext {
    pub(crate) trace_id: [u8; 16],
    pub(crate) span_id: [u8; 8],
    pub(crate) flags: u8,
}

/// One direction: a [`MessageHeader`] and the payload behind it.
#[derive(Debug, Clone, Copy)]
struct Mailbox {
    header: usize,
    capacity: usize,
}

/// What the host sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Received {
    pub(crate) kind: HostMessage,
    pub(crate) function: u32,
    /// The call has a trace context, or the host wants to hear of it.
    pub(crate) is_traced: bool,
    length: usize,
}

impl Mailbox {
    fn new(control: usize, area: Area) -> Option<Self> {
        let header = control.checked_add(usize::try_from(area.offset).ok()?)?;
        let capacity = usize::try_from(area.size.checked_sub(HEADER_SIZE)?).ok()?;
        header.is_multiple_of(align_of::<MessageHeader>()).then_some(Self { header, capacity })
    }

    fn header(&self) -> &'static MessageHeader {
        // SAFETY: the control page, whose magic was checked, gives the address of an area that
        // stays mapped for the program's life; it is aligned (checked in `new`) and large enough
        // for a header (`capacity` was computed by a checked subtraction). The trace fields, which
        // are not atomic, change only while no such reference is used: by the host while it owns
        // the area, and in `set_span`.
        unsafe { &*with_exposed_provenance_mut::<MessageHeader>(self.header) }
    }

    /// The trace fields of the header.
    fn context(&self) -> HeaderContext {
        let header = with_exposed_provenance::<MessageHeader>(self.header);
        // SAFETY: as in `header`; the host does not write while the guest runs, and bytes are valid
        // whatever they are.
        let header = unsafe { header.read_volatile() };
        HeaderContext {
            trace_id: header.trace_id,
            span_id: header.span_id,
            flags: header.trace_flags,
        }
    }

    /// Names the guest's span from which a message comes.
    fn set_span(&self, span: u64) {
        let place = self.header + offset_of!(MessageHeader, span_id);
        // SAFETY: the field lies in the header, which is mapped and writable in the direction to the
        // host; the place is aligned for bytes, and no reference to the header is in use.
        unsafe { with_exposed_provenance_mut::<[u8; 8]>(place).write_volatile(span.to_le_bytes()) };
    }

    fn payload(&self) -> *mut u8 {
        with_exposed_provenance_mut(self.header + size_of::<MessageHeader>())
    }
}

impl Channel {
    /// Finds the channel; `None` on plain Linux.
    pub(crate) fn find() -> Result<Option<Self>, ChannelError> {
        unsafe extern "C" {
            safe fn getauxval(kind: c_ulong) -> c_ulong;
        }
        let control = usize::try_from(getauxval(AT_AMPOULE)).map_err(|_| ChannelError::Magic)?;
        if control == 0 {
            return Ok(None);
        }
        if !control.is_multiple_of(align_of::<ControlPage>()) {
            return Err(ChannelError::Magic);
        }
        // SAFETY: only Ampoule's host passes AT_AMPOULE, and it maps a control page there, which
        // is never written while the guest runs; the alignment was checked.
        let page = unsafe { with_exposed_provenance_mut::<ControlPage>(control).read_volatile() };
        if page.magic != MAGIC {
            return Err(ChannelError::Magic);
        }
        let host = page.abi_version;
        if host >> 16 != u32::from(version::MAJOR) || (host & 0xffff) < u32::from(version::MINOR) {
            return Err(ChannelError::Version { host });
        }
        let to_guest = Mailbox::new(control, page.to_guest).ok_or(ChannelError::Area)?;
        let to_host = Mailbox::new(control, page.to_host).ok_or(ChannelError::Area)?;
        let trace = TraceArea::new(control, page.trace, trace::ring)?;
        Ok(Some(Self { control, to_guest, to_host, trace }))
    }

    /// Where trace batches go, if the host takes them.
    pub(crate) fn trace(&self) -> Option<TraceArea> {
        self.trace
    }

    /// Frequency of the time-stamp counter in Hz, 0 when unknown. Another one is possible after the
    /// sandbox was restored.
    pub(crate) fn tsc_frequency(&self) -> u64 {
        trace::frequency(self.control)
    }

    /// The trace context of the message that was received last.
    pub(crate) fn context(&self) -> HeaderContext {
        self.to_guest.context()
    }

    /// Posts a message without ringing. Posting again before the doorbell replaces it.
    pub(crate) fn post(
        &self,
        kind: GuestMessage,
        function: u32,
        payload: &[u8],
    ) -> Result<(), TooLarge> {
        self.post_from(kind, function, payload, 0)
    }

    /// Posts a message that names the guest's span it comes from, 0 for none.
    pub(crate) fn post_from(
        &self,
        kind: GuestMessage,
        function: u32,
        payload: &[u8],
        span: u64,
    ) -> Result<(), TooLarge> {
        if payload.len() > self.to_host.capacity {
            return Err(TooLarge { size: payload.len(), limit: self.to_host.capacity });
        }
        // SAFETY: the area has `capacity` payload bytes, which is at least `payload.len()` (checked
        // above); nothing else in this program refers to that memory, so it cannot overlap.
        unsafe { self.to_host.payload().copy_from_nonoverlapping(payload.as_ptr(), payload.len()) };
        self.to_host.set_span(span);
        let header = self.to_host.header();
        header.kind.store(kind as u32, Ordering::Relaxed);
        header.function.store(function, Ordering::Relaxed);
        header.flags.store(0, Ordering::Relaxed);
        header.length.store(u64::try_from(payload.len()).unwrap_or(u64::MAX), Ordering::Relaxed);
        header.sequence.store(self.next_sequence(), Ordering::Release);
        Ok(())
    }

    /// Rings the doorbell: the host takes what was posted, and has answered when this returns.
    pub(crate) fn ring(&self) {
        #[cfg(test)]
        if tests::host_answers(self) {
            return;
        }
        // SAFETY: in a sandbox (this type exists only there) port access leaves the virtual CPU
        // for the host, which changes no register and, of this program's memory, only the
        // `to_guest` area. Without `nomem` the compiler writes back and reloads everything.
        unsafe {
            std::arch::asm!(
                "out {port}, al",
                port = const port::DOORBELL,
                in("al") 0_u8,
                options(nostack, preserves_flags)
            );
        }
    }

    /// The message that the host wrote while the doorbell rang.
    pub(crate) fn received(&self) -> Result<Received, ProtocolError> {
        let header = self.to_guest.header();
        let expected = self.to_host.header().sequence.load(Ordering::Relaxed).wrapping_add(1);
        let found = header.sequence.load(Ordering::Acquire);
        if found != expected {
            return Err(ProtocolError::Sequence { expected, found });
        }
        let kind = header.kind.load(Ordering::Relaxed);
        let length = header.length.load(Ordering::Relaxed);
        let capacity = self.to_guest.capacity;
        let fits = usize::try_from(length).ok().filter(|&length| length <= capacity);
        Ok(Received {
            kind: HostMessage::from_wire(kind).ok_or(ProtocolError::Kind(kind))?,
            function: header.function.load(Ordering::Relaxed),
            is_traced: header.flags.load(Ordering::Relaxed) & CALL_IS_TRACED != 0,
            length: fits.ok_or(ProtocolError::Length { length, capacity })?,
        })
    }

    /// The sequence number of the message to be posted now.
    fn next_sequence(&self) -> u32 {
        self.to_guest.header().sequence.load(Ordering::Relaxed).wrapping_add(1)
    }

    /// Says that the guest gives up; never returns.
    ///
    /// Needs no claim and no allocation beyond the payload's, so that it works from a panic hook
    /// wherever the panic was.
    pub(crate) fn give_up(&self, abort: &ampoule_wire::failure::Abort) -> ! {
        let payload = abort.encode();
        if self.post(GuestMessage::Abort, 0, &payload).is_err() {
            let short = ampoule_wire::failure::Abort {
                message: abort.message.chars().take(512).collect(),
                ..Default::default()
            };
            // The smallest area is a page, which is more than this.
            let _ = self.post(GuestMessage::Abort, 0, &short.encode());
        }
        loop {
            self.ring();
        }
    }
}

static CLAIMED: AtomicBool = AtomicBool::new(false);

/// The right to use the channel. One at a time: code that runs while a payload is being read (a
/// `Deserialize` implementation, say) cannot make the host replace it by calling a host function.
#[derive(Debug)]
pub(crate) struct Claim<'a> {
    channel: &'a Channel,
}

impl<'a> Claim<'a> {
    /// The claim, unless somebody has it.
    pub(crate) fn take(channel: &'a Channel) -> Option<Self> {
        (!CLAIMED.swap(true, Ordering::Acquire)).then_some(Self { channel })
    }

    /// Rings for what was posted and gives the answer.
    pub(crate) fn exchange(&self) -> Result<Received, ProtocolError> {
        self.channel.ring();
        self.channel.received()
    }

    /// The payload of `received`, which must be the last message.
    pub(crate) fn payload(&self, received: Received) -> &[u8] {
        // SAFETY: `received.length` was checked against the area's capacity. The host writes here
        // only while the doorbell rings, which takes a claim (or never returns, in `give_up`), and
        // this borrow holds the only one; so the bytes do not change while the slice lives.
        unsafe { std::slice::from_raw_parts(self.channel.to_guest.payload(), received.length) }
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        CLAIMED.store(false, Ordering::Release);
    }
}

#[cfg(test)]
pub(crate) mod tests;
