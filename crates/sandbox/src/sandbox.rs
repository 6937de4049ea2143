//! One sandbox: a guest in its VM, driven step by step.

mod call;
mod drive;
mod faults;
mod guest;
mod look;
mod messages;
mod origin;
mod restore;
pub(crate) mod snapshot;
mod state;
mod traced;

pub(crate) use snapshot::SnapshotParts;
pub use snapshot::{Snapshot, SnapshotError, WeakSnapshot};
pub use state::{Resumption, State, Step};

use crate::config::{Budget, Config, Limits};
use crate::control::Control;
use crate::error::{CallError, CreateError};
use crate::events::{Event, Events};
use crate::loaded::LoadedProgram;
use crate::providers::Providers;
use crate::stop::Stop;
use crate::tracing::{CallTrace, TraceContext};
use ampoule_abi::channel::HostMessage;
use call::Call;
use guest::Guest;
use origin::Origin;
use state::Wait;
use std::sync::Arc;

/// A guest in a VM of its own.
///
/// ```text
///            begin_start          run            begin_call            run
///   New ------------------> Busy -----> Ready ----------------> Busy -----> Ready
///                            | ^                                 | ^
///                      step  | | resume                    step  | | resume
///                            v |                                 v |
///                          Waiting                             Waiting
///
///   Busy or Waiting ------> Poisoned (fault, abort, kill, limit)
///   Busy -----------------> Ended (a plain program exited)
///
///   Ready, Poisoned, Broken, Waiting -- restore --> Ready, or Broken when that fails
/// ```
///
/// Nothing here waits for a host function: [`Sandbox::run`] returns a [`Step`] that says what is
/// needed, and [`Sandbox::resume`] brings it.
#[derive(Debug)]
pub struct Sandbox {
    guest: Guest,
    state: State,
    control: Control,
    providers: Arc<Providers>,
    limits: Limits,
    /// The call that is running, or was the last.
    call: Call,
    /// Payload of the last step that has one.
    message: Vec<u8>,
    origin: Origin,
    events: Events,
    /// CPU time is measured although no limit asks for it.
    measures_cpu_time: bool,
}

impl Sandbox {
    /// Makes a VM and loads the guest into it; nothing runs yet.
    ///
    /// Cost: that of a VM (about a millisecond under nested KVM), and of copying the executable when
    /// no other sandbox uses it.
    ///
    /// # Errors
    /// [`CreateError`].
    pub fn create(
        config: &Config,
        control: Control,
        providers: Arc<Providers>,
    ) -> Result<Self, CreateError> {
        config.check()?;
        let backend = config.backends.select();
        let loaded = LoadedProgram::get(&config.executable, config.memory_bytes, backend)?;
        let guest = Guest::load(config, loaded)?;
        Ok(Self::new(guest, State::New, config.limits, control, providers))
    }

    /// The one way to put a sandbox together: around a guest in its VM, which `control` stops from here on.
    fn new(
        guest: Guest,
        state: State,
        limits: Limits,
        control: Control,
        providers: Arc<Providers>,
    ) -> Self {
        control.attach_kicker(guest.machine.kicker());
        Self {
            guest,
            state,
            control,
            providers,
            limits,
            call: Call::default(),
            message: Vec::new(),
            origin: Origin::default(),
            events: Events::default(),
            measures_cpu_time: false,
        }
    }

    /// Begins to initialise the guest, or to run a plain program; [`Self::run`] does it.
    ///
    /// # Errors
    /// [`CallError::State`] unless the sandbox is new.
    pub fn begin_start(&mut self, budget: Budget) -> Result<(), CallError> {
        self.begin_traced_start(budget, None)
    }

    /// [`Self::begin_start`], and what the guest tells while it initialises is followed:
    /// [`Self::take_trace`] brings it.
    ///
    /// # Errors
    /// [`CallError::State`] unless the sandbox is new.
    pub fn begin_traced_start(
        &mut self,
        budget: Budget,
        trace: Option<&CallTrace>,
    ) -> Result<(), CallError> {
        self.expect_state(&State::New, "start")?;
        self.begin_start_trace(trace);
        self.begin(budget);
        Ok(())
    }

