//! Executables, field by field: good ones, and symbol tables that want to keep their reader busy.
#![expect(clippy::unwrap_used, reason = "what a test makes too large fails it")]

use object::elf;

/// A small executable, field by field; the tests break one at a time.
pub struct ElfFile {
    /// `EI_CLASS`.
    pub class: u8,
    /// `e_machine`.
    pub machine: u16,
    /// `e_type`.
    pub kind: u16,
    /// `e_entry`.
    pub entry: u64,
    /// Type, flags, offset, address, bytes in file, bytes in memory.
    pub headers: Vec<(u32, u32, u64, u64, u64, u64)>,
    /// Bytes of the file, whatever the headers say.
    pub length: usize,
}

/// Address of the first segment.
pub const BASE: u64 = 0x40_0000;

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
    /// The file.
    ///
    /// # Panics
    ///
    /// If it has more headers than a file can have.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
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
}

/// An executable that is nothing but a symbol table.
pub struct Table {
    /// Start, size, kind, and where the name stands among the strings.
    pub symbols: Vec<(u64, u64, u8, u32)>,
    /// The string table.
    pub strings: Vec<u8>,
    /// Sections before that of the symbols.
    pub sections_before: usize,
}

impl Table {
    /// Functions with these names, one behind the other from `0x1000`, 16 bytes each.
    ///
    /// # Panics
    ///
    /// If the names have more bytes than a table can hold.
    #[must_use]
    pub fn of(names: &[&str]) -> Self {
        let mut table = Self { symbols: Vec::new(), strings: vec![0], sections_before: 1 };
        for (start, name) in (0x1000..).step_by(16).zip(names) {
            let at = u32::try_from(table.strings.len()).unwrap();
            table.symbols.push((start, 16, elf::STT_FUNC, at));
            table.strings.extend_from_slice(name.as_bytes());
            table.strings.push(0);
        }
        table
    }

    /// Puts the table behind `file`, whose header then leads to it.
    ///
    /// # Panics
    ///
    /// If it has more sections than a file can have.
    #[must_use]
    pub fn append_to(&self, mut file: Vec<u8>) -> Vec<u8> {
        file.resize(file.len().next_multiple_of(8), 0);
        let symbols_at = file.len();
        for &(start, size, kind, name) in &self.symbols {
            file.extend_from_slice(&name.to_le_bytes());
            file.extend_from_slice(&[kind, 0, 1, 0]);
            file.extend_from_slice(&start.to_le_bytes());
            file.extend_from_slice(&size.to_le_bytes());
        }
        let strings_at = file.len();
        file.extend_from_slice(&self.strings);
        file.resize(file.len().next_multiple_of(8), 0);
        let sections_at = file.len();
        file.resize(sections_at + 64 * self.sections_before, 0);
        let link = u32::try_from(self.sections_before + 1).unwrap();
        let sections = [
            (elf::SHT_SYMTAB, symbols_at, strings_at - symbols_at, link, 24),
            (elf::SHT_STRTAB, strings_at, self.strings.len(), 0, 0),
        ];
        for (kind, at, length, link, entry) in sections {
            let words: [u64; 8] =
                [u64::from(kind) << 32, 0, 0, at as u64, length as u64, u64::from(link), 1, entry];
            file.extend(words.into_iter().flat_map(u64::to_le_bytes));
        }
        file[40..48].copy_from_slice(&(sections_at as u64).to_le_bytes());
        file[58..60].copy_from_slice(&64_u16.to_le_bytes());
        let count = u16::try_from(self.sections_before + 2).unwrap();
        file[60..62].copy_from_slice(&count.to_le_bytes());
        file
    }
}

/// A number in the form of back references: base 62 and one less, from `_` for 0 (RFC 2603).
fn base_62(number: usize) -> String {
    let digits = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let mut text = String::from("_");
    let mut rest = number;
    while rest > 0 {
        text.insert(0, char::from(digits[(rest - 1) % 62]));
        rest = (rest - 1) / 62;
    }
    text
}

/// A generic function with one argument for each of `arguments`, which are written with the place where
/// the one before stands.
fn generic(arguments: usize, mut argument: impl FnMut(usize, usize) -> String) -> String {
    let mut name = String::from("_RINvC1a1b");
    let mut before = 0;
    for index in 0..arguments {
        let at = name.len() - 2;
        name += &argument(index, before);
        before = at;
    }
    name + "E"
}

/// A mangled name in which each argument is a pair of the one before.
#[must_use]
pub fn doubling() -> String {
    generic(40, |index, before| match index {
        0 => "TyyE".into(),
        _ => format!("TB{0}B{0}E", base_62(before)),
    })
}

/// A mangled name with a long way without a piece of output, gone again and again.
#[must_use]
pub fn long_ways() -> String {
    let deep = format!("{}C1x{}", "Nt".repeat(95), "0".repeat(95));
    generic(16, |index, before| match index {
        0 => deep.clone(),
        _ => format!("TB{0}B{0}E", base_62(before)),
    })
}

/// A mangled name of references to references.
#[must_use]
pub fn chains() -> String {
    generic(84, |index, before| match index {
        0 => "y".into(),
        1..64 => format!("B{}", base_62(before)),
        _ => format!("TB{0}B{0}E", base_62(before)),
    })
}
