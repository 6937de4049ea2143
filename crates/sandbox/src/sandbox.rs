//! One sandbox: the machine, its memory, its personality and its channel, driven step by step.

mod drive;
mod faults;
mod rewind;
mod snapshot;
mod traced;

pub(crate) use snapshot::SnapshotParts;
pub use snapshot::{Snapshot, SnapshotError, WeakSnapshot};

use crate::channel::{Channel, Received};
use crate::config::{Budget, Config, Limits};
use crate::control::Control;
use crate::empty_vm::describe;
use crate::error::{CallError, CreateError, Failure};
use crate::events::{Event, Events};
use crate::image::Image;
use crate::providers::Providers;
use crate::statistics::Statistics;
use crate::stop::Stop;
use crate::tracing::{CallTrace, TraceContext};
use ampoule_abi::channel::HostMessage;
use ampoule_abi::layout::CHANNEL_BASE;
use ampoule_hypervisor::ring3::Machine;
use ampoule_hypervisor::{Vm, create_vm};
use ampoule_linux::{OutputStream, Personality, Start, SystemCall};
use ampoule_memory::AddressSpace;
use ampoule_wire::interface::Interface;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Room for messages that a sandbox keeps: the copies of larger ones are given back when they were read.
const MESSAGE_KEPT: usize = 64 << 10;

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
    // The VM goes before the memory it uses.
    machine: Machine,
    space: AddressSpace,
    personality: Personality,
    channel: Option<Channel>,
    image: Arc<Image>,
    limits: Limits,
    stack_bytes: u64,

    state: State,
    control: Control,
    providers: Arc<Providers>,
    /// The call that is running: its limits and what it used of them.
    call: CallAccount,
    /// A system call whose answer needs the driver; it is made again afterwards.
    parked: Option<SystemCall>,
    /// A message of which a part was copied so far.
    receiving: Option<Received>,
    /// Payload of the last step that has one.
    message: Vec<u8>,
    interface: Option<Arc<Interface>>,
    events: Events,
    /// CPU time is measured although no limit asks for it.
    measures_cpu_time: bool,
    /// When the guest was left last, to be served by the host.
    left: Option<Instant>,

    /// Where [`Sandbox::rewind`] goes by default: what the sandbox was made from.
    origin: Option<Snapshot>,
    /// Every call is followed by a restore to the origin.
    restores_after_calls: bool,
    /// Why the last call was stopped, also when the sandbox is ready again by now.
    last_stop: Option<Stop>,
    /// Why the sandbox is broken, if it is.
    damage: Option<Failure>,
    /// Whether the guest has read standard input, which no other guest has.
    has_read_input: bool,
    /// What was done since the last restore, by which it is judged what the next one costs.
    since_restore: Activity,
}

/// What a guest has been doing, as far as it tells how much memory it can have written.
#[derive(Debug, Clone, Copy, Default)]
struct Activity {
    /// Exits, and portions of work that the host did for it.
    turns: u64,
    /// Time inside the guest.
    time: Duration,
}

/// What a sandbox is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Nothing has run.
    New,
    /// Initialised; a function can be called.
    Ready,
    /// To be run: initialising or in a call.
    Busy,
    /// Waits for [`Sandbox::resume`].
    Waiting(Wait),
    /// A plain program ended.
    Ended,
    /// The guest cannot run any more.
    Poisoned(Stop),
    /// A restore failed half-way: only another one leads back.
    Broken,
}

/// What a waiting sandbox waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// The result of a host function.
    HostCall,
    /// Standard input.
    Input,
    /// The driver to go on: output was drained, or time has passed.
    Driver,
}

