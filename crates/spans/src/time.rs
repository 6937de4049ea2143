//! From values of the time-stamp counter to time.
//!
//! A guest stamps its records with the raw counter, which on every host with an invariant counter runs on
//! at a constant rate whoever has the processor. The host reads counter and clock together when a call
//! begins and whenever it reads a batch ([`ClockPair`]); what a guest did between two such readings is
//! interpolated between them. So neither an error of the frequency nor an adjustment of the clock's rate
//! adds up over a long call. All arithmetic is on integers; products take 128 bits.

/// One reading of the time-stamp counter and the monotonic clock at the same moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockPair {
    /// The counter, in the middle of the reading.
    pub tsc: u64,
    /// The monotonic clock, in nanoseconds.
    pub monotonic: u64,
    /// Ticks of the counter that the whole reading took: twice the most that the two can be apart.
    pub window: u64,
}

impl ClockPair {
    /// The tightest of up to three readings; `counter` and `clock` read the counter and the clock in
    /// nanoseconds. One reading is enough where nothing came in between.
    ///
    /// Cost: two readings of the counter and one of the clock, some 60 ns.
    pub fn read(mut counter: impl FnMut() -> u64, mut clock: impl FnMut() -> u64) -> Self {
        /// Ticks of a reading that nothing interrupted, even if the clock was in no cache: at most 0.2 us
        /// off on a processor of 2.5 GHz.
        const TIGHT: u64 = 1000;
        let mut best: Option<Self> = None;
        for _ in 0..3 {
            let before = counter();
            let monotonic = clock();
            let window = counter().wrapping_sub(before);
            let pair = Self { tsc: before.wrapping_add(window / 2), monotonic, window };
            if best.is_none_or(|best| window < best.window) {
                best = Some(pair);
            }
            if window <= TIGHT {
                break;
            }
        }
        best.unwrap_or(Self { tsc: 0, monotonic: 0, window: u64::MAX })
    }
}

/// What is missing for a conversion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// Neither the hypervisor nor a measurement says how fast the counter is.
    #[error("TSC frequency not set")]
    Frequency,
    /// Nobody has said what time it was at the start.
    #[error("start_wall not set")]
    Wall,
    /// The call's start has not been read.
    #[error("start TSC not set")]
    Start,
}

/// A measurement of the counter's frequency against the monotonic clock, over a window that grows.
#[derive(Debug, Clone, Copy, Default)]
pub struct Calibration {
    first: Option<ClockPair>,
    last: Option<ClockPair>,
}

impl Calibration {
    /// Nanoseconds between the first and the last reading before a frequency is given: with readings
    /// that are 100 ns apart the error is then below 20 parts in a million, and it falls as the window
    /// grows.
    pub const WINDOW_MIN: u64 = 10_000_000;

    /// Takes a reading into account.
    pub fn add(&mut self, pair: ClockPair) {
        match self.first {
            None => self.first = Some(pair),
            Some(_) => self.last = Some(pair),
        }
    }

    /// Ticks a second; `None` until the window is long enough.
    #[must_use]
    pub fn frequency(&self) -> Option<u64> {
        let (first, last) = (self.first?, self.last?);
        let nanoseconds = last.monotonic.checked_sub(first.monotonic)?;
        let ticks = last.tsc.checked_sub(first.tsc)?;
        if nanoseconds < Self::WINDOW_MIN || ticks == 0 {
            return None;
        }
        let product = u128::from(ticks) * u128::from(NANOSECONDS_PER_SECOND);
        u64::try_from(product / u128::from(nanoseconds)).ok()
    }
}

const NANOSECONDS_PER_SECOND: u64 = 1_000_000_000;

/// The time of one call: from a guest's counter to Unix time in nanoseconds.
///
/// A conversion is at most half the windows of the two readings around it plus one nanosecond off, as
/// [`Self::error_bound`] says. What lies outside of the call is moved to its edge.
#[derive(Debug, Clone, Copy, Default)]
pub struct Timeline {
    frequency: Option<u64>,
    /// Unix time minus the monotonic clock, in nanoseconds.
    wall_offset: Option<i128>,
    /// When the call began.
    start: Option<ClockPair>,
    /// The reading before `from`.
    before: Option<ClockPair>,
    /// The readings between which the guest has run.
    from: Option<ClockPair>,
    to: Option<ClockPair>,
    /// The guest's counter minus the host's.
    guest_offset: u64,
}

