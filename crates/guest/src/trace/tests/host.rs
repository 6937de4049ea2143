//! A host without a virtual machine: control page and trace area in ordinary memory, and a reader that
//! writes down what it sees as lines of text.

use crate::channel::HeaderContext;
use crate::channel::trace::TraceArea;
use crate::trace::{begin, begin_start, start_ends};
use ampoule_abi::channel::{Area, TRACE_DIRECTIVES_OFFSET};
use ampoule_wire::trace::schema;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

const PAGE: usize = 4096;
const HEADER_WORDS: usize = 8;

/// Control page and area, of words so that guest and host may both write.
#[repr(C, align(4096))]
struct Memory {
    control: [AtomicU64; PAGE / 8],
    area: [AtomicU64; PAGE * 16 / 8],
}

/// What the host knows.
struct Reader {
    memory: &'static Memory,
    /// Sequence and length of what was read last.
    read: (u64, usize),
    /// Whether full batches are read and acknowledged.
    takes: bool,
    rings: usize,
    records: usize,
    lines: Vec<String>,
    names: HashMap<u32, String>,
    fields: HashMap<u32, Vec<String>>,
    spans: HashMap<u64, usize>,
    times: Vec<u64>,
}

thread_local! {
    static READER: RefCell<Option<Reader>> = const { RefCell::new(None) };
    static GENERATION: Cell<u64> = const { Cell::new(0) };
}

/// What `tracing` and `log` keep is the process's: one test at a time.
static ONE: Mutex<()> = Mutex::new(());

pub(super) struct Host {
    _one: MutexGuard<'static, ()>,
}

impl Host {
    /// A host with room for `capacity` bytes of records.
    pub(super) fn with_capacity(capacity: usize) -> Self {
        Self::starting(capacity, 0, || ())
    }

