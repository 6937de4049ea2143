//! Functions with spans, events and log records.

use crate::hosted::fetch_number;
use ampoule_guest::trace::{context, timestamp, tsc_frequency};
use ampoule_guest::{Error, HostError, guest_function};
use std::cell::RefCell;
use std::fmt;
use tracing::span::EnteredSpan;
use tracing::subscriber::NoSubscriber;
use tracing::{Span, debug, error, event, field, info, info_span, trace, warn};

thread_local! {
    /// A span that is open between two calls.
    static KEPT: RefCell<Option<Span>> = const { RefCell::new(None) };
}

/// Installs a subscriber and a logger of the guest's own, which are deaf.
pub(crate) fn silence() -> Result<(), String> {
    struct Deaf;
    impl log::Log for Deaf {
        fn enabled(&self, _: &log::Metadata<'_>) -> bool {
            false
        }
        fn log(&self, _: &log::Record<'_>) {}
        fn flush(&self) {}
    }
    log::set_logger(&Deaf).map_err(|error| error.to_string())?;
    tracing::subscriber::set_global_default(NoSubscriber::default())
        .map_err(|error| error.to_string())
}

/// Makes a span with an event and a log record.
pub(crate) fn make_ready() {
    info_span!("prepare", step = 1).in_scope(|| {
        info!("preparing");
        log::info!("a record of preparing");
    });
}

/// Adds two numbers in the span `add`, whose fields they are.
#[guest_function]
fn traced_add(left: i32, right: i32) -> i32 {
    info_span!("add", left, right).in_scope(|| left.wrapping_add(right))
}

/// Calls `fetch_number` in the span `fetch`, whose fields are the id and a text.
#[guest_function]
fn traced_fetch(id: i32) -> Result<i32, HostError> {
    info_span!("fetch", id, origin = "guest").in_scope(|| fetch_number(id))
}

/// Opens so many spans `level` with the field `number`, from 0, one in the other, with an event in
/// each.
#[guest_function]
fn nested(depth: u32) {
    level(0, depth);
}

#[tracing::instrument(skip(depth))]
fn level(number: u32, depth: u32) {
    info!(deeper = depth - number, "inside");
    if number + 1 < depth {
        level(number + 1, depth);
    }
}

/// Opens a span `busy` for each of the durations, one in the other, and spends it there; calls
/// `fetch_number(0)` in the innermost if asked. Gives the time-stamp counter right before and right after
/// each opening, the host call and each closing, in their order.
#[guest_function]
fn busy(microseconds: Vec<u32>, host_in_the_middle: bool) -> Result<Vec<u64>, Error> {
    let frequency = tsc_frequency()
        .ok_or_else(|| Error::new("NoFrequency", "the host does not tell the frequency"))?;
    let mut times = Vec::with_capacity(4 * microseconds.len() + 2);
    let mut open = Vec::with_capacity(microseconds.len());
    for (number, &duration) in microseconds.iter().enumerate() {
        times.push(timestamp());
        open.push(info_span!("busy", number, microseconds = duration).entered());
        let start = timestamp();
        times.push(start);
        let ticks = u128::from(duration) * u128::from(frequency.get()) / 1_000_000;
        while u128::from(timestamp() - start) < ticks {
            std::hint::spin_loop();
        }
    }
    if host_in_the_middle {
        times.push(timestamp());
        let answer = fetch_number(0);
        times.push(timestamp());
        answer?;
    }
    while let Some(span) = open.pop() {
        times.push(timestamp());
        drop(span);
        times.push(timestamp());
    }
    Ok(times)
}

/// A value with a representation of its own.
#[derive(Debug)]
#[expect(dead_code, reason = "seen by Debug only")]
struct Point {
    x: i32,
    y: Option<&'static str>,
}

/// A value that makes an event and a span when it is written.
struct Talking;

impl fmt::Display for Talking {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        info_span!("while formatting").in_scope(|| info!("talking"));
        formatter.write_str("talked")
    }
}

/// A value that panics when it is written.
#[derive(Clone, Copy)]
struct Panicking;

impl fmt::Debug for Panicking {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("while formatting");
    }
}

