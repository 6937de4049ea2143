//! A VM without a guest: what is left of a sandbox that is closed, and what the next one begins in.

use crate::channel::{Channel, ClockParameters};
use crate::error::CreateError;
use ampoule_machine::{Backend, CpuState, Entry, Machine, SystemPages};
use ampoule_memory::{AddressSpace, SealedSpace};
use std::io;
use std::sync::Arc;

/// A VM with a processor, memory and a channel.
///
/// Nothing of a guest stays in it: memory is given back to the host, and everything of a processor that
/// ring 3 can change is set when a snapshot is entered.
#[derive(Debug)]
pub struct EmptyVm {
    // The VM goes before the memory it uses.
    pub(crate) machine: Box<dyn Machine>,
    pub(crate) space: AddressSpace,
    pub(crate) channel: Channel,
}

/// What a snapshot asks of the VM that it is entered in.
#[derive(Debug, Clone, Copy)]
pub struct Shape<'a> {
    pub(crate) backend: &'static dyn Backend,
    pub(crate) space: &'a Arc<SealedSpace>,
    pub(crate) pages: &'a SystemPages,
    pub(crate) message_bytes: u64,
}

impl EmptyVm {
    /// A new one, its memory that of a snapshot.
    pub(crate) fn of(shape: &Shape<'_>, cpu: &CpuState) -> Result<Self, CreateError> {
        let memory = |source| CreateError::Memory { source };
        let mut space = shape.space.instantiate().map_err(memory)?;
        let channel = Channel::new(shape.message_bytes).map_err(memory)?;
        channel.attach_to(&mut space);
        let entry = Entry { instruction: cpu.registers.rip, stack: cpu.registers.rsp };
        let machine = shape.backend.machine(&space, shape.pages, entry)?;
        describe(Some(&channel), &*machine)?;
        Ok(Self { machine, space, channel })
    }

    /// The same with its memory emptied; [`None`] when that is not possible.
    ///
    /// Cost: a few system calls.
    pub(crate) fn emptied(mut self) -> Option<Self> {
        let is_empty = self.space.clear().is_ok() && self.channel.clear().is_ok();
        is_empty.then_some(self)
    }

    /// Whether a snapshot of this shape can be entered in it on the calling thread, sooner than in a new one.
    #[must_use]
    pub fn fits(&self, shape: &Shape<'_>) -> bool {
        self.space.fits(shape.space)
            && self.machine.stands_on(shape.pages)
            && self.channel.capacity() == shape.message_bytes
            // Where it is not, a new VM is there sooner.
            && self.machine.has_affinity_here()
    }
}

/// Fills the channel's control page, if there is a channel.
pub(crate) fn describe(
    channel: Option<&Channel>,
    machine: &dyn Machine,
) -> Result<(), CreateError> {
    let Some(channel) = channel else { return Ok(()) };
    let clock = ClockParameters {
        tsc_frequency: machine.tsc_frequency().unwrap_or(0),
        ..ClockParameters::default()
    };
    let described = channel.describe(clock);
    described.map_err(|error| CreateError::Memory { source: io::Error::other(error) })
}
