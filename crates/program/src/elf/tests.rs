use super::*;
use ampoule_testkit::executables::{BASE, ElfFile};

const ADDRESSES: Addresses =
    Addresses { start: 0x1_0000, end: 0x7e_0000_0000, base: 0x10_0000_0000 };

fn parse(file: &ElfFile) -> Result<Program, ElfError> {
    Program::parse(&file.bytes(), ADDRESSES)
}

#[test]
fn a_good_executable_is_laid_out_as_its_headers_say() {
    let program = parse(&ElfFile::default()).unwrap();
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
    let program = parse(&file).unwrap();
    assert_eq!(program.kind, ElfKind::PositionIndependent);
    assert_eq!(program.entry, ADDRESSES.base + 0x200);
    assert_eq!(program.program_headers, ADDRESSES.base + 64);
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
        match parse(&file) {
            Err(error) if !words.is_empty() => {
                let message = error.to_string();
                assert!(message.contains(words), "case {index}: {message}");
            }
            Ok(_) if words.is_empty() => {}
            other => panic!("case {index}, {words:?}: {other:?}"),
        }
    }
    assert_eq!(Program::parse(b"#!/bin/sh\n", ADDRESSES), Err(ElfError::NotElf));
    assert_eq!(Program::parse(b"", ADDRESSES), Err(ElfError::NotElf));
}

#[test]
fn no_single_byte_of_a_header_can_do_harm() {
    let bytes = ElfFile::default().bytes();
    for at in 0..64 + 2 * 56 {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut damaged = bytes.clone();
            damaged[at] = value;
            // Whatever comes out, nothing lies outside the addresses of a guest or the file.
            if let Ok(program) = Program::parse(&damaged, ADDRESSES) {
                for segment in &program.segments {
                    assert!(segment.address + segment.memory_size <= ADDRESSES.end);
                    assert!(segment.file_offset + segment.file_size <= damaged.len() as u64);
                }
            }
        }
    }
}
