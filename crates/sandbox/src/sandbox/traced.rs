//! What the guest tells of the call that it answers.

use super::Sandbox;
use crate::events::Event;
use crate::stop::Stop;
use crate::tracing::CallTrace;
use ampoule_abi::port;
use ampoule_machine::Violation;
use ampoule_spans::{Ending, TraceEntry};

impl Sandbox {
    /// What has happened in the traced call since the last time, in order; the end of the call is the last
    /// of it. To be asked for after every [`super::Step`] of a traced call: what was not taken when the next
    /// call begins is gone.
    #[must_use]
    pub fn take_trace(&mut self) -> Vec<TraceEntry> {
        self.events.tracing.take()
    }

    /// The first of [`Self::take_trace`] as JSON, an array of arrays as `ampoule_spans::to_json` describes it:
    /// at most `count` entries and about `bytes` bytes. `[10]` comes last if there are more. Cost: that of
    /// what is taken, however much is left.
    #[must_use]
    pub fn take_trace_json(&mut self, count: usize, bytes: usize) -> String {
        self.events.tracing.take_json(count, bytes)
    }

    /// Gives up what [`Self::take_trace`] would bring, but for callsites, and counts it as dropped.
    pub fn drop_trace(&mut self) {
        self.events.tracing.drop_entries();
    }

    /// Whether [`crate::Statistics::cpu_time`] counts calls without a limit on it, too. Costs two system
    /// calls each time the guest is entered.
    pub const fn measure_cpu_time(&mut self, measures: bool) {
        self.measures_cpu_time = measures;
    }

    /// Asks the guest to tell what `trace` wants to know, and begins to follow it.
    pub(super) fn begin_trace(&mut self, trace: Option<&CallTrace>) {
        let Some(channel) = &mut self.guest.channel else { return };
        let directives = trace.and_then(|trace| trace.directives.as_ref());
        let told = channel.tell(directives);
        debug_assert!(told.is_ok(), "directives fit into the control page");
        if let Some(trace) = trace.filter(|_| directives.is_some()) {
            if self.events.tracing.may_be_behind {
                // What was published in a call that nobody traced is none of this one's.
                self.events.tracing.collect(channel, &self.guest.space, false);
                self.events.tracing.may_be_behind = false;
            }
            self.events.tracing.set_limits(self.limits.trace());
            self.events.tracing.begin_call(self.guest.machine.tsc_frequency(), trace.wall_offset);
        } else {
            self.events.tracing.may_be_behind = true;
        }
    }

    /// Asks the guest to tell of its start, and begins to follow that. The guest is given no context: what it
    /// does there becomes part of an image that others begin as.
    pub(super) fn begin_start_trace(&mut self, trace: Option<&CallTrace>) {
        if trace.is_some_and(|trace| trace.directives.is_some()) {
            self.begin_trace(trace);
            self.events.tracing.mark_start();
        }
    }

    /// Reads what the guest has published since the last time, if its call is traced.
    pub(super) fn collect_trace(&mut self) {
        if self.events.tracing.is_on()
            && let Some(channel) = &mut self.guest.channel
        {
            self.events.tracing.collect(channel, &self.guest.space, false);
        }
    }

    /// The same for a guest that rings because its batch is full, whether or not anybody asked for one.
    pub(super) fn collect_full_trace(&mut self) -> Result<(), Stop> {
        let Some(channel) = &mut self.guest.channel else {
            return Err(self.no_doorbell(port::TRACE));
        };
        self.events.tracing.collect(channel, &self.guest.space, true);
        Ok(())
    }

    /// The guest is another one from here on, or the same one at an earlier time.
    pub(super) fn begin_trace_generation(&mut self) {
        // What was published and never read is gone after this, and was written all the same.
        self.events.tracing.counters.bytes = self.trace_bytes();
        self.events.tracing.begin_generation();
    }

    /// Bytes that the guest has published in all, those of calls that nobody traces included.
    pub(super) fn trace_bytes(&self) -> u64 {
        let unread =
            self.guest.channel.as_ref().map_or(0, |channel| self.events.tracing.unread(channel));
        self.events.tracing.counters.bytes + unread
    }

    /// The call has ended in a stop: what the guest told up to it is what its owner wants to know most.
    pub(super) fn end_trace(&mut self, ending: Ending) {
        self.collect_trace();
        self.events.tell(Event::CallEnded(ending));
    }

    /// A plain program has no channel and so no doorbell.
    pub(super) fn no_doorbell(&mut self, port: u8) -> Stop {
        Stop::Fault(self.violation(&Violation::Port { port: u16::from(port) }))
    }
}
