//! Trace batches that lie. The host counts what is wrong with them; the call does not notice.
//!
//! The guest's own SDK writes batches too, whenever a call is traced, and goes on from whatever these
//! acts leave in the header.

use crate::batch::{
    ADDRESS, CALLSITE, LENGTH, SEQUENCE, batch, callsite, encode, event, load, next, open, publish,
    send, span, store, text, write,
};
use crate::raw::{areas, control_page, ring_trace, survived};
use ampoule_abi::channel::TRACE_BATCH_MAX;
use ampoule_abi::layout::{CHANNEL_BASE, STACK_TOP, SYSTEM_BASE, USER_END};
use ampoule_guest::guest_function;
use ampoule_guest::trace::timestamp;
use ampoule_wire::trace::{Field, FieldName, Record, Value};
use std::borrow::Cow;

/// survives: publishes the bytes as a batch, with an address, a length and a number of the caller's
/// choice, and rings for them or leaves them for the host to find.
#[guest_function]
fn trace_raw(
    bytes: &[u8],
    address: Option<u64>,
    length: Option<u64>,
    sequence: Option<u64>,
    ring: bool,
) -> String {
    let sequence = sequence.unwrap_or_else(next);
    write(bytes);
    publish(address.unwrap_or(batch().0), length.unwrap_or(bytes.len() as u64), sequence);
    if ring {
        ring_trace();
    }
    survived()
}

/// survives: so many spans that are never closed, each with an event, in one batch after the other.
#[guest_function]
fn trace_flood(records: u32) -> String {
    let ids: Vec<u64> = (1..=u64::from(records)).collect();
    for ids in ids.chunks(100) {
        let flood = ids.iter().flat_map(|&id| {
            [
                open(id << 32 | 1, (id - 1) << 32 | 1, timestamp()),
                event(id << 32 | 1, CALLSITE, &[]),
            ]
        });
        send(&encode(std::iter::once(callsite(CALLSITE)).chain(flood)));
    }
    survived()
}

/// survives: so many callsites.
#[guest_function]
fn trace_flood_of_callsites() -> String {
    for first in 0..200 {
        send(&encode((0..200).map(|number| callsite(CALLSITE + first * 200 + number))));
    }
    survived()
}

/// TIMEOUT: rings for ever.
#[guest_function]
fn trace_rings_for_ever() -> String {
    loop {
        ring_trace();
    }
}

/// survives: changes a batch after it was announced and after it was read, and announces other lengths
/// of it.
#[guest_function]
fn trace_changes_while_read() -> String {
    let good = encode([callsite(CALLSITE), open(7, 0, timestamp()), event(7, CALLSITE, &[])]);
    let length = good.len() as u64;
    for round in 0..200_u64 {
        let number = next();
        write(&good);
        publish(batch().0, length, number);
        write(&vec![round as u8; good.len()]);
        ring_trace();
        // It has been read; now it is another.
        write(&good);
        ring_trace();
        for length in [0, 8, length / 2, length, 2 * length, length - 1] {
            store(LENGTH, length);
            ring_trace();
        }
        store(ADDRESS, batch().0 + 8 * round);
        ring_trace();
    }
    survived()
}

/// survives: batches where there is no memory, or none of the guest's.
#[guest_function]
fn trace_kernel_addresses() -> String {
    let [_, _, (trace, size)] = areas();
    let code = trace_kernel_addresses as *const () as u64;
    let addresses = [
        0,
        8,
        0xfff,
        SYSTEM_BASE,
        SYSTEM_BASE + 0x1000,
        0x40_0000_0000,
        USER_END - 8,
        USER_END,
        0xffff_8000_0000_0000,
        0x0000_8000_0000_0000,
        0x8000_0000_0000_0000,
        u64::MAX,
        u64::MAX - 7,
        u64::MAX - 4096,
        control_page(),
        CHANNEL_BASE - 8,
        trace,
        trace + size - 8,
        trace + size,
        STACK_TOP - 8,
        STACK_TOP,
        code,
        code | 1,
    ];
    for address in addresses {
        for length in [8, 64, 4096, 65536, TRACE_BATCH_MAX] {
            publish(address, length, next());
            ring_trace();
        }
    }
    survived()
}