/// A span and an event with a field of every type, and with values that misbehave.
#[guest_function]
fn all_values() {
    let _span = info_span!(
        "values",
        yes = true,
        no = false,
        least = i64::MIN,
        most = u64::MAX,
        small = 1_u8,
        half = 0.5,
        nan = f64::NAN,
        infinite = f64::NEG_INFINITY,
        wide = i128::MIN,
        wider = u128::MAX,
        text = "täxt \u{1f680}",
        empty = "",
        point = ?Point { x: -1, y: Some("y") },
        never = field::Empty,
    )
    .entered();
    let broken = std::io::Error::other("broken");
    info!(
        yes = true,
        least = i64::MIN,
        most = u64::MAX,
        nan = f64::NAN,
        wide = i128::MIN,
        text = "täxt",
        empty = "",
        point = ?Point { x: 1, y: None },
        shown = %1.5,
        error = &broken as &(dyn std::error::Error + 'static),
        "a {} of {:?}",
        "message",
        [1, 2]
    );
    info!(value = %Talking, "around");
    info!(value = ?Panicking, next = 1, "panicking");
}

/// An event with so many bytes of text.
#[guest_function]
fn large_event(bytes: u32) {
    info!(number = 1, text = "ä".repeat(bytes as usize / 2), "large");
}

/// So many events in one span.
#[guest_function]
fn many_events(count: u32) {
    info_span!("many", count).in_scope(|| (0..count).for_each(|number| info!(number, "one")));
}

/// A record of the `log` crate at each level, for the targets `testing::traced` and `other::target`,
/// and one with values.
#[guest_function]
fn logs() {
    let _span = info_span!("logging").entered();
    for level in log::Level::iter() {
        log::log!(level, "a record at {level}");
        log::log!(target: "other::target", level, "another at {level}");
    }
    log::info!(number = -1, text = "t", yes = true, half = 0.5; "with values");
}

/// An event at each level, for the targets `testing::traced` and `other::target`.
#[guest_function]
fn levels() {
    error!("error");
    warn!("warn");
    info!("info");
    debug!("debug");
    trace!("trace");
    error!(target: "other::target", "other error");
    warn!(target: "other::target", "other warn");
    info!(target: "other::target", "other info");
    debug!(target: "other::target", "other debug");
    trace!(target: "other::target", "other trace");
}

/// Returns with a span open, for good.
#[guest_function]
fn leaves_open() {
    std::mem::forget(info_span!("left open").entered());
}

/// Opens a span and keeps it; the next call closes it, after it was entered and given a field.
#[guest_function]
fn closes_later() -> bool {
    let Some(span) = KEPT.take() else {
        KEPT.set(Some(info_span!("kept", late = field::Empty)));
        return false;
    };
    span.in_scope(|| info!("in another call"));
    span.record("late", true);
    true
}

/// A span whose fields become known while it is open.
#[guest_function]
fn record_later() {
    let span = info_span!("late", early = 1, number = field::Empty, text = field::Empty);
    span.record("number", 2);
    span.record("text", "first");
    span.record("text", "second");
}

/// A span that outlives the one that it is in, a root, one with a named parent.
#[guest_function]
fn parents() {
    let outer = info_span!("outer");
    let inner = outer.in_scope(|| info_span!("inner"));
    drop(info_span!(parent: None, "root"));
    drop(info_span!(parent: &inner, "named"));
    event!(parent: &outer, tracing::Level::INFO, "in outer");
    drop(outer);
    drop(inner);
}

/// Three spans, `first`, `second` and `third`, one in the other, with an event.
fn three_spans() -> [EnteredSpan; 3] {
    let first = info_span!("first").entered();
    let second = info_span!("second", number = 2).entered();
    let third = info_span!("third").entered();
    info!("deep inside");
    // Left in this order, the innermost first.
    [third, second, first]
}

/// Never returns from inside three spans.
#[guest_function]
fn spin_in_spans() {
    let _spans = three_spans();
    loop {
        std::hint::spin_loop();
    }
}

/// Reads address 0 inside three spans.
#[guest_function]
fn fault_in_spans() {
    let _spans = three_spans();
    // SAFETY: nothing is read: the address is never mapped, and what comes of it is the point.
    unsafe {
        std::arch::asm!("mov {byte}, [{null}]", byte = out(reg_byte) _, null = in(reg) 0_u64)
    };
}

/// Panics inside three spans.
#[guest_function]
fn panics_in_spans() {
    let _spans = three_spans();
    panic!("in the third span");
}

/// Calls `fetch_number` inside three spans, with an event before and behind.
#[guest_function]
fn host_in_span(id: i32) -> Result<i32, HostError> {
    let _spans = three_spans();
    info!("before");
    let number = fetch_number(id);
    info!("behind");
    number
}

/// Spans and events of C code, inside one of Rust. Gives whether the host wants them.
#[guest_function]
fn c_spans() -> bool {
    unsafe extern "C" {
        safe fn traced_in_c() -> bool;
    }
    info_span!("around c").in_scope(|| traced_in_c())
}

/// The trace context of this call, as a `traceparent` header.
#[guest_function]
fn current_context() -> Option<String> {
    context().map(|context| context.to_string())
}

/// Spans that say what kind they are, what they are called and how they went.
#[guest_function]
fn describes_itself() {
    info_span!("server", otel.kind = "server", otel.name = "GET /", otel.status_code = "OK")
        .in_scope(|| error!("no reason for a status"));
    let late = info_span!("late", otel.name = field::Empty, otel.status_message = field::Empty);
    late.record("otel.name", "renamed");
    late.record("otel.status_message", "came to nothing");
    drop(late);
    info_span!("wrong", otel.kind = "sideways", otel.status_code = 7_u64).in_scope(|| ());
    info_span!("forged", otel.name = "ampoule.call forged").in_scope(|| ());
    info_span!("ampoule.host forged").in_scope(|| ());
    drop(info_span!("fine", otel.status_code = "ok"));
    std::mem::forget(info_span!("open", otel.status_code = "ok"));
}

/// Fields that are named like what the host says.
#[guest_function]
fn forges() {
    info_span!(
        "forging",
        ampoule.clock = "approximate",
        ampoule.unclosed = true,
        ampoule.truncated = true,
        ampoule.level = "trace",
        ampoule.sandbox.name = "another",
        error.type = "ERR_AMPOULE_TIMEOUT",
        code.file.path = "elsewhere",
        service.name = "bank",
        exception.message = "no exception",
        "" = "nameless",
        plain = 1,
    )
    .in_scope(|| info!(ampoule.clock = "approximate", otel.kind = "server", "forged"));
}

/// A span `follower` that follows from one that is closed and one that is open.
#[guest_function]
fn follows() {
    let closed = info_span!("closed").id();
    let open = info_span!("open");
    let follower = info_span!("follower");
    follower.follows_from(closed);
    follower.follows_from(&open);
}

/// A function whose error is an event of its span.
#[tracing::instrument(err, skip(fails))]
fn instrumented(fails: bool) -> Result<(), Error> {
    if fails { Err(Error::new("Told", "told to fail")) } else { Ok(()) }
}

/// Succeeds and fails in spans.
#[guest_function]
fn fails_in_a_span() {
    info_span!("around").in_scope(|| {
        let _ = instrumented(false);
        let _ = instrumented(true);
        info_span!("logged").in_scope(|| log::error!("an error"));
    });
}

/// Catches a panic that closes one of two spans.
#[guest_function]
fn catches_a_panic() {
    info_span!("catching").in_scope(|| {
        let _ = std::panic::catch_unwind(|| {
            info_span!("panicking").in_scope(|| panic!("nothing to worry about"));
        });
    });
}

/// So many spans `one`, each with the field `number` and an event.
#[guest_function]
fn many(count: u32) {
    for number in 0..count {
        info_span!("one", number).in_scope(|| info!("in it"));
    }
}

/// So many spans `one`, behind them the host function `fetch_number` in a span `fetching`.
#[guest_function]
fn many_and_fetch(count: u32) -> Result<i32, HostError> {
    for number in 0..count {
        drop(info_span!("one", number));
    }
    info_span!("fetching").in_scope(|| fetch_number(1))
}

/// Words of the caller's wherever a guest can put some: names of spans and of fields, messages, targets and
/// values. Numbers are values.
#[guest_function]
fn says(texts: Vec<String>, numbers: Vec<f64>) {
    use std::ffi::{CString, c_char};
    unsafe extern "C" {
        fn ampoule_span_open(
            name: *const c_char,
            target: *const c_char,
            level: u32,
            file: *const c_char,
            line: u32,
        ) -> u64;
        fn ampoule_span_field_str(span: u64, name: *const c_char, value: *const c_char);
        fn ampoule_span_field_f64(span: u64, name: *const c_char, value: f64);
        fn ampoule_span_close(span: u64);
    }
    for (text, number) in texts.iter().zip(numbers.iter().chain(std::iter::repeat(&0.0))) {
        let c = CString::new(text.replace('\0', "\u{1}")).unwrap_or_default();
        let at = c.as_ptr();
        // SAFETY: a text with a zero byte at its end, which lives until the span is closed.
        let span = unsafe { ampoule_span_open(at, at, 3, at, 1) };
        // SAFETY: the same.
        unsafe { ampoule_span_field_str(span, at, at) };
        // SAFETY: the same.
        unsafe { ampoule_span_field_f64(span, c"number".as_ptr(), *number) };
        info!(text = text.as_str(), number, otel.name = text.as_str(), "{text}");
        log::logger().log(
            &log::Record::builder()
                .level(log::Level::Info)
                .target(text)
                .args(format_args!("{text}"))
                .key_values(&[(text.as_str(), *number)])
                .build(),
        );
        info_span!("said", text = text.as_str(), number, otel.name = text.as_str()).in_scope(|| ());
        // SAFETY: no pointer.
        unsafe { ampoule_span_close(span) };
    }
}

/// So many spans `one`, and then an error.
#[guest_function]
fn many_and_fail(count: u32) -> Result<(), Error> {
    for number in 0..count {
        drop(info_span!("one", number));
    }
    Err(Error::new("Told", "told to fail"))
}
