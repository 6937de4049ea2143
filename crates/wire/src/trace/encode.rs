//! Writing records.

use super::{Callsite, Field, FieldName, Record, Value, schema};
use flatbuffers::{FlatBufferBuilder, UnionWIPOffset, WIPOffset};

type Builder = FlatBufferBuilder<'static>;
type Fields =
    WIPOffset<flatbuffers::Vector<'static, flatbuffers::ForwardsUOffset<schema::Field<'static>>>>;

/// Writes records one at a time, in memory that it uses again.
#[derive(Default)]
pub struct Encoder {
    builder: Builder,
    fields: Vec<WIPOffset<schema::Field<'static>>>,
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Encoder").finish_non_exhaustive()
    }
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

    /// The next smaller record.
    const fn less(self) -> Self {
        if self.text > 16 {
            Self { text: self.text / 2, ..self }
        } else {
            Self { text: 0, fields: self.fields / 2 }
        }
    }

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
    /// `TRACE_RECORD_ALIGNMENT`. One that takes more than `limit` bytes is cut: its texts first, then
    /// the number of its fields, and it says so. 256 bytes are always enough.
    ///
    /// Cost: tens of nanoseconds and as many for each field; no allocation in the steady state.
    pub fn encode(&mut self, record: &Record<'_>, limit: usize) -> &[u8] {
        self.build(record, Cut::NOTHING);
        if self.builder.finished_data().len() > limit {
            // Longer texts do not fit in any case.
            let mut cut = Cut { text: limit, fields: field_count(record) };
            self.build(record, cut);
            while self.builder.finished_data().len() > limit && (cut.text > 0 || cut.fields > 0) {
                cut = cut.less();
                self.build(record, cut);
            }
        }
        self.builder.finished_data()
    }

    fn build(&mut self, record: &Record<'_>, cut: Cut) {
        self.builder.reset();
        let (body_type, body) = self.body(record, cut);
        let arguments = schema::RecordArgs { body_type, body: Some(body) };
        let root = schema::Record::create(&mut self.builder, &arguments);
        self.builder.finish_size_prefixed(root, None);
    }

    fn body(&mut self, record: &Record<'_>, cut: Cut) -> (schema::Body, WIPOffset<UnionWIPOffset>) {
        match *record {
            Record::CallStart { tsc } => {
                let body =
                    schema::CallStart::create(&mut self.builder, &schema::CallStartArgs { tsc });
                (schema::Body::CallStart, body.as_union_value())
            }
            Record::Callsite(ref callsite) => {
                (schema::Body::Callsite, self.callsite(callsite, cut))
            }
            Record::OpenSpan { id, parent, callsite, tsc, ref fields, truncated } => {
                let fields = self.fields(fields, cut);
                let truncated = truncated || cut.is_cut();
                let arguments =
                    schema::OpenSpanArgs { id, parent, callsite, tsc, fields, truncated };
                let body = schema::OpenSpan::create(&mut self.builder, &arguments);
                (schema::Body::OpenSpan, body.as_union_value())
            }
            Record::EditSpan { id, ref fields, truncated } => {
                let fields = self.fields(fields, cut);
                let truncated = truncated || cut.is_cut();
                let arguments = schema::EditSpanArgs { id, fields, truncated };
                let body = schema::EditSpan::create(&mut self.builder, &arguments);
                (schema::Body::EditSpan, body.as_union_value())
            }
            Record::CloseSpan { id, tsc } => {
                let arguments = schema::CloseSpanArgs { id, tsc };
                let body = schema::CloseSpan::create(&mut self.builder, &arguments);
                (schema::Body::CloseSpan, body.as_union_value())
            }
            Record::Event { span, callsite, tsc, ref fields, truncated } => {
                let fields = self.fields(fields, cut);
                let truncated = truncated || cut.is_cut();
                let arguments = schema::EventArgs { span, callsite, tsc, fields, truncated };
                let body = schema::Event::create(&mut self.builder, &arguments);
                (schema::Body::Event, body.as_union_value())
            }
        }
    }

    fn callsite(&mut self, from: &Callsite<'_>, cut: Cut) -> WIPOffset<UnionWIPOffset> {
        let builder = &mut self.builder;
        let kept = from.fields.len().min(cut.fields);
        let names: Vec<_> =
            from.fields[..kept].iter().map(|name| builder.create_string(cut.of(name))).collect();
        let arguments = schema::CallsiteArgs {
            id: from.id,
            name: Some(builder.create_string(cut.of(from.name))),
            target: Some(builder.create_string(cut.of(from.target))),
            level: schema::Level(from.level as u8),
            kind: schema::Kind(from.kind as u8),
            file: from.file.map(|file| builder.create_string(cut.of(file))),
            line: from.line,
            fields: (!names.is_empty()).then(|| builder.create_vector(&names)),
        };
        schema::Callsite::create(builder, &arguments).as_union_value()
    }

    fn fields(&mut self, from: &[Field<'_>], cut: Cut) -> Option<Fields> {
        if from.is_empty() {
            return None;
        }
        self.fields.clear();
        for field in &from[..from.len().min(cut.fields)] {
            let builder = &mut self.builder;
            let (index, name) = match field.name {
                FieldName::Index(index) => (index, None),
                FieldName::Text(name) => (0, Some(builder.create_string(cut.of(name)))),
            };
            let (type_, bits, text) = match field.value {
                Value::Bool(value) => (schema::Type::Bool, u64::from(value), None),
                Value::Signed(value) => (schema::Type::Signed, value.cast_unsigned(), None),
                Value::Unsigned(value) => (schema::Type::Unsigned, value, None),
                Value::Float(value) => (schema::Type::Float, value.to_bits(), None),
                Value::Text(text) => {
                    (schema::Type::Text, 0, Some(builder.create_string(cut.of(text))))
                }
            };
            let arguments = schema::FieldArgs { index, name, type_, bits, text };
            self.fields.push(schema::Field::create(builder, &arguments));
        }
        Some(self.builder.create_vector(&self.fields))
    }
}

fn field_count(record: &Record<'_>) -> usize {
    match record {
        Record::CallStart { .. } | Record::CloseSpan { .. } => 0,
        Record::Callsite(callsite) => callsite.fields.len(),
        Record::OpenSpan { fields, .. }
        | Record::EditSpan { fields, .. }
        | Record::Event { fields, .. } => fields.len(),
    }
}
