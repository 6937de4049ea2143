//! Names for addresses, from an executable's own symbol table.
//!
//! The table is its author's: numbers, sizes and names in it are whatever somebody wrote there. So that a
//! report costs the same whatever they are, a function is found before its name is read, a name is read up
//! to a limit, and each of the three steps has a bound: [`SYMBOLS_MAX`] symbols are looked at once an
//! executable, [`NAME_MAX`] bytes of a name, and [`STEPS_MAX`] steps of demangling in one report.

mod demangle;

use crate::location::Location;
use demangle::{Demangled, NAME_MAX, demangle};
use object::LittleEndian;
use object::elf;
use object::read::elf::{FileHeader, SectionHeader, Sym};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

/// Sections among which a symbol table is looked for; linkers write some fifty.
const SECTIONS_MAX: usize = 4096;
/// Symbols that are looked at: more than most programs have, and few enough that sorting them takes
/// milliseconds. Functions behind them have no names.
const SYMBOLS_MAX: usize = 1 << 17;
/// Names that are kept for further reports, 512 KiB at most.
const NAMES_KEPT: usize = 1024;
/// Steps of demangling in one report, about a millisecond at worst; names beyond are shown as they stand
/// in the file. An ordinary call stack takes a tenth.
const STEPS_MAX: usize = 2 << 20;

/// The functions of one executable.
#[derive(Debug)]
pub struct Symbols {
    executable: Arc<[u8]>,
    bias: u64,
    functions: OnceLock<Functions>,
    /// By where they stand among the strings.
    names: Mutex<BTreeMap<u32, Arc<str>>>,
}

/// The functions by address, and where their names are.
#[derive(Debug, Default)]
struct Functions {
    by_start: Vec<Function>,
    /// The string table in the file.
    strings: Range<usize>,
    /// Sections and symbols that were looked at.
    looked_at: usize,
}

/// In the order in which functions are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Function {
    start: u64,
    /// The later one in the table counts.
    index: u32,
    size: u32,
    name: u32,
}

/// The names of one report.
#[derive(Debug)]
pub struct Report<'a> {
    symbols: &'a Symbols,
    /// Steps of demangling that it may still take.
    left: usize,
    /// Everything that it took: sections and symbols looked at, bytes read, steps of demangling.
    steps: usize,
}

impl Symbols {
    /// Those of `executable`, loaded with `bias`. Nothing is read before somebody asks.
    #[must_use]
    pub fn new(executable: Arc<[u8]>, bias: u64) -> Self {
        Self { executable, bias, functions: OnceLock::new(), names: Mutex::default() }
    }

    /// Begins a report.
    #[must_use]
    pub const fn report(&self) -> Report<'_> {
        Report { symbols: self, left: STEPS_MAX, steps: 0 }
    }

    /// The bytes of the name at `at` among the strings, without its end and shortened.
    fn raw_name(&self, strings: &Range<usize>, at: u32) -> Option<&[u8]> {
        let strings = self.executable.get(strings.clone())?;
        let name = strings.get(usize::try_from(at).ok()?..)?;
        let name = &name[..name.len().min(NAME_MAX)];
        Some(name.split(|&byte| byte == 0).next().unwrap_or_default())
    }
}

impl Report<'_> {
    /// The place of the instruction at `address`.
    pub fn locate(&mut self, address: u64) -> Location {
        let symbols = self.symbols;
        let functions = symbols.functions.get_or_init(|| {
            let functions = Functions::read(&symbols.executable).unwrap_or_default();
            self.steps += functions.looked_at;
            functions
        });
        let in_file = address.wrapping_sub(symbols.bias);
        let named = functions.at(in_file).and_then(|function| {
            Some((self.name(&functions.strings, function.name)?, in_file - function.start))
        });
        match named {
            Some((name, offset)) => Location { address, symbol: Some(name), offset },
            None => Location { address, symbol: None, offset: 0 },
        }
    }

    /// What was done for it, in steps that take nanoseconds each.
    #[must_use]
    pub const fn steps(&self) -> usize {
        self.steps
    }

    fn name(&mut self, strings: &Range<usize>, at: u32) -> Option<Arc<str>> {
        if let Some(name) = self.symbols.names.lock().get(&at) {
            return Some(Arc::clone(name));
        }
        let raw = self.symbols.raw_name(strings, at)?;
        let Demangled { text, steps, is_final } = demangle(raw, self.left);
        self.steps += raw.len() + steps;
        self.left = self.left.saturating_sub(steps);
        let name: Arc<str> = text.into();
        if is_final {
            let mut names = self.symbols.names.lock();
            if names.len() < NAMES_KEPT {
                names.insert(at, Arc::clone(&name));
            }
        }
        Some(name)
    }
}

impl Functions {
    /// Reads the table of `executable`; there is none when it was stripped.
    fn read(executable: &[u8]) -> object::Result<Self> {
        let endian = LittleEndian;
        let header = elf::FileHeader64::<LittleEndian>::parse(executable)?;
        // A view of the file, of whatever length it claims: nothing walks it but what follows.
        let sections = header.section_headers(endian, executable)?;
        let is_table = |section: &&elf::SectionHeader64<LittleEndian>| {
            section.sh_type(endian) == elf::SHT_SYMTAB
        };
        let Some(table) = sections.iter().take(SECTIONS_MAX).find(is_table) else {
            return Ok(Self { looked_at: sections.len().min(SECTIONS_MAX), ..Self::default() });
        };
        let symbols: &[elf::Sym64<LittleEndian>] = table.data_as_array(endian, executable)?;
        let strings = usize::try_from(table.sh_link(endian)).ok().and_then(|at| sections.get(at));
        let strings = strings.and_then(|section| section.file_range(endian));
        let strings = strings.and_then(|(start, length)| {
            let start = usize::try_from(start).ok()?;
            Some(start..start.checked_add(usize::try_from(length).ok()?)?)
        });
        let symbols = &symbols[..symbols.len().min(SYMBOLS_MAX)];
        let functions =
            (0_u32..).zip(symbols).filter(|(_, symbol)| symbol.st_type() == elf::STT_FUNC);
        let functions = functions.map(|(index, symbol)| Function {
            start: symbol.st_value(endian),
            index,
            size: u32::try_from(symbol.st_size(endian)).unwrap_or(u32::MAX),
            name: symbol.st_name(endian),
        });
        let mut by_start: Vec<_> = functions.collect();
        by_start.sort_unstable();
        let looked_at = sections.len().min(SECTIONS_MAX) + symbols.len();
        Ok(Self { by_start, strings: strings.unwrap_or_default(), looked_at })
    }

    /// The function that holds `address`.
    fn at(&self, address: u64) -> Option<&Function> {
        let after = self.by_start.partition_point(|function| function.start <= address);
        let function = self.by_start.get(after.checked_sub(1)?)?;
        (address - function.start < u64::from(function.size.max(1))).then_some(function)
    }
}

/// Entry point for fuzzing: a report of `addresses` in `executable`, and the steps that it took.
#[doc(hidden)]
#[must_use]
pub fn report_of(executable: &[u8], addresses: &[u64]) -> (Vec<Location>, usize) {
    let symbols = Symbols::new(executable.into(), 0);
    let mut report = symbols.report();
    let found = addresses.iter().map(|&address| report.locate(address)).collect();
    (found, report.steps())
}

#[cfg(test)]
mod tests;
