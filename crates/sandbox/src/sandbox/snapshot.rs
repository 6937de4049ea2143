//! Taking a sandbox's state, going back to it, and starting others from it.

use super::{Activity, CallAccount, Sandbox, State, random_seed};
use crate::channel::Channel;
use crate::config::Limits;
use crate::control::Control;
use crate::empty_vm::{EmptyVm, Shape};
use crate::error::{CallError, CreateError, Failure};
use crate::events::Events;
use crate::image::Image;
use crate::providers::Providers;
use ampoule_hypervisor::{CpuState, HypervisorError};
use ampoule_linux::Personality;
use ampoule_memory::{RestoreError, Restored, SealedSpace};
use ampoule_wire::interface::Interface;
use std::io;
use std::sync::{Arc, Weak};

/// The state of a ready sandbox: sealed memory, registers, personality and interface.
///
/// Cheap to clone and to send; any number of sandboxes start from one or go back to it, and it lives
/// until the last of them is gone.
#[derive(Debug, Clone)]
pub struct Snapshot(Arc<SnapshotParts>);

/// What a snapshot is made of.
#[derive(Debug)]
pub(crate) struct SnapshotParts {
    pub(crate) image: Arc<Image>,
    pub(crate) space: Arc<SealedSpace>,
    pub(crate) cpu: CpuState,
    pub(crate) personality: Personality,
    pub(crate) sequence: u32,
    pub(crate) message_bytes: u64,
    pub(crate) interface: Arc<Interface>,
    pub(crate) limits: Limits,
    pub(crate) stack_bytes: u64,
    /// What the guest was told about its time-stamp counter.
    pub(crate) tsc_frequency: Option<u64>,
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

impl SnapshotError {
    /// The public error for this one.
    #[must_use]
    pub fn failure(&self) -> Failure {
        match self {
            Self::State(error) => error.failure(),
            Self::Create(error) => error.failure(),
            Self::Memory { .. } | Self::Hypervisor(_) => {
                let source = std::error::Error::source(self).map(ToString::to_string);
                let message = source.map_or(self.to_string(), |source| format!("{self}: {source}"));
                Failure::new("ERR_AMPOULE_HYPERVISOR", message)
            }
        }
    }
}

impl Sandbox {
    /// Takes the state of a ready sandbox. The sandbox goes on as if nothing had happened, and
    /// [`Self::restore`] to this snapshot is cheap from then on.
    ///
    /// Cost: one pass over the memory in use.
    ///
    /// # Errors
    /// [`SnapshotError`]; the sandbox is unchanged then, or broken when the last step failed, which puts
    /// its memory onto the new image.
    pub fn snapshot(&mut self) -> Result<Snapshot, SnapshotError> {
        self.expect_state(&State::Ready, "be snapshotted")?;
        let (Some(channel), Some(interface)) = (&self.channel, &self.interface) else {
            return Err(self.wrong_state("be snapshotted").into());
        };
        let memory = |source| SnapshotError::Memory { source };
        let cpu = self.machine.save(&self.space)?;
        let mut personality = self.personality.clone();
        personality.forget_history();
        let snapshot = Snapshot(Arc::new(SnapshotParts {
            image: Arc::clone(&self.image),
            space: self.space.seal().map_err(memory)?,
            cpu,
            personality,
            sequence: channel.sequence(),
            message_bytes: channel.capacity(),
            interface: Arc::clone(interface),
            limits: self.limits,
            stack_bytes: self.stack_bytes,
            tsc_frequency: self.machine.tsc_frequency(),
        }));
        // From here on the memory is a view of the new image, so that going back to it is cheap.
        self.go_back(&snapshot)?;
        Ok(snapshot)
    }

    /// Goes back to `snapshot` from wherever the guest is; [`Self::restore`] says more.
    pub(super) fn go_back(&mut self, snapshot: &Snapshot) -> Result<Restored, SnapshotError> {
        // What was published and never read is gone after this, and was written all the same.
        self.events.tracing.counters.bytes = self.trace_bytes();
        self.events.tracing.begin_generation();
        let gone = self.enter(snapshot);
        match &gone {
            Ok(_) => self.damage = None,
            Err(error) => {
                self.damage = Some(error.failure());
                self.state = State::Broken;
            }
        }
        gone
    }

    fn enter(&mut self, snapshot: &Snapshot) -> Result<Restored, SnapshotError> {
        let memory = |source| SnapshotError::Memory { source };
        let from = &*snapshot.0;
        let capacity = self.channel.as_ref().map(Channel::capacity);
        let pages = from.image.system_pages;
        if !self.machine.is_sound()
            || self.machine.system_pages() != pages
            || capacity != Some(from.message_bytes)
        {
            return self.replace_by(snapshot);
        }
        self.learn_working_set();
        let restored = match self.space.restore(&from.space) {
            Ok(restored) => restored,
            Err(RestoreError::Host { source }) => return Err(memory(source)),
            Err(RestoreError::OtherShape) => return self.replace_by(snapshot),
        };
        if let Some(channel) = &mut self.channel {
            channel.reset(from.sequence, restored.wholesale).map_err(memory)?;
        }
        self.machine.load(&from.cpu, &self.space)?;
        self.arrive(from);
        Ok(restored)
    }

