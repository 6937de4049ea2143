use super::*;

/// A small executable, field by field; the tests break one at a time.
pub(crate) struct ElfFile {
    pub(crate) class: u8,
    pub(crate) machine: u16,
    pub(crate) kind: u16,
    pub(crate) entry: u64,
    /// Type, flags, offset, address, bytes in file, bytes in memory.
    pub(crate) headers: Vec<(u32, u32, u64, u64, u64, u64)>,
    pub(crate) length: usize,
}

pub(crate) const BASE: u64 = 0x40_0000;

impl Default for ElfFile {
    fn default() -> Self {
        let text = elf::PF_R | elf::PF_X;
        let data = elf::PF_R | elf::PF_W;
        Self {
            class: elf::ELFCLASS64,
            machine: elf::EM_X86_64,
            kind: elf::ET_EXEC,
            entry: BASE + 0x200,
            headers: vec![
                (elf::PT_LOAD, text, 0, BASE, 0x1000, 0x1000),
                (elf::PT_LOAD, data, 0x1000, BASE + 0x1000, 0x10, 0x2000),
            ],
            length: 0x1010,
        }
    }
}

impl ElfFile {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut file = vec![0_u8; self.length.max(64 + 56 * self.headers.len())];
        file[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', self.class, elf::ELFDATA2LSB, 1]);
        let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
        put(16, &self.kind.to_le_bytes());
        put(18, &self.machine.to_le_bytes());
        put(20, &1_u32.to_le_bytes());
        put(24, &self.entry.to_le_bytes());
        put(32, &64_u64.to_le_bytes());
        put(52, &64_u16.to_le_bytes());
        put(54, &56_u16.to_le_bytes());
        put(56, &u16::try_from(self.headers.len()).unwrap().to_le_bytes());
        for (index, header) in self.headers.iter().enumerate() {
            let (kind, flags, offset, address, file_size, memory_size) = *header;
            let at = 64 + 56 * index;
            put(at, &kind.to_le_bytes());
            put(at + 4, &flags.to_le_bytes());
            for (word, value) in
                [offset, address, address, file_size, memory_size, 0x1000].into_iter().enumerate()
            {
                put(at + 8 + 8 * word, &value.to_le_bytes());
            }
        }
        file.truncate(self.length);
        file
    }

    fn parse(&self) -> Result<Program, ElfError> {
        Program::parse(&self.bytes())
    }
}

#[test]
fn a_good_executable_is_laid_out_as_its_headers_say() {
    let program = ElfFile::default().parse().unwrap();
    assert_eq!(program.kind, ElfKind::Fixed);
    assert_eq!((program.bias, program.entry), (0, BASE + 0x200));
    assert_eq!(program.program_headers, BASE + 64);
    assert_eq!(program.break_start, BASE + 0x3000);
    assert_eq!(program.segments.len(), 2);
}

#[test]
fn a_position_independent_one_is_moved_to_its_base() {
    let mut file = ElfFile { kind: elf::ET_DYN, entry: 0x200, ..ElfFile::default() };
    for header in &mut file.headers {
        header.3 -= BASE;
    }
    let program = file.parse().unwrap();
    assert_eq!(program.kind, ElfKind::PositionIndependent);
    assert_eq!(program.entry, PIE_BASE + 0x200);
    assert_eq!(program.program_headers, PIE_BASE + 64);
}

#[test]
fn each_defect_is_named() {
    let text = elf::PF_R | elf::PF_X;
    let good = || ElfFile::default().headers;
    let with = |index: usize, header| {
        let mut headers = good();
        headers.insert(index, header);
        headers
    };
    let file = ElfFile::default;
    let cases: Vec<(ElfFile, &str)> = vec![
        (ElfFile { class: elf::ELFCLASS32, ..file() }, "32-bit"),
        (ElfFile { machine: elf::EM_AARCH64, ..file() }, "AArch64"),
        (ElfFile { kind: elf::ET_REL, ..file() }, "an object file"),
        (ElfFile { kind: elf::ET_CORE, ..file() }, "a core dump"),
        (ElfFile { kind: elf::ET_DYN, entry: 0, ..file() }, "a shared library"),
        (ElfFile { entry: BASE + 0x1000, ..file() }, "entry point"),
        (ElfFile { headers: Vec::new(), ..file() }, "loadable segment"),
        (ElfFile { headers: with(0, (elf::PT_INTERP, 4, 0, 0, 1, 1)), ..file() }, "dynamically"),
        (ElfFile { length: 0x1008, ..file() }, "truncated"),
        (ElfFile { length: 100, ..file() }, "truncated"),
        (ElfFile { length: 20, ..file() }, "truncated"),
        (ElfFile { length: 5, ..file() }, "truncated"),
        (
            ElfFile { headers: with(1, (elf::PT_LOAD, 7, 0, BASE + 0x8000, 1, 1)), ..file() },
            "writable and executable",
        ),
        (
            ElfFile { headers: with(1, (elf::PT_LOAD, text, 0, BASE + 0x800, 1, 1)), ..file() },
            "overlaps",
        ),
        (
            ElfFile { headers: with(1, (elf::PT_LOAD, text, 0, BASE + 0x8000, 2, 1)), ..file() },
            "more bytes in the file",
        ),
        (
            ElfFile { headers: with(1, (elf::PT_LOAD, text, 0, 0, 1, 1)), ..file() },
            "outside the addresses",
        ),
        (
            ElfFile { headers: with(1, (elf::PT_LOAD, text, 0, u64::MAX, 1, 1)), ..file() },
            "outside the addresses",
        ),
        (
            ElfFile {
                headers: with(2, (elf::PT_LOAD, text, 0, BASE + 0x3000 - 8, 1, 8)),
                ..file()
            },
            "overlaps",
        ),
        (ElfFile { headers: with(2, (elf::PT_LOAD, text, 0, BASE + 0x3000, 1, 8)), ..file() }, ""),
    ];
    for (index, (file, words)) in cases.into_iter().enumerate() {
        match file.parse() {
            Err(error) if !words.is_empty() => {
                let message = error.to_string();
                assert!(message.contains(words), "case {index}: {message}");
            }
            Ok(_) if words.is_empty() => {}
            other => panic!("case {index}, {words:?}: {other:?}"),
        }
    }
    assert_eq!(Program::parse(b"#!/bin/sh\n"), Err(ElfError::NotElf));
    assert_eq!(Program::parse(b""), Err(ElfError::NotElf));
}

#[test]
fn no_single_byte_of_a_header_can_do_harm() {
    let bytes = ElfFile::default().bytes();
    for at in 0..64 + 2 * 56 {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut damaged = bytes.clone();
            damaged[at] = value;
            // Whatever comes out, nothing lies outside the addresses of a guest or the file.
            if let Ok(program) = Program::parse(&damaged) {
                for segment in &program.segments {
                    assert!(segment.address + segment.memory_size <= MMAP_TOP);
                    assert!(segment.file_offset + segment.file_size <= damaged.len() as u64);
                }
            }
        }
    }
}