    /// A host that wants to hear of the init function at `level`.
    pub(super) fn starting(capacity: usize, level: u64, init: impl FnOnce()) -> Self {
        let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let memory: &'static Memory = Box::leak(Box::new(Memory {
            control: [const { AtomicU64::new(0) }; PAGE / 8],
            area: [const { AtomicU64::new(0) }; PAGE * 16 / 8],
        }));
        let control = std::ptr::from_ref(memory).expose_provenance();
        let size = u64::try_from(capacity + HEADER_WORDS * 8).unwrap();
        let area = TraceArea::new(control, Area { offset: 4096, size }, ring).unwrap().unwrap();
        assert_eq!(area.capacity(), capacity);
        READER.set(Some(Reader {
            memory,
            read: (0, 0),
            takes: true,
            rings: 0,
            records: 0,
            lines: Vec::new(),
            names: HashMap::new(),
            fields: HashMap::new(),
            spans: HashMap::new(),
            times: Vec::new(),
        }));
        let host = Self { _one: one };
        host.set_level(level);
        begin_start(area);
        init();
        start_ends();
        stop();
        host
    }

    pub(super) fn new() -> Self {
        Self::with_capacity(32 << 10)
    }

    /// A call that the host wants to hear of by `directives`.
    pub(super) fn call(&self, level: u32, directives: &str, body: impl FnOnce()) {
        with(|reader| {
            let control = &reader.memory.control;
            let text = usize::try_from(TRACE_DIRECTIVES_OFFSET).unwrap() / 8;
            for (word, bytes) in control[text..].iter().zip(directives.as_bytes().chunks(8)) {
                let mut padded = [0; 8];
                padded[..bytes.len()].copy_from_slice(bytes);
                word.store(u64::from_le_bytes(padded), Ordering::Relaxed);
            }
            control[12].store(u64::from(level), Ordering::Relaxed);
            control[15].store(TRACE_DIRECTIVES_OFFSET, Ordering::Relaxed);
            control[16].store(u64::try_from(directives.len()).unwrap(), Ordering::Relaxed);
        });
        self.forget();
        self.call_again(body);
    }

    /// A call by the directives and in the generation of the last one.
    pub(super) fn call_again(&self, body: impl FnOnce()) {
        let is_traced = with(|reader| reader.memory.control[12].load(Ordering::Relaxed) > 0);
        begin(is_traced, HeaderContext::default);
        body();
        stop();
    }

    /// A call of which the host wants to hear nothing.
    pub(super) fn quiet_call(&self, body: impl FnOnce()) {
        self.set_level(0);
        self.call_again(body);
    }

    pub(super) fn set_level(&self, level: u64) {
        with(|reader| reader.memory.control[12].store(level, Ordering::Relaxed));
    }

    /// Begins another generation.
    pub(super) fn forget(&self) {
        GENERATION.set(GENERATION.get() + 1);
        with(|reader| reader.memory.control[13].store(GENERATION.get(), Ordering::Relaxed));
    }

    /// From now on full batches are not read.
    pub(super) fn take_nothing(&self) {
        with(|reader| reader.takes = false);
    }

    /// The host stops the guest, as at a doorbell.
    pub(super) fn stop(&self) {
        stop();
    }

    /// What came since the last time.
    pub(super) fn lines(&self) -> Vec<String> {
        with(|reader| std::mem::take(&mut reader.lines))
    }

    /// Times of the records, in their order.
    pub(super) fn times(&self) -> Vec<u64> {
        with(|reader| reader.times.clone())
    }

    /// Records that came since the last time.
    pub(super) fn records(&self) -> usize {
        with(|reader| std::mem::take(&mut reader.records))
    }

    pub(super) fn rings(&self) -> usize {
        with(|reader| reader.rings)
    }

    pub(super) fn dropped(&self) -> u64 {
        with(|reader| reader.memory.area[3].load(Ordering::Relaxed))
    }

    /// Sequence and length that the guest has published.
    pub(super) fn published(&self) -> (u64, u64) {
        with(|reader| {
            let area = &reader.memory.area;
            (area[0].load(Ordering::Acquire), area[2].load(Ordering::Acquire))
        })
    }

    /// The host's number of the span that a host call would name.
    pub(super) fn current_span(&self) -> usize {
        stop();
        let id = crate::trace::current_span();
        with(|reader| reader.spans.get(&id).copied().unwrap_or_default())
    }
}

fn with<T>(body: impl FnOnce(&mut Reader) -> T) -> T {
    READER.with_borrow_mut(|reader| body(reader.as_mut().unwrap()))
}

/// The port for full batches.
fn ring() {
    let takes = with(|reader| {
        reader.rings += 1;
        reader.takes
    });
    if takes {
        stop();
    }
}

/// Reads what is new and acknowledges it.
fn stop() {
    with(|reader| {
        let area = &reader.memory.area;
        let sequence = area[0].load(Ordering::Acquire);
        let length = usize::try_from(area[2].load(Ordering::Acquire)).unwrap();
        let from = if reader.read.0 == sequence { reader.read.1 } else { 0 };
        assert!(sequence == reader.read.0 || sequence == reader.read.0 + 1);
        let words = &area[HEADER_WORDS + from / 8..HEADER_WORDS + length.max(from) / 8];
        let bytes: Vec<u8> =
            words.iter().flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes()).collect();
        if sequence > 0 {
            let address = std::ptr::from_ref(&area[HEADER_WORDS]).addr();
            assert_eq!(area[1].load(Ordering::Acquire), u64::try_from(address).unwrap());
        }
        reader.read = (sequence, length);
        reader.decode(&bytes);
        reader.memory.control[14].store(sequence, Ordering::Relaxed);
    });
}