    /// Lets sandboxes that start where this one did get the pages ready that its calls touched.
    pub(crate) fn learn_working_set(&self) {
        if self.events.statistics.calls > 0 {
            self.space.learn_working_set();
        }
    }

    /// Ends the sandbox and leaves its VM, emptied, unless the guest was stopped: then it goes.
    ///
    /// Cost: a few system calls.
    #[must_use]
    pub fn retire(self) -> Option<EmptyVm> {
        self.learn_working_set();
        let Self { machine, space, channel: Some(channel), state: State::Ready, .. } = self else {
            return None;
        };
        if machine.is_sound() { EmptyVm { machine, space, channel }.emptied() } else { None }
    }

    /// Goes on in a new VM, under the same control and with the same counters.
    fn replace_by(&mut self, snapshot: &Snapshot) -> Result<Restored, SnapshotError> {
        let fresh =
            Self::from_snapshot(snapshot, self.control.clone(), Arc::clone(&self.providers))?;
        // The VM goes before the memory it uses.
        self.machine = fresh.machine;
        self.space = fresh.space;
        self.channel = fresh.channel;
        self.arrive(&snapshot.0);
        Ok(Restored { pages: 0, wholesale: true })
    }

    fn arrive(&mut self, from: &SnapshotParts) {
        self.personality.restore(&from.personality);
        self.image = Arc::clone(&from.image);
        self.stack_bytes = from.stack_bytes;
        self.interface = Some(Arc::clone(&from.interface));
        self.parked = None;
        self.receiving = None;
        self.call = CallAccount::default();
        self.since_restore = Activity::default();
        self.state = State::Ready;
    }

    /// Makes a sandbox that starts in `snapshot`, ready to be called. Its initialisation does not run
    /// again, and its memory is shared with the snapshot until it is written.
    ///
    /// Cost: some 50 us in a VM of the same shape that the [`Providers`] have, else that of a VM.
    ///
    /// # Errors
    /// [`CreateError`].
    pub fn from_snapshot(
        snapshot: &Snapshot,
        control: Control,
        providers: Arc<Providers>,
    ) -> Result<Self, CreateError> {
        let memory = |source| CreateError::Memory { source };
        let from = &*snapshot.0;
        let EmptyVm { mut machine, space, mut channel } = from.vm(&providers)?;
        channel.reset(from.sequence, false).map_err(memory)?;
        machine.load(&from.cpu, &space)?;
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
            providers,
            call: CallAccount::default(),
            parked: None,
            receiving: None,
            message: Vec::new(),
            interface: Some(Arc::clone(&from.interface)),
            events: Events::default(),
            measures_cpu_time: false,
            left: None,
            origin: Some(snapshot.clone()),
            restores_after_calls: false,
            last_stop: None,
            damage: None,
            has_read_input: false,
            since_restore: Activity::default(),
        })
    }
}

impl SnapshotParts {
    /// A VM whose memory is this snapshot's: one that the providers have, or a new one.
    fn vm(&self, providers: &Providers) -> Result<EmptyVm, CreateError> {
        let pages = self.image.system_pages;
        let shape = Shape { space: &self.space, pages, message_bytes: self.message_bytes };
        if let Some(mut vm) = providers.vms.take(&shape)
            && vm.space.restore(&self.space).is_ok()
        {
            return Ok(vm);
        }
        EmptyVm::of(&shape, &self.cpu)
    }
}

impl Snapshot {
    /// A snapshot that was not taken here.
    pub(crate) fn from_parts(parts: SnapshotParts) -> Self {
        Self(Arc::new(parts))
    }

    /// What it is made of.
    pub(crate) fn parts(&self) -> &SnapshotParts {
        &self.0
    }

    /// What the guest exports and imports.
    #[must_use]
    pub fn interface(&self) -> &Interface {
        &self.0.interface
    }

    /// Bytes of guest memory in use, page tables included.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        self.0.space.committed_bytes()
    }

    /// Pages of guest memory that sandboxes which start here get ready at once, because calls touch
    /// them; 0 until that was learned.
    #[must_use]
    pub fn working_set_pages(&self) -> u64 {
        self.0.space.working_set_pages()
    }

    /// Bytes of the largest message of sandboxes that start here.
    #[must_use]
    pub fn message_bytes(&self) -> u64 {
        self.0.message_bytes
    }

    /// Whether both are the same snapshot.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Whether `space` is the memory of this snapshot.
    pub(super) fn is_of(&self, space: &Arc<SealedSpace>) -> bool {
        Arc::ptr_eq(&self.0.space, space)
    }

    /// Notes where the snapshot is without keeping it.
    #[must_use]
    pub fn downgrade(&self) -> WeakSnapshot {
        WeakSnapshot(Arc::downgrade(&self.0))
    }
}

/// A snapshot, as long as somebody else keeps it.
#[derive(Debug)]
pub struct WeakSnapshot(Weak<SnapshotParts>);

impl WeakSnapshot {
    /// The snapshot, if somebody still keeps it.
    #[must_use]
    pub fn upgrade(&self) -> Option<Snapshot> {
        self.0.upgrade().map(Snapshot)
    }

    /// Whether somebody still keeps it.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.0.strong_count() > 0
    }

    /// Whether it is this snapshot.
    #[must_use]
    pub fn is(&self, snapshot: &Snapshot) -> bool {
        std::ptr::eq(self.0.as_ptr(), Arc::as_ptr(&snapshot.0))
    }
}
