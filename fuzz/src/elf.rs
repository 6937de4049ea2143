//! The executable file itself.

use ampoule_sandbox::Program;

/// Parsing never panics, and what it accepts is consistent.
pub fn check(input: &[u8]) {
    let Ok(program) = Program::parse(input) else { return };
    assert!(program.entry != 0 && program.break_start != 0, "{program:?}");
}

/// Small executables of both kinds, and one with an interpreter.
pub fn seeds() -> Vec<Vec<u8>> {
    const EXEC: u16 = 2;
    const DYN: u16 = 3;
    const LOAD: u32 = 1;
    const INTERP: u32 = 3;
    const TLS: u32 = 7;
    let code =
        Segment { kind: LOAD, flags: 5, offset: 0, address: 0x40_0000, file: 0x200, memory: 0x200 };
    let data = Segment {
        kind: LOAD,
        flags: 6,
        offset: 0x200,
        address: 0x40_1200,
        file: 0x10,
        memory: 0x2000,
    };
    let low = |segment: Segment| Segment { address: segment.address - 0x40_0000, ..segment };
    vec![
        executable(EXEC, 0x40_0100, &[code, data]),
        executable(DYN, 0x100, &[low(code), low(data)]),
        executable(EXEC, 0x40_0100, &[code, Segment { kind: TLS, ..data }, data]),
        executable(DYN, 0x100, &[Segment { kind: INTERP, ..low(code) }, low(code)]),
        executable(EXEC, 0x40_0100, &[Segment { flags: 7, ..code }]),
        executable(EXEC, 0x40_0100, &[code, Segment { address: code.address + 0x100, ..data }]),
    ]
}

#[derive(Clone, Copy)]
struct Segment {
    kind: u32,
    flags: u32,
    offset: u64,
    address: u64,
    file: u64,
    memory: u64,
}

/// An ELF file for x86-64 (System V ABI, chapter 4): header, program headers, padding.
fn executable(kind: u16, entry: u64, segments: &[Segment]) -> Vec<u8> {
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    file.extend(kind.to_le_bytes());
    file.extend(62_u16.to_le_bytes());
    file.extend(1_u32.to_le_bytes());
    file.extend(entry.to_le_bytes());
    file.extend(64_u64.to_le_bytes());
    file.extend([0; 8 + 4]);
    file.extend(64_u16.to_le_bytes());
    file.extend(56_u16.to_le_bytes());
    file.extend(u16::try_from(segments.len()).expect("a few segments").to_le_bytes());
    file.extend([0; 6]);
    for segment in segments {
        file.extend(segment.kind.to_le_bytes());
        file.extend(segment.flags.to_le_bytes());
        let Segment { offset, address, file: in_file, memory, .. } = *segment;
        for field in [offset, address, address, in_file, memory, 0x1000] {
            file.extend(field.to_le_bytes());
        }
    }
    file.resize(0x400, 0xcc);
    file
}

#[cfg(test)]
mod tests {
    use super::{Program, seeds};

    #[test]
    fn the_first_seeds_are_good_executables() {
        for seed in &seeds()[..3] {
            Program::parse(seed).unwrap();
        }
    }
}
