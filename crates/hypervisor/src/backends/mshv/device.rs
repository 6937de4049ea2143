//! The calls that the back end makes, apart from its logic so that tests can stand in for them.

use super::registers;
use super::system::{retry, to_io};
use crate::long_mode::Features;
use crate::vm::SystemRegisters;
use ampoule_machine::Registers;
use mshv_bindings as hv;
use mshv_ioctls::VcpuFd;
use std::io;

/// A virtual processor as the kernel offers it. Every method is one or two system calls.
pub(super) trait Device: Send {
    /// What of the processor's features can be turned on. No system call.
    fn features(&self) -> Features;

    /// Frequency of the time-stamp counter in Hz. No system call.
    fn tsc_frequency(&self) -> Option<u64>;

    /// Runs until the hypervisor has a message. Fails with `EINTR` at a signal.
    fn run(&mut self) -> io::Result<hv::hv_message>;

    /// Sets registers by name; not the general ones.
    fn set(&mut self, registers: &[hv::hv_register_assoc]) -> io::Result<()>;

    /// Sets the general registers.
    fn set_general(&mut self, registers: &Registers) -> io::Result<()>;

    /// Reads the general and the system registers.
    fn read(&self) -> io::Result<(Registers, SystemRegisters)>;

    /// Reads the extended state.
    fn extended(&self) -> io::Result<Vec<u8>>;

    /// Sets the extended state, as [`Self::extended`] gave it.
    fn set_extended(&mut self, state: &[u8]) -> io::Result<()>;
}

/// The real thing.
#[derive(Debug)]
pub(super) struct Hardware {
    fd: VcpuFd,
    features: Features,
    tsc_frequency: Option<u64>,
}

impl Hardware {
    pub(super) const fn new(fd: VcpuFd, features: Features, tsc_frequency: Option<u64>) -> Self {
        Self { fd, features, tsc_frequency }
    }
}

impl Device for Hardware {
    fn features(&self) -> Features {
        self.features
    }

    fn tsc_frequency(&self) -> Option<u64> {
        self.tsc_frequency
    }

    fn run(&mut self) -> io::Result<hv::hv_message> {
        self.fd.run().map_err(to_io)
    }

    fn set(&mut self, registers: &[hv::hv_register_assoc]) -> io::Result<()> {
        retry(|| self.fd.set_reg(registers))
    }

    fn set_general(&mut self, registers: &Registers) -> io::Result<()> {
        // Through the register page where the hypervisor offers one: then no system call.
        retry(|| self.fd.set_regs(&registers::to_hypervisor(registers)))
    }

    fn read(&self) -> io::Result<(Registers, SystemRegisters)> {
        let general = retry(|| self.fd.get_regs())?;
        let mut system = [
            registers::asked(hv::hv_register_name_HV_X64_REGISTER_CS),
            registers::asked(hv::hv_register_name_HV_X64_REGISTER_CR2),
            registers::asked(hv::hv_register_name_HV_X64_REGISTER_FS),
            registers::asked(hv::hv_register_name_HV_X64_REGISTER_GS),
        ];
        retry(|| self.fd.get_reg(&mut system))?;
        let [cs, cr2, fs, gs] = system.map(|register| register.value);
        let system = SystemRegisters {
            // SAFETY: every bit pattern is valid for every field of the union.
            cs: unsafe { cs.segment }.selector,
            // SAFETY: as above.
            cr2: unsafe { cr2.reg64 },
            // SAFETY: as above.
            fs_base: unsafe { fs.segment }.base,
            // SAFETY: as above.
            gs_base: unsafe { gs.segment }.base,
        };
        Ok((registers::from_hypervisor(&general), system))
    }

    fn extended(&self) -> io::Result<Vec<u8>> {
        Ok(retry(|| self.fd.get_xsave())?.buffer.to_vec())
    }

    fn set_extended(&mut self, state: &[u8]) -> io::Result<()> {
        let buffer = state.try_into().map_err(|_| io::ErrorKind::InvalidInput)?;
        retry(|| self.fd.set_xsave(&hv::XSave { buffer }))
    }
}
