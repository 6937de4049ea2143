//! Running the guest and answering what it asks.

use super::Sandbox;
use super::state::{State, Step, Wait};
use crate::events::Event;
use crate::stop::Stop;
use ampoule_linux::{Answer, SystemCall, Termination, WaitFor};
use ampoule_machine::Trap;
use ampoule_spans::Ending;
use std::time::{Duration, Instant};

/// Sleeps below this are slept here, unless somebody waits for this runner: a trip through the driver would
/// take longer.
const SHORT_SLEEP: Duration = Duration::from_millis(1);

/// How late a timer of the guest's may be while it computes: no guest is kicked more often than that.
const TIMER_SLACK: Duration = Duration::from_millis(1);

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
        if self.call.budget.cpu.is_some() || self.measures_cpu_time {
            self.call.cpu.start();
        }
        let driven = self.drive_on();
        self.account_cpu();
        self.call.cpu.stop();
        if self.call.cpu.check.take().is_some() {
            self.control.arm_cpu_check(None);
        }
        driven
    }

    /// Everything that a guest can ask for is done in this loop, in portions of less than a millisecond:
    /// between any two of them it looks whether the guest may go on.
    fn drive_on(&mut self) -> Result<Step, Stop> {
        // Whatever it waited for since was no work of its own.
        self.call.left = None;
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
                    State::Broken(_) => Ok(Step::Stopped),
                    _ => Err(Stop::Killed),
                };
            }
            self.check_cpu()?;
            let step = if let Some(received) = self.call.receiving.take() {
                self.receive_some(received)?
            } else if self.guest.personality.is_serving() {
                self.serve(None)?
            } else {
                match self.enter_guest()? {
                    Trap::Doorbell => self.receive()?,
                    Trap::TraceFull => {
                        self.collect_full_trace()?;
                        None
                    }
                    Trap::SystemCall { number, arguments } => {
                        self.serve(Some(SystemCall { number, arguments }))?
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
                        let end = self.guest.personality.tick();
                        end.map(|end| self.end_of_program(end)).transpose()?
                    }
                }
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
        let remaining = limit.saturating_sub(self.call.cpu.used);
        if remaining.is_zero() {
            return Err(Stop::CpuTime { limit });
        }
        let now = Instant::now();
        if self.call.cpu.check.is_none_or(|at| at <= now) {
            self.call.cpu.check = now.checked_add(remaining);
            self.control.arm_cpu_check(Some(remaining));
        }
        Ok(())
    }

    /// Accounts the CPU time since the last time, if that is measured.
    fn account_cpu(&mut self) {
        if let Some(used) = self.call.cpu.account() {
            self.events.tell(Event::CpuTime(used));
        }
    }

    /// Lets the guest run until its next trap.
    fn enter_guest(&mut self) -> Result<Trap, Stop> {
        let timer = self.guest.personality.timer_due().map(Duration::from_nanos);
        let timer = timer.map(|due| due.max(TIMER_SLACK));
        if timer.is_some() {
            self.control.arm_timer_check(timer);
        }
        self.events.tell(Event::Entered);
        let entered = Instant::now();
        if let Some(left) = self.call.left.take() {
            self.guest.personality.add_served(nanoseconds(entered.saturating_duration_since(left)));
        }
        let trap = self.guest.machine.run(&mut self.guest.space);
        let left = Instant::now();
        let computed = left.saturating_duration_since(entered);
        self.call.left = Some(left);
        self.events.tell(Event::Left { computed });
        self.guest.personality.add_computed(nanoseconds(computed));
        if timer.is_some() {
            self.control.arm_timer_check(None);
        }
        self.origin.since.time += computed;
        self.origin.since.turns += 1;
        trap.map_err(|error| Stop::Hypervisor { message: error.to_string() })
    }

    /// Answers a system call, or goes on with the one that is not answered yet; `None` lets the guest go on.
    fn serve(&mut self, call: Option<SystemCall>) -> Result<Option<Step>, Stop> {
        let personality = &mut self.guest.personality;
        let pending_before = personality.pending_output();
        let answer = match call {
            Some(call) => Some(personality.system_call(&mut self.guest.space, &call)),
            None => personality.go_on(&mut self.guest.space),
        };
        let Some(answer) = answer else { return Ok(None) };
        self.account_output(pending_before)?;
        match answer {
            Answer::Return(value) => self.guest.machine.return_from_system_call(value),
            Answer::SetFsBase(base) => {
                self.guest.machine.set_fs_base(base);
                self.guest.machine.return_from_system_call(0);
            }
            Answer::Again => self.origin.since.turns += 1,
            Answer::Wait(on) => return Ok(self.wait_for(on)),
            Answer::End(end) => return self.end_of_program(end).map(Some),
        }
        Ok(None)
    }

    /// The step that brings what the guest waits for; `None` when that has been slept for here.
    fn wait_for(&mut self, on: WaitFor) -> Option<Step> {
        match on {
            WaitFor::Input { wanted } => Some(self.wait(Wait::Input, Step::Input { wanted })),
            WaitFor::OutputRoom => Some(self.wait(Wait::Driver, Step::Output)),
            WaitFor::Time { nanoseconds } => {
                let duration = Duration::from_nanos(nanoseconds);
                if duration >= SHORT_SLEEP {
                    return Some(self.wait(Wait::Driver, Step::Sleep { duration }));
                }
                if self.providers.contention.others_wait() {
                    return Some(Step::Preempted);
                }
                std::thread::sleep(duration);
                self.call.left = None;
                None
            }
        }
    }

    /// The step, or the reason to stop, of a guest that never runs again.
    fn end_of_program(&mut self, end: Termination) -> Result<Step, Stop> {
        match end {
            Termination::Exit { code } => self.exit(code, None),
            Termination::Killed { signal } => self.exit(128 + i32::from(signal), Some(signal)),
            Termination::Handler { signal } => Err(Stop::Signal { signal }),
            Termination::Deadlock { waiting_for } => Err(Stop::Deadlock { waiting_for }),
        }
    }

    fn account_output(&mut self, pending_before: usize) -> Result<(), Stop> {
        let written = self.guest.personality.pending_output().saturating_sub(pending_before) as u64;
        self.events.tell(Event::Output { bytes: written });
        self.call.count_output(written, &self.limits)
    }

    /// The program ended: what a plain program does, and a guest with functions must not.
    fn exit(&mut self, code: i32, signal: Option<u8>) -> Result<Step, Stop> {
        if self.guest.channel.is_some() {
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

    pub(super) fn wait(&mut self, wait: Wait, step: Step) -> Step {
        self.state = State::Waiting(wait);
        step
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
