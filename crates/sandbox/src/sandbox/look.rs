//! What a sandbox can be asked at any time.

use super::Sandbox;
use super::state::State;
use crate::channel::Channel;
use crate::failure::Failure;
use crate::statistics::Statistics;
use crate::stop::Stop;
use ampoule_linux::OutputStream;
use ampoule_wire::interface::Interface;

/// Room for messages that a sandbox keeps: the copies of larger ones are given back when they were read.
const MESSAGE_KEPT: usize = 64 << 10;

impl Sandbox {
    /// What the sandbox is doing.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// Payload of the last [`super::Step`] that has one.
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
        self.guest.interface.as_deref()
    }

    /// Takes what the guest wrote to a stream since the last time.
    pub fn take_output(&mut self, stream: OutputStream) -> Vec<u8> {
        self.guest.personality.take_output(stream)
    }

    /// Whether [`Self::take_output`] would bring something.
    #[must_use]
    pub fn has_output(&self) -> bool {
        self.guest.personality.pending_output() > 0
    }

    /// Why the sandbox is poisoned or broken; for one that is ready again, why its last call was
    /// stopped.
    #[must_use]
    pub fn failure(&self) -> Option<Failure> {
        match &self.state {
            State::Poisoned(stop) => Some(stop.failure()),
            State::Broken(damage) => Some(damage.clone()),
            _ => self.origin.undone.as_ref().map(Stop::failure),
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
            memory_bytes: self.guest.space.committed_bytes(),
            system_calls: self.guest.personality.counts().collect(),
            trace_bytes: self.trace_bytes(),
            trace_events: self.events.tracing.counters.records,
            trace_dropped: self.events.tracing.counters.left_out,
            ..self.events.statistics.clone()
        }
    }

    /// Bytes of the largest message; 0 for a plain program.
    #[must_use]
    pub fn message_bytes(&self) -> u64 {
        self.guest.channel.as_ref().map_or(0, Channel::capacity)
    }

    /// Whether the guest has read standard input.
    #[must_use]
    pub const fn has_read_input(&self) -> bool {
        self.guest.has_read_input
    }
}
