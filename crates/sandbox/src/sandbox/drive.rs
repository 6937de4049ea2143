//! Running the guest and answering what it asks.

use super::{Sandbox, State, Step, Wait};
use crate::channel::Received;
use crate::events::Event;
use crate::stop::{AbortReport, Stop};
use ampoule_abi::channel::GuestMessage;
use ampoule_abi::{port, version};
use ampoule_hypervisor::ring3::Trap;
use ampoule_linux::{Answer, SystemCall};
use ampoule_program::authors_part;
use ampoule_spans::Ending;
use ampoule_wire::failure::{Abort, GuestError};
use ampoule_wire::interface::Interface;
use ampoule_wire::value::{Limits, validate};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Sleeps below this are slept here, unless somebody waits for this runner: a trip through the driver would
/// take longer.
const SHORT_SLEEP: Duration = Duration::from_millis(1);

/// How late a timer of the guest's may be while it computes: no guest is kicked more often than that.
const TIMER_SLACK: Duration = Duration::from_millis(1);

/// Major type of an array (RFC 8949, section 3.1): the upper three bits of an item's first byte.
const CBOR_ARRAY: u8 = 4;
/// The module of the SDK that calls what the guest exports.
const SERVE_LOOP: &str = "ampoule_guest::serve";

impl Sandbox {
    /// Runs until the driver is needed. Blocks the calling thread for as long as the guest computes;
    /// [`crate::Control`] ends it from elsewhere.
    ///
    /// To be called after a successful `begin_start`, `begin_call` or `resume`; at any other time
    /// it answers [`Step::Stopped`] when the sandbox is poisoned or a stop is pending.
    pub fn run(&mut self) -> Step {
        let step = match self.drive() {
            Ok(step) => step,
            Err(stop) => {
                self.end_trace(Ending::Stopped);
                self.poison(stop);
                Step::Stopped
            }
        };
        if step == Step::Stopped {
            self.forget_message();
        }
        if matches!(step, Step::Return | Step::GuestError | Step::Stopped) {
            self.restore_after_call();
        }
        step
    }

    /// Drives the guest, on its CPU-time account: what the host does for it meanwhile is its own, too.
    fn drive(&mut self) -> Result<Step, Stop> {
        let metered = self.call.budget.cpu.is_some() || self.measures_cpu_time;
        self.call.metered_from = metered.then(thread_cpu_time);
        let driven = self.drive_on();
        self.account_cpu();
        self.call.metered_from = None;
        if self.call.cpu_check.take().is_some() {
            self.control.arm_cpu_check(None);
        }
        driven
    }

    /// Everything that a guest can ask for is done in this loop, in portions of less than a millisecond:
    /// between any two of them it looks whether the guest may go on.
    fn drive_on(&mut self) -> Result<Step, Stop> {
        // Whatever it waited for since was no work of its own.
        self.left = None;
        loop {
            if let Some(stop) = self.control.take_stop() {
                return Err(stop);
            }
            if self.control.slice_is_over() {
                return Ok(Step::Preempted);
            }
            if self.state != State::Busy {
                return match &self.state {
                    State::Poisoned(stop) => Err(stop.clone()),
                    State::Broken => Ok(Step::Stopped),
                    _ => Err(Stop::Killed),
                };
            }
            self.check_cpu()?;
            let step = match (self.receiving.take(), self.parked.take()) {
                (Some(received), _) => self.receive_some(received)?,
                (None, Some(call)) => self.system_call(call)?,
                (None, None) => match self.enter_guest()? {
                    Trap::Doorbell => self.receive()?,
                    Trap::TraceFull => {
                        self.collect_full_trace()?;
                        None
                    }
                    Trap::SystemCall { number, arguments } => {
                        self.system_call(SystemCall { number, arguments })?
                    }
                    Trap::Exception(exception) => {
                        self.repair(&exception)?;
                        None
                    }
                    Trap::Violation(violation) => {
                        return Err(Stop::Fault(self.violation(&violation)));
                    }
                    Trap::Kicked => {
                        self.events.tell(Event::Interrupted);
                        match self.personality.tick() {
                            Some(answer) => self.end_of_program(answer)?,
                            None => None,
                        }
                    }
                },
            };
            if let Some(step) = step {
                return Ok(step);
            }
        }
    }

    /// Ends a call that has used up its CPU time, and makes sure that the guest is kicked when it may have.
    ///
    /// Cost: nothing without a limit, else a look at two clocks. A guest whose time is not over yet when it is
    /// kicked, because it did not run all the while, is given the rest.
    fn check_cpu(&mut self) -> Result<(), Stop> {
        let Some(limit) = self.call.budget.cpu else { return Ok(()) };
        self.account_cpu();
        let remaining = limit.saturating_sub(self.call.cpu);
        if remaining.is_zero() {
            return Err(Stop::CpuTime { limit });
        }
        let now = Instant::now();
        if self.call.cpu_check.is_none_or(|at| at <= now) {
            self.call.cpu_check = now.checked_add(remaining);
            self.control.arm_cpu_check(Some(remaining));
        }
        Ok(())
    }

