//! Taking a sandbox's state, and going back to it.
//!
//! Two verbs go back. [`Sandbox::restore`] is the owner's: what was asked of the guest is over and undone,
//! and that is told. [`Sandbox::enter`] is what it does to the guest: it becomes what is in the snapshot,
//! whatever it was. Taking a snapshot enters it, too, and so does a sandbox that shares another's.

use super::Sandbox;
use super::call::Call;
use super::guest::{Guest, vm_at};
use super::origin::Activity;
use super::snapshot::{Snapshot, SnapshotError, SnapshotParts};
use super::state::{State, Step};
use crate::channel::Channel;
use crate::control::Control;
use crate::empty_vm::EmptyVm;
use crate::error::{CallError, CreateError};
use crate::events::Event;
use crate::providers::Providers;
use crate::stop::Stop;
use ampoule_memory::{RestoreError, Restored};
use std::sync::Arc;

/// How many separate mappings are compared with a snapshot's, one by one, in microseconds.
const CHEAP_MAPPINGS: usize = 1024;

impl Sandbox {
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
        let from = snapshot.parts();
        let guest = Guest::from_snapshot(from, &providers)?;
        let mut sandbox = Self::new(guest, State::Ready, from.limits, control, providers);
        sandbox.set_origin(snapshot.clone());
        Ok(sandbox)
    }

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
        let Guest { channel: Some(channel), interface: Some(interface), .. } = &self.guest else {
            return Err(self.wrong_state("be snapshotted").into());
        };
        let (sequence, message_bytes) = (channel.sequence(), channel.capacity());
        let interface = Arc::clone(interface);
        let guest = &mut self.guest;
        let cpu = guest.machine.save(&guest.space)?;
        let mut personality = guest.personality.clone();
        personality.forget_history();
        let snapshot = Snapshot::from_parts(SnapshotParts {
            loaded: Arc::clone(&guest.loaded),
            space: guest.space.seal().map_err(|source| SnapshotError::Memory { source })?,
            cpu,
            personality,
            sequence,
            message_bytes,
            interface,
            limits: self.limits,
            stack_bytes: guest.stack_bytes,
            tsc_frequency: guest.machine.tsc_frequency(),
        });
        // From here on the memory is a view of the new image, so that going back to it is cheap.
        self.enter(&snapshot)?;
        Ok(snapshot)
    }

    /// Goes back to a snapshot, by default to what the sandbox was made from, wherever the guest is: also
    /// when it is poisoned or broken. Nothing of what it did since can be observed by it. Its random
    /// generator goes on; output that was not taken yet stays, and so do counters. Stops that were asked for
    /// before are void, but not closing.
    ///
    /// Cost: a look at the tables that the guest used, and a copy of each page that calls write; more
    /// when the snapshot is not the last one that this sandbox came from, and that of a new VM when
    /// its memory has another shape.
    ///
    /// # Errors
    /// [`SnapshotError`]. The sandbox is broken then: only another restore that succeeds makes it
    /// usable. A state error for a sandbox that was made from no snapshot changes nothing.
    pub fn restore(&mut self, to: Option<&Snapshot>) -> Result<(), SnapshotError> {
        let origin = self.origin.snapshot.clone();
        let Some(snapshot) = to.or(origin.as_ref()) else {
            let operation = "be restored: it was made from no snapshot";
            return Err(CallError::State { state: self.state.word(), operation }.into());
        };
        // First, so that a stop that is asked for from now on holds for the restored sandbox.
        self.control.disarm();
        self.control.clear_stop();
        let restored = self.enter(snapshot)?;
        self.events.tell(Event::Restored(restored));
        self.origin.undone = None;
        Ok(())
    }

    /// Whether [`Self::restore`] would take microseconds only.
    #[must_use]
    pub fn restores_cheaply(&self, to: Option<&Snapshot>) -> bool {
        let space = &self.guest.space;
        let is_view_of =
            |snapshot: &Snapshot| space.base().is_some_and(|base| snapshot.is_of(base));
        self.origin.since.is_small()
            && space.mappings() <= CHEAP_MAPPINGS
            && to.or(self.origin.snapshot.as_ref()).is_some_and(is_view_of)
    }

    /// What [`Self::restore`] goes back to by default.
    #[must_use]
    pub const fn origin(&self) -> Option<&Snapshot> {
        self.origin.snapshot.as_ref()
    }

    /// Sets what [`Self::restore`] goes back to by default.
    pub fn set_origin(&mut self, origin: Snapshot) {
        self.origin.snapshot = Some(origin);
    }

    /// Whether every call is followed by a [`Self::restore`] before [`Self::run`] reports how it ended,
    /// also when it was stopped. Only killing and closing leave the guest as it is then.
    pub const fn set_restores_after_calls(&mut self, restores: bool) {
        self.origin.after_calls = restores;
    }

    /// Goes back after a call, if that is wanted. A failure shows as a broken sandbox.
    pub(super) fn restore_after_call(&mut self) {
        let Some(origin) = self.origin.snapshot.clone().filter(|_| self.origin.after_calls) else {
            return;
        };
        match &self.state {
            State::Poisoned(stop) if stop.is_of_a_call() => self.origin.undone = Some(stop.clone()),
            State::Ready => {}
            _ => return,
        }
        self.control.disarm();
        self.control.clear_stop_of_call();
        if let Ok(restored) = self.enter(&origin) {
            self.events.tell(Event::Restored(restored));
        }
    }

    /// Whether `stop` was meant for a call that is over and undone.
    pub(super) const fn is_past(&self, stop: &Stop) -> bool {
        self.origin.after_calls && stop.is_of_a_call()
    }

    /// Makes the guest what it was in `snapshot`, which may be one that another sandbox of the same guest has
    /// taken in the same place. Nothing is told of it: stops, counters, and what the sandbox goes back to by
    /// default stay as they are.
    ///
    /// # Errors
    /// [`SnapshotError`]. The sandbox is broken then.
    pub fn enter(&mut self, snapshot: &Snapshot) -> Result<Restored, SnapshotError> {
        self.begin_trace_generation();
        let has_served = self.events.statistics.calls > 0;
        let entered =
            self.guest.enter(snapshot.parts(), has_served, &self.control, &self.providers);
        match &entered {
            Ok(_) => {
                self.call = Call::default();
                self.origin.since = Activity::default();
                self.state = State::Ready;
            }
            Err(error) => self.state = State::Broken(error.failure()),
        }
        entered
    }

    /// The first step of a sandbox that begins ready, unless it was stopped before.
    pub fn begin_ready(&mut self) -> Step {
        match self.control.take_stop() {
            Some(stop) => {
                self.poison(stop);
                Step::Stopped
            }
            None => Step::Ready,
        }
    }

    /// Ends the sandbox and leaves its VM, emptied, unless the guest was stopped: then it goes.
    ///
    /// Cost: a few system calls.
    #[must_use]
    pub fn retire(self) -> Option<EmptyVm> {
        let Self { guest, state, events, .. } = self;
        if events.statistics.calls > 0 {
            guest.space.learn_working_set();
        }
        if state != State::Ready || !guest.machine.is_sound() {
            return None;
        }
        let Guest { machine, space, channel, .. } = guest;
        EmptyVm { machine, space, channel: channel? }.emptied()
    }
}

