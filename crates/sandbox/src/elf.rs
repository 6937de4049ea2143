//! Reading a guest's executable.

use ampoule_abi::layout::{MMAP_TOP, NULL_GUARD_END, PAGE_SIZE, PIE_BASE};
use ampoule_memory::{Protection, round_up_to_page};
use object::LittleEndian;
use object::elf;
use object::read::elf::{FileHeader, ProgramHeader};

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
    pub(crate) segments: Vec<Segment>,
}

/// One loadable segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Where it goes, bias included; need not be page-aligned.
    pub(crate) address: u64,
    /// Bytes in memory.
    pub(crate) memory_size: u64,
    /// Where its bytes stand in the file.
    pub(crate) file_offset: u64,
    /// How many there are; the rest of the memory is zero.
    pub(crate) file_size: u64,
    pub(crate) protection: Protection,
}

/// An executable that cannot be a guest. Each message names the problem and the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ElfError {
    /// Not an ELF file at all.
    #[error("it is not an ELF executable; build a static x86-64 Linux program")]
    NotElf,
    /// 32-bit or big-endian, or another machine.
    #[error(
        "it is built for another machine ({found}); build it for x86-64 Linux, for example with \
         `--target x86_64-unknown-linux-gnu`"
    )]
    OtherMachine {
        /// What it is built for.
        found: String,
    },
    /// Needs a dynamic linker.
    #[error(
        "it is dynamically linked; link it statically: `-C target-feature=+crt-static` in RUSTFLAGS \
         for Rust, `gcc -static` for C"
    )]
    Dynamic,
    /// An object file, a shared library or a core dump.
    #[error("it is not an executable but {found}; link it to a static executable")]
    NotExecutable {
        /// What it is.
        found: &'static str,
    },
    /// A part of the file is missing.
    #[error("it is truncated: {what} lies beyond the end of the file; copy or build it again")]
    Truncated {
        /// Which part.
        what: &'static str,
    },
    /// A segment that cannot be loaded.
    #[error("segment {index} {problem}")]
    Segment {
        /// Its place among the program headers.
        index: usize,
        /// What is wrong with it, and the remedy.
        problem: SegmentProblem,
    },
    /// Nothing to load, or nothing to run.
    #[error("it has no {what}; link it as an executable")]
    Missing {
        /// What is missing.
        what: &'static str,
    },
}

/// What is wrong with a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SegmentProblem {
    /// Both rights at once.
    #[error("is writable and executable at once; link without `-z execstack`, `-N` or `--omagic`")]
    WritableAndExecutable,
    /// More bytes in the file than in memory.
    #[error("has more bytes in the file than in memory; the file is damaged, build it again")]
    LargerInFile,
    /// At addresses that guests do not have.
    #[error("lies outside the addresses that a guest may use; link it at the usual address")]
    OutOfRange,
    /// Two segments at one place.
    #[error("overlaps another; the file is damaged, build it again")]
    Overlap,
}

type Header = elf::FileHeader64<LittleEndian>;

/// More program headers than any linker writes.
const PROGRAM_HEADERS_MAX: usize = 256;

impl Program {
    /// Reads and checks the headers of `file`.
    ///
    /// Cost: independent of the size of the file.
    ///
    /// # Errors
    /// [`ElfError`].
    pub fn parse(file: &[u8]) -> Result<Self, ElfError> {
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
            ElfKind::PositionIndependent => PIE_BASE.wrapping_sub(lowest & !(PAGE_SIZE - 1)),
        };
        let mut segments = loads
            .into_iter()
            .map(|(index, h)| {
                Segment::of(h, bias, file.len() as u64)
                    .map_err(|problem| ElfError::Segment { index, problem })?
                    .ok_or(ElfError::Truncated { what: "a segment" })
                    .map(|segment| (index, segment))
            })
            .collect::<Result<Vec<_>, _>>()?;
        segments.sort_by_key(|(_, segment)| segment.address);
        check_overlaps(&segments)?;

        let raw_entry = header.e_entry.get(endian);
        let entry = raw_entry.wrapping_add(bias);
        let executable = |s: &Segment| s.protection.execute && s.contains(entry);
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
            break_start: round_up_to_page(end).unwrap_or(end),
            segments: segments.into_iter().map(|(_, segment)| segment).collect(),
        })
    }
}

impl Segment {
    /// `None` when the file ends before the segment does.
    fn of(
        header: &elf::ProgramHeader64<LittleEndian>,
        bias: u64,
        file_length: u64,
    ) -> Result<Option<Self>, SegmentProblem> {
        let endian = LittleEndian;
        let flags = header.p_flags(endian);
        let segment = Self {
            address: header.p_vaddr(endian).wrapping_add(bias),
            memory_size: header.p_memsz(endian),
            file_offset: header.p_offset(endian),
            file_size: header.p_filesz(endian),
            protection: Protection {
                read: flags & elf::PF_R != 0,
                write: flags & elf::PF_W != 0,
                execute: flags & elf::PF_X != 0,
            },
        };
        if segment.protection.write && segment.protection.execute {
            return Err(SegmentProblem::WritableAndExecutable);
        }
        if segment.file_size > segment.memory_size {
            return Err(SegmentProblem::LargerInFile);
        }
        let end = segment.address.checked_add(segment.memory_size);
        if segment.address < NULL_GUARD_END || end.is_none_or(|end| end > MMAP_TOP) {
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
        let write = first.protection.write || second.protection.write;
        let execute = first.protection.execute || second.protection.execute;
        if shares_page && write && execute {
            return fail(SegmentProblem::WritableAndExecutable);
        }
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests;
