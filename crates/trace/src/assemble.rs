//! Making spans of records: ids, parents, times, and what is wrong with them.

use crate::callsite::{CallsiteInfo, Callsites};
use crate::decode::{decode_record, skip};
use crate::entry::{Attribute, AttributeValue, Counts, Entry, to_json};
use crate::time::{ClockPair, TimeError, Timeline};
use ampoule_wire::trace::{Field, FieldName, Record, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

/// What a guest's trace may use up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Spans that are open at the same time.
    pub live_spans: usize,
    /// Bytes of records during one call.
    pub bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { live_spans: 4096, bytes: 16 << 20 }
    }
}

/// Why a record was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TraceError {
    /// A span or event before the record that says when the call began.
    #[error("Guest start TSC not set before opening guest span")]
    BeforeStart,
    /// A time could not be converted.
    #[error(transparent)]
    Time(#[from] TimeError),
    /// A callsite that the guest has not told of.
    #[error("unknown callsite {id}")]
    UnknownCallsite {
        /// The guest's number.
        id: u32,
    },
    /// A span that is not open.
    #[error("unknown span {id}")]
    UnknownSpan {
        /// The guest's number.
        id: u64,
    },
    /// A span that is open already, or one without a number.
    #[error("span {id} is open already")]
    Duplicate {
        /// The guest's number.
        id: u64,
    },
    /// Too many open spans.
    #[error("{limit} spans are open, no more is followed")]
    LiveSpans {
        /// The limit.
        limit: usize,
    },
    /// Too many or too large callsites.
    #[error("too many callsites")]
    Callsites,
    /// Too much for one call.
    #[error("more than {limit} bytes of trace records during one call")]
    Bytes {
        /// The limit.
        limit: u64,
    },
}

/// How a call ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The guest has answered.
    Returned,
    /// It was stopped.
    Stopped,
}

const CLOSED_BY_GUEST: u8 = 0;
const CLOSED_BY_RETURN: u8 = 1;
const CLOSED_BY_STOP: u8 = 2;

static TRUNCATED: LazyLock<Arc<str>> = LazyLock::new(|| "ampoule.truncated".into());
static CLOCK: LazyLock<Arc<str>> = LazyLock::new(|| "ampoule.clock".into());

/// The spans of one sandbox.
///
/// Lives as long as the sandbox: what is open and which callsites are known outlasts a batch. Memory is
/// bounded by [`Limits`] and by what [`Self::take`] has not been asked for.
#[derive(Debug, Default)]
pub struct Assembler {
    limits: Limits,
    callsites: Callsites,
    /// Open spans by the guest's numbers. Ordered, as there are few, and no numbers can be chosen so that
    /// they are found slowly.
    live: BTreeMap<u64, Live>,
    /// Spans that were open when their call returned: a guest that closes one later does nothing wrong.
    outlived: BTreeSet<u64>,
    last_span: u32,
    call: Option<Call>,
    entries: Vec<Entry>,
}

/// An open span.
#[derive(Debug)]
struct Live {
    number: u32,
    callsite: Arc<CallsiteInfo>,
}

/// The call that is being answered.
#[derive(Debug, Clone, Copy)]
struct Call {
    timeline: Timeline,
    /// The guest has said that it began.
    has_started: bool,
    /// Times may be off.
    is_approximate: bool,
    in_host_call: bool,
    /// The time of the record before, in nanoseconds: none goes back.
    latest: u64,
    bytes: u64,
    counts: Counts,
}

impl Assembler {
    /// For a sandbox in which nothing has run.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Replaces the limits.
    pub const fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Begins to follow a call; what nobody has taken of the one before is gone, but for callsites, which are
    /// told of once. `is_approximate` marks its times: the host's counter is not invariant.
    pub fn begin_call(&mut self, timeline: Timeline, is_approximate: bool) {
        self.live.clear();
        self.entries.retain(|entry| matches!(entry, Entry::Callsite(_)));
        self.call = Some(Call {
            timeline,
            has_started: false,
            is_approximate,
            in_host_call: false,
            latest: 0,
            bytes: 0,
            counts: Counts::default(),
        });
    }

