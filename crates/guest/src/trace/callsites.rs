//! The numbers of callsites, and which of them the host knows.

#[cfg(feature = "tracing")]
use ampoule_wire::trace::Callsite;
use ampoule_wire::trace::{Kind, Level};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasherDefault, Hasher};

/// What the `tracing` crate tells about a callsite.
#[cfg(feature = "tracing")]
pub(crate) type Metadata = tracing_core::Metadata<'static>;
/// Without the `tracing` crate no callsite is one of its.
#[cfg(not(feature = "tracing"))]
pub(crate) type Metadata = std::convert::Infallible;

/// Most callsites that are known by their contents. There are as many as log statements and C callers
/// in the guest, unless targets or names are made up at run time.
const NAMED_MAX: usize = 2048;

/// A callsite that is known by its contents: of a log record or of a C caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NamedCallsite<'a> {
    pub(crate) kind: Kind,
    pub(crate) level: Level,
    pub(crate) name: &'a str,
    pub(crate) target: &'a str,
    pub(crate) file: Option<&'a str>,
    pub(crate) line: u32,
}

/// Where a span or an event comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Origin<'a> {
    /// A callsite of the `tracing` crate, which lives as long as the program.
    Static(&'static Metadata),
    /// Any other.
    Named(NamedCallsite<'a>),
}

/// A callsite's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Number {
    pub(crate) number: u32,
    /// It stands for all callsites of its kind and level for which there was no room.
    pub(crate) shared: bool,
}

#[derive(Debug)]
struct Contents {
    kind: Kind,
    level: Level,
    name: Box<str>,
    target: Box<str>,
    file: Option<Box<str>>,
    line: u32,
}

/// Every callsite that was used, numbered from 1 in the order of its first use.
#[derive(Debug, Default)]
pub(crate) struct Callsites {
    /// The generation in which the host was told of a callsite, by its number.
    told: Vec<Option<u64>>,
    /// Callsites of the `tracing` crate by the address of the metadata.
    fixed: HashMap<u64, (&'static Metadata, u32), Hash>,
    /// Others by a digest of their contents.
    named: HashMap<u64, (Contents, u32), Hash>,
    /// Those for which there was no room, by kind and level.
    shared: HashMap<u64, u32, Hash>,
}

impl Callsites {
    /// The number of a callsite, which is given one when it is new.
    pub(crate) fn number(&mut self, origin: Origin<'_>) -> Number {
        let told = &mut self.told;
        let mut new = || {
            told.push(None);
            u32::try_from(told.len()).unwrap_or(u32::MAX)
        };
        let site = match origin {
            Origin::Static(metadata) => {
                let known = self.fixed.entry(address(metadata));
                let number = known.or_insert_with(|| (metadata, new())).1;
                return Number { number, shared: false };
            }
            Origin::Named(site) => site,
        };
        let digest = digest(&site);
        let has_room = self.named.len() < NAMED_MAX;
        match self.named.entry(digest) {
            Entry::Occupied(known) if known.get().0.borrow() == site => {
                return Number { number: known.get().1, shared: false };
            }
            Entry::Vacant(place) if has_room => {
                let number = place.insert((Contents::of(&site), new())).1;
                return Number { number, shared: false };
            }
            _ => {}
        }
        let key = (site.kind as u64) << 8 | site.level as u64;
        Number { number: *self.shared.entry(key).or_insert_with(new), shared: true }
    }

    /// Whether the host was told of a callsite in this generation.
    pub(crate) fn is_told(&self, number: Number, generation: u64) -> bool {
        self.told.get(index(number)).is_some_and(|&told| told == Some(generation))
    }

    /// Says that the host was told of a callsite.
    pub(crate) fn tell(&mut self, number: Number, generation: u64) {
        if let Some(told) = self.told.get_mut(index(number)) {
            *told = Some(generation);
        }
    }

    /// Whether the `tracing` crate has a callsite in this line.
    #[cfg(all(feature = "log", feature = "tracing"))]
    pub(crate) fn has_fixed(&self, file: &str, line: u32) -> bool {
        let mut fixed = self.fixed.values().map(|(metadata, _)| metadata);
        fixed.any(|metadata| metadata.line() == Some(line) && metadata.file() == Some(file))
    }
}

fn index(number: Number) -> usize {
    usize::try_from(number.number).map_or(usize::MAX, |number| number.wrapping_sub(1))
}

fn address(metadata: &'static Metadata) -> u64 {
    u64::try_from(std::ptr::from_ref(metadata).addr()).unwrap_or(u64::MAX)
}

impl Contents {
    fn of(site: &NamedCallsite<'_>) -> Self {
        Self {
            kind: site.kind,
            level: site.level,
            name: site.name.into(),
            target: site.target.into(),
            file: site.file.map(Into::into),
            line: site.line,
        }
    }

