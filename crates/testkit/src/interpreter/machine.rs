//! The machine at the seam.

use super::cpu::Cpu;
use ampoule_machine::{CpuState, Entry, Kick, Kicker, Machine, MachineError, SystemPages, Trap};
use ampoule_memory::AddressSpace;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

#[derive(Debug)]
pub(super) struct Interpreter {
    cpu: Cpu,
    pages: SystemPages,
    kicked: Arc<AtomicBool>,
    is_sound: bool,
}

impl Interpreter {
    pub(super) fn new(pages: &SystemPages, entry: Entry) -> Self {
        Self {
            cpu: Cpu::new(entry.instruction, entry.stack),
            pages: pages.clone(),
            kicked: Arc::default(),
            is_sound: true,
        }
    }
}

impl Machine for Interpreter {
    fn run(&mut self, space: &mut AddressSpace) -> Result<Trap, MachineError> {
        let trap = self.cpu.run(space, &self.kicked);
        self.is_sound = !matches!(trap, Err(_) | Ok(Trap::Violation(_)));
        trap
    }

    fn return_from_system_call(&mut self, result: i64) {
        self.cpu.state.registers.rax = result.cast_unsigned();
    }

    fn set_fs_base(&mut self, base: u64) {
        self.cpu.state.fs_base = base;
    }

    fn position(&self) -> (u64, u64) {
        (self.cpu.state.registers.rip, self.cpu.state.registers.rsp)
    }

    fn tsc_frequency(&self) -> Option<u64> {
        None
    }

    fn save(&mut self, _: &AddressSpace) -> Result<CpuState, MachineError> {
        Ok(self.cpu.state.clone())
    }

    fn load(&mut self, state: &CpuState, _: &AddressSpace) -> Result<(), MachineError> {
        self.cpu.state.clone_from(state);
        Ok(())
    }

    fn is_sound(&self) -> bool {
        self.is_sound
    }

    fn has_affinity_here(&self) -> bool {
        true
    }

    fn stands_on(&self, pages: &SystemPages) -> bool {
        *pages == self.pages
    }

    fn forget_kicks(&mut self) {
        self.kicked.store(false, Ordering::SeqCst);
    }

    fn kicker(&self) -> Kicker {
        Kicker::new(Arc::new(Flag(Arc::clone(&self.kicked))))
    }
}

struct Flag(Arc<AtomicBool>);

impl Kick for Flag {
    fn kick(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}