    /// Accounts the CPU time since the last time, if that is measured.
    fn account_cpu(&mut self) {
        if let Some(before) = self.call.metered_from {
            let now = thread_cpu_time();
            let used = now.saturating_sub(before);
            self.call.cpu += used;
            self.events.tell(Event::CpuTime(used));
            self.call.metered_from = Some(now);
        }
    }

    /// Lets the guest run until its next trap.
    fn enter_guest(&mut self) -> Result<Trap, Stop> {
        let timer = self.personality.timer_due().map(Duration::from_nanos);
        let timer = timer.map(|due| due.max(TIMER_SLACK));
        if timer.is_some() {
            self.control.arm_timer_check(timer);
        }
        self.events.tell(Event::Entered);
        let entered = Instant::now();
        if let Some(left) = self.left.take() {
            self.personality.add_served(nanoseconds(entered.saturating_duration_since(left)));
        }
        let trap = self.machine.run(&self.space);
        let left = Instant::now();
        let computed = left.saturating_duration_since(entered);
        self.left = Some(left);
        self.events.tell(Event::Left { computed });
        self.personality.add_computed(nanoseconds(computed));
        if timer.is_some() {
            self.control.arm_timer_check(None);
        }
        self.since_restore.time += computed;
        self.since_restore.turns += 1;
        trap.map_err(|error| Stop::Hypervisor { message: error.to_string() })
    }

    /// Begins to take the message that the doorbell announced; most are taken at once.
    fn receive(&mut self) -> Result<Option<Step>, Stop> {
        let protocol = |what: String| Stop::Protocol { what };
        self.collect_trace();
        let Some(channel) = &mut self.channel else {
            return Err(self.no_doorbell(port::DOORBELL));
        };
        let received = channel.receive().map_err(|error| protocol(error.to_string()))?;
        self.message.clear();
        self.receive_some(received)
    }

    /// Copies a portion of a message, and takes it when that was the last one.
    fn receive_some(&mut self, received: Received) -> Result<Option<Step>, Stop> {
        let protocol = |what: String| Stop::Protocol { what };
        let Some(channel) = &self.channel else { return Err(self.no_doorbell(port::DOORBELL)) };
        let whole = channel.payload_some(&received, &mut self.message);
        if !whole.map_err(|error| protocol(error.to_string()))? {
            self.receiving = Some(received);
            return Ok(None);
        }
        self.take_message(&received).map(Some)
    }

    fn take_message(&mut self, received: &Received) -> Result<Step, Stop> {
        let protocol = |what: String| Stop::Protocol { what };
        self.events.tell(Event::Received { bytes: received.length });
        let limits = self.limits.value();
        let is_ready = self.interface.is_some();
        match received.kind {
            GuestMessage::Ready if !is_ready => {
                let interface = Interface::decode(&self.message)
                    .map_err(|error| protocol(format!("its interface is invalid: {error}")))?;
                if !version::is_compatible(version::CURRENT, interface.abi_version) {
                    return Err(Stop::Incompatible { guest: interface.abi_version });
                }
                self.interface = Some(Arc::new(interface));
                self.events.tell(Event::Initialised);
                self.finish(Step::Ready)
            }
            GuestMessage::Return if is_ready => {
                validate(&self.message, &limits)
                    .map_err(|error| Stop::of_value("its result", &error))?;
                self.finish(Step::Return)
            }
            GuestMessage::Error if is_ready => {
                GuestError::decode(&self.message, &limits)
                    .map_err(|error| Stop::of_failure("its error", &error))?;
                self.finish(Step::GuestError)
            }
            GuestMessage::HostCall => self.host_call(received, &limits),
            GuestMessage::Abort => {
                let abort = Abort::decode(&self.message, &limits)
                    .map_err(|error| Stop::of_failure("its abort", &error))?;
                match self.out_of_memory() {
                    Some(stop) => Err(stop),
                    None => Err(Stop::Abort(self.report(abort))),
                }
            }
            kind => Err(protocol(format!("message {kind:?} out of turn"))),
        }
    }

