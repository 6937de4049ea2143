//! The places in a guest's source that make spans and events.

use crate::attributes::FieldInfo;
use ampoule_wire::trace::{Callsite, Kind, Level};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Callsites that are known of one guest at a time; a program has hundreds.
const COUNT_MAX: usize = 16_384;
/// Bytes of all their texts together.
const TEXT_MAX: usize = 4 << 20;

/// A place in a guest's source that makes spans or events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallsiteInfo {
    /// The host's number, from 1 to some thousands. Another callsite may have it later, which an entry
    /// then tells of.
    pub number: u32,
    /// Name of the spans.
    pub name: Box<str>,
    /// What directives select by, usually a module's path.
    pub target: Box<str>,
    /// How important what it makes is.
    pub level: Level,
    /// What it makes.
    pub kind: Kind,
    /// Source file.
    pub file: Option<Box<str>>,
    /// Line in it, from 1.
    pub line: Option<u32>,
    /// The fields, in the order of their indices.
    pub fields: Box<[FieldInfo]>,
}

impl CallsiteInfo {
    fn is(&self, other: &Callsite<'_>) -> bool {
        *self.name == *other.name
            && *self.target == *other.target
            && self.level == other.level
            && self.kind == other.kind
            && self.file.as_deref() == other.file
            && self.line.unwrap_or(0) == other.line
            && self.fields.len() == other.fields.len()
            && self.fields.iter().zip(other.fields.iter()).all(|(field, name)| field.is(name))
    }
}

/// The callsites that a guest has told of, by its own numbers.
#[derive(Debug, Default)]
pub(crate) struct Callsites {
    known: BTreeMap<u32, Known>,
    text_bytes: usize,
    /// Counted up when the guest is to tell again.
    epoch: u64,
    /// The epoch before which nothing is known any more.
    swept: u64,
    numbers: u32,
    free_numbers: Vec<u32>,
}

#[derive(Debug)]
struct Known {
    info: Arc<CallsiteInfo>,
    text_bytes: usize,
    epoch: u64,
    /// Whether an entry has told of it.
    announced: bool,
}

impl Callsites {
    /// Takes note of a callsite; `false` when there are too many. One that is told of again as it was, by
    /// a guest that was restored, needs no new announcement.
    pub(crate) fn insert(&mut self, callsite: &Callsite<'_>) -> bool {
        let epoch = self.epoch;
        if let Some(known) = self.known.get_mut(&callsite.id)
            && known.info.is(callsite)
        {
            known.epoch = epoch;
            return true;
        }
        self.remove(callsite.id);
        let size = text_bytes(callsite);
        if self.is_full(size) {
            self.forget_old();
        }
        if self.is_full(size) {
            return false;
        }
        let info = Arc::new(self.describe(callsite));
        self.text_bytes += size;
        let known = Known { info, text_bytes: size, epoch, announced: false };
        self.known.insert(callsite.id, known);
        true
    }

    /// The callsite that the guest calls `id`, and whether this is its first use.
    pub(crate) fn find(&mut self, id: u32) -> Option<(Arc<CallsiteInfo>, bool)> {
        let epoch = self.epoch;
        let known = self.known.get_mut(&id).filter(|known| known.epoch == epoch)?;
        let is_first = !std::mem::replace(&mut known.announced, true);
        Some((Arc::clone(&known.info), is_first))
    }

    /// Nothing is known until the guest tells again.
    pub(crate) const fn begin_epoch(&mut self) {
        self.epoch += 1;
    }

    fn is_full(&self, more_bytes: usize) -> bool {
        self.known.len() >= COUNT_MAX || self.text_bytes + more_bytes > TEXT_MAX
    }

    fn describe(&mut self, callsite: &Callsite<'_>) -> CallsiteInfo {
        let number = self.free_numbers.pop().unwrap_or_else(|| {
            self.numbers += 1;
            self.numbers
        });
        CallsiteInfo {
            number,
            name: callsite.name.into(),
            target: callsite.target.into(),
            level: callsite.level,
            kind: callsite.kind,
            file: callsite.file.map(Into::into),
            line: (callsite.line > 0).then_some(callsite.line),
            fields: callsite.fields.iter().map(|name| FieldInfo::new(name)).collect(),
        }
    }

    fn remove(&mut self, id: u32) {
        if let Some(Known { info, text_bytes, .. }) = self.known.remove(&id) {
            self.text_bytes -= text_bytes;
            self.free_numbers.push(info.number);
        }
    }

    fn forget_old(&mut self) {
        let epoch = self.epoch;
        // Once an epoch: it takes a look at all.
        if std::mem::replace(&mut self.swept, epoch) == epoch {
            return;
        }
        let old = self.known.iter().filter(|(_, known)| known.epoch != epoch);
        let old: Vec<u32> = old.map(|(&id, _)| id).collect();
        old.into_iter().for_each(|id| self.remove(id));
    }
}

fn text_bytes(callsite: &Callsite<'_>) -> usize {
    let fields: usize = callsite.fields.iter().map(|name| name.len()).sum();
    callsite.name.len() + callsite.target.len() + callsite.file.map_or(0, str::len) + fields
}
