//! Taking a sandbox's state, going back to it, and starting others from it.

use super::{CallAccount, Sandbox, State, describe, random_seed};
use crate::channel::Channel;
use crate::config::Limits;
use crate::control::Control;
use crate::error::{CallError, CreateError};
use crate::image::Image;
use crate::statistics::Statistics;
use ampoule_hypervisor::ring3::Machine;
use ampoule_hypervisor::{CpuState, HypervisorError, create_vm};
use ampoule_linux::Personality;
use ampoule_memory::{RestoreError, SealedSpace};
use ampoule_wire::interface::Interface;
use std::io;
use std::sync::Arc;

/// The state of a ready sandbox: sealed memory, registers, personality and interface.
///
/// Cheap to clone and to send; any number of sandboxes start from one or go back to it, and it lives
/// until the last of them is gone.
#[derive(Debug, Clone)]
pub struct Snapshot(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    image: Arc<Image>,
    space: Arc<SealedSpace>,
    cpu: CpuState,
    personality: Personality,
    sequence: u32,
    message_bytes: u64,
    interface: Interface,
    limits: Limits,
    stack_bytes: u64,
}

/// A snapshot could not be taken or gone back to.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The sandbox is not in a state in which this can be done.
    #[error(transparent)]
    State(#[from] CallError),
    /// A new VM was needed for the snapshot and could not be made.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// The host has no memory to give.
    #[error("the host could not change its mapping of guest memory: {source}")]
    Memory {
        /// What it said.
        source: io::Error,
    },
    /// The hypervisor refused.
    #[error(transparent)]
    Hypervisor(#[from] HypervisorError),
}

impl Sandbox {
    /// Takes the state of a ready sandbox. The sandbox goes on as if nothing had happened, and
    /// [`Self::restore`] to this snapshot is cheap from then on.
    ///
    /// Cost: one pass over the memory in use.
    ///
    /// # Errors
    /// [`SnapshotError`]; the sandbox is unchanged then.
    pub fn snapshot(&mut self) -> Result<Snapshot, SnapshotError> {
        self.expect_state(&State::Ready, "be snapshotted")?;
        let (Some(channel), Some(interface)) = (&self.channel, &self.interface) else {
            return Err(self.wrong_state("be snapshotted").into());
        };
        let memory = |source| SnapshotError::Memory { source };
        let cpu = self.machine.save(&self.space)?;
        let snapshot = Snapshot(Arc::new(Inner {
            image: Arc::clone(&self.image),
            space: self.space.seal().map_err(memory)?,
            cpu,
            personality: self.personality.clone(),
            sequence: channel.sequence(),
            message_bytes: channel.capacity(),
            interface: interface.clone(),
            limits: self.limits,
            stack_bytes: self.stack_bytes,
        }));
        // From here on the memory is a view of the new image, so that going back to it is cheap.
        self.restore(&snapshot)?;
        Ok(snapshot)
    }

    /// Goes back to `snapshot` from wherever the guest is, also when it is poisoned; nothing of what
    /// it did since can be observed by it. Its random generator goes on.
    ///
    /// Cost: a look at the tables of writable pages, and a copy of each page that
    /// calls write; more when the snapshot is not the last one that this sandbox came from, and that
    /// of a new VM when its memory has another shape.
    ///
    /// # Errors
    /// [`SnapshotError`]. The sandbox is broken then: only another restore that succeeds makes it
    /// usable.
    pub fn restore(&mut self, snapshot: &Snapshot) -> Result<(), SnapshotError> {
        let memory = |source| SnapshotError::Memory { source };
        let from = &*snapshot.0;
        if !self.machine.is_sound() {
            return self.replace_by(snapshot);
        }
        let restored = match self.space.restore(&from.space) {
            Ok(restored) => restored,
            Err(RestoreError::Host { source }) => return Err(memory(source)),
            Err(RestoreError::OtherShape) => return self.replace_by(snapshot),
        };
        if let Some(channel) = &mut self.channel {
            channel.reset(from.sequence, restored.wholesale).map_err(memory)?;
        }
        self.machine.load(&from.cpu)?;
        self.personality.restore(&from.personality);
        self.control.disarm();
        self.control.forgive();
        self.image = Arc::clone(&from.image);
        self.interface = Some(from.interface.clone());
        self.parked = None;
        self.call = CallAccount::default();
        self.state = State::Ready;
        self.statistics.restores += 1;
        self.statistics.restored_pages += restored.pages;
        self.statistics.wholesale_restores += u64::from(restored.wholesale);
        Ok(())
    }

    /// Goes on as a new sandbox from `snapshot`, under the same control and with the same counters.
    fn replace_by(&mut self, snapshot: &Snapshot) -> Result<(), SnapshotError> {
        self.control.disarm();
        self.control.forgive();
        let statistics = Statistics {
            restores: self.statistics.restores + 1,
            wholesale_restores: self.statistics.wholesale_restores + 1,
            ..self.statistics.clone()
        };
        *self = Self::from_snapshot(snapshot, self.control.clone())?;
        self.statistics = statistics;
        Ok(())
    }

    /// Makes a sandbox that starts in `snapshot`, ready to be called. Its initialisation does not run
    /// again, and its memory is shared with the snapshot until it is written.
    ///
    /// Cost: that of a VM.
    ///
    /// # Errors
    /// [`CreateError`].
    pub fn from_snapshot(snapshot: &Snapshot, control: Control) -> Result<Self, CreateError> {
        let memory = |source| CreateError::Memory { source };
        let from = &*snapshot.0;
        let mut space = from.space.instantiate().map_err(memory)?;
        let mut channel = Channel::new(from.message_bytes).map_err(memory)?;
        channel.attach_to(&mut space);
        channel.reset(from.sequence, false).map_err(memory)?;
        let mut vm = create_vm()?;
        for (base, mapping) in space.memory().parts() {
            vm.map_memory(base, Arc::clone(mapping))?;
        }
        let pages = from.image.system_pages;
        let registers = &from.cpu.registers;
        let mut machine = Machine::new(vm, &space, pages, registers.rip, registers.rsp)?;
        machine.load(&from.cpu)?;
        describe(Some(&channel), &machine)?;
        let personality = from.personality.fork(random_seed().map_err(memory)?);
        control.attach_kicker(machine.kicker());
        Ok(Self {
            machine,
            space,
            personality,
            channel: Some(channel),
            image: Arc::clone(&from.image),
            limits: from.limits,
            stack_bytes: from.stack_bytes,
            state: State::Ready,
            control,
            call: CallAccount::default(),
            parked: None,
            message: Vec::new(),
            interface: Some(from.interface.clone()),
            statistics: Statistics::default(),
        })
    }
}

impl Snapshot {
    /// What the guest exports and imports.
    #[must_use]
    pub fn interface(&self) -> &Interface {
        &self.0.interface
    }
}
