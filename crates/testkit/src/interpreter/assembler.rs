//! Machine code, an instruction at a time.

use std::collections::HashMap;

/// A general register without REX.B, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the processor's own names")]
pub enum Register {
    Rax = 0,
    Rcx = 1,
    Rdx = 2,
    Rbx = 3,
    Rsi = 6,
    Rdi = 7,
}

impl Register {
    /// In the lower three bits of a byte.
    const fn low(self) -> u8 {
        self as u8
    }

    /// In the middle three bits of a ModRM byte.
    const fn middle(self) -> u8 {
        (self as u8) << 3
    }
}

/// Puts instructions behind one another (Intel SDM vol. 2). Jumps go to labels, which may come later.
#[derive(Debug, Default)]
pub struct Assembler {
    code: Vec<u8>,
    labels: HashMap<&'static str, usize>,
    /// Where four bytes are to be the distance to a label.
    jumps: Vec<(usize, &'static str)>,
}

impl Assembler {
    /// Names this place.
    pub fn label(&mut self, name: &'static str) -> &mut Self {
        self.labels.insert(name, self.code.len());
        self
    }

    /// Names a place that no code stands at.
    pub fn place(&mut self, name: &'static str, offset: usize) -> &mut Self {
        self.labels.insert(name, offset);
        self
    }

    fn put(&mut self, bytes: &[u8]) -> &mut Self {
        self.code.extend_from_slice(bytes);
        self
    }

    /// `mov $value, %to`
    pub fn set(&mut self, to: Register, value: u64) -> &mut Self {
        self.put(&[0x48, 0xb8 + to.low()]).put(&value.to_le_bytes())
    }

    /// `mov %from, %to`
    pub fn copy(&mut self, to: Register, from: Register) -> &mut Self {
        self.put(&[0x48, 0x89, 0xc0 | from.middle() | to.low()])
    }

    /// `mov offset(%at), %to`, 64 bits.
    pub fn load(&mut self, to: Register, at: Register, offset: u8) -> &mut Self {
        self.put(&[0x48, 0x8b, 0x40 | to.middle() | at.low(), offset])
    }

    /// `mov offset(%at), %to`, 32 bits; the others become zero.
    pub fn load_32(&mut self, to: Register, at: Register, offset: u8) -> &mut Self {
        self.put(&[0x8b, 0x40 | to.middle() | at.low(), offset])
    }

    /// `movzbl offset(%at), %to`
    pub fn load_8(&mut self, to: Register, at: Register, offset: u8) -> &mut Self {
        self.put(&[0x0f, 0xb6, 0x40 | to.middle() | at.low(), offset])
    }

    /// `mov %from, offset(%at)`, 64 bits.
    pub fn store(&mut self, at: Register, offset: u8, from: Register) -> &mut Self {
        self.put(&[0x48, 0x89, 0x40 | from.middle() | at.low(), offset])
    }

    /// `mov %from, offset(%at)`, 32 bits.
    pub fn store_32(&mut self, at: Register, offset: u8, from: Register) -> &mut Self {
        self.put(&[0x89, 0x40 | from.middle() | at.low(), offset])
    }

    /// `add $value, %to`; the value is signed.
    pub fn add(&mut self, to: Register, value: i8) -> &mut Self {
        self.put(&[0x48, 0x83, 0xc0 | to.low(), value.cast_unsigned()])
    }

    /// `cmp $value, %with`
    pub fn compare(&mut self, with: Register, value: i8) -> &mut Self {
        self.put(&[0x48, 0x83, 0xf8 | with.low(), value.cast_unsigned()])
    }

    fn jump_by(&mut self, opcode: &[u8], to: &'static str) -> &mut Self {
        self.put(opcode);
        self.jumps.push((self.code.len(), to));
        self.put(&[0; 4])
    }

    /// `jmp to`
    pub fn jump(&mut self, to: &'static str) -> &mut Self {
        self.jump_by(&[0xe9], to)
    }

    /// `je to`
    pub fn jump_if_equal(&mut self, to: &'static str) -> &mut Self {
        self.jump_by(&[0x0f, 0x84], to)
    }

    /// `jne to`
    pub fn jump_if_not(&mut self, to: &'static str) -> &mut Self {
        self.jump_by(&[0x0f, 0x85], to)
    }

    /// `out %al, $port`
    pub fn out(&mut self, port: u8) -> &mut Self {
        self.put(&[0xe6, port])
    }

    /// `out %al, (%dx)`
    pub fn out_dx(&mut self) -> &mut Self {
        self.put(&[0xee])
    }

    /// `syscall`
    pub fn system_call(&mut self) -> &mut Self {
        self.put(&[0x0f, 0x05])
    }

    /// `rdfsbase %to`
    pub fn fs_base(&mut self, to: Register) -> &mut Self {
        self.put(&[0xf3, 0x48, 0x0f, 0xae, 0xc0 | to.low()])
    }

    /// `ud2`
    pub fn undefined(&mut self) -> &mut Self {
        self.put(&[0x0f, 0x0b])
    }

    /// The code.
    ///
    /// # Panics
    ///
    /// If a jump goes to a label that is nowhere, or too far.
    #[must_use]
    #[expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that is written wrongly")]
    pub fn finish(&self) -> Vec<u8> {
        let mut code = self.code.clone();
        for &(at, to) in &self.jumps {
            let target = self.labels.get(to).expect("the label stands somewhere");
            let distance = i32::try_from(*target).unwrap() - i32::try_from(at + 4).unwrap();
            code[at..at + 4].copy_from_slice(&distance.to_le_bytes());
        }
        code
    }
}