impl Guest {
    /// Becomes what is in the snapshot, in the VM that it has, or in another one where that cannot be. Of a
    /// guest that `has_served` calls, those that begin there later learn what calls touch.
    fn enter(
        &mut self,
        from: &SnapshotParts,
        has_served: bool,
        control: &Control,
        providers: &Providers,
    ) -> Result<Restored, SnapshotError> {
        let restored = match self.enter_here(from, has_served)? {
            Some(restored) => restored,
            None => self.enter_elsewhere(from, control, providers)?,
        };
        self.personality.restore(&from.personality);
        self.loaded = Arc::clone(&from.loaded);
        self.stack_bytes = from.stack_bytes;
        self.interface = Some(Arc::clone(&from.interface));
        Ok(restored)
    }

    /// `None` where the VM is none for that snapshot.
    fn enter_here(
        &mut self,
        from: &SnapshotParts,
        has_served: bool,
    ) -> Result<Option<Restored>, SnapshotError> {
        let memory = |source| SnapshotError::Memory { source };
        let capacity = self.channel.as_ref().map(Channel::capacity);
        if !self.machine.is_sound()
            || !self.machine.stands_on(&from.loaded.system_pages)
            || capacity != Some(from.message_bytes)
        {
            return Ok(None);
        }
        if has_served {
            self.space.learn_working_set();
        }
        let restored = match self.space.restore(&from.space) {
            Ok(restored) => restored,
            Err(RestoreError::Host { source }) => return Err(memory(source)),
            Err(RestoreError::OtherShape) => return Ok(None),
        };
        if let Some(channel) = &mut self.channel {
            channel.reset(from.sequence, restored.wholesale).map_err(memory)?;
        }
        self.machine.load(&from.cpu, &self.space)?;
        Ok(Some(restored))
    }

    /// The VM that it has is freed.
    fn enter_elsewhere(
        &mut self,
        from: &SnapshotParts,
        control: &Control,
        providers: &Providers,
    ) -> Result<Restored, SnapshotError> {
        let EmptyVm { machine, space, channel } = vm_at(from, providers)?;
        control.attach_kicker(machine.kicker());
        // The VM goes before the memory it uses.
        self.machine = machine;
        self.space = space;
        self.channel = Some(channel);
        Ok(Restored { pages: 0, wholesale: true })
    }
}
