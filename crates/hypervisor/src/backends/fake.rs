//! A scripted back end for tests without hardware.
//!
//! A script plays the guest: at every run it gets the registers and the memory, changes them as the
//! guest's instructions would, and says how the CPU stopped.

use crate::refusal::refused;
use crate::vm::{Exit, InitialState, SystemRegisters, Vcpu, Vm};
use ampoule_machine::{CpuState, Kick, Kicker, MachineError, Registers};
use ampoule_memory::{Mapping, PhysicalAddress};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What a script sees and may change.
#[derive(Debug, Default)]
pub struct FakeCpu {
    /// General registers.
    pub registers: Registers,
    /// System registers.
    pub system_registers: SystemRegisters,
    /// Memory by guest-physical base.
    pub memory: Vec<(PhysicalAddress, Arc<Mapping>)>,
    kicked: Arc<AtomicBool>,
}

impl FakeCpu {
    /// Whether a kick is waiting: an endless loop in a script should end when it is.
    #[must_use]
    pub fn is_kicked(&self) -> bool {
        self.kicked.load(Ordering::SeqCst)
    }
}

/// Plays the guest for one run.
pub type Script = Box<dyn FnMut(&mut FakeCpu) -> Exit + Send>;

/// A VM whose guest is a script.
pub struct FakeVm {
    memory: Vec<(PhysicalAddress, Arc<Mapping>)>,
    script: Option<Script>,
    xcr0: Option<u64>,
}

impl FakeVm {
    /// A VM whose CPU is played by `script`.
    #[must_use]
    pub fn new(script: Script) -> Self {
        Self { memory: Vec::new(), script: Some(script), xcr0: None }
    }

    /// The same, of a CPU that may have `xrstor`, so that its script begins at the entry stub.
    #[must_use]
    pub fn with_xcr0(self, xcr0: u64) -> Self {
        Self { xcr0: Some(xcr0), ..self }
    }
}

impl Vm for FakeVm {
    fn map_memory(
        &mut self,
        base: PhysicalAddress,
        mapping: Arc<Mapping>,
    ) -> Result<(), MachineError> {
        self.memory.push((base, mapping));
        Ok(())
    }

    fn forget_translations(&mut self) -> Result<(), MachineError> {
        Ok(())
    }

    fn create_vcpu(&mut self) -> Result<Box<dyn Vcpu>, MachineError> {
        let already = || refused("create a second virtual CPU")(std::io::ErrorKind::AlreadyExists);
        let script = self.script.take().ok_or_else(already)?;
        let cpu = FakeCpu { memory: self.memory.clone(), ..FakeCpu::default() };
        Ok(Box::new(FakeVcpu { cpu, script, xcr0: self.xcr0 }))
    }
}

struct FakeVcpu {
    cpu: FakeCpu,
    script: Script,
    xcr0: Option<u64>,
}

struct FakeKick(Arc<AtomicBool>);

impl Kick for FakeKick {
    fn kick(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Vcpu for FakeVcpu {
    fn initialise(&mut self, state: &InitialState) -> Result<(), MachineError> {
        self.cpu.registers = state.registers;
        self.cpu.system_registers = SystemRegisters { cs: 0x33, ..SystemRegisters::default() };
        Ok(())
    }

    fn run(&mut self) -> Result<Exit, MachineError> {
        let exit = if self.cpu.is_kicked() { Exit::Kicked } else { (self.script)(&mut self.cpu) };
        if exit == Exit::Kicked {
            self.cpu.kicked.store(false, Ordering::SeqCst);
        }
        Ok(exit)
    }

    fn registers(&self) -> Registers {
        self.cpu.registers
    }

    fn set_registers(&mut self, registers: &Registers) {
        self.cpu.registers = *registers;
    }

    fn system_registers(&self) -> SystemRegisters {
        self.cpu.system_registers
    }

    fn set_fs_base(&mut self, base: u64) {
        self.cpu.system_registers.fs_base = base;
    }

    fn save(&mut self) -> Result<CpuState, MachineError> {
        Ok(CpuState {
            registers: self.cpu.registers,
            fs_base: self.cpu.system_registers.fs_base,
            gs_base: self.cpu.system_registers.gs_base,
            extended: Vec::new(),
        })
    }

    fn set_segments(&mut self, fs_base: u64, gs_base: u64) -> Result<(), MachineError> {
        self.cpu.system_registers = SystemRegisters { cs: 0x33, cr2: 0, fs_base, gs_base };
        Ok(())
    }

    /// Scripts see none of it.
    fn load_extended(&mut self, _: &[u8]) -> Result<(), MachineError> {
        Ok(())
    }

    fn xcr0(&self) -> Option<u64> {
        self.xcr0
    }

    fn tsc_frequency(&self) -> Option<u64> {
        None
    }

    fn kicker(&self) -> Kicker {
        Kicker::new(Arc::new(FakeKick(Arc::clone(&self.cpu.kicked))))
    }

    fn forget_kicks(&mut self) {
        self.cpu.kicked.store(false, Ordering::SeqCst);
    }
}