    /// Whether a call is followed.
    #[must_use]
    pub const fn is_in_call(&self) -> bool {
        self.call.is_some()
    }

    /// Nothing is known of callsites until the guest tells again.
    pub const fn begin_generation(&mut self) {
        self.callsites.begin_epoch();
    }

    /// Takes the records in `bytes`, which were read at `now`, and says how many there are. What is wrong
    /// with one is counted, and the next one is looked at.
    pub fn absorb(&mut self, bytes: &[u8], now: ClockPair) -> u64 {
        let Some(call) = &mut self.call else { return 0 };
        call.timeline.reach(now);
        let mut rest = bytes;
        let mut records = 0;
        while !rest.is_empty() {
            records += 1;
            rest = match decode_record(rest) {
                Ok(Some((record, behind))) => {
                    let length = (rest.len() - behind.len()) as u64;
                    if let Err(error) = self.apply(&record, length) {
                        self.count(error);
                    }
                    behind
                }
                Ok(None) => {
                    // A guest publishes complete records only.
                    self.count_malformed();
                    return records;
                }
                Err(_) => {
                    self.count_malformed();
                    skip(rest).unwrap_or_default()
                }
            };
        }
        records
    }

    /// Takes one record of `length` bytes.
    ///
    /// # Errors
    /// [`TraceError`], when the record was left out, or an event taken for one of the call because its span
    /// is not known.
    pub fn apply(&mut self, record: &Record<'_>, length: u64) -> Result<(), TraceError> {
        let limit = self.limits.bytes;
        let call = self.call.as_mut().ok_or(TraceError::BeforeStart)?;
        call.bytes = call.bytes.saturating_add(length);
        let is_over = call.bytes > limit;
        match *record {
            Record::CallStart { tsc } => {
                if !call.timeline.check(tsc) {
                    call.is_approximate = true;
                }
                call.has_started = true;
                Ok(())
            }
            Record::Callsite(ref callsite) => {
                if self.callsites.insert(callsite) {
                    Ok(())
                } else {
                    Err(TraceError::Callsites)
                }
            }
            Record::OpenSpan { id, parent, callsite, tsc, ref fields, truncated, closed } => {
                if is_over {
                    return Err(TraceError::Bytes { limit });
                }
                self.open((id, parent), callsite, (tsc, closed), (fields, truncated))
            }
            Record::EditSpan { id, ref fields, truncated } => {
                if is_over {
                    return Err(TraceError::Bytes { limit });
                }
                self.edit(id, (fields, truncated))
            }
            // Whatever the limit: the span is open, and it ends here.
            Record::CloseSpan { id, tsc } => self.close(id, tsc),
            Record::Event { span, callsite, tsc, ref fields, truncated } => {
                if is_over {
                    return Err(TraceError::Bytes { limit });
                }
                self.event(span, callsite, tsc, (fields, truncated))
            }
        }
    }

    /// The guest calls a host function, in the span that it calls `current`.
    pub fn host_call(&mut self, current: u64, now: ClockPair) {
        let span = self.live.get(&current).map_or(0, |live| live.number);
        let Some(call) = &mut self.call else { return };
        call.counts.unknown_ids += u64::from(span == 0 && current != 0);
        if let Some(at) = call.moment(now) {
            call.in_host_call = true;
            self.entries.push(Entry::HostCall { span, at });
        }
    }

    /// The guest has its answer.
    pub fn host_return(&mut self, now: ClockPair) {
        let Some(call) = &mut self.call else { return };
        let was_in = std::mem::replace(&mut call.in_host_call, false);
        if let Some(at) = call.moment(now).filter(|_| was_in) {
            self.entries.push(Entry::HostReturn { at });
        }
    }

    /// Counts events that the guest could not write, and batches that could not be read.
    pub fn count_lost(&mut self, dropped: u64, malformed: u64) {
        if let Some(call) = &mut self.call {
            call.counts.dropped = call.counts.dropped.saturating_add(dropped);
            call.counts.malformed = call.counts.malformed.saturating_add(malformed);
        }
    }

