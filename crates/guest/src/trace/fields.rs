//! The values of a span or an event while they are being collected.

use ampoule_wire::trace::{Field, FieldName, Value};
use std::fmt::{self, Write};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The field that holds the text of an event.
pub(super) const MESSAGE: &str = "message";
pub(super) const MESSAGE_FIELD: FieldName<'static> = FieldName::Index(0);

/// What stands for a value whose own code panicked.
const PANICKED: &str = "<panicked>";

/// Collected values. The texts are copied, because their owners run as they are written and may
/// themselves make spans and events.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    collected: Vec<(Name, Collected)>,
    texts: String,
    /// Most bytes of one text.
    text_max: usize,
    truncated: bool,
    /// Memory for [`Fields::with`].
    memory: Vec<Field<'static>>,
}

#[derive(Debug)]
enum Name {
    Index(u16),
    Text(Range<usize>),
}

#[derive(Debug)]
enum Collected {
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Text(Range<usize>),
}

impl Fields {
    /// Forgets everything but the memory. Texts will be cut to `text_max` bytes.
    pub(crate) fn clear(&mut self, text_max: usize) {
        self.collected.clear();
        self.texts.clear();
        self.texts.shrink_to(text_max);
        self.text_max = text_max;
        self.truncated = false;
    }

    /// Whether texts were cut.
    pub(crate) fn truncated(&self) -> bool {
        self.truncated
    }

    /// Adds a value that needs no copy.
    pub(crate) fn plain(&mut self, name: FieldName<'_>, value: Value<'_>) {
        let value = match value {
            Value::Bool(value) => Collected::Bool(value),
            Value::Signed(value) => Collected::Signed(value),
            Value::Unsigned(value) => Collected::Unsigned(value),
            Value::Float(value) => Collected::Float(value),
            Value::Text(text) => Collected::Text(self.copy(text)),
        };
        let name = self.name(name);
        self.collected.push((name, value));
    }

    /// Adds a value as the text that it displays as. Its code may panic: the value is then another.
    pub(crate) fn formatted(&mut self, name: FieldName<'_>, value: fmt::Arguments<'_>) {
        let text = match value.as_str() {
            Some(text) => self.copy(text),
            None => self.format(value),
        };
        let name = self.name(name);
        self.collected.push((name, Collected::Text(text)));
    }

    /// Gives the fields to `take`.
    pub(crate) fn with<T>(&mut self, take: impl FnOnce(&[Field<'_>]) -> T) -> T {
        let mut fields: Vec<Field<'_>> = std::mem::take(&mut self.memory);
        let text = |range: &Range<usize>| self.texts.get(range.clone()).unwrap_or_default();
        fields.extend(self.collected.iter().map(|(name, value)| Field {
            name: match name {
                Name::Index(index) => FieldName::Index(*index),
                Name::Text(range) => FieldName::Text(text(range)),
            },
            value: match value {
                Collected::Bool(value) => Value::Bool(*value),
                Collected::Signed(value) => Value::Signed(*value),
                Collected::Unsigned(value) => Value::Unsigned(*value),
                Collected::Float(value) => Value::Float(*value),
                Collected::Text(range) => Value::Text(text(range)),
            },
        }));
        let result = take(&fields);
        fields.clear();
        // Collected in place: an empty vector of another lifetime with the same memory.
        self.memory = fields.into_iter().map(|_| NOTHING).collect();
        result
    }

    fn name(&mut self, name: FieldName<'_>) -> Name {
        match name {
            FieldName::Index(index) => Name::Index(index),
            FieldName::Text(text) => Name::Text(self.copy(text)),
        }
    }

    fn copy(&mut self, text: &str) -> Range<usize> {
        let start = self.texts.len();
        let cut = text.floor_char_boundary(self.text_max);
        self.truncated |= cut < text.len();
        self.texts.push_str(&text[..cut]);
        start..self.texts.len()
    }

    fn format(&mut self, value: fmt::Arguments<'_>) -> Range<usize> {
        let start = self.texts.len();
        let mut cut = Cut { end: start.saturating_add(self.text_max), fields: self };
        // Nothing but `texts` is being written, and that is consistent after each piece.
        let outcome = catch_unwind(AssertUnwindSafe(|| cut.write_fmt(value)));
        if let Err(payload) = outcome {
            // Dropping it may run code that panics again.
            std::mem::forget(payload);
            self.texts.push_str(PANICKED);
        }
        start..self.texts.len()
    }
}

const NOTHING: Field<'static> = Field { name: FieldName::Index(0), value: Value::Bool(false) };

/// Writes texts up to an end, and then refuses, so that a value that formats for ever stops.
struct Cut<'a> {
    fields: &'a mut Fields,
    end: usize,
}

impl Write for Cut<'_> {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        let room = self.end.saturating_sub(self.fields.texts.len());
        let cut = piece.floor_char_boundary(room);
        self.fields.texts.push_str(&piece[..cut]);
        if cut < piece.len() {
            self.fields.truncated = true;
            return Err(fmt::Error);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: FieldName<'static> = FieldName::Index(3);

    fn texts(fields: &mut Fields) -> Vec<String> {
        fields.with(|fields| {
            let text = |field: &Field<'_>| match field.value {
                Value::Text(text) => text.to_owned(),
                other => format!("{other:?}"),
            };
            fields.iter().map(text).collect()
        })
    }

    #[test]
    fn values_come_back_as_they_were() {
        let mut fields = Fields::default();
        for _ in 0..2 {
            fields.clear(100);
            fields.plain(NAME, Value::Signed(-1));
            fields.plain(FieldName::Text("name"), Value::Text("ä"));
            fields.formatted(NAME, format_args!("{:?}", Some(1)));
            fields.formatted(NAME, format_args!("literal"));
            fields.with(|fields| assert_eq!(fields[1].name, FieldName::Text("name")));
            assert_eq!(texts(&mut fields), ["Signed(-1)", "ä", "Some(1)", "literal"]);
            assert!(!fields.truncated());
        }
    }

    #[test]
    fn texts_are_cut_at_a_character() {
        let mut fields = Fields::default();
        fields.clear(5);
        fields.plain(NAME, Value::Text("äää"));
        fields.formatted(NAME, format_args!("{}{}", "äää", "ä"));
        assert!(fields.truncated());
        assert_eq!(texts(&mut fields), ["ää", "ää"]);
    }

    #[test]
    fn a_value_that_formats_for_ever_stops() {
        struct Endless;
        impl fmt::Display for Endless {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                loop {
                    formatter.write_str("x")?;
                }
            }
        }
        let mut fields = Fields::default();
        fields.clear(3);
        fields.formatted(NAME, format_args!("{Endless}"));
        assert_eq!(texts(&mut fields), ["xxx"]);
    }

    #[test]
    fn a_value_that_panics_is_marked() {
        struct Panics;
        impl fmt::Display for Panics {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("half")?;
                panic!("while it is displayed");
            }
        }
        let mut fields = Fields::default();
        fields.clear(100);
        fields.formatted(NAME, format_args!("{Panics}"));
        assert_eq!(texts(&mut fields), ["half<panicked>"]);
    }
}