    fn host_call(&mut self, received: &Received, limits: &Limits) -> Result<Step, Stop> {
        let Received { function, span, .. } = *received;
        let protocol = |what: String| Stop::Protocol { what };
        // While it initialises, a guest has not said yet what it imports.
        let imports = self.interface.as_ref().map_or(0, |interface| interface.imports.len());
        if usize::try_from(function).is_ok_and(|function| function >= imports) {
            return Err(protocol(format!("call of import {function} of {imports}")));
        }
        validate(&self.message, limits)
            .map_err(|error| Stop::of_value("the argument list of a host call", &error))?;
        if self.message.first().is_none_or(|first| first >> 5 != CBOR_ARRAY) {
            return Err(protocol("its arguments are not an array".into()));
        }
        self.call.host_calls += 1;
        if self.call.host_calls > self.limits.host_calls {
            self.events.tell(Event::HostCallRefused);
            return Err(Stop::HostCallLimit { limit: self.limits.host_calls });
        }
        self.events.tell(Event::HostCall { function, span });
        Ok(self.wait(Wait::HostCall, Step::HostCall { function }))
    }

    /// Answers a system call; `None` lets the guest go on.
    fn system_call(&mut self, call: SystemCall) -> Result<Option<Step>, Stop> {
        let pending_before = self.personality.pending_output();
        let answer = self.personality.system_call(&mut self.space, &call);
        self.account_output(pending_before)?;
        if answer.is_parked() {
            self.parked = Some(call);
        }
        match answer {
            Answer::Return(value) => self.machine.return_from_system_call(value),
            Answer::SetFsBase(base) => {
                self.machine.set_fs_base(base);
                self.machine.return_from_system_call(0);
            }
            Answer::Exit { .. }
            | Answer::Killed { .. }
            | Answer::Handler { .. }
            | Answer::Deadlock { .. } => return self.end_of_program(answer),
            // The next round makes the call again.
            Answer::Again => self.since_restore.turns += 1,
            Answer::NeedInput { wanted } => {
                return Ok(Some(self.wait(Wait::Input, Step::Input { wanted })));
            }
            Answer::OutputFull => return Ok(Some(self.wait(Wait::Driver, Step::Output))),
            Answer::Sleep { nanoseconds } => {
                let duration = Duration::from_nanos(nanoseconds);
                if duration >= SHORT_SLEEP {
                    return Ok(Some(self.wait(Wait::Driver, Step::Sleep { duration })));
                }
                if self.providers.contention.others_wait() {
                    return Ok(Some(Step::Preempted));
                }
                std::thread::sleep(duration);
                self.left = None;
            }
        }
        Ok(None)
    }

    /// The step, or the reason to stop, of an answer after which the guest never runs again.
    fn end_of_program(&mut self, answer: Answer) -> Result<Option<Step>, Stop> {
        match answer {
            Answer::Exit { code } => self.exit(code, None).map(Some),
            Answer::Killed { signal } => self.exit(128 + i32::from(signal), Some(signal)).map(Some),
            Answer::Handler { signal } => Err(Stop::Signal { signal }),
            Answer::Deadlock { waiting_for } => Err(Stop::Deadlock { waiting_for }),
            _ => Ok(None),
        }
    }

    fn account_output(&mut self, pending_before: usize) -> Result<(), Stop> {
        let written = self.personality.pending_output().saturating_sub(pending_before) as u64;
        self.events.tell(Event::Output { bytes: written });
        self.call.output += written;
        if self.call.output > self.limits.output_bytes {
            return Err(Stop::OutputLimit { limit: self.limits.output_bytes });
        }
        Ok(())
    }

    /// The program ended: what a plain program does, and a guest with functions must not.
    fn exit(&mut self, code: i32, signal: Option<u8>) -> Result<Step, Stop> {
        if self.channel.is_some() {
            let ended = Stop::Exited { code, signal };
            return Err(if signal.is_some() {
                self.out_of_memory().unwrap_or(ended)
            } else {
                ended
            });
        }
        self.control.disarm();
        self.state = State::Ended;
        Ok(Step::Exited { code, signal })
    }

    /// The reason behind the guest's giving up, when memory was refused during this call.
    fn out_of_memory(&self) -> Option<Stop> {
        let refused = self.personality.refused_for_memory() > self.call.out_of_memory_before;
        refused.then(|| Stop::MemoryLimit { limit: self.space.capacity_bytes() })
    }

    fn finish(&mut self, step: Step) -> Result<Step, Stop> {
        self.events.tell(Event::CallEnded(Ending::Returned));
        self.control.disarm();
        self.state = State::Ready;
        Ok(step)
    }

    fn wait(&mut self, wait: Wait, step: Step) -> Step {
        self.state = State::Waiting(wait);
        step
    }

    fn report(&mut self, abort: Abort) -> Arc<AbortReport> {
        let mut report = self.image.symbols.report();
        let frames = abort.backtrace.into_iter().map(|at| report.locate(at)).collect();
        self.events.tell(Event::Reported { steps: report.steps() });
        Arc::new(AbortReport {
            message: abort.message,
            file: abort.file,
            line: abort.line,
            column: abort.column,
            backtrace: authors_part(frames, SERVE_LOOP),
        })
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// CPU time of the calling thread.
fn thread_cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(seconds, nanoseconds)
}