/// Why [`Sandbox::run`] returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Initialised; [`Sandbox::interface`] tells what can be called.
    Ready,
    /// The function returned; its result is in [`Sandbox::message`], one valid CBOR item.
    Return,
    /// The function returned an error; [`Sandbox::message`] holds it, a valid failure.
    GuestError,
    /// Run this import with the arguments in [`Sandbox::message`], one valid CBOR item, and resume
    /// with its result.
    HostCall {
        /// Index into the interface's imports, which it does not exceed.
        function: u32,
    },
    /// Much output has come together: take it, then resume with [`Resumption::Continue`].
    Output,
    /// The guest reads standard input: resume with [`Resumption::Input`] or
    /// [`Resumption::EndOfInput`].
    Input {
        /// Bytes it can take now.
        wanted: usize,
    },
    /// Resume with [`Resumption::Continue`] after this time.
    Sleep {
        /// How long.
        duration: Duration,
    },
    /// The time slice is over; [`Sandbox::run`] goes on. Only on an executor's runner.
    Preempted,
    /// A plain program ended.
    Exited {
        /// Its exit status; 128 + signal when a signal ended it, as a shell shows it.
        code: i32,
        /// The signal that ended it.
        signal: Option<u8>,
    },
    /// The sandbox is poisoned; [`Sandbox::state`] tells why.
    Stopped,
}

/// What a waiting sandbox goes on with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resumption<'a> {
    /// The import's result, one CBOR item.
    HostReturn(&'a [u8]),
    /// The import's failure, an encoded `GuestError`.
    HostError(&'a [u8]),
    /// Bytes of standard input; not empty.
    Input(&'a [u8]),
    /// Standard input has ended.
    EndOfInput,
    /// Nothing: just go on.
    Continue,
}

/// What one call may use and has used.
#[derive(Debug, Clone, Copy, Default)]
struct CallAccount {
    budget: Budget,
    cpu: Duration,
    /// The thread's CPU time up to which `cpu` is accounted, while the guest is driven and that is measured.
    metered_from: Option<Duration>,
    /// When the guest will be kicked, because its CPU time may be used up then.
    cpu_check: Option<Instant>,
    host_calls: u64,
    output: u64,
    /// Out-of-memory answers before the call, to see whether one was among its own.
    out_of_memory_before: u64,
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
        let image = Image::get(&config.executable, config.memory_bytes)?;
        Self::assemble(config, control, providers, image, create_vm()?)
    }

    /// Puts a sandbox together over a given VM.
    fn assemble(
        config: &Config,
        control: Control,
        providers: Arc<Providers>,
        image: Arc<Image>,
        mut vm: Box<dyn Vm>,
    ) -> Result<Self, CreateError> {
        let memory = |source| CreateError::Memory { source };
        let too_small = |_| CreateError::GuestTooLarge { memory: config.memory_bytes };
        let mut space = image.instantiate()?;
        let channel = config.message_bytes.map(Channel::new).transpose().map_err(memory)?;
        if let Some(channel) = &channel {
            channel.map_into(&mut space).map_err(too_small)?;
        }
        for (base, mapping) in space.memory().parts() {
            vm.map_memory(base, Arc::clone(mapping))?;
        }
        let program = &image.program;
        let start = start_of(config, &image, channel.is_some())?;
        let (personality, stack) = Personality::start(&mut space, start)?;
        let machine =
            Machine::new(vm, &space, image.system_pages, program.entry, stack.stack_pointer)?;
        describe(channel.as_ref(), &machine)?;
        control.attach_kicker(machine.kicker());
        Ok(Self {
            machine,
            space,
            personality,
            channel,
            limits: config.limits,
            stack_bytes: config.stack_bytes,
            state: State::New,
            control,
            providers,
            call: CallAccount::default(),
            parked: None,
            receiving: None,
            message: Vec::new(),
            interface: None,
            events: Events::default(),
            measures_cpu_time: false,
            left: None,
            image,
            origin: None,
            restores_after_calls: false,
            last_stop: None,
            damage: None,
            has_read_input: false,
            since_restore: Activity::default(),
        })
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
                self.has_read_input = true;
                self.personality.provide_input(bytes.to_vec());
            }
            (State::Waiting(Wait::Input), Resumption::EndOfInput) => {
                self.has_read_input = true;
                self.personality.end_input();
            }
            (State::Waiting(Wait::Driver), Resumption::Continue) => {}
            _ => return Err(self.wrong_state("be resumed like this")),
        }
        self.state = State::Busy;
        Ok(())
    }

    /// What the sandbox is doing.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// Payload of the last [`Step`] that has one.
    #[must_use]
    pub fn message(&self) -> &[u8] {
        &self.message
    }

    /// Says that the message was read: what a large one took is given back, and [`Self::message`] is empty
    /// then.
    pub fn forget_message(&mut self) {
        if self.message.capacity() > MESSAGE_KEPT {
            self.message = Vec::new();
        }
    }

    /// What the guest exports and imports; known once it is ready.
    #[must_use]
    pub fn interface(&self) -> Option<&Interface> {
        self.interface.as_deref()
    }

    /// Takes what the guest wrote to a stream since the last time.
    pub fn take_output(&mut self, stream: OutputStream) -> Vec<u8> {
        self.personality.take_output(stream)
    }

    /// Whether [`Self::take_output`] would bring something.
    #[must_use]
    pub fn has_output(&self) -> bool {
        self.personality.pending_output() > 0
    }

    /// Why the sandbox is poisoned or broken; for one that is ready again, why its last call was
    /// stopped.
    #[must_use]
    pub fn failure(&self) -> Option<Failure> {
        match &self.state {
            State::Poisoned(stop) => Some(stop.failure()),
            State::Broken => self.damage.clone(),
            _ => self.last_stop.as_ref().map(Stop::failure),
        }
    }

    /// Those counters that take no work: all but memory, system calls and traces.
    #[must_use]
    pub const fn counters(&self) -> &Statistics {
        &self.events.statistics
    }

    /// Counters so far. Cost: allocates the list of system calls.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        Statistics {
            memory_bytes: self.space.committed_bytes(),
            system_calls: self.personality.counts().collect(),
            trace_bytes: self.trace_bytes(),
            trace_records: self.events.tracing.counters.records,
            trace_left_out: self.events.tracing.counters.left_out,
            ..self.events.statistics.clone()
        }
    }

    fn begin(&mut self, budget: Budget) {
        self.call = CallAccount {
            budget,
            out_of_memory_before: self.personality.refused_for_memory(),
            ..CallAccount::default()
        };
        self.last_stop = None;
        // The end of a time slice, say, may have come too late. A stop is looked for before the guest
        // is entered, so that none is lost by this.
        self.machine.forget_kicks();
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
        let Some(channel) = &mut self.channel else {
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
        if self.state != State::Broken {
            self.state = State::Poisoned(stop);
        }
    }

    fn expect_state(&self, state: &State, operation: &'static str) -> Result<(), CallError> {
        if self.state == *state { Ok(()) } else { Err(self.wrong_state(operation)) }
    }

    fn wrong_state(&self, operation: &'static str) -> CallError {
        match &self.state {
            State::Poisoned(stop) => CallError::Poisoned(stop.clone()),
            State::Broken => CallError::Broken,
            state => CallError::State { state: state.word(), operation },
        }
    }
}