    /// Ends the call at `now` and closes what is open. What was wrong with its records is the last entry.
    pub fn end_call(&mut self, now: ClockPair, ending: Ending) -> Counts {
        self.host_return(now);
        let Some(mut call) = self.call.take() else { return Counts::default() };
        let ending = match ending {
            Ending::Returned => CLOSED_BY_RETURN,
            Ending::Stopped => CLOSED_BY_STOP,
        };
        let mut open: Vec<(u64, Live)> = std::mem::take(&mut self.live).into_iter().collect();
        open.sort_unstable_by_key(|(_, live)| std::cmp::Reverse(live.number));
        if let Some(at) = call.moment(now) {
            self.entries.extend(open.iter().map(|(_, live)| Entry::Close {
                span: live.number,
                at,
                ending,
            }));
        }
        if ending == CLOSED_BY_RETURN {
            for (id, _) in open {
                if self.outlived.len() < self.limits.live_spans {
                    self.outlived.insert(id);
                }
            }
        }
        if !call.counts.is_clean() {
            self.entries.push(Entry::Counts(call.counts));
        }
        call.counts
    }

    /// Takes what has happened since the last time.
    pub fn take(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.entries)
    }

    /// The same as JSON, as [`to_json`] writes it.
    pub fn take_json(&mut self) -> String {
        let json = to_json(&self.entries);
        self.entries.clear();
        json
    }

    fn open(
        &mut self,
        (id, parent): (u64, u64),
        callsite: u32,
        (tsc, closed): (u64, u64),
        (fields, truncated): (&[Field<'_>], bool),
    ) -> Result<(), TraceError> {
        let at = self.time(tsc)?;
        if id == 0 || self.live.contains_key(&id) {
            return Err(TraceError::Duplicate { id });
        }
        let limit = self.limits.live_spans;
        if self.live.len() >= limit {
            return Err(TraceError::LiveSpans { limit });
        }
        let (callsite, attributes) = self.attributes(callsite, fields, truncated)?;
        let end = if closed == 0 { None } else { Some(self.time(closed)?) };
        let number = callsite.number;
        let around = self.live.get(&parent).map(|live| live.number);
        let is_known = around.is_some() || parent == 0 || self.outlived.contains(&parent);
        self.last_span = self.last_span.wrapping_add(1).max(1);
        let span = self.last_span;
        self.outlived.remove(&id);
        let around = around.unwrap_or(0);
        self.entries.push(Entry::Open { span, parent: around, callsite: number, at, attributes });
        match end {
            None => _ = self.live.insert(id, Live { number: span, callsite }),
            Some(at) => self.entries.push(Entry::Close { span, at, ending: CLOSED_BY_GUEST }),
        }
        if is_known { Ok(()) } else { Err(TraceError::UnknownSpan { id: parent }) }
    }

    fn edit(
        &mut self,
        id: u64,
        (fields, truncated): (&[Field<'_>], bool),
    ) -> Result<(), TraceError> {
        self.started()?;
        let Some(live) = self.live.get(&id) else { return self.unknown(id) };
        let span = live.number;
        let attributes = attributes_of(&live.callsite, fields, truncated, false);
        self.entries.push(Entry::Edit { span, attributes });
        Ok(())
    }

    fn close(&mut self, id: u64, tsc: u64) -> Result<(), TraceError> {
        let at = self.time(tsc)?;
        let Some(live) = self.live.remove(&id) else { return self.unknown(id) };
        self.entries.push(Entry::Close { span: live.number, at, ending: CLOSED_BY_GUEST });
        Ok(())
    }

    fn event(
        &mut self,
        id: u64,
        callsite: u32,
        tsc: u64,
        (fields, truncated): (&[Field<'_>], bool),
    ) -> Result<(), TraceError> {
        let at = self.time(tsc)?;
        let (callsite, attributes) = self.attributes(callsite, fields, truncated)?;
        let callsite = callsite.number;
        let span = self.live.get(&id).map(|live| live.number);
        self.entries.push(Entry::Event { span: span.unwrap_or(0), callsite, at, attributes });
        if span.is_some() || id == 0 { Ok(()) } else { self.unknown(id) }
    }

    /// A span that is not open is an error, unless it was closed by the return of its call.
    fn unknown(&mut self, id: u64) -> Result<(), TraceError> {
        if self.outlived.contains(&id) { Ok(()) } else { Err(TraceError::UnknownSpan { id }) }
    }

    fn started(&mut self) -> Result<&mut Call, TraceError> {
        self.call.as_mut().filter(|call| call.has_started).ok_or(TraceError::BeforeStart)
    }

    /// The time of a record: within the call, and not before the record before.
    fn time(&mut self, tsc: u64) -> Result<u64, TraceError> {
        let call = self.started()?;
        let (wall, outside) = call.timeline.wall(tsc)?;
        // Two processors' counters may differ by some ticks.
        let slack = 2 * call.timeline.error_bound().max(1000);
        call.counts.moved += u64::from(outside > slack || wall < call.latest);
        call.latest = call.latest.max(wall);
        Ok(call.latest)
    }

    /// The callsite and the attributes by name. Tells of a callsite that is used first.
    fn attributes(
        &mut self,
        id: u32,
        fields: &[Field<'_>],
        truncated: bool,
    ) -> Result<(Arc<CallsiteInfo>, Vec<Attribute>), TraceError> {
        let (callsite, is_first) =
            self.callsites.find(id).ok_or(TraceError::UnknownCallsite { id })?;
        let is_approximate = self.call.as_ref().is_some_and(|call| call.is_approximate);
        let attributes = attributes_of(&callsite, fields, truncated, is_approximate);
        if is_first {
            self.entries.push(Entry::Callsite(Arc::clone(&callsite)));
        }
        Ok((callsite, attributes))
    }

    fn count_malformed(&mut self) {
        self.count_lost(0, 1);
    }

    fn count(&mut self, error: TraceError) {
        let Some(call) = &mut self.call else { return };
        let counts = &mut call.counts;
        let counter = match error {
            TraceError::BeforeStart => &mut counts.before_start,
            TraceError::Time(_) | TraceError::Bytes { .. } | TraceError::Callsites => {
                &mut counts.dropped
            }
            TraceError::UnknownCallsite { .. } | TraceError::UnknownSpan { .. } => {
                &mut counts.unknown_ids
            }
            TraceError::Duplicate { .. } => &mut counts.duplicates,
            TraceError::LiveSpans { .. } => &mut counts.live_spans,
        };
        *counter += 1;
    }
}

impl Call {
    /// The time of something that the host has seen at `now`.
    fn moment(&mut self, now: ClockPair) -> Option<u64> {
        let wall = self.timeline.wall_of(now.monotonic).ok()?;
        self.latest = self.latest.max(wall);
        Some(self.latest)
    }
}

/// The fields by name, and marks for what was cut and for times that may be off by more than the readings
/// of the clock tell.
fn attributes_of(
    callsite: &CallsiteInfo,
    fields: &[Field<'_>],
    truncated: bool,
    approximate: bool,
) -> Vec<Attribute> {
    let mut attributes = Vec::with_capacity(fields.len() + usize::from(truncated || approximate));
    for field in fields {
        let name = match field.name {
            FieldName::Index(index) => callsite.fields.get(usize::from(index)).map(Arc::clone),
            FieldName::Text(name) => Some(name.into()),
        };
        attributes.extend(name.map(|name| Attribute { name, value: owned(field.value) }));
    }
    if truncated {
        let value = AttributeValue::Bool(true);
        attributes.push(Attribute { name: Arc::clone(&TRUNCATED), value });
    }
    if approximate {
        let value = AttributeValue::Text("approximate".into());
        attributes.push(Attribute { name: Arc::clone(&CLOCK), value });
    }
    attributes
}

fn owned(value: Value<'_>) -> AttributeValue {
    match value {
        Value::Bool(value) => AttributeValue::Bool(value),
        Value::Signed(value) => AttributeValue::Signed(value),
        Value::Unsigned(value) => AttributeValue::Unsigned(value),
        Value::Float(value) => AttributeValue::Float(value),
        Value::Text(text) => AttributeValue::Text(text.into()),
    }
}

#[cfg(test)]
mod tests;