/// survives: lengths that are none.
#[guest_function]
fn trace_lying_lengths() -> String {
    let lengths =
        [0, 1, 7, TRACE_BATCH_MAX, TRACE_BATCH_MAX + 1, 1 << 32, i64::MAX as u64, u64::MAX];
    for length in lengths {
        publish(batch().0, length, next());
        ring_trace();
        store(LENGTH, length.wrapping_add(8));
        ring_trace();
    }
    survived()
}

/// survives: numbers that go back, stand still and jump to the end of all numbers.
#[guest_function]
fn trace_lying_sequences() -> String {
    let bytes = encode([callsite(CALLSITE), open(7, 0, timestamp())]);
    write(&bytes);
    for sequence in [1, 0, 1, 1, 1 << 63, 5, u64::MAX, 0, u64::MAX, u64::MAX - 1, 2] {
        publish(batch().0, bytes.len() as u64, sequence);
        ring_trace();
    }
    survived()
}

/// survives: a good batch with bits turned over, each time others.
#[guest_function]
fn trace_corrupted() -> String {
    let fields = [text("a text"), Field { name: FieldName::Text("f"), value: Value::Float(0.5) }];
    let good = encode([callsite(CALLSITE), open(7, 0, timestamp()), event(7, CALLSITE, &fields)]);
    let mut state = 1_u64;
    for _ in 0..1000 {
        let mut bad = good.clone();
        for _ in 0..=state % 4 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let at = (state >> 33) as usize % bad.len();
            bad[at] ^= 1 << (state >> 8 & 7);
        }
        send(&bad);
    }
    survived()
}

/// survives: sizes of records that are none.
#[guest_function]
fn trace_lying_records() -> String {
    let good = encode([callsite(CALLSITE)]);
    for size in [0, 1, 4, good.len() as u32, good.len() as u32 + 1, 1 << 31, u32::MAX - 3, u32::MAX]
    {
        let mut bad = good.clone();
        bad[..4].copy_from_slice(&size.to_le_bytes());
        send(&bad);
    }
    send(&[0; 4096]);
    send(&[0xff; 65536]);
    send(&good[..good.len() - 8]);
    survived()
}

/// survives: texts that are not UTF-8.
#[guest_function]
fn trace_bad_utf8() -> String {
    let mut bytes = encode([callsite(CALLSITE), event(0, CALLSITE, &[text("hostile")])]);
    while let Some(at) = bytes.windows(7).position(|window| window == b"hostile") {
        bytes[at..at + 7].copy_from_slice(b"\xff\xc3\x28\xed\xa0\x80\xfe");
    }
    send(&bytes);
    survived()
}

/// survives: spans and events of callsites that were never described.
#[guest_function]
fn trace_unknown_callsites() -> String {
    let fields = Cow::Borrowed(&[] as &[_]);
    let (id, tsc, truncated) = (9, timestamp(), false);
    let (parent, callsite, closed) = (0, u32::MAX, 0);
    let span = Record::OpenSpan { id, parent, callsite, tsc, fields, truncated, closed };
    send(&encode([span, event(9, 0, &[]), event(0, u32::MAX, &[text("x")])]));
    survived()
}

/// survives: closes, more fields and events of spans that were never opened or are closed, and spans in
/// them.
#[guest_function]
fn trace_unknown_spans() -> String {
    let ids = [0, 1, u64::MAX, 0xdead_beef];
    let fields = [text("x")];
    let records = ids.into_iter().flat_map(|id| {
        let (fields, truncated, tsc) = (Cow::Borrowed(fields.as_slice()), true, timestamp());
        [
            Record::EditSpan { id, fields, truncated },
            event(id, CALLSITE, &[]),
            Record::CloseSpan { id, tsc, unwinding: false },
            open(id ^ 0x100, id, tsc),
            Record::CloseSpan { id: id ^ 0x100, tsc, unwinding: false },
            Record::CloseSpan { id: id ^ 0x100, tsc, unwinding: false },
            span(id ^ 0x200, id, tsc, tsc),
            Record::CloseSpan { id: id ^ 0x200, tsc, unwinding: false },
            open(id ^ 0x400, id ^ 0x200, tsc),
        ]
    });
    send(&encode(std::iter::once(callsite(CALLSITE)).chain(records)));
    survived()
}

