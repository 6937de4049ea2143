//! What happens in a sandbox, told in one place.
//!
//! The state machine says *that* something happened; what is made of it is decided here: statistics count,
//! and the trace of the call notes. Another consumer is another line in [`Events::tell`]. Telling costs what
//! its consumers do with it, and nothing else: the kind of event is known where it is told.

use crate::statistics::Statistics;
use crate::tracing::Tracing;
use ampoule_memory::Restored;
use ampoule_spans::Ending;
use std::time::Duration;

/// One thing that happened.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Event {
    /// The guest has told what it exports and imports.
    Initialised,
    /// A call of a guest function was begun.
    CallBegun,
    /// The call, or the start, is over: everything that the guest told of it has been read.
    CallEnded(Ending),
    /// The guest was left a message.
    Sent {
        /// Bytes of its payload.
        bytes: u64,
    },
    /// A message of the guest's has been read.
    Received {
        /// Bytes of its payload.
        bytes: u64,
    },
    /// The guest calls a host function.
    HostCall {
        /// Index into the interface's imports.
        function: u32,
        /// The guest's number of the span that the call is in; 0 for none.
        span: u64,
    },
    /// The guest called one host function more than it may.
    HostCallRefused,
    /// A host function has returned or failed, and the guest has the answer.
    HostAnswered,
    /// The guest is entered in a moment.
    Entered,
    /// The guest was left.
    Left {
        /// Time inside it.
        computed: Duration,
    },
    /// The guest was left because the host asked for it.
    Interrupted,
    /// A page fault gave the guest fresh memory.
    PageFault,
    /// The guest wrote to standard output or error.
    Output {
        /// How much.
        bytes: u64,
    },
    /// CPU time was accounted.
    CpuTime(Duration),
    /// A fault or an abort was put into words.
    Reported {
        /// Symbols looked at and bytes of names gone along.
        steps: usize,
    },
    /// The sandbox went back to a snapshot.
    Restored(Restored),
}

/// The consumers of what happens in one sandbox.
#[derive(Debug, Default)]
pub(crate) struct Events {
    /// What has come of everything so far; not all of it is filled here, see [`crate::Sandbox::statistics`].
    pub(crate) statistics: Statistics,
    /// What the guest tells of the call that it answers.
    pub(crate) tracing: Tracing,
}

impl Events {
    /// Tells everybody whom it concerns.
    #[expect(clippy::inline_always, reason = "where an event is told, only its own line is left")]
    #[inline(always)]
    pub(crate) fn tell(&mut self, event: Event) {
        let Self { statistics, tracing } = self;
        match event {
            Event::Initialised => statistics.initialisations += 1,
            Event::CallBegun => statistics.calls += 1,
            Event::CallEnded(ending) => tracing.end_call(ending),
            Event::Sent { bytes } => statistics.bytes_to_guest += bytes,
            Event::Received { bytes } => statistics.bytes_from_guest += bytes,
            Event::HostCall { function, span } => {
                statistics.host_calls += 1;
                tracing.host_call(span, function);
            }
            Event::HostCallRefused => statistics.host_calls += 1,
            Event::HostAnswered => tracing.host_answered(),
            Event::Entered => tracing.guest_entered(),
            Event::Left { computed } => {
                statistics.guest_time += computed;
                statistics.exits += 1;
            }
            Event::Interrupted => statistics.interruptions += 1,
            Event::PageFault => statistics.page_faults += 1,
            Event::Output { bytes } => statistics.output_bytes += bytes,
            Event::CpuTime(used) => statistics.cpu_time += used,
            Event::Reported { steps } => statistics.report_steps += steps as u64,
            Event::Restored(restored) => {
                statistics.restores += 1;
                statistics.restored_pages += restored.pages;
                statistics.wholesale_restores += u64::from(restored.wholesale);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Event, Events};
    use crate::statistics::Statistics;
    use ampoule_memory::Restored;
    use ampoule_spans::Ending;
    use std::time::Duration;

    /// The counters after these events.
    fn counted(events: &[Event]) -> Statistics {
        let mut told = Events::default();
        for &event in events {
            told.tell(event);
        }
        told.statistics
    }

    #[test]
    fn each_event_has_its_counters() {
        let none = Statistics::default;
        let time = Duration::from_micros(5);
        let cases: [(Event, Statistics); 16] = [
            (Event::Initialised, Statistics { initialisations: 1, ..none() }),
            (Event::CallBegun, Statistics { calls: 1, ..none() }),
            (Event::CallEnded(Ending::Returned), none()),
            (Event::Sent { bytes: 7 }, Statistics { bytes_to_guest: 7, ..none() }),
            (Event::Received { bytes: 7 }, Statistics { bytes_from_guest: 7, ..none() }),
            (Event::HostCall { function: 3, span: 0 }, Statistics { host_calls: 1, ..none() }),
            (Event::HostCallRefused, Statistics { host_calls: 1, ..none() }),
            (Event::HostAnswered, none()),
            (Event::Entered, none()),
            (Event::Left { computed: time }, Statistics { exits: 1, guest_time: time, ..none() }),
            (Event::Interrupted, Statistics { interruptions: 1, ..none() }),
            (Event::PageFault, Statistics { page_faults: 1, ..none() }),
            (Event::Output { bytes: 7 }, Statistics { output_bytes: 7, ..none() }),
            (Event::CpuTime(time), Statistics { cpu_time: time, ..none() }),
            (Event::Reported { steps: 7 }, Statistics { report_steps: 7, ..none() }),
            (
                Event::Restored(Restored { pages: 7, wholesale: true }),
                Statistics { restores: 1, restored_pages: 7, wholesale_restores: 1, ..none() },
            ),
        ];
        for (event, expected) in cases {
            assert_eq!(counted(&[event]), expected, "{event:?}");
        }
    }

    #[test]
    fn counters_add_up() {
        let back = |wholesale| Event::Restored(Restored { pages: 2, wholesale });
        let statistics = counted(&[Event::CallBegun, back(false), Event::CallBegun, back(true)]);
        let expected = Statistics {
            calls: 2,
            restores: 2,
            restored_pages: 4,
            wholesale_restores: 1,
            ..Statistics::default()
        };
        assert_eq!(statistics, expected);
    }
}
