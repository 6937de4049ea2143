//! The batch of records that the host reads.

use crate::channel::trace::{TraceArea, timestamp};
use ampoule_wire::trace::{CLOSED_AT, Encoder, Record};
use std::sync::atomic::Ordering;

/// Appends records to the batch in the trace area.
///
/// The header in the area is the truth, also after the sandbox was restored; what is known here of the
/// batch's contents is compared with it. `length` covers complete records only, so that the host can read it at any moment.
#[derive(Debug)]
pub(crate) struct Batch {
    area: TraceArea,
    encoder: Encoder,
    /// The host did not take a full batch. To ask again would cost an exit for each record.
    refused: bool,
    /// What was written last, if that opened a span.
    opened: Option<Opened>,
}

/// The record that opened a span, and where it begins and ends in the batch.
#[derive(Debug)]
struct Opened {
    span: u64,
    start: usize,
    end: usize,
}

impl Batch {
    pub(crate) fn new(area: TraceArea) -> Self {
        Self { area, encoder: Encoder::default(), refused: false, opened: None }
    }

    /// A call begins: the host may take batches again.
    pub(crate) fn call_begins(&mut self) {
        self.refused = false;
    }

    /// Appends `record`, cut if it does not fit an empty batch. If the batch is full the host is asked
    /// to read it, and a span that begins then begins behind that. False if the host does not.
    pub(crate) fn append(&mut self, record: &mut Record<'_>) -> bool {
        let length = self.room_begins();
        if self.write(record, length) {
            return true;
        }
        if self.refused {
            return false;
        }
        self.area.ring();
        let length = self.room_begins();
        if length != 0 {
            self.refused = true;
            return false;
        }
        if let Record::OpenSpan { tsc, .. } = record {
            *tsc = timestamp();
        }
        self.write(record, length)
    }

    /// Writes the end of a span into the record that opened it, which spares the guest and the host
    /// another one. False if that is not possible: something was told in between, or the host has read it.
    pub(crate) fn close(&mut self, span: u64, tsc: u64) -> bool {
        let Some(opened) = self.opened.take_if(|opened| opened.span == span) else { return false };
        self.room_begins() == opened.end && self.area.overwrite(opened.start + CLOSED_AT, tsc)
    }

    /// Counts an event that could not be written.
    pub(crate) fn count_dropped(area: &TraceArea) {
        let dropped = &area.header().dropped;
        // Only this thread writes: no need for an atomic addition.
        dropped.store(dropped.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    /// Where the next record goes: behind the last one, or at the start of another batch if the host
    /// has read this one. The host can read only while the guest is stopped, so that whatever was
    /// appended before it acknowledged, it has seen.
    fn room_begins(&self) -> usize {
        let header = self.area.header();
        let sequence = header.sequence.load(Ordering::Relaxed);
        if self.area.acknowledged() != sequence {
            let length = header.length.load(Ordering::Relaxed);
            return usize::try_from(length).unwrap_or(usize::MAX);
        }
        // In this order, so that a guest that is killed in between leaves an empty batch.
        header.length.store(0, Ordering::Release);
        let address = u64::try_from(self.area.batch()).unwrap_or(u64::MAX);
        header.address.store(address, Ordering::Release);
        header.sequence.store(sequence.wrapping_add(1), Ordering::Release);
        0
    }

    fn write(&mut self, record: &Record<'_>, length: usize) -> bool {
        let bytes = self.encoder.encode(record, self.area.capacity());
        let Some(size) = self.area.write(length, bytes) else { return false };
        let end = length + size;
        let published = u64::try_from(end).unwrap_or(u64::MAX);
        self.area.header().length.store(published, Ordering::Release);
        self.opened = match *record {
            Record::OpenSpan { id: span, .. } => Some(Opened { span, start: length, end }),
            _ => None,
        };
        true
    }
}