/// survives: spans that follow from themselves, from what never was, and from thousands that are closed,
/// and spans that a panic has closed that never was.
#[guest_function]
fn trace_lying_links() -> String {
    let opened = [callsite(CALLSITE), open(5, 0, timestamp())];
    send(&encode(opened));
    for first in 0..45_u64 {
        let ids = 100 * first + 10..100 * first + 110;
        send(&encode(ids.flat_map(|id| {
            [
                span(id, 5, timestamp(), timestamp()),
                Record::LinkSpan { id: 5, from: id },
                Record::LinkSpan { id: 5, from: id / 2 },
                Record::LinkSpan { id, from: 5 },
            ]
        })));
    }
    let tsc = timestamp();
    send(&encode([
        Record::LinkSpan { id: 5, from: 5 },
        Record::LinkSpan { id: 0, from: 0 },
        Record::LinkSpan { id: u64::MAX, from: 5 },
        Record::CloseSpan { id: 5, tsc, unwinding: true },
        Record::CloseSpan { id: 5, tsc, unwinding: true },
        Record::LinkSpan { id: 5, from: 5 },
    ]));
    survived()
}

/// survives: one id for many spans, a span inside itself, and two inside each other.
#[guest_function]
fn trace_duplicate_ids() -> String {
    let mut records = vec![callsite(CALLSITE), callsite(CALLSITE)];
    records.extend((0..100).map(|_| open(5, 0, timestamp())));
    records.extend((0..100).map(|_| span(5, 5, timestamp(), timestamp())));
    records.extend([open(6, 6, timestamp()), open(8, 9, timestamp()), open(9, 8, timestamp())]);
    records.extend((0..3).map(|_| Record::CloseSpan { id: 5, tsc: timestamp(), unwinding: false }));
    send(&encode(records));
    survived()
}

/// survives: spans and events before the call's start, and the start again and again.
#[guest_function]
fn trace_before_call_start() -> String {
    // Takes the place of what the SDK wrote when the call began and the host has not read yet.
    let bytes = encode([callsite(CALLSITE), open(5, 0, timestamp()), event(5, CALLSITE, &[])]);
    write(&bytes);
    publish(batch().0, bytes.len() as u64, load(SEQUENCE).max(1));
    ring_trace();
    send(&encode((0..100).map(|time| Record::CallStart { tsc: time << 56 })));
    survived()
}

/// survives: times in the past and in the future, and ends before their beginnings.
#[guest_function]
fn trace_lying_times() -> String {
    let now = timestamp();
    let times = [0, 1, now / 2, now.wrapping_mul(2), 1 << 63, u64::MAX, u64::MAX - now, now];
    let records = (1..).zip(times).flat_map(|(id, tsc)| {
        let fields = Cow::Borrowed(&[] as &[_]);
        [
            open(id, 0, tsc),
            Record::Event { span: id, callsite: CALLSITE, tsc, fields, truncated: false },
            Record::CloseSpan { id, tsc: tsc.wrapping_sub(1), unwinding: false },
            span(id, 0, tsc, tsc.wrapping_sub(1).max(1)),
            span(id, 0, now, tsc.max(1)),
        ]
    });
    send(&encode(std::iter::once(callsite(CALLSITE)).chain(records)));
    survived()
}

/// survives: names of fields that mean something to the host or to JavaScript, numbers that the callsite
/// does not have, and thousands of fields.
#[guest_function]
fn trace_lying_fields() -> String {
    let names = ["__proto__", "constructor", "ampoule.clock", "code.file.path", "", "\0\u{1b}[2J"];
    let fields = |names: &mut dyn Iterator<Item = FieldName<'static>>| -> Vec<Field<'static>> {
        names.map(|name| Field { name, value: Value::Text("owned") }).collect()
    };
    let wrong = fields(&mut names.into_iter().map(FieldName::Text));
    let absent = fields(&mut [1, 2, 1000, u16::MAX].into_iter().map(FieldName::Index));
    let many = fields(&mut (0..3000).map(FieldName::Index));
    let events = [&wrong, &absent, &many].map(|fields| event(0, CALLSITE, fields));
    send(&encode(std::iter::once(callsite(CALLSITE)).chain(events)));
    survived()
}
