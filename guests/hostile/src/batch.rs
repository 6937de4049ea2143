//! Trace batches, written without the SDK and with the freedom to lie.

use crate::raw::{areas, control_page, ring_trace};
use ampoule_abi::channel::ControlPage;
use ampoule_guest::trace::timestamp;
use ampoule_wire::trace::{Callsite, Encoder, Field, FieldName, Kind, Level, Record, Value};
use std::borrow::Cow;
use std::mem::offset_of;

/// Places of the header's words.
pub(crate) const SEQUENCE: u64 = 0;
pub(crate) const ADDRESS: u64 = 8;
pub(crate) const LENGTH: u64 = 16;
pub(crate) const HEADER: u64 = 64;

/// A callsite of whose number the SDK makes no use.
pub(crate) const CALLSITE: u32 = 900_000;

pub(crate) fn load(offset: u64) -> u64 {
    let [_, _, (trace, _)] = areas();
    unsafe { ((trace + offset) as *const u64).read_volatile() }
}

pub(crate) fn store(offset: u64, value: u64) {
    let [_, _, (trace, _)] = areas();
    unsafe { ((trace + offset) as *mut u64).write_volatile(value) };
}

/// The number of a batch that the host will take for the next one. What the SDK has written of the call
/// so far, its start at least, is read before.
pub(crate) fn next() -> u64 {
    let page = control_page() + offset_of!(ControlPage, trace_acknowledged) as u64;
    let acknowledged = || unsafe { (page as *const u64).read_volatile() };
    if acknowledged() != load(SEQUENCE) {
        ring_trace();
    }
    acknowledged().max(load(SEQUENCE)).wrapping_add(1)
}

/// Where batches belong, and how many bytes there are.
pub(crate) fn batch() -> (u64, u64) {
    let [_, _, (trace, size)] = areas();
    (trace + HEADER, size - HEADER)
}

/// Writes bytes where a batch belongs, as far as they fit.
pub(crate) fn write(bytes: &[u8]) {
    let (address, room) = batch();
    let fits = bytes.len().min(room as usize);
    unsafe { (address as *mut u8).copy_from_nonoverlapping(bytes.as_ptr(), fits) };
}

/// Announces a batch.
pub(crate) fn publish(address: u64, length: u64, sequence: u64) {
    store(ADDRESS, address);
    store(SEQUENCE, sequence);
    store(LENGTH, length);
}

/// Writes and announces a batch as one should, and has it read.
pub(crate) fn send(bytes: &[u8]) {
    let number = next();
    write(bytes);
    publish(batch().0, bytes.len() as u64, number);
    ring_trace();
}

/// The bytes of records, one behind the other.
pub(crate) fn encode<'a>(records: impl IntoIterator<Item = Record<'a>>) -> Vec<u8> {
    let mut encoder = Encoder::default();
    let mut bytes = Vec::new();
    for record in records {
        bytes.extend_from_slice(encoder.encode(&record, 1 << 16));
        bytes.resize(bytes.len().next_multiple_of(8), 0);
    }
    bytes
}

pub(crate) fn callsite<'a>(id: u32) -> Record<'a> {
    Record::Callsite(Callsite {
        id,
        name: "hostile",
        target: "hostile",
        level: Level::Error,
        kind: Kind::Span,
        file: Some("/etc/passwd"),
        line: u32::MAX,
        fields: Cow::Borrowed(&["field"]),
    })
}

pub(crate) fn open<'a>(id: u64, parent: u64, tsc: u64) -> Record<'a> {
    span(id, parent, tsc, 0)
}

/// A span that says itself when it ended.
pub(crate) fn span<'a>(id: u64, parent: u64, tsc: u64, closed: u64) -> Record<'a> {
    let fields = Cow::Borrowed(&[] as &[_]);
    Record::OpenSpan { id, parent, callsite: CALLSITE, tsc, fields, truncated: false, closed }
}

pub(crate) fn event<'a>(span: u64, callsite: u32, fields: &'a [Field<'a>]) -> Record<'a> {
    let fields = Cow::Borrowed(fields);
    Record::Event { span, callsite, tsc: timestamp(), fields, truncated: false }
}

pub(crate) fn text(text: &str) -> Field<'_> {
    Field { name: FieldName::Index(0), value: Value::Text(text) }
}