    fn borrow(&self) -> NamedCallsite<'_> {
        let Self { kind, level, line, .. } = *self;
        let file = self.file.as_deref();
        NamedCallsite { kind, level, name: &self.name, target: &self.target, file, line }
    }
}

/// A digest of the contents. It need not withstand anybody: what two callsites with one digest cost is
/// that the second is shared.
fn digest(site: &NamedCallsite<'_>) -> u64 {
    let mut state = u64::from(site.line) << 16 | (site.kind as u64) << 8 | site.level as u64;
    for text in [site.name, site.target, site.file.unwrap_or_default()] {
        state = mix(state ^ u64::try_from(text.len()).unwrap_or_default());
        let (words, rest) = text.as_bytes().as_chunks::<8>();
        for word in words {
            state = mix(state ^ u64::from_le_bytes(*word));
        }
        for &byte in rest {
            state = mix(state ^ u64::from(byte));
        }
    }
    state
}

/// Spreads every bit over the others (the finaliser of SplitMix64).
const fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

type Hash = BuildHasherDefault<Mixed>;

/// Hashes numbers, which nobody chooses, faster than the standard library's defence against those who
/// choose.
#[derive(Debug, Default)]
struct Mixed(u64);

impl Hasher for Mixed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = mix(self.0 ^ number);
    }
}

/// What the host is told of a callsite of the `tracing` crate.
#[cfg(feature = "tracing")]
pub(super) fn describe<'a>(metadata: &'static Metadata, id: u32) -> Callsite<'a> {
    Callsite {
        id,
        name: metadata.name(),
        target: metadata.target(),
        level: level(metadata),
        kind: if metadata.is_span() { Kind::Span } else { Kind::Event },
        file: metadata.file(),
        line: metadata.line().unwrap_or_default(),
        fields: metadata.fields().iter().map(|field| field.name()).collect(),
    }
}

/// How important what the callsite makes is.
#[cfg(feature = "tracing")]
pub(super) fn level(metadata: &tracing_core::Metadata<'_>) -> Level {
    match *metadata.level() {
        tracing_core::Level::ERROR => Level::Error,
        tracing_core::Level::WARN => Level::Warn,
        tracing_core::Level::INFO => Level::Info,
        tracing_core::Level::DEBUG => Level::Debug,
        tracing_core::Level::TRACE => Level::Trace,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(line: u32) -> NamedCallsite<'static> {
        let (kind, level) = (Kind::Log, Level::Info);
        NamedCallsite { kind, level, name: "", target: "app::http", file: Some("a.rs"), line }
    }

    #[test]
    fn a_callsite_keeps_its_number_and_is_told_once_in_a_generation() {
        let mut callsites = Callsites::default();
        let first = callsites.number(Origin::Named(site(1)));
        let second = callsites.number(Origin::Named(site(2)));
        assert_eq!((first.number, second.number), (1, 2));
        assert_eq!(callsites.number(Origin::Named(site(1))), first);

        assert!(!callsites.is_told(first, 0));
        callsites.tell(first, 0);
        assert!(callsites.is_told(first, 0) && !callsites.is_told(second, 0));
        assert!(!callsites.is_told(first, 1));
    }

    #[test]
    fn every_part_of_a_callsite_tells_it_from_others() {
        let base = site(1);
        let others = [
            NamedCallsite { kind: Kind::Event, ..base },
            NamedCallsite { level: Level::Warn, ..base },
            NamedCallsite { name: "app::http", target: "", ..base },
            NamedCallsite { target: "app::httq", ..base },
            NamedCallsite { file: None, ..base },
            NamedCallsite { line: 0, ..base },
        ];
        let mut callsites = Callsites::default();
        let numbers: Vec<u32> = std::iter::once(base)
            .chain(others)
            .map(|site| callsites.number(Origin::Named(site)).number)
            .collect();
        assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7]);
    }

    #[test]
    fn those_without_room_share_a_number() {
        let mut callsites = Callsites::default();
        let last = (0..5000).map(|line| callsites.number(Origin::Named(site(line)))).last();
        assert_eq!(last, Some(Number { number: 2049, shared: true }));
        let warning = NamedCallsite { level: Level::Warn, ..site(9000) };
        let warning = callsites.number(Origin::Named(warning));
        assert_eq!(warning, Number { number: 2050, shared: true });
        assert!(!callsites.number(Origin::Named(site(7))).shared);
    }
}
