//! The fields of spans and events as attributes: what they are called, and which of them mean something.

use ampoule_wire::trace::{Field, FieldName, Value};
use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

/// Where attributes of the host's stand, and those by which OpenTelemetry's conventions say what failed,
/// where, and in whose service. A guest's fields of these names are called `guest.` and their name.
const RESERVED: [&str; 7] =
    ["ampoule.", "code.", "error.", "exception.", "otel.", "service.", "telemetry."];

/// What comes before such a name.
const PREFIX: &str = "guest.";

/// Bytes of a name; what is longer is cut at a character.
const NAME_MAX: usize = 256;

static TRUNCATED: LazyLock<Arc<str>> = LazyLock::new(|| "ampoule.truncated".into());
static CLOCK: LazyLock<Arc<str>> = LazyLock::new(|| "ampoule.clock".into());

/// A named value of a span or event.
#[derive(Debug, Clone, PartialEq)]
pub struct Attribute {
    /// Its name.
    pub name: Arc<str>,
    /// Its value.
    pub value: AttributeValue,
}

/// A value with its type.
#[derive(Debug, Clone, PartialEq)]
pub enum AttributeValue {
    /// A truth value.
    Bool(bool),
    /// A signed integer.
    Signed(i64),
    /// An unsigned integer.
    Unsigned(u64),
    /// A floating-point number.
    Float(f64),
    /// A text.
    Text(Box<str>),
}

/// What a span's fields `otel.kind`, `otel.name`, `otel.status_code` and `otel.status_message` say, as
/// Rust's bridge from `tracing` to OpenTelemetry reads them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Otel {
    /// Which end of what it is. Of no effect once the span has begun.
    pub kind: Option<SpanKind>,
    /// What it is called instead.
    pub name: Option<Box<str>>,
    /// Whether it went well.
    pub is_ok: Option<bool>,
    /// Why it did not.
    pub message: Option<Box<str>>,
}

/// The kinds of spans, with OpenTelemetry's names and the numbers of its API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanKind {
    /// Of no other kind.
    Internal = 0,
    /// Answers a request.
    Server = 1,
    /// Makes a request.
    Client = 2,
    /// Sends a message.
    Producer = 3,
    /// Receives one.
    Consumer = 4,
}

/// A field of a callsite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldInfo {
    /// What the attribute is called.
    pub name: Arc<str>,
    /// What it says of a span.
    role: Option<Role>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Kind,
    Name,
    Status,
    Message,
}

impl FieldInfo {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: attribute_name(name).into(), role: Role::of(name) }
    }

    /// Whether it would be the same for `name`.
    pub(crate) fn is(&self, name: &str) -> bool {
        *self.name == *attribute_name(name)
    }
}

/// What the attribute for a field `name` is called: never like one of the host's, and never nothing.
fn attribute_name(name: &str) -> Cow<'_, str> {
    let cut = &name[..name.floor_char_boundary(NAME_MAX)];
    if cut.is_empty() {
        Cow::Borrowed("unnamed")
    } else if RESERVED.iter().any(|reserved| cut.starts_with(reserved)) {
        Cow::Owned(format!("{PREFIX}{cut}"))
    } else {
        Cow::Borrowed(cut)
    }
}

impl Role {
    fn of(name: &str) -> Option<Self> {
        Some(match name.strip_prefix("otel.")? {
            "kind" => Self::Kind,
            "name" => Self::Name,
            "status_code" => Self::Status,
            "status_message" | "status_description" => Self::Message,
            _ => return None,
        })
    }

    /// Takes what `value` says into `otel`; `false` if that is nothing.
    fn apply(self, value: Value<'_>, otel: &mut Option<Box<Otel>>) -> bool {
        let Value::Text(text) = value else { return false };
        let is = |word: &str| text.eq_ignore_ascii_case(word);
        let kind = [
            ("internal", SpanKind::Internal),
            ("server", SpanKind::Server),
            ("client", SpanKind::Client),
            ("producer", SpanKind::Producer),
            ("consumer", SpanKind::Consumer),
        ];
        let said = otel.get_or_insert_default();
        match self {
            Self::Kind => said.kind = kind.iter().find(|(word, _)| is(word)).map(|&(_, kind)| kind),
            Self::Name if !text.is_empty() => said.name = Some(text.into()),
            Self::Name => return false,
            Self::Status if is("ok") => said.is_ok = Some(true),
            Self::Status if is("error") => said.is_ok = Some(false),
            Self::Status => return false,
            Self::Message => said.message = Some(text.into()),
        }
        self != Self::Kind || said.kind.is_some()
    }
}

/// Attributes, and what they say of the span that they are of.
pub(crate) type Described = (Vec<Attribute>, Option<Box<Otel>>);

/// The fields by name, and marks for what was cut and for times that may be off by more than the readings
/// of the clock tell. `of_callsite` are the fields that their callsite has, `is_span` says that they are of a
/// span.
pub(crate) fn describe(
    of_callsite: &[FieldInfo],
    fields: &[Field<'_>],
    is_span: bool,
    truncated: bool,
    approximate: bool,
) -> Described {
    let mut attributes = Vec::with_capacity(fields.len() + usize::from(truncated || approximate));
    let mut otel = None;
    for field in fields {
        let (name, role) = match field.name {
            FieldName::Index(index) => match of_callsite.get(usize::from(index)) {
                Some(info) => (Arc::clone(&info.name), info.role),
                None => continue,
            },
            FieldName::Text(name) => (attribute_name(name).into(), Role::of(name)),
        };
        if let Some(role) = role.filter(|_| is_span)
            && role.apply(field.value, &mut otel)
        {
            continue;
        }
        attributes.push(Attribute { name, value: owned(field.value) });
    }
    if truncated {
        let value = AttributeValue::Bool(true);
        attributes.push(Attribute { name: Arc::clone(&TRUNCATED), value });
    }
    if approximate {
        let value = AttributeValue::Text("approximate".into());
        attributes.push(Attribute { name: Arc::clone(&CLOCK), value });
    }
    (attributes, otel.filter(|otel| **otel != Otel::default()))
}

fn owned(value: Value<'_>) -> AttributeValue {
    match value {
        Value::Bool(value) => AttributeValue::Bool(value),
        Value::Signed(value) => AttributeValue::Signed(value),
        Value::Unsigned(value) => AttributeValue::Unsigned(value),
        Value::Float(value) => AttributeValue::Float(value),
        Value::Text(text) => AttributeValue::Text(text.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::{FieldInfo, attribute_name};

    #[test]
    fn no_field_is_called_like_what_the_host_says() {
        let cases = [
            ("count", "count"),
            ("message", "message"),
            ("error", "error"),
            ("ampoule.clock", "guest.ampoule.clock"),
            ("ampoule.anything", "guest.ampoule.anything"),
            ("error.type", "guest.error.type"),
            ("exception.message", "guest.exception.message"),
            ("code.function.name", "guest.code.function.name"),
            ("otel.scope.name", "guest.otel.scope.name"),
            ("service.name", "guest.service.name"),
            ("telemetry.sdk.name", "guest.telemetry.sdk.name"),
            ("amp", "amp"),
            ("", "unnamed"),
        ];
        for (name, expected) in cases {
            assert_eq!(attribute_name(name), expected);
            assert!(FieldInfo::new(name).is(name));
        }
    }

    #[test]
    fn a_name_is_cut_at_a_character() {
        let name = "ä".repeat(129) + "x";
        assert_eq!(attribute_name(&name), "ä".repeat(128));
        assert_eq!(attribute_name(&format!("x{name}")), format!("x{}", "ä".repeat(127)));
    }
}
