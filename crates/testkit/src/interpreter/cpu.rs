//! A processor that knows the instructions of [`super::Assembler`].

use ampoule_abi::port;
use ampoule_machine::{CpuState, Exception, MachineError, Registers, Trap, Violation};
use ampoule_memory::{Access, AddressSpace};
use std::sync::atomic::{AtomicBool, Ordering};

/// An `out` to one of these shows what a processor does at its worst. To any other than the doorbell's it
/// is a [`Violation::Port`].
pub(super) const HALT: u16 = 0xfff0;
pub(super) const SHUTDOWN: u16 = 0xfff1;
pub(super) const UNBACKED: u16 = 0xfff2;
pub(super) const UNRUNNABLE: u16 = 0xfff3;
/// An `out` to this one is more than the interpreter can take.
pub(super) const DEFECT: u16 = 0xfff4;

const ZERO_FLAG: u64 = 1 << 6;
/// RFLAGS at the start: the bit that is always set, and that of interrupts.
const INITIAL_FLAGS: u64 = 0x202;
const INVALID_OPCODE: u8 = 6;
const PAGE_FAULT: u8 = 14;
/// The longest instruction (Intel SDM vol. 2, section 2.3.11).
const LONGEST: usize = 15;

#[derive(Debug)]
pub(super) struct Cpu {
    pub(super) state: CpuState,
}

/// Why an instruction was not carried out.
enum Stop {
    Trap(Trap),
    Defect,
}

impl From<Exception> for Stop {
    fn from(exception: Exception) -> Self {
        Self::Trap(Trap::Exception(exception))
    }
}

impl Cpu {
    pub(super) fn new(instruction: u64, stack: u64) -> Self {
        let registers = Registers {
            rip: instruction,
            rsp: stack,
            rflags: INITIAL_FLAGS,
            ..Registers::default()
        };
        // As a state in a store has to be: the standard format of `XSAVE`, and no component in use.
        Self { state: CpuState { registers, extended: vec![0; 4096], ..CpuState::default() } }
    }

    /// Carries out instructions until one traps, or `kicked` is set.
    pub(super) fn run(
        &mut self,
        space: &mut AddressSpace,
        kicked: &AtomicBool,
    ) -> Result<Trap, MachineError> {
        while !kicked.swap(false, Ordering::SeqCst) {
            match self.step(space) {
                Ok(()) => {}
                Err(Stop::Trap(trap)) => return Ok(trap),
                Err(Stop::Defect) => {
                    return Err(MachineError::Refused {
                        by: "the interpreter",
                        operation: "go on",
                        source: std::io::ErrorKind::Unsupported.into(),
                    });
                }
            }
        }
        Ok(Trap::Kicked)
    }

    fn step(&mut self, space: &mut AddressSpace) -> Result<(), Stop> {
        let at = self.state.registers.rip;
        let mut bytes = [0; LONGEST];
        let code = self.fetch(space, &mut bytes)?;
        let byte = |index: usize| code.get(index).copied().unwrap_or(0);
        let distance =
            |from: usize| i32::from_le_bytes([0, 1, 2, 3].map(|index| byte(from + index)));
        let next = |length: u64| at.wrapping_add(length);
        let registers = &mut self.state.registers;
        match code {
            [0x48, opcode @ 0xb8..=0xbf, ..] => {
                let value = u64::from_le_bytes(std::array::from_fn(|index| byte(2 + index)));
                *register(registers, *opcode) = value;
                registers.rip = next(10);
            }
            [0x48, 0x89, modrm @ 0xc0..=0xff, ..] => {
                let value = *register(registers, modrm >> 3);
                *register(registers, *modrm) = value;
                registers.rip = next(3);
            }
            [0x48, 0x8b, modrm @ 0x40..=0x7f, offset, ..] => {
                self.load(space, *modrm, *offset, 8)?;
                self.state.registers.rip = next(4);
            }
            [0x8b, modrm @ 0x40..=0x7f, offset, ..] => {
                self.load(space, *modrm, *offset, 4)?;
                self.state.registers.rip = next(3);
            }
            [0x0f, 0xb6, modrm @ 0x40..=0x7f, offset, ..] => {
                self.load(space, *modrm, *offset, 1)?;
                self.state.registers.rip = next(4);
            }
            [0x48, 0x89, modrm @ 0x40..=0x7f, offset, ..] => {
                self.store(space, *modrm, *offset, 8)?;
                self.state.registers.rip = next(4);
            }
            [0x89, modrm @ 0x40..=0x7f, offset, ..] => {
                self.store(space, *modrm, *offset, 4)?;
                self.state.registers.rip = next(3);
            }
            [0x48, 0x83, modrm @ 0xc0..=0xc7, value, ..] => {
                let to = register(registers, *modrm);
                *to = to.wrapping_add_signed(i64::from(value.cast_signed()));
                let is_zero = *to == 0;
                set_zero_flag(registers, is_zero);
                registers.rip = next(4);
            }
            [0x48, 0x83, modrm @ 0xf8..=0xff, value, ..] => {
                let value = i64::from(value.cast_signed()).cast_unsigned();
                let is_equal = *register(registers, *modrm) == value;
                set_zero_flag(registers, is_equal);
                registers.rip = next(4);
            }
            [0xe9, ..] => registers.rip = next(5).wrapping_add_signed(distance(1).into()),
            [0x0f, condition @ (0x84 | 0x85), ..] => {
                let is_met = (registers.rflags & ZERO_FLAG != 0) == (*condition == 0x84);
                let by = if is_met { distance(2) } else { 0 };
                registers.rip = next(6).wrapping_add_signed(by.into());
            }
            [0xe6, to, ..] => {
                registers.rip = next(2);
                return Err(out(u16::from(*to)));
            }
            [0xee, ..] => {
                registers.rip = next(1);
                let [low, high, ..] = registers.rdx.to_le_bytes();
                return Err(out(u16::from_le_bytes([low, high])));
            }
            [0x0f, 0x05, ..] => {
                registers.rip = next(2);
                (registers.rcx, registers.r11) = (registers.rip, registers.rflags);
                let r = registers;
                let arguments = [r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9];
                return Err(Stop::Trap(Trap::SystemCall { number: r.rax, arguments }));
            }
            [0xf3, 0x48, 0x0f, 0xae, modrm @ 0xc0..=0xc7, ..] => {
                *register(registers, *modrm) = self.state.fs_base;
                registers.rip = next(5);
            }
            _ => return Err(self.exception(INVALID_OPCODE, None).into()),
        }
        Ok(())
    }