impl Timeline {
    /// Begins a call at `start`. `frequency` in ticks a second; `wall_offset` is Unix time minus the
    /// monotonic clock, in nanoseconds.
    #[must_use]
    pub const fn new(
        start: Option<ClockPair>,
        frequency: Option<u64>,
        wall_offset: Option<i128>,
    ) -> Self {
        Self { frequency, wall_offset, start, before: None, from: start, to: None, guest_offset: 0 }
    }

    /// Says that the guest has run up to `now`. What it did since the reading before lies in between.
    pub const fn reach(&mut self, now: ClockPair) {
        if let Some(to) = self.to {
            self.before = self.from;
            self.from = Some(to);
        }
        self.to = Some(now);
    }

    /// Takes note of a value of the guest's counter that must lie between the last two readings. If it does
    /// not, the two counters differ: the guest's is taken to have stood there at the reading before.
    /// Returns whether they agree.
    pub fn check(&mut self, guest_tsc: u64) -> bool {
        let (Some(from), Some(to)) = (self.from, self.to) else { return true };
        // Counters of different processors may be some ticks apart.
        let slack = self.frequency.unwrap_or(1_000_000_000) / 1_000_000;
        let host = guest_tsc.wrapping_sub(self.guest_offset);
        let agrees = host >= from.tsc.saturating_sub(slack) && host <= to.tsc.saturating_add(slack);
        if !agrees {
            self.guest_offset = guest_tsc.wrapping_sub(from.tsc);
        }
        agrees
    }

    /// Unix time in nanoseconds of a value of the guest's counter, and how many ticks it lay before the
    /// call or behind the last reading.
    ///
    /// # Errors
    /// [`TimeError`].
    pub fn wall(&self, guest_tsc: u64) -> Result<(u64, u64), TimeError> {
        let (start, from) = self.start.zip(self.from).ok_or(TimeError::Start)?;
        let host = guest_tsc.wrapping_sub(self.guest_offset);
        let latest = self.to.map_or(u64::MAX, |to| to.tsc).max(start.tsc);
        let moved = host.clamp(start.tsc, latest);
        // A record that found its batch full stands in the next one and is older than the reading between: its
        // time is that of the interval before, as the time of its predecessor is.
        let monotonic = if moved < from.tsc {
            let passed = self.nanoseconds(from.tsc - moved, self.before.zip(self.from))?;
            from.monotonic.saturating_sub(passed).max(start.monotonic)
        } else {
            from.monotonic
                .saturating_add(self.nanoseconds(moved - from.tsc, self.from.zip(self.to))?)
        };
        Ok((self.wall_of(monotonic)?, host.abs_diff(moved)))
    }

    /// How long the counter takes for so many ticks: by the readings at both ends of an interval, or else by
    /// its frequency.
    fn nanoseconds(
        &self,
        ticks: u64,
        interval: Option<(ClockPair, ClockPair)>,
    ) -> Result<u64, TimeError> {
        let measured = interval.and_then(|(from, to)| {
            let interval = to.tsc.checked_sub(from.tsc).filter(|&interval| interval > 0)?;
            Some((to.monotonic.saturating_sub(from.monotonic), interval))
        });
        let told = self.frequency.filter(|&hertz| hertz > 0);
        let told = told.map(|hertz| (NANOSECONDS_PER_SECOND, hertz));
        let (nanoseconds, per_ticks) = measured.or(told).ok_or(TimeError::Frequency)?;
        // Most calls are short enough for a division of 64 bits, which takes a third of the time.
        if let Some(product) = ticks.checked_mul(nanoseconds) {
            return Ok(product / per_ticks);
        }
        let product = u128::from(ticks) * u128::from(nanoseconds);
        Ok(u64::try_from(product / u128::from(per_ticks)).unwrap_or(u64::MAX))
    }

    /// Unix time in nanoseconds of a reading of the monotonic clock.
    ///
    /// # Errors
    /// [`TimeError::Wall`].
    pub fn wall_of(&self, monotonic: u64) -> Result<u64, TimeError> {
        let offset = self.wall_offset.ok_or(TimeError::Wall)?;
        let wall = i128::from(monotonic).saturating_add(offset).max(0);
        Ok(u64::try_from(wall).unwrap_or(u64::MAX))
    }

    /// The most that a conversion can be off, in ticks of the counter: half of each window.
    #[must_use]
    pub fn error_bound(&self) -> u64 {
        let half = |pair: Option<ClockPair>| pair.map_or(0, |pair| pair.window.div_ceil(2));
        half(self.from).max(half(self.to))
    }
}

#[cfg(test)]
mod tests;