    /// Begins a call of the export with index `function` with encoded arguments; [`Self::run`] does
    /// it. Cost: one copy of the arguments.
    ///
    /// # Errors
    /// [`CallError`]; the sandbox is unchanged then.
    pub fn begin_call(
        &mut self,
        function: u32,
        arguments: &[u8],
        budget: Budget,
    ) -> Result<(), CallError> {
        self.begin_traced_call(function, arguments, budget, None)
    }

    /// [`Self::begin_call`], and what the guest tells of the call is followed:
    /// [`Self::take_trace`] brings it. Without a trace the guest is asked to tell nothing.
    ///
    /// # Errors
    /// [`CallError`]; the sandbox is unchanged then.
    pub fn begin_traced_call(
        &mut self,
        function: u32,
        arguments: &[u8],
        budget: Budget,
        trace: Option<&CallTrace>,
    ) -> Result<(), CallError> {
        if let Some(stop) = self.control.take_stop()
            && !self.is_past(&stop)
        {
            self.poison(stop);
        }
        self.expect_state(&State::Ready, "be called")?;
        let context = trace.map(|trace| &trace.context);
        self.send(HostMessage::Call, function, arguments, context)?;
        self.begin_trace(trace);
        self.events.tell(Event::CallBegun);
        self.begin(budget);
        Ok(())
    }

    /// Brings a waiting sandbox what it waits for; [`Self::run`] then goes on.
    ///
    /// # Errors
    /// [`CallError`]; the sandbox still waits then.
    pub fn resume(&mut self, resumption: Resumption<'_>) -> Result<(), CallError> {
        match (&self.state, resumption) {
            (State::Waiting(Wait::HostCall), Resumption::HostReturn(result)) => {
                self.send(HostMessage::HostReturn, 0, result, None)?;
                self.events.tell(Event::HostAnswered);
            }
            (State::Waiting(Wait::HostCall), Resumption::HostError(failure)) => {
                self.send(HostMessage::HostError, 0, failure, None)?;
                self.events.tell(Event::HostAnswered);
            }
            (State::Waiting(Wait::Input), Resumption::Input(bytes)) => {
                self.guest.has_read_input = true;
                self.guest.personality.provide_input(bytes.to_vec());
            }
            (State::Waiting(Wait::Input), Resumption::EndOfInput) => {
                self.guest.has_read_input = true;
                self.guest.personality.end_input();
            }
            (State::Waiting(Wait::Driver), Resumption::Continue) => {}
            _ => return Err(self.wrong_state("be resumed like this")),
        }
        self.state = State::Busy;
        Ok(())
    }

    /// Replaces the limits that are checked while a guest runs.
    pub const fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    fn begin(&mut self, budget: Budget) {
        self.call = Call::new(budget, self.guest.personality.refused_for_memory());
        self.origin.undone = None;
        // The end of a time slice, say, may have come too late. A stop is looked for before the guest
        // is entered, so that none is lost by this.
        self.guest.machine.forget_kicks();
        self.control.arm(budget.wall);
        self.state = State::Busy;
    }

    fn send(
        &mut self,
        kind: HostMessage,
        function: u32,
        payload: &[u8],
        context: Option<&TraceContext>,
    ) -> Result<(), CallError> {
        let Some(channel) = &mut self.guest.channel else {
            return Err(self.wrong_state("exchange messages"));
        };
        channel.send(kind, function, payload, context).map_err(|error| {
            CallError::MessageTooLarge { length: error.length, capacity: error.available }
        })?;
        self.events.tell(Event::Sent { bytes: payload.len() as u64 });
        Ok(())
    }

    fn poison(&mut self, stop: Stop) {
        self.control.disarm();
        if !matches!(self.state, State::Broken(_)) {
            self.state = State::Poisoned(stop);
        }
    }

    fn expect_state(&self, state: &State, operation: &'static str) -> Result<(), CallError> {
        if self.state == *state { Ok(()) } else { Err(self.wrong_state(operation)) }
    }

    fn wrong_state(&self, operation: &'static str) -> CallError {
        match &self.state {
            State::Poisoned(stop) => CallError::Poisoned(stop.clone()),
            State::Broken(_) => CallError::Broken,
            state => CallError::State { state: state.word(), operation },
        }
    }
}

#[cfg(test)]
mod tests;
