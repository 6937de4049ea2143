//! Repairing page faults, and putting the others into words.

use super::Sandbox;
use crate::events::Event;
use crate::stop::{Fault, Stop};
use ampoule_abi::layout::{HOST_END, NULL_GUARD_END, STACK_TOP, SYSTEM_BASE};
use ampoule_machine::{Exception, Violation};
use ampoule_memory::{Access, FaultOutcome};
use ampoule_program::Location;

/// How far below the stack an access still counts as overflowing it: frames may be large.
const STACK_GUARD: u64 = 1 << 20;

impl Sandbox {
    /// Gives the guest the memory that it faulted for, where it has a right to it.
    pub(super) fn repair(&mut self, exception: &Exception) -> Result<(), Stop> {
        if let Some((address, access)) = exception.fault {
            self.guest.space.begin_portion();
            match self.guest.space.handle_fault(address, access) {
                FaultOutcome::Repaired => {
                    self.events.tell(Event::PageFault);
                    return Ok(());
                }
                FaultOutcome::OutOfMemory => {
                    return Err(Stop::MemoryLimit { limit: self.guest.space.capacity_bytes() });
                }
                FaultOutcome::Denied => {}
            }
        }
        let what = match exception.fault {
            Some((address, access)) => self.page_fault_in_words(address, access),
            None => in_words(exception.vector),
        };
        Err(Stop::Fault(Fault {
            what,
            vector: Some(exception.vector),
            address: exception.fault.map(|(address, _)| address),
            access: exception.fault.map(|(_, access)| access),
            port: None,
            at: self.locate(exception.instruction),
        }))
    }

    pub(super) fn violation(&mut self, violation: &Violation) -> Fault {
        let (instruction, _) = self.guest.machine.position();
        let (what, port) = match *violation {
            Violation::Port { port } => ("input or output to a port", Some(port)),
            Violation::Unbacked => ("access to memory that does not exist", None),
            Violation::Halt => ("halting the processor", None),
            Violation::Shutdown => ("a triple fault", None),
            Violation::Unrunnable { .. } => ("an instruction that the hypervisor cannot run", None),
        };
        Fault {
            what,
            vector: None,
            address: None,
            access: None,
            port,
            at: self.locate(instruction),
        }
    }

    fn page_fault_in_words(&self, address: u64, access: Access) -> &'static str {
        let stack_bottom = STACK_TOP - self.guest.stack_bytes;
        let mapped = self.guest.space.protection_at(address).is_some();
        match access {
            _ if address < NULL_GUARD_END => "null access",
            _ if (SYSTEM_BASE..HOST_END).contains(&address) => "access to the host's pages",
            _ if (stack_bottom - STACK_GUARD..stack_bottom).contains(&address) => "stack overflow",
            Access::Execute if mapped => "execution of data",
            Access::Write if mapped => "write to read-only memory",
            Access::Read if mapped => "read of inaccessible memory",
            _ => "access to unmapped memory",
        }
    }

    fn locate(&mut self, address: u64) -> Location {
        let mut report = self.guest.loaded.symbols.report();
        let location = report.locate(address);
        self.events.tell(Event::Reported { steps: report.steps() });
        location
    }
}

/// The exception vectors by the names of Intel SDM vol. 3, table 6-1.
const fn in_words(vector: u8) -> &'static str {
    match vector {
        0 => "division error",
        1 => "debug exception",
        3 => "breakpoint",
        4 => "overflow",
        5 => "bound range exceeded",
        6 => "invalid instruction",
        7 => "floating-point unit not available",
        8 => "double fault",
        11 => "segment not present",
        12 => "stack segment fault",
        13 => {
            "general protection fault (a privileged instruction, or an address that cannot exist)"
        }
        16 => "x87 floating-point error",
        17 => "unaligned access",
        18 => "machine check",
        19 => "SIMD floating-point error",
        _ => "processor exception",
    }
}
