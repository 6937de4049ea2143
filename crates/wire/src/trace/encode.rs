//! Writing records.
//!
//! Not by flatc's builder: a guest pays for every record while its caller waits, and under nested
//! virtualisation for every page that its code and data lie in. A span of two fields takes a third of the
//! time this way. The tests read what is written by flatc's verifier and accessors.

use super::layout::{
    Layout, call_start, callsite, close_span, edit_span, event, link_span, open_span,
};
use super::record::{Callsite, Field, FieldName, Record, Value};

/// Bytes of an offset.
const OFFSET: usize = 4;

/// Where in a [`Record::OpenSpan`] its field `closed` stands, eight bytes in little-endian order and
/// aligned to eight, for a producer that writes it later.
pub const CLOSED_AT: usize = open_span::LAYOUT.at(open_span::CLOSED);

/// Writes records one at a time, in memory that it uses again.
#[derive(Debug, Default)]
pub struct Encoder {
    out: Vec<u8>,
}

/// What a record may keep of its texts and fields.
#[derive(Debug, Clone, Copy)]
struct Cut {
    /// Bytes of each text.
    text: usize,
    /// Fields, or names of fields.
    fields: usize,
}

impl Cut {
    const NOTHING: Self = Self { text: usize::MAX, fields: usize::MAX };

    const fn is_cut(self) -> bool {
        self.text < usize::MAX
    }

    /// The first bytes of `text`, up to a character's boundary.
    fn of(self, text: &str) -> &str {
        &text[..text.floor_char_boundary(self.text)]
    }
}

impl Encoder {
    /// The bytes of `record`, size prefix included, without the padding to a multiple of
    /// `TRACE_RECORD_ALIGNMENT`. One that takes more than `limit` bytes is cut, to little less than that:
    /// its longest texts first, then the number of its fields, and it says so. 256 bytes are always
    /// enough.
    ///
    /// Cost: tens of nanoseconds, no allocation in the steady state.
    pub fn encode(&mut self, record: &Record<'_>, limit: usize) -> &[u8] {
        self.write(record, Cut::NOTHING);
        if self.out.len() > limit {
            let mut cut = Cut { text: 0, fields: field_count(record) };
            self.write(record, cut);
            while self.out.len() > limit && cut.fields > 0 {
                cut.fields /= 2;
                self.write(record, cut);
            }
            let room = limit.saturating_sub(self.out.len());
            cut.text = longest(record, cut.fields, room).min(limit);
            self.write(record, cut);
        }
        &self.out
    }

    fn write(&mut self, record: &Record<'_>, cut: Cut) {
        match *record {
            Record::CallStart { tsc } => {
                let layout = self.begin(&call_start::LAYOUT);
                self.put_u64(layout.at(call_start::TSC), tsc);
            }
            Record::Callsite(ref callsite) => self.callsite(callsite, cut),
            Record::OpenSpan { id, parent, callsite, tsc, ref fields, truncated, closed } => {
                let layout = self.begin(&open_span::LAYOUT);
                self.put_u64(layout.at(open_span::ID), id);
                self.put_u64(layout.at(open_span::PARENT), parent);
                self.put_u32(layout.at(open_span::CALLSITE), callsite);
                self.put_u64(layout.at(open_span::TSC), tsc);
                self.put_u64(CLOSED_AT, closed);
                self.out[layout.at(open_span::TRUNCATED)] = u8::from(truncated || cut.is_cut());
                self.fields(layout.at(open_span::FIELDS), fields, cut);
            }
            Record::EditSpan { id, ref fields, truncated } => {
                let layout = self.begin(&edit_span::LAYOUT);
                self.put_u64(layout.at(edit_span::ID), id);
                self.out[layout.at(edit_span::TRUNCATED)] = u8::from(truncated || cut.is_cut());
                self.fields(layout.at(edit_span::FIELDS), fields, cut);
            }
            Record::CloseSpan { id, tsc, unwinding } => {
                let layout =
                    self.begin(if unwinding { &close_span::BY_PANIC } else { &close_span::LAYOUT });
                self.put_u64(layout.at(close_span::ID), id);
                self.put_u64(layout.at(close_span::TSC), tsc);
                if unwinding {
                    self.out[layout.at(close_span::UNWINDING)] = 1;
                }
            }
            Record::LinkSpan { id, from } => {
                let layout = self.begin(&link_span::LAYOUT);
                self.put_u64(layout.at(link_span::ID), id);
                self.put_u64(layout.at(link_span::FROM), from);
            }
            Record::Event { span, callsite, tsc, ref fields, truncated } => {
                let layout = self.begin(&event::LAYOUT);
                self.put_u64(layout.at(event::SPAN), span);
                self.put_u32(layout.at(event::CALLSITE), callsite);
                self.put_u64(layout.at(event::TSC), tsc);
                self.out[layout.at(event::TRUNCATED)] = u8::from(truncated || cut.is_cut());
                self.fields(layout.at(event::FIELDS), fields, cut);
            }
        }
        let size = u32::try_from(self.out.len() - OFFSET).unwrap_or(u32::MAX);
        self.put_u32(0, size);
    }

