//! What the guest tells of the call that it answers.

use super::Sandbox;
use crate::error::CallError;
use crate::stop::Stop;
use crate::tracing::CallTrace;
use ampoule_abi::port;
use ampoule_hypervisor::ring3::Violation;
use ampoule_trace::{Ending, Entry};

impl Sandbox {
    /// What has happened in the traced call since the last time, in order; the end of the call is the last
    /// of it. To be asked for after every [`super::Step`] of a traced call: what was not taken when the next
    /// call begins is gone.
    #[must_use]
    pub fn take_trace(&mut self) -> Vec<Entry> {
        self.tracing.take()
    }

    /// Whether [`crate::Statistics::cpu_time`] counts calls without a limit on it, too. Costs two system
    /// calls each time the guest is entered.
    pub const fn measure_cpu_time(&mut self, measures: bool) {
        self.measures_cpu_time = measures;
    }

    /// Asks the guest to tell what `trace` wants to know, and begins to follow it.
    pub(super) fn begin_trace(&mut self, trace: Option<&CallTrace>) -> Result<(), CallError> {
        let Some(channel) = &mut self.channel else { return Ok(()) };
        let told = channel.tell(trace.map(|trace| &trace.directives));
        debug_assert!(told.is_ok(), "directives fit into the control page");
        if let Some(trace) = trace {
            self.tracing.set_limits(self.limits.trace());
            self.tracing.begin_call(self.machine.tsc_frequency(), trace.wall_offset);
        }
        Ok(())
    }

    /// Reads what the guest has published since the last time.
    pub(super) fn collect_trace(&mut self, is_full: bool) -> Result<(), Stop> {
        match &mut self.channel {
            Some(channel) => self.tracing.collect(channel, &self.space, is_full),
            None if is_full => return Err(self.no_doorbell(port::TRACE)),
            None => {}
        }
        Ok(())
    }

    /// The call has ended in a stop: what the guest told up to it is what its owner wants to know most.
    pub(super) fn end_trace(&mut self, ending: Ending) {
        if self.tracing.is_on()
            && let Some(channel) = &mut self.channel
        {
            self.tracing.collect(channel, &self.space, false);
        }
        self.tracing.end_call(ending);
    }

    /// A plain program has no channel and so no doorbell.
    pub(super) fn no_doorbell(&self, port: u8) -> Stop {
        Stop::Fault(self.violation(&Violation::Port { port: u16::from(port) }))
    }
}
