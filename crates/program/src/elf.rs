//! Reading an executable.

use crate::error::{ElfError, SegmentProblem};
use object::LittleEndian;
use object::elf;
use object::read::elf::{FileHeader, ProgramHeader};

/// Bytes of a page, in which memory has its rights.
const PAGE_SIZE: u64 = 4096;

/// Where an executable may lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// The lowest address.
    pub start: u64,
    /// Behind the highest address.
    pub end: u64,
    /// Where the lowest page of a position-independent one goes.
    pub base: u64,
}

/// How an executable chooses its addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ElfKind {
    /// `ET_EXEC`: at the addresses in the file.
    Fixed,
    /// Static-PIE: anywhere; it relocates itself.
    PositionIndependent,
}

/// A static x86-64 executable, checked and ready to load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// How it chooses its addresses.
    pub kind: ElfKind,
    /// What is added to every address in the file.
    pub bias: u64,
    /// Address of the first instruction, bias included.
    pub entry: u64,
    /// Address of the program headers in memory, bias included.
    pub program_headers: u64,
    /// Number of program headers.
    pub program_header_count: u16,
    /// First page behind the highest segment, where the heap starts.
    pub break_start: u64,
    /// Loadable segments by address.
    pub segments: Vec<Segment>,
}

/// One loadable segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Where it goes, bias included; need not be page-aligned.
    pub address: u64,
    /// Bytes in memory.
    pub memory_size: u64,
    /// Where its bytes stand in the file.
    pub file_offset: u64,
    /// How many there are; the rest of the memory is zero.
    pub file_size: u64,
    /// What may be done with it; never both writing and executing.
    pub rights: Rights,
}

/// What may be done with memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rights {
    /// Reading it.
    pub read: bool,
    /// Writing to it.
    pub write: bool,
    /// Running code in it.
    pub execute: bool,
}

type Header = elf::FileHeader64<LittleEndian>;

/// More program headers than any linker writes.
const PROGRAM_HEADERS_MAX: usize = 256;

impl Program {
    /// Reads and checks the headers of `file`, which is to be loaded among `addresses`.
    ///
    /// Cost: independent of the size of the file.
    ///
    /// # Errors
    /// [`ElfError`].
    pub fn parse(file: &[u8], addresses: Addresses) -> Result<Self, ElfError> {
        let header = parse_header(file)?;
        let endian = LittleEndian;
        let headers = header
            .program_headers(endian, file)
            .map_err(|_| ElfError::Truncated { what: "the table of program headers" })?;
        if headers.len() > PROGRAM_HEADERS_MAX {
            return Err(ElfError::Truncated { what: "the table of program headers" });
        }
        if headers.iter().any(|h| h.p_type(endian) == elf::PT_INTERP) {
            return Err(ElfError::Dynamic);
        }
        let kind = match header.e_type.get(endian) {
            elf::ET_EXEC => ElfKind::Fixed,
            elf::ET_DYN => ElfKind::PositionIndependent,
            elf::ET_REL => return Err(ElfError::NotExecutable { found: "an object file" }),
            elf::ET_CORE => return Err(ElfError::NotExecutable { found: "a core dump" }),
            _ => return Err(ElfError::NotExecutable { found: "something else" }),
        };
        let loads: Vec<_> = headers
            .iter()
            .enumerate()
            .filter(|(_, h)| h.p_type(endian) == elf::PT_LOAD && h.p_memsz(endian) > 0)
            .collect();
        let lowest = loads.iter().map(|(_, h)| h.p_vaddr(endian)).min();
        let lowest = lowest.ok_or(ElfError::Missing { what: "loadable segment" })?;
        let bias = match kind {
            ElfKind::Fixed => 0,
            ElfKind::PositionIndependent => addresses.base.wrapping_sub(lowest & !(PAGE_SIZE - 1)),
        };
        let mut segments = loads
            .into_iter()
            .map(|(index, h)| {
                Segment::of(h, bias, addresses, file.len() as u64)
                    .map_err(|problem| ElfError::Segment { index, problem })?
                    .ok_or(ElfError::Truncated { what: "a segment" })
                    .map(|segment| (index, segment))
            })
            .collect::<Result<Vec<_>, _>>()?;
        segments.sort_by_key(|(_, segment)| segment.address);
        check_overlaps(&segments)?;

        let raw_entry = header.e_entry.get(endian);
        let entry = raw_entry.wrapping_add(bias);
        let executable = |s: &Segment| s.rights.execute && s.contains(entry);
        if raw_entry == 0 || !segments.iter().any(|(_, segment)| executable(segment)) {
            return Err(match kind {
                ElfKind::Fixed => ElfError::Missing { what: "entry point in executable memory" },
                ElfKind::PositionIndependent => {
                    ElfError::NotExecutable { found: "a shared library" }
                }
            });
        }
        let table = header.e_phoff.get(endian);
        let program_headers = segments
            .iter()
            .find(|(_, s)| (s.file_offset..s.file_offset + s.file_size).contains(&table))
            .map(|(_, s)| s.address + (table - s.file_offset))
            .ok_or(ElfError::Missing { what: "program headers in a loadable segment" })?;
        let end = segments.last().map_or(0, |(_, s)| s.address + s.memory_size);
        Ok(Self {
            kind,
            bias,
            entry,
            program_headers,
            program_header_count: header.e_phnum.get(endian),
            break_start: end.checked_next_multiple_of(PAGE_SIZE).unwrap_or(end),
            segments: segments.into_iter().map(|(_, segment)| segment).collect(),
        })
    }
}

