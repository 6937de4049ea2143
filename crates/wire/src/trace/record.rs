//! What is told: records, and what they are made of.

use std::borrow::Cow;

/// How important a span or an event is, from the most important on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Level {
    /// Something failed.
    Error = 1,
    /// Something may fail.
    Warn = 2,
    /// What an operator wants to know.
    Info = 3,
    /// What a developer wants to know.
    Debug = 4,
    /// Everything else.
    Trace = 5,
}

impl Level {
    /// The level that `value` stands for in the control page and in records; 0 stands for none.
    #[must_use]
    pub const fn from_wire(value: u8) -> Option<Self> {
        Some(match value {
            1 => Self::Error,
            2 => Self::Warn,
            3 => Self::Info,
            4 => Self::Debug,
            5 => Self::Trace,
            _ => return None,
        })
    }
}

/// What a callsite makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Spans.
    Span = 0,
    /// Events.
    Event = 1,
    /// Records of a logging library.
    Log = 2,
}

impl Kind {
    /// The kind that `value` stands for in a record.
    #[must_use]
    pub const fn from_wire(value: u8) -> Option<Self> {
        Some(match value {
            0 => Self::Span,
            1 => Self::Event,
            2 => Self::Log,
            _ => return None,
        })
    }
}

/// The value of a field, with its type.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// A truth value.
    Bool(bool),
    /// A signed integer.
    Signed(i64),
    /// An unsigned integer.
    Unsigned(u64),
    /// A floating-point number.
    Float(f64),
    /// A text.
    Text(&'a str),
}

/// How a field is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldName<'a> {
    /// By its place among the callsite's names.
    Index(u16),
    /// By itself.
    Text(&'a str),
}

/// A named value of a span or event.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Field<'a> {
    /// Its name.
    pub name: FieldName<'a>,
    /// Its value.
    pub value: Value<'a>,
}

/// A place in a guest's source that makes spans or events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callsite<'a> {
    /// The guest's number of it.
    pub id: u32,
    /// Name of the spans; empty or anything for events.
    pub name: &'a str,
    /// What directives select by, usually a module's path.
    pub target: &'a str,
    /// How important what it makes is.
    pub level: Level,
    /// What it makes.
    pub kind: Kind,
    /// Source file, when it is known.
    pub file: Option<&'a str>,
    /// Line in it, from 1; 0 when it is not known.
    pub line: u32,
    /// Names of the fields.
    pub fields: Cow<'a, [&'a str]>,
}

/// One record of a batch. Times are values of the guest's time-stamp counter.
#[derive(Debug, Clone, PartialEq)]
pub enum Record<'a> {
    /// The guest has begun to answer a call.
    CallStart {
        /// When.
        tsc: u64,
    },
    /// A callsite, before its first use.
    Callsite(Callsite<'a>),
    /// A span begins.
    OpenSpan {
        /// The guest's number of it, not 0.
        id: u64,
        /// That of the span around it; 0 for none.
        parent: u64,
        /// The callsite's number.
        callsite: u32,
        /// When.
        tsc: u64,
        /// What is known of it.
        fields: Cow<'a, [Field<'a>]>,
        /// Whether texts were cut.
        truncated: bool,
        /// When it ended, if nothing was told in between; 0 for a span that stays open.
        closed: u64,
    },
    /// More of an open span is known.
    EditSpan {
        /// The guest's number of the span.
        id: u64,
        /// What is known in addition.
        fields: Cow<'a, [Field<'a>]>,
        /// Whether texts were cut.
        truncated: bool,
    },
    /// A span ends.
    CloseSpan {
        /// The guest's number of it.
        id: u64,
        /// When.
        tsc: u64,
        /// Whether a panic that unwinds the stack has closed it.
        unwinding: bool,
    },
    /// A span follows from another one.
    LinkSpan {
        /// The guest's number of the span.
        id: u64,
        /// That of the span that it follows from, which may be closed.
        from: u64,
    },
    /// Something happens.
    Event {
        /// The guest's number of the span that it belongs to; 0 for none.
        span: u64,
        /// The callsite's number.
        callsite: u32,
        /// When.
        tsc: u64,
        /// What is known of it; the text of a log record is the field `message`.
        fields: Cow<'a, [Field<'a>]>,
        /// Whether texts were cut.
        truncated: bool,
    },
}