impl Reader {
    fn decode(&mut self, mut bytes: &[u8]) {
        while let Some(prefix) = bytes.first_chunk() {
            let size = usize::try_from(u32::from_le_bytes(*prefix)).unwrap() + 4;
            let (record, rest) = bytes.split_at(size.next_multiple_of(8));
            assert!(record[size..].iter().all(|&byte| byte == 0));
            bytes = rest;
            let record = schema::size_prefixed_root_as_record(&record[..size]).unwrap();
            self.records += 1;
            let line = self.line(&record);
            self.lines.push(line);
            let span = record.body_as_open_span();
            if let Some(span) = span.filter(|span| span.closed() > 0) {
                self.times.push(span.closed());
                self.lines.push(format!("close {}", self.number(span.id())));
            }
        }
        assert!(bytes.is_empty());
    }

    fn line(&mut self, record: &schema::Record<'_>) -> String {
        if let Some(start) = record.body_as_call_start() {
            self.times.push(start.tsc());
            return "call".to_owned();
        }
        if let Some(site) = record.body_as_callsite() {
            let texts = [site.name(), site.target(), site.file()].map(Option::unwrap_or_default);
            let file = texts[2].rsplit('/').next().unwrap_or_default();
            let fields: Vec<String> =
                site.fields().into_iter().flatten().map(str::to_owned).collect();
            let name = if texts[0].is_empty() { texts[1] } else { texts[0] };
            self.names.insert(site.id(), name.to_owned());
            let line = format!(
                "callsite {:?} {} {:?} {:?} {:?} {file} {}",
                site.kind(),
                texts[0],
                texts[1],
                site.level(),
                fields,
                if site.line() > 0 { "with a line" } else { "" }
            );
            self.fields.insert(site.id(), fields);
            return line;
        }
        if let Some(span) = record.body_as_open_span() {
            self.times.push(span.tsc());
            let number = self.spans.len() + 1;
            let is_new = self.spans.insert(span.id(), number).is_none();
            assert!(is_new && span.id() != 0);
            let parent = self.number(span.parent());
            let name = &self.names[&span.callsite()];
            let fields = self.values(span.callsite(), span.fields(), span.truncated());
            return format!("open {number} in {parent}: {name}{fields}");
        }
        if let Some(edit) = record.body_as_edit_span() {
            let fields = self.values(0, edit.fields(), edit.truncated());
            return format!("edit {}:{fields}", self.number(edit.id()));
        }
        if let Some(close) = record.body_as_close_span() {
            self.times.push(close.tsc());
            let how = if close.unwinding() { " by a panic" } else { "" };
            return format!("close {}{how}", self.number(close.id()));
        }
        if let Some(link) = record.body_as_link_span() {
            return format!("link {} to {}", self.number(link.id()), self.number(link.from()));
        }
        let event = record.body_as_event().unwrap();
        self.times.push(event.tsc());
        let name = &self.names[&event.callsite()];
        let name = if name.starts_with("event ") { "event" } else { name };
        let fields = self.values(event.callsite(), event.fields(), event.truncated());
        format!("event in {}: {name}{fields}", self.number(event.span()))
    }

    fn number(&self, span: u64) -> usize {
        if span == 0 { 0 } else { self.spans[&span] }
    }

    fn values<'a>(
        &self,
        callsite: u32,
        fields: impl IntoIterator<Item = impl IntoIterator<Item = schema::Field<'a>>>,
        truncated: bool,
    ) -> String {
        let mut line = String::new();
        for field in fields.into_iter().flatten() {
            let index = usize::from(field.index());
            let name = match (field.name(), self.fields.get(&callsite)) {
                (Some(name), _) => name.to_owned(),
                (None, Some(names)) => names[index].clone(),
                (None, None) => format!("#{index}"),
            };
            let bits = field.bits();
            let value = match field.type_() {
                schema::Type::Bool => format!("{}", bits == 1),
                schema::Type::Signed => format!("{}i", bits.cast_signed()),
                schema::Type::Unsigned => format!("{bits}u"),
                schema::Type::Float => format!("{:?}", f64::from_bits(bits)),
                _ => format!("{:?}", field.text().unwrap_or_default()),
            };
            line += &format!(" {name}={value}");
        }
        if truncated {
            line += " cut";
        }
        line
    }
}
