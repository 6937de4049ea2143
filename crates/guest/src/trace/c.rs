//! The functions of `include/ampoule_trace.h`, for a guest's C code.
//!
//! What they take are the header's promises: a pointer is null or that of a text with a zero byte at
//! its end (of `field_count` fields), which nobody changes during the call.

use super::callsites::{NamedCallsite, Origin};
use super::fields::{Fields, MESSAGE_FIELD};
use super::producer;
use super::recorder::Parent;
use super::spans::NO_SPAN;
use ampoule_wire::trace::{FieldName, Kind, Level, Value};
use std::borrow::Cow;
use std::ffi::{CStr, c_char};

/// `struct ampoule_field`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct AmpouleField {
    name: *const c_char,
    kind: u32,
    value: AmpouleValue,
}

/// The value of a [`AmpouleField`].
#[repr(C)]
#[derive(Clone, Copy)]
union AmpouleValue {
    /// Not `bool`, which may hold nothing but 0 and 1.
    boolean: u8,
    integer: i64,
    natural: u64,
    real: f64,
    text: *const c_char,
}

impl std::fmt::Debug for AmpouleValue {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("AmpouleValue")
    }
}

/// The text at `text`.
///
/// # Safety
/// `text` is null or points to a text with a zero byte at its end, which lives and does not change
/// while the result does.
unsafe fn optional<'a>(text: *const c_char) -> Option<Cow<'a, str>> {
    // SAFETY: as asked of the caller.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy())
}

/// The text at `text`, empty if there is none.
///
/// # Safety
/// As [`optional`].
unsafe fn text<'a>(text: *const c_char) -> Cow<'a, str> {
    // SAFETY: as asked of the caller.
    unsafe { optional(text) }.unwrap_or_default()
}

fn level(level: u32) -> Option<Level> {
    u8::try_from(level).ok().and_then(Level::from_wire)
}

/// `ampoule_trace_enabled`.
///
/// # Safety
/// `target` is null or points to a text with a zero byte at its end.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn ampoule_trace_enabled(wanted: u32, target: *const c_char) -> bool {
    let enabled = |producer: &producer::Producer| {
        // Before the text is looked at.
        if !producer.is_on() {
            return false;
        }
        // SAFETY: as asked of the caller.
        level(wanted).is_some_and(|level| producer.allows(level, &unsafe { text(target) }))
    };
    producer::with(enabled).unwrap_or(false)
}

/// `ampoule_span_open`.
///
/// # Safety
/// Each pointer is null or points to a text with a zero byte at its end.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn ampoule_span_open(
    name: *const c_char,
    target: *const c_char,
    wanted: u32,
    file: *const c_char,
    line: u32,
) -> u64 {
    // SAFETY: as asked of the caller.
    if !unsafe { ampoule_trace_enabled(wanted, target) } {
        return NO_SPAN;
    }
    let Some(level) = level(wanted) else { return NO_SPAN };
    // SAFETY: as asked of the caller.
    let name = unsafe { text(name) };
    // SAFETY: as asked of the caller.
    let target = unsafe { text(target) };
    // SAFETY: as asked of the caller.
    let file = unsafe { optional(file) };
    let kind = Kind::Span;
    let site =
        NamedCallsite { kind, level, name: &name, target: &target, file: file.as_deref(), line };
    let open = |producer: &producer::Producer| {
        let span = producer.open(Origin::Named(site), Parent::Current, |_| ());
        producer.enter(span);
        span
    };
    producer::with(open).unwrap_or(NO_SPAN)
}

/// Adds a field to a span.
///
/// # Safety
/// `name` is null or points to a text with a zero byte at its end.
unsafe fn add(span: u64, name: *const c_char, value: Value<'_>) {
    if span != NO_SPAN {
        // SAFETY: as asked of the caller.
        let name = unsafe { text(name) };
        let collect = |fields: &mut Fields| fields.plain(FieldName::Text(&name), value);
        producer::with(|producer| producer.edit(span, collect));
    }
}

/// `ampoule_span_field_bool`.
///
/// # Safety
/// `name` is null or points to a text with a zero byte at its end.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn ampoule_span_field_bool(
    span: u64,
    name: *const c_char,
    value: bool,
) {
    // SAFETY: as asked of the caller.
    unsafe { add(span, name, Value::Bool(value)) };
}

