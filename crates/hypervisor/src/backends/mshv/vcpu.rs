//! One virtual CPU: the logic over a [`Device`].
//!
//! Registers are read once after a run and kept, so that looking at them is free; what the host
//! changes is written before the next run, and only then. So an exit costs the run, one call for the
//! system registers, and up to two for the general ones where the hypervisor offers no register page.

use super::device::Device;
use super::kick::KickState;
use super::message::{Stop, decode};
use super::registers;
use crate::refusal::refused;
use crate::vm::{Exit, InitialState, SystemRegisters, Vcpu};
use ampoule_machine::{CpuState, Kicker, MachineError, Registers};
use ampoule_memory::Mapping;
use std::io;
use std::sync::Arc;

pub(super) struct MshvVcpu<D> {
    device: D,
    kick: Arc<KickState>,
    registers: Registers,
    system: SystemRegisters,
    /// `registers` differ from the device's.
    general_changed: bool,
    /// `system.fs_base` differs from the device's.
    fs_changed: bool,
    /// The partition lives on in the kernel while this CPU does, and so must its memory.
    _memory: Vec<Arc<Mapping>>,
}

impl<D: Device> MshvVcpu<D> {
    pub(super) fn new(device: D, memory: Vec<Arc<Mapping>>) -> Self {
        Self {
            device,
            kick: Arc::default(),
            registers: Registers::default(),
            system: SystemRegisters::default(),
            general_changed: false,
            fs_changed: false,
            _memory: memory,
        }
    }

    fn run_until_stop(&mut self) -> Result<Exit, MachineError> {
        let mut ran = false;
        let stop = loop {
            if self.kick.take() {
                break Stop::at(Exit::Kicked);
            }
            self.write_back().map_err(refused("set registers"))?;
            ran = true;
            match self.device.run() {
                Ok(message) => {
                    if let Some(stop) = decode(&message) {
                        break stop;
                    }
                }
                Err(error) if is_interruption(&error) => {}
                Err(error) => return Err(refused("run the guest")(error)),
            }
        };
        if ran {
            let read = self.device.read().map_err(refused("read registers"))?;
            (self.registers, self.system) = read;
        }
        if stop.skip > 0 {
            self.registers.rip = self.registers.rip.wrapping_add(stop.skip);
            self.general_changed = true;
        }
        Ok(stop.exit)
    }

    fn write_back(&mut self) -> io::Result<()> {
        if self.general_changed {
            self.device.set_general(&self.registers)?;
            self.general_changed = false;
        }
        if self.fs_changed {
            self.device.set(&[registers::fs(self.system.fs_base)])?;
            self.fs_changed = false;
        }
        Ok(())
    }
}

impl<D: Device> Vcpu for MshvVcpu<D> {
    fn initialise(&mut self, state: &InitialState) -> Result<(), MachineError> {
        let registers = registers::initial(state, self.device.features());
        self.device.set(&registers).map_err(refused("set system registers"))?;
        self.system = SystemRegisters { cs: 0x33, ..SystemRegisters::default() };
        self.fs_changed = false;
        self.set_registers(&state.registers);
        Ok(())
    }

    fn run(&mut self) -> Result<Exit, MachineError> {
        self.kick.enter().map_err(refused("make a timer"))?;
        let exit = self.run_until_stop();
        self.kick.leave();
        exit
    }

    fn registers(&self) -> Registers {
        self.registers
    }

    fn set_registers(&mut self, registers: &Registers) {
        self.registers = *registers;
        self.general_changed = true;
    }

    fn system_registers(&self) -> SystemRegisters {
        self.system
    }

    fn set_fs_base(&mut self, base: u64) {
        self.system.fs_base = base;
        self.fs_changed = true;
    }

    fn save(&mut self) -> Result<CpuState, MachineError> {
        Ok(CpuState {
            registers: self.registers,
            fs_base: self.system.fs_base,
            gs_base: self.system.gs_base,
            extended: self.device.extended().map_err(refused("read extended state"))?,
        })
    }

    fn set_segments(&mut self, fs_base: u64, gs_base: u64) -> Result<(), MachineError> {
        let segments = registers::ring_3_segments(fs_base, gs_base);
        self.device.set(&segments).map_err(refused("set system registers"))?;
        self.fs_changed = false;
        self.system = SystemRegisters { cs: 0x33, cr2: 0, fs_base, gs_base };
        Ok(())
    }

    fn load_extended(&mut self, extended: &[u8]) -> Result<(), MachineError> {
        self.device.set_extended(extended).map_err(refused("set extended state"))
    }

    fn xcr0(&self) -> Option<u64> {
        Some(self.device.features().xcr0).filter(|&xcr0| xcr0 != 0)
    }

    fn tsc_frequency(&self) -> Option<u64> {
        self.device.tsc_frequency()
    }

    fn kicker(&self) -> Kicker {
        Kicker::new(Arc::clone(&self.kick) as _)
    }

    fn forget_kicks(&mut self) {
        let _ = self.kick.take();
    }
}

/// A signal, or a run that the kernel wants to be tried again.
fn is_interruption(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINTR | libc::EAGAIN))
}
