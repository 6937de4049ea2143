//! The logger of the `log` crate's records.

use super::callsites::{NamedCallsite, Origin};
use super::fields::{Fields, MESSAGE_FIELD};
use super::producer;
use super::recorder::Parent;
use ampoule_wire::trace::{FieldName, Kind, Level, Value};
use log::kv::{self, Key, VisitSource, VisitValue};
use log::{LevelFilter, Log, Metadata, Record};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

#[derive(Debug)]
struct GuestLogger;

/// Whether this is the logger.
static INSTALLED: AtomicBool = AtomicBool::new(false);

/// Makes this the logger, unless there is one.
pub(super) fn install() {
    if log::set_logger(&GuestLogger).is_ok() {
        INSTALLED.store(true, Ordering::Relaxed);
    }
}

/// Level or directives have changed. The maximum is the process's, and with another logger it is that
/// one's business.
pub(super) fn apply_level() {
    if INSTALLED.load(Ordering::Relaxed) {
        let level = producer::with(|producer| producer.max_level()).unwrap_or(0);
        log::set_max_level(match level {
            0 => LevelFilter::Off,
            1 => LevelFilter::Error,
            2 => LevelFilter::Warn,
            3 => LevelFilter::Info,
            4 => LevelFilter::Debug,
            _ => LevelFilter::Trace,
        });
    }
}

fn level(metadata: &Metadata<'_>) -> Level {
    match metadata.level() {
        log::Level::Error => Level::Error,
        log::Level::Warn => Level::Warn,
        log::Level::Info => Level::Info,
        log::Level::Debug => Level::Debug,
        log::Level::Trace => Level::Trace,
    }
}

impl Log for GuestLogger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        producer::with(|producer| producer.allows(level(metadata), metadata.target()))
            .unwrap_or(false)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) || is_of_tracing(record) {
            return;
        }
        let site = NamedCallsite {
            kind: Kind::Log,
            level: level(record.metadata()),
            name: "",
            target: record.target(),
            file: record.file(),
            line: record.line().unwrap_or_default(),
        };
        producer::with(|producer| {
            producer.event(Origin::Named(site), Parent::Current, |fields| {
                fields.formatted(MESSAGE_FIELD, *record.args());
                let visit = || record.key_values().visit(&mut Collect(fields));
                // What the values' own code fails with is no concern of the program's.
                if let Err(payload) = catch_unwind(AssertUnwindSafe(visit)) {
                    std::mem::forget(payload);
                }
            });
        });
    }

    fn flush(&self) {}
}

/// Whether the record repeats a span or an event. With its feature `log-always`, which any dependency
/// may switch on, the `tracing` crate makes a record of each (with `log` only while there is no
/// subscriber). Such a record borrows its file from a callsite, where the `log` crate's own macros have
/// a constant.
fn is_of_tracing(record: &Record<'_>) -> bool {
    #[cfg(feature = "tracing")]
    if record.file_static().is_none()
        && let (Some(file), Some(line)) = (record.file(), record.line())
    {
        let known = |producer: &producer::Producer| {
            producer.callsites(|callsites| callsites.has_fixed(file, line))
        };
        return producer::with(known).flatten().unwrap_or(false);
    }
    let _ = record;
    false
}

/// Collects a record's key-value pairs with their types.
struct Collect<'a>(&'a mut Fields);

impl<'kvs> VisitSource<'kvs> for Collect<'_> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: kv::Value<'kvs>) -> Result<(), kv::Error> {
        value.visit(CollectValue { fields: self.0, name: FieldName::Text(key.as_str()) })
    }
}

struct CollectValue<'a> {
    fields: &'a mut Fields,
    name: FieldName<'a>,
}

impl CollectValue<'_> {
    fn plain(&mut self, value: Value<'_>) -> Result<(), kv::Error> {
        self.fields.plain(self.name, value);
        Ok(())
    }
}

impl VisitValue<'_> for CollectValue<'_> {
    fn visit_any(&mut self, value: kv::Value<'_>) -> Result<(), kv::Error> {
        self.fields.formatted(self.name, format_args!("{value}"));
        Ok(())
    }

    fn visit_bool(&mut self, value: bool) -> Result<(), kv::Error> {
        self.plain(Value::Bool(value))
    }

    fn visit_i64(&mut self, value: i64) -> Result<(), kv::Error> {
        self.plain(Value::Signed(value))
    }

    fn visit_u64(&mut self, value: u64) -> Result<(), kv::Error> {
        self.plain(Value::Unsigned(value))
    }

    fn visit_f64(&mut self, value: f64) -> Result<(), kv::Error> {
        self.plain(Value::Float(value))
    }

    fn visit_str(&mut self, value: &str) -> Result<(), kv::Error> {
        self.plain(Value::Text(value))
    }
}