    fn begin<'l>(&mut self, layout: &'l Layout) -> &'l Layout {
        layout.begin(&mut self.out);
        layout
    }

    fn callsite(&mut self, from: &Callsite<'_>, cut: Cut) {
        let has_file = from.file.is_some();
        let layout = self.begin(if has_file { &callsite::LAYOUT } else { &callsite::WITHOUT_FILE });
        self.put_u32(layout.at(callsite::ID), from.id);
        self.put_u32(layout.at(callsite::LINE), from.line);
        self.out[layout.at(callsite::LEVEL)] = from.level as u8;
        self.out[layout.at(callsite::KIND)] = from.kind as u8;
        self.text(layout.at(callsite::NAME), cut.of(from.name));
        self.text(layout.at(callsite::TARGET), cut.of(from.target));
        if let Some(file) = from.file {
            self.text(layout.at(callsite::FILE), cut.of(file));
        }
        let names = &from.fields[..from.fields.len().min(cut.fields)];
        let first = self.vector(layout.at(callsite::FIELDS), names.len());
        for (index, name) in names.iter().enumerate() {
            self.text(first + OFFSET * index, cut.of(name));
        }
    }

    fn fields(&mut self, place: usize, from: &[Field<'_>], cut: Cut) {
        let from = &from[..from.len().min(cut.fields)];
        let first = self.vector(place, from.len());
        let mut vtables = [0; 4];
        for (index, field) in from.iter().enumerate() {
            self.field(first + OFFSET * index, field, &mut vtables, cut);
        }
    }

    /// A field: distance to its vtable, index, type, bits, and distances to its name and its text if it has
    /// them. `vtables` says where those of this record stand that have been written.
    fn field(&mut self, place: usize, from: &Field<'_>, vtables: &mut [usize; 4], cut: Cut) {
        let (index, name) = match from.name {
            FieldName::Index(index) => (index, None),
            FieldName::Text(name) => (0, Some(name)),
        };
        let (type_, bits, text) = match from.value {
            Value::Bool(value) => (0, u64::from(value), None),
            Value::Signed(value) => (1, value.cast_unsigned(), None),
            Value::Unsigned(value) => (2, value, None),
            Value::Float(value) => (3, value.to_bits(), None),
            Value::Text(text) => (4, 0, Some(text)),
        };
        let vtable = &mut vtables[usize::from(name.is_some()) + 2 * usize::from(text.is_some())];
        if *vtable == 0 {
            self.align(2);
            *vtable = self.out.len();
            let name_at = if name.is_some() { FIELD_NAME } else { 0 };
            let text_at = if text.is_some() { FIELD_TEXT } else { 0 };
            for word in [14, FIELD_SIZE, 4, name_at, 6, 8, text_at] {
                self.out.extend_from_slice(&word.to_le_bytes());
            }
        }
        let vtable = *vtable;
        self.align(8);
        let table = self.out.len();
        self.put_offset(place, table);
        let back = u32::try_from(table - vtable).unwrap_or(u32::MAX);
        self.out.extend_from_slice(&back.to_le_bytes());
        self.out.extend_from_slice(&index.to_le_bytes());
        self.out.extend_from_slice(&[type_, 0]);
        self.out.extend_from_slice(&bits.to_le_bytes());
        self.out.extend_from_slice(&[0; 8]);
        if let Some(name) = name {
            self.text(table + usize::from(FIELD_NAME), cut.of(name));
        }
        if let Some(text) = text {
            self.text(table + usize::from(FIELD_TEXT), cut.of(text));
        }
    }

    /// A vector of so many offsets, to which the one at `place` leads. Gives the place of the first.
    fn vector(&mut self, place: usize, length: usize) -> usize {
        self.align(OFFSET);
        self.put_offset(place, self.out.len());
        let count = u32::try_from(length).unwrap_or(u32::MAX);
        self.out.extend_from_slice(&count.to_le_bytes());
        let first = self.out.len();
        self.out.resize(first + OFFSET * length, 0);
        first
    }

    /// A text, to which the offset at `place` leads.
    fn text(&mut self, place: usize, text: &str) {
        self.align(OFFSET);
        self.put_offset(place, self.out.len());
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
        self.out.extend_from_slice(&length.to_le_bytes());
        self.out.extend_from_slice(text.as_bytes());
        self.out.push(0);
    }

    /// Makes the offset at `place` lead to `target`.
    fn put_offset(&mut self, place: usize, target: usize) {
        self.put_u32(place, u32::try_from(target - place).unwrap_or(u32::MAX));
    }

    fn put_u32(&mut self, at: usize, value: u32) {
        self.out[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }

    fn put_u64(&mut self, at: usize, value: u64) {
        self.out[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }

    fn align(&mut self, alignment: usize) {
        self.out.resize(self.out.len().next_multiple_of(alignment), 0);
    }
}

/// Bytes of a field's table, and the places of its name and its text in it.
const FIELD_SIZE: u16 = 24;
const FIELD_NAME: u16 = 16;
const FIELD_TEXT: u16 = 20;

fn field_count(record: &Record<'_>) -> usize {
    match record {
        Record::CallStart { .. } | Record::CloseSpan { .. } | Record::LinkSpan { .. } => 0,
        Record::Callsite(callsite) => callsite.fields.len(),
        Record::OpenSpan { fields, .. }
        | Record::EditSpan { fields, .. }
        | Record::Event { fields, .. } => fields.len(),
    }
}

/// The most bytes of each text with which those of `record`, of so many fields, take no more than `room`.
fn longest(record: &Record<'_>, fields: usize, room: usize) -> usize {
    let mut lengths = Vec::new();
    match record {
        Record::CallStart { .. } | Record::CloseSpan { .. } | Record::LinkSpan { .. } => {}
        Record::Callsite(Callsite { name, target, file, fields: names, .. }) => {
            lengths.extend([*name, *target, file.unwrap_or_default()].map(str::len));
            lengths.extend(names.iter().take(fields).map(|name| name.len()));
        }
        Record::OpenSpan { fields: all, .. }
        | Record::EditSpan { fields: all, .. }
        | Record::Event { fields: all, .. } => {
            for field in all.iter().take(fields) {
                lengths.extend(if let FieldName::Text(name) = field.name {
                    Some(name.len())
                } else {
                    None
                });
                lengths.extend(if let Value::Text(text) = field.value {
                    Some(text.len())
                } else {
                    None
                });
            }
        }
    }
    lengths.sort_unstable();
    // From the shortest on: what one of them leaves of its share, the longer ones may have.
    let mut left = room;
    for (index, length) in lengths.iter().enumerate() {
        let share = left / (lengths.len() - index);
        if length + PADDING_MAX > share {
            return share.saturating_sub(PADDING_MAX);
        }
        left -= length + PADDING_MAX;
    }
    usize::MAX
}

/// Most bytes between a text and the table behind it.
const PADDING_MAX: usize = 7;
