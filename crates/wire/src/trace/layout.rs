//! Where the parts of a record stand: the head that all records of a kind have in common.
//!
//! A FlatBuffer may be laid out in any order. Here everything stands behind what refers to it, so that a
//! record is written from its start to its end, and a kind's head is a constant:
//!
//! ```text
//!  0  size of what follows
//!  4  distance to the record's table
//!  8  vtable of the record: sizes, places of `body_type` and `body`
//! 16  the record: distance to its vtable, distance to the body, the body's type
//! 28  vtable of the body, which has one entry for each field of the schema
//!     the body: distance to its vtable, then its fields
//! ```

/// Where the record's table stands.
const RECORD: usize = 16;
/// Where the body's vtable stands.
const BODY_VTABLE: usize = 28;
/// Bytes of a head: the longest vtable and a distance.
const HEAD_MAX: usize = 56;

/// A kind of record.
#[derive(Debug)]
pub(super) struct Layout {
    head: [u8; HEAD_MAX],
    /// Where the body begins.
    body: usize,
    /// Where the record ends, but for vectors and texts.
    end: usize,
}

impl Layout {
    /// The layout of a body with the union's number `kind`, whose fields stand at `places` behind the body's
    /// start, which takes `size` bytes. Fields of eight bytes stand at 4, 12, 20 ...
    const fn new(kind: u8, places: &[u16], size: u16) -> Self {
        let mut head = [0; HEAD_MAX];
        put(&mut head, 4, RECORD - 4);
        // The record: 12 bytes, the type at 8, the body at 4.
        put(&mut head, 8, 8);
        put(&mut head, 10, 12);
        put(&mut head, 12, 8);
        put(&mut head, 14, 4);
        put(&mut head, RECORD, 8);
        head[RECORD + 8] = kind;
        let vtable = 4 + 2 * places.len();
        put(&mut head, BODY_VTABLE, vtable);
        put(&mut head, BODY_VTABLE + 2, size as usize);
        let mut field = 0;
        while field < places.len() {
            put(&mut head, BODY_VTABLE + 4 + 2 * field, places[field] as usize);
            field += 1;
        }
        // Four bytes before a multiple of eight, so that the fields of eight bytes are aligned.
        let body = (BODY_VTABLE + vtable).next_multiple_of(8);
        let body = if body - 4 >= BODY_VTABLE + vtable { body - 4 } else { body + 4 };
        put(&mut head, RECORD + 4, body - RECORD - 4);
        put(&mut head, body, body - BODY_VTABLE);
        assert!(body + 4 <= HEAD_MAX);
        Self { head, body, end: body + size as usize }
    }

    /// Begins a record in `out`: the head, and zeros for the body's fields.
    pub(super) fn begin(&self, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(&self.head[..self.body + 4]);
        out.resize(self.end, 0);
    }

    /// Where a field that stands at `place` in the body stands in the record.
    pub(super) const fn at(&self, place: u16) -> usize {
        self.body + place as usize
    }
}

/// Puts a number of two bytes.
const fn put(head: &mut [u8; HEAD_MAX], at: usize, value: usize) {
    let bytes = value.to_le_bytes();
    assert!(value == u16::from_le_bytes([bytes[0], bytes[1]]) as usize);
    head[at] = bytes[0];
    head[at + 1] = bytes[1];
}

/// Places of the bodies' fields, in the order of `schema/trace.fbs`.
pub(super) mod call_start {
    pub(in super::super) const TSC: u16 = 4;
    pub(in super::super) const LAYOUT: super::Layout = super::Layout::new(1, &[TSC], 12);
}

pub(super) mod callsite {
    pub(in super::super) const ID: u16 = 4;
    pub(in super::super) const NAME: u16 = 8;
    pub(in super::super) const TARGET: u16 = 12;
    pub(in super::super) const LEVEL: u16 = 28;
    pub(in super::super) const KIND: u16 = 29;
    pub(in super::super) const FILE: u16 = 16;
    pub(in super::super) const LINE: u16 = 20;
    pub(in super::super) const FIELDS: u16 = 24;
    pub(in super::super) const LAYOUT: super::Layout =
        super::Layout::new(2, &[ID, NAME, TARGET, LEVEL, KIND, FILE, LINE, FIELDS], 32);
    pub(in super::super) const WITHOUT_FILE: super::Layout =
        super::Layout::new(2, &[ID, NAME, TARGET, LEVEL, KIND, 0, LINE, FIELDS], 32);
}

pub(super) mod open_span {
    pub(in super::super) const ID: u16 = 4;
    pub(in super::super) const PARENT: u16 = 12;
    pub(in super::super) const CALLSITE: u16 = 36;
    pub(in super::super) const TSC: u16 = 20;
    pub(in super::super) const FIELDS: u16 = 40;
    pub(in super::super) const TRUNCATED: u16 = 44;
    pub(in super::super) const CLOSED: u16 = 28;
    pub(in super::super) const LAYOUT: super::Layout =
        super::Layout::new(3, &[ID, PARENT, CALLSITE, TSC, FIELDS, TRUNCATED, CLOSED], 48);
}

pub(super) mod edit_span {
    pub(in super::super) const ID: u16 = 4;
    pub(in super::super) const FIELDS: u16 = 12;
    pub(in super::super) const TRUNCATED: u16 = 16;
    pub(in super::super) const LAYOUT: super::Layout =
        super::Layout::new(4, &[ID, FIELDS, TRUNCATED], 20);
}

pub(super) mod close_span {
    pub(in super::super) const ID: u16 = 4;
    pub(in super::super) const TSC: u16 = 12;
    pub(in super::super) const UNWINDING: u16 = 20;
    /// Shorter, for nearly all of them.
    pub(in super::super) const LAYOUT: super::Layout = super::Layout::new(5, &[ID, TSC], 20);
    pub(in super::super) const BY_PANIC: super::Layout =
        super::Layout::new(5, &[ID, TSC, UNWINDING], 24);
}

pub(super) mod link_span {
    pub(in super::super) const ID: u16 = 4;
    pub(in super::super) const FROM: u16 = 12;
    pub(in super::super) const LAYOUT: super::Layout = super::Layout::new(7, &[ID, FROM], 20);
}

pub(super) mod event {
    pub(in super::super) const SPAN: u16 = 4;
    pub(in super::super) const CALLSITE: u16 = 20;
    pub(in super::super) const TSC: u16 = 12;
    pub(in super::super) const FIELDS: u16 = 24;
    pub(in super::super) const TRUNCATED: u16 = 28;
    pub(in super::super) const LAYOUT: super::Layout =
        super::Layout::new(6, &[SPAN, CALLSITE, TSC, FIELDS, TRUNCATED], 32);
}
