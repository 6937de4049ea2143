//! Names for addresses, from the guest's own symbol table.

use crate::elf::Program;
use crate::stop::Location;
use object::LittleEndian;
use object::elf;
use object::read::elf::{FileHeader, Sym};

/// Longest name that is shown; a guest can make its symbols as long as its file.
const NAME_MAX: usize = 512;

/// Functions by address, for one report. The table is read anew each time, because reports are rare
/// and the table is large.
pub(crate) struct Symbols<'a> {
    bias: u64,
    /// Start, size and raw name, by start.
    functions: Vec<(u64, u64, &'a [u8])>,
}

impl<'a> Symbols<'a> {
    /// Reads the table of `executable`; empty when it was stripped or is malformed.
    pub(crate) fn read(executable: &'a [u8], program: &Program) -> Self {
        let functions = Self::functions(executable).unwrap_or_default();
        Self { bias: program.bias, functions }
    }

    /// The place of the instruction at `address`.
    pub(crate) fn locate(&self, address: u64) -> Location {
        let in_file = address.wrapping_sub(self.bias);
        let after = self.functions.partition_point(|&(start, _, _)| start <= in_file);
        let found = after.checked_sub(1).map(|at| self.functions[at]);
        let holds = |&(start, size, _): &(u64, u64, _)| in_file - start < size.max(1);
        match found.filter(holds) {
            Some((start, _, name)) => {
                Location { address, symbol: Some(demangle(name)), offset: in_file - start }
            }
            None => Location { address, symbol: None, offset: 0 },
        }
    }

    fn functions(executable: &'a [u8]) -> object::Result<Vec<(u64, u64, &'a [u8])>> {
        let endian = LittleEndian;
        let header = elf::FileHeader64::<LittleEndian>::parse(executable)?;
        let sections = header.sections(endian, executable)?;
        let symbols = sections.symbols(endian, executable, elf::SHT_SYMTAB)?;
        let mut functions: Vec<_> = symbols
            .iter()
            .filter(|symbol| symbol.st_type() == elf::STT_FUNC)
            .filter_map(|symbol| {
                let name = symbol.name(endian, symbols.strings()).ok()?;
                Some((symbol.st_value(endian), symbol.st_size(endian), name))
            })
            .collect();
        functions.sort_by_key(|&(start, _, _)| start);
        Ok(functions)
    }
}

/// The part of a panic's backtrace that is the guest author's: without the panic machinery inside
/// and the SDK's serve loop outside. All of it when the symbols do not tell.
pub(crate) fn authors_part(frames: Vec<Location>) -> Vec<Location> {
    let named = |frame: &Location, parts: &[&str]| {
        let name = frame.symbol.as_deref().unwrap_or_default();
        parts.iter().any(|part| name.contains(part))
    };
    let machinery = ["rust_begin_unwind", "core::panicking::", "__rust_end_short_backtrace"];
    let start = frames.iter().rposition(|frame| named(frame, &machinery)).map_or(0, |at| at + 1);
    let serving = frames[start..].iter().position(|frame| named(frame, &["ampoule_guest::serve"]));
    let end = serving.map_or(frames.len(), |at| start + at);
    if start == end {
        return frames;
    }
    frames[start..end].to_vec()
}

fn demangle(name: &[u8]) -> String {
    let name = String::from_utf8_lossy(&name[..name.len().min(NAME_MAX)]);
    // The alternate form leaves out the hash.
    let mut shown = format!("{:#}", rustc_demangle::demangle(&name));
    if shown.len() > NAME_MAX {
        let end = (0..=NAME_MAX).rev().find(|&at| shown.is_char_boundary(at)).unwrap_or(0);
        shown.truncate(end);
    }
    shown
}