impl State {
    /// The state as one word, for messages.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Ready => "ready",
            Self::Busy => "running",
            Self::Waiting(_) => "waiting",
            Self::Ended => "ended",
            Self::Poisoned(_) => "poisoned",
            Self::Broken => "broken",
        }
    }
}

/// What the personality needs to start the program.
fn start_of(config: &Config, image: &Image, has_channel: bool) -> Result<Start, CreateError> {
    let program = &image.program;
    let name = config.name.clone().into_bytes();
    let random = random_seed().map_err(|source| CreateError::Memory { source })?;
    let mut arguments = vec![name.clone()];
    arguments.extend(config.arguments.iter().cloned());
    Ok(Start {
        executable: name,
        arguments,
        environment: config.environment.clone(),
        files: config
            .files
            .iter()
            .map(|file| ampoule_linux::File {
                path: file.path.clone(),
                contents: Arc::clone(&file.contents),
            })
            .collect(),
        stack_bytes: config.stack_bytes,
        random,
        program_headers: program.program_headers,
        program_header_count: program.program_header_count,
        entry: program.entry,
        break_start: program.break_start,
        channel: has_channel.then_some(CHANNEL_BASE),
        ..Start::default()
    })
}

/// A seed for what the guest sees as random.
fn random_seed() -> io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    let mut done = 0;
    while done < seed.len() {
        match rustix::rand::getrandom(&mut seed[done..], rustix::rand::GetRandomFlags::empty()) {
            Ok(count) => done += count,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(seed)
}

#[cfg(test)]
mod tests;