/// `ampoule_span_field_i64`.
///
/// # Safety
/// `name` is null or points to a text with a zero byte at its end.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn ampoule_span_field_i64(span: u64, name: *const c_char, value: i64) {
    // SAFETY: as asked of the caller.
    unsafe { add(span, name, Value::Signed(value)) };
}

/// `ampoule_span_field_u64`.
///
/// # Safety
/// `name` is null or points to a text with a zero byte at its end.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn ampoule_span_field_u64(span: u64, name: *const c_char, value: u64) {
    // SAFETY: as asked of the caller.
    unsafe { add(span, name, Value::Unsigned(value)) };
}

/// `ampoule_span_field_f64`.
///
/// # Safety
/// `name` is null or points to a text with a zero byte at its end.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn ampoule_span_field_f64(span: u64, name: *const c_char, value: f64) {
    // SAFETY: as asked of the caller.
    unsafe { add(span, name, Value::Float(value)) };
}

/// `ampoule_span_field_str`.
///
/// # Safety
/// Each pointer is null or points to a text with a zero byte at its end.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn ampoule_span_field_str(
    span: u64,
    name: *const c_char,
    value: *const c_char,
) {
    if span != NO_SPAN {
        // SAFETY: as asked of the caller.
        let value = unsafe { text(value) };
        // SAFETY: as asked of the caller.
        unsafe { add(span, name, Value::Text(&value)) };
    }
}

/// `ampoule_span_close`.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn ampoule_span_close(span: u64) {
    if span != NO_SPAN {
        producer::with(|producer| {
            producer.exit(span);
            producer.release(span)
        });
    }
}

/// `ampoule_event`.
///
/// # Safety
/// Each pointer to a text is null or points to one with a zero byte at its end; `fields` is null or
/// points to `field_count` fields, of which the same is true.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn ampoule_event(
    wanted: u32,
    target: *const c_char,
    message: *const c_char,
    file: *const c_char,
    line: u32,
    fields: *const AmpouleField,
    field_count: usize,
) {
    // SAFETY: as asked of the caller.
    if !unsafe { ampoule_trace_enabled(wanted, target) } {
        return;
    }
    let Some(level) = level(wanted) else { return };
    // SAFETY: as asked of the caller.
    let target = unsafe { text(target) };
    // SAFETY: as asked of the caller.
    let message = unsafe { text(message) };
    // SAFETY: as asked of the caller.
    let file = unsafe { optional(file) };
    let kind = Kind::Event;
    let site =
        NamedCallsite { kind, level, name: "", target: &target, file: file.as_deref(), line };
    let given = if fields.is_null() {
        &[]
    } else {
        // SAFETY: as asked of the caller.
        unsafe { std::slice::from_raw_parts(fields, field_count) }
    };
    let collect = |fields: &mut Fields| {
        fields.plain(MESSAGE_FIELD, Value::Text(&message));
        for field in given {
            // SAFETY: as asked of the caller.
            unsafe { collect_field(field, fields) };
        }
    };
    producer::with(|producer| producer.event(Origin::Named(site), Parent::Current, collect));
}

/// Collects a field of an event.
///
/// # Safety
/// `field.name`, and for the type of a text its value, is null or points to a text with a zero byte at
/// its end; the member of the value that the type names was written.
unsafe fn collect_field(field: &AmpouleField, fields: &mut Fields) {
    // SAFETY: as asked of the caller.
    let name = unsafe { text(field.name) };
    let copied;
    let value = match field.kind {
        // SAFETY: as asked of the caller, the member was written; every bit pattern is valid.
        0 => Value::Bool(unsafe { field.value.boolean } != 0),
        // SAFETY: the same.
        1 => Value::Signed(unsafe { field.value.integer }),
        // SAFETY: the same.
        2 => Value::Unsigned(unsafe { field.value.natural }),
        // SAFETY: the same.
        3 => Value::Float(unsafe { field.value.real }),
        4 => {
            // SAFETY: the same.
            let at = unsafe { field.value.text };
            // SAFETY: as asked of the caller.
            copied = unsafe { text(at) };
            Value::Text(&copied)
        }
        _ => return,
    };
    fields.plain(FieldName::Text(&name), value);
}