impl Segment {
    /// `None` when the file ends before the segment does.
    fn of(
        header: &elf::ProgramHeader64<LittleEndian>,
        bias: u64,
        addresses: Addresses,
        file_length: u64,
    ) -> Result<Option<Self>, SegmentProblem> {
        let endian = LittleEndian;
        let flags = header.p_flags(endian);
        let segment = Self {
            address: header.p_vaddr(endian).wrapping_add(bias),
            memory_size: header.p_memsz(endian),
            file_offset: header.p_offset(endian),
            file_size: header.p_filesz(endian),
            rights: Rights {
                read: flags & elf::PF_R != 0,
                write: flags & elf::PF_W != 0,
                execute: flags & elf::PF_X != 0,
            },
        };
        if segment.rights.write && segment.rights.execute {
            return Err(SegmentProblem::WritableAndExecutable);
        }
        if segment.file_size > segment.memory_size {
            return Err(SegmentProblem::LargerInFile);
        }
        let end = segment.address.checked_add(segment.memory_size);
        if segment.address < addresses.start || end.is_none_or(|end| end > addresses.end) {
            return Err(SegmentProblem::OutOfRange);
        }
        let file_end = segment.file_offset.checked_add(segment.file_size);
        Ok(file_end.is_some_and(|end| end <= file_length).then_some(segment))
    }

    fn contains(&self, address: u64) -> bool {
        (self.address..self.address + self.memory_size).contains(&address)
    }
}

fn parse_header(file: &[u8]) -> Result<&Header, ElfError> {
    if !file.starts_with(&elf::ELFMAG) {
        return Err(ElfError::NotElf);
    }
    let machine = |found: String| Err(ElfError::OtherMachine { found });
    match file.get(4..6) {
        None => return Err(ElfError::Truncated { what: "the header" }),
        Some([elf::ELFCLASS64, elf::ELFDATA2LSB]) => {}
        Some([elf::ELFCLASS32, _]) => return machine("a 32-bit one".into()),
        Some([_, elf::ELFDATA2MSB]) => return machine("a big-endian one".into()),
        Some(_) => return Err(ElfError::NotElf),
    }
    let header = Header::parse(file).map_err(|_| ElfError::Truncated { what: "the header" })?;
    match header.e_machine.get(LittleEndian) {
        elf::EM_X86_64 => Ok(header),
        elf::EM_AARCH64 => machine("AArch64".into()),
        elf::EM_RISCV => machine("RISC-V".into()),
        other => machine(format!("ELF machine {other}")),
    }
}

fn check_overlaps(segments: &[(usize, Segment)]) -> Result<(), ElfError> {
    for pair in segments.windows(2) {
        let [(_, first), (index, second)] = pair else { continue };
        let end = first.address + first.memory_size;
        let fail = |problem| Err(ElfError::Segment { index: *index, problem });
        if second.address < end {
            return fail(SegmentProblem::Overlap);
        }
        // Segments may share a page; the page then has the rights of both.
        let shares_page = second.address & !(PAGE_SIZE - 1) < end;
        let write = first.rights.write || second.rights.write;
        let execute = first.rights.execute || second.rights.execute;
        if shares_page && write && execute {
            return fail(SegmentProblem::WritableAndExecutable);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
