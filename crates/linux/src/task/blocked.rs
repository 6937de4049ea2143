//! What a task waits for.

/// What a task waits for. Whoever has it happen wakes the task, which makes its call again and finds out itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BlockedOn {
    /// Standard input, of which it can take so many bytes.
    Input { wanted: usize },
    /// Room for standard output.
    OutputRoom,
    /// A moment of the monotonic clock, in nanoseconds.
    Time { until: u64 },
    /// Something that another task or a signal brings about, but no longer than to a moment.
    Event { event: Event, until: Option<u64> },
}

/// What another task or a signal can bring about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// Bytes in a pipe, by its number.
    PipeData { pipe: usize },
    /// Room in a pipe, by its number.
    PipeRoom { pipe: usize },
    /// Descriptors that become ready.
    Descriptors,
    /// Somebody who wakes the futex at an address.
    Futex { word: u64 },
    /// A signal.
    Signal,
    /// Processor time of the program.
    ProcessorTime,
}

impl BlockedOn {
    /// An event, however long it takes.
    pub(crate) const fn event(event: Event) -> Self {
        Self::Event { event, until: None }
    }

    /// When the wait ends in any case.
    pub(crate) const fn until(self) -> Option<u64> {
        match self {
            Self::Time { until } => Some(until),
            Self::Event { until, .. } => until,
            Self::Input { .. } | Self::OutputRoom => None,
        }
    }
}

impl Event {
    /// What a program waits for in vain that has nobody left who could bring it about, in words.
    pub(crate) const fn in_vain(self) -> &'static str {
        match self {
            Self::PipeData { .. } => "data in a pipe that only it can write to",
            Self::PipeRoom { .. } => "room in a pipe that only it can read from",
            Self::Descriptors => "descriptors that can never become ready",
            Self::Futex { .. } => "a futex that nobody else can wake",
            Self::Signal => "a signal that nobody can send",
            Self::ProcessorTime => "processor time, while it does not compute",
        }
    }
}