    /// The bytes at RIP, as far as they can be executed.
    fn fetch<'a>(
        &self,
        space: &AddressSpace,
        bytes: &'a mut [u8; LONGEST],
    ) -> Result<&'a [u8], Stop> {
        let at = self.state.registers.rip;
        let mut length = 0;
        for (byte, at) in bytes.iter_mut().zip(at..) {
            let Some(physical) = space.translate(at, Access::Execute) else { break };
            let mut one = [0];
            if space.memory().read(physical, &mut one).is_err() {
                break;
            }
            *byte = one[0];
            length += 1;
        }
        if length == 0 {
            return Err(self.exception(PAGE_FAULT, Some((at, Access::Execute))).into());
        }
        Ok(&bytes[..length])
    }

    /// `mov offset(%rm), %reg`
    fn load(
        &mut self,
        space: &AddressSpace,
        modrm: u8,
        offset: u8,
        bytes: usize,
    ) -> Result<(), Stop> {
        let at = self.address(space, modrm, offset, bytes, Access::Read)?;
        let mut value = [0; 8];
        let read = space.peek(at, &mut value[..bytes]);
        read.map_err(|_| self.exception(PAGE_FAULT, Some((at, Access::Read))))?;
        *register(&mut self.state.registers, modrm >> 3) = u64::from_le_bytes(value);
        Ok(())
    }

    /// `mov %reg, offset(%rm)`
    fn store(
        &mut self,
        space: &mut AddressSpace,
        modrm: u8,
        offset: u8,
        bytes: usize,
    ) -> Result<(), Stop> {
        let at = self.address(space, modrm, offset, bytes, Access::Write)?;
        let value = register(&mut self.state.registers, modrm >> 3).to_le_bytes();
        let written = space.write(at, &value[..bytes]);
        written.map_err(|_| self.exception(PAGE_FAULT, Some((at, Access::Write))))?;
        Ok(())
    }

    /// Where an operand lies, all of whose bytes are there for such an access.
    fn address(
        &mut self,
        space: &AddressSpace,
        modrm: u8,
        offset: u8,
        bytes: usize,
        access: Access,
    ) -> Result<u64, Stop> {
        let base = *register(&mut self.state.registers, modrm);
        let at = base.wrapping_add_signed(i64::from(offset.cast_signed()));
        for at in [at, at.wrapping_add(bytes as u64 - 1)] {
            if space.translate(at, access).is_none() {
                return Err(self.exception(PAGE_FAULT, Some((at, access))).into());
            }
        }
        Ok(at)
    }

    fn exception(&self, vector: u8, fault: Option<(u64, Access)>) -> Exception {
        let registers = &self.state.registers;
        // Intel SDM vol. 3, figure 4-12: bit 1 is a write, bit 2 ring 3, bit 4 an instruction fetch.
        let error_code = match fault {
            Some((_, Access::Execute)) => 0b1_0100,
            Some((_, Access::Write)) => 0b0_0110,
            Some((_, Access::Read)) => 0b0_0100,
            None => 0,
        };
        let (instruction, stack) = (registers.rip, registers.rsp);
        Exception { vector, error_code, instruction, stack, fault }
    }
}

/// What an `out` does: RIP is behind it.
fn out(to: u16) -> Stop {
    Stop::Trap(match to {
        _ if to == u16::from(port::DOORBELL) => Trap::Doorbell,
        _ if to == u16::from(port::TRACE) => Trap::TraceFull,
        HALT => Trap::Violation(Violation::Halt),
        SHUTDOWN => Trap::Violation(Violation::Shutdown),
        UNBACKED => Trap::Violation(Violation::Unbacked),
        UNRUNNABLE => Trap::Violation(Violation::Unrunnable { code: 1 }),
        DEFECT => return Stop::Defect,
        port => Trap::Violation(Violation::Port { port }),
    })
}

/// The general register in the lower three bits of `number`.
fn register(registers: &mut Registers, number: u8) -> &mut u64 {
    match number & 7 {
        0 => &mut registers.rax,
        1 => &mut registers.rcx,
        2 => &mut registers.rdx,
        3 => &mut registers.rbx,
        4 => &mut registers.rsp,
        5 => &mut registers.rbp,
        6 => &mut registers.rsi,
        _ => &mut registers.rdi,
    }
}

fn set_zero_flag(registers: &mut Registers, is_set: bool) {
    registers.rflags &= !ZERO_FLAG;
    registers.rflags |= if is_set { ZERO_FLAG } else { 0 };
}
