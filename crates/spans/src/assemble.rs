//! Making spans of records: ids, parents, times, and what is wrong with them.

mod call;

use crate::attributes::{Described, describe};
use crate::callsite::{CallsiteInfo, Callsites};
use crate::closed::Closed;
use crate::decode::{decode_record, skip};
use crate::entry::{Counts, TraceEntry};
use crate::error::TraceError;
use crate::json::write_slice;
use crate::time::{ClockPair, Timeline};
use ampoule_wire::trace::{Field, Record};
use call::Call;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

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
const CLOSED_BY_PANIC: u8 = 3;

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
    closed: Closed,
    last_span: u32,
    call: Option<Call>,
    entries: VecDeque<TraceEntry>,
}

/// An open span.
#[derive(Debug)]
struct Live {
    number: u32,
    callsite: Arc<CallsiteInfo>,
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
        self.closed.clear();
        self.entries.retain(|entry| matches!(entry, TraceEntry::Callsite(_)));
        self.call = Some(Call::new(timeline, is_approximate));
    }

    /// What was begun by [`Self::begin_call`] is the start of the guest, which is told.
    pub fn mark_start(&mut self, now: ClockPair) {
        if let Some(at) = self.call.as_mut().and_then(|call| call.moment(now)) {
            self.entries.push_back(TraceEntry::Start { at });
        }
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
                    if let Err(error) = self.apply(&record, length)
                        && let Some(call) = &mut self.call
                    {
                        call.counts.count(error);
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
                let opened = if is_over {
                    Err(TraceError::Bytes { limit })
                } else {
                    self.open((id, parent), callsite, (tsc, closed), (fields, truncated))
                };
                if opened.is_err()
                    && closed == 0
                    && let Some(call) = &mut self.call
                {
                    call.left_out += 1;
                }
                opened?;
                self.known(parent)
            }
            Record::EditSpan { id, ref fields, truncated } => {
                if is_over {
                    return Err(TraceError::Bytes { limit });
                }
                self.edit(id, (fields, truncated))
            }
            // Whatever the limit: the span is open, and it ends here.
            Record::CloseSpan { id, tsc, unwinding } => self.close(id, tsc, unwinding),
            Record::LinkSpan { id, from } => {
                if is_over {
                    return Err(TraceError::Bytes { limit });
                }
                self.link(id, from)
            }
            Record::Event { span, callsite, tsc, ref fields, truncated } => {
                if is_over {
                    return Err(TraceError::Bytes { limit });
                }
                self.event(span, callsite, tsc, (fields, truncated))
            }
        }
    }

    /// The guest calls host function number `function`, in the span that it calls `current`.
    pub fn host_call(&mut self, current: u64, function: u32, now: ClockPair) {
        let span = self.live.get(&current).map_or(0, |live| live.number);
        let Some(call) = &mut self.call else { return };
        call.counts.unknown_ids += u64::from(span == 0 && current != 0 && call.left_out == 0);
        if let Some(at) = call.moment(now) {
            call.in_host_call = true;
            call.answered_at = None;
            self.entries.push_back(TraceEntry::HostCall { span, function, at });
        }
    }

    /// The answer is there, at that time of the monotonic clock; the guest waits for a processor.
    pub const fn host_answered(&mut self, monotonic: u64) {
        if let Some(call) = &mut self.call {
            call.answered_at = Some(monotonic);
        }
    }

    /// Whether a host function is called, and the guest has not gone on yet.
    #[must_use]
    pub fn is_in_host_call(&self) -> bool {
        self.call.as_ref().is_some_and(|call| call.in_host_call)
    }

    /// The guest goes on with the answer, or `is_stopped` instead.
    pub fn host_return(&mut self, now: ClockPair, is_stopped: bool) {
        let Some(call) = &mut self.call else { return };
        let was_in = std::mem::replace(&mut call.in_host_call, false);
        let answered_at = call.answered_at.take().unwrap_or(now.monotonic);
        let waited = now.monotonic.saturating_sub(answered_at);
        if let Some(at) = call.moment(now).filter(|_| was_in) {
            self.entries.push_back(TraceEntry::HostReturn { at, waited, is_stopped });
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
        self.host_return(now, ending == Ending::Stopped);
        let Some(mut call) = self.call.take() else { return Counts::default() };
        let ending = match ending {
            Ending::Returned => CLOSED_BY_RETURN,
            Ending::Stopped => CLOSED_BY_STOP,
        };
        let mut open: Vec<(u64, Live)> = std::mem::take(&mut self.live).into_iter().collect();
        open.sort_unstable_by_key(|(_, live)| std::cmp::Reverse(live.number));
        if let Some(at) = call.moment(now) {
            self.entries.extend(open.iter().map(|(_, live)| TraceEntry::Close {
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
            self.entries.push_back(TraceEntry::Counts(call.counts));
        }
        call.counts
    }

    /// Takes what has happened since the last time.
    pub fn take(&mut self) -> Vec<TraceEntry> {
        std::mem::take(&mut self.entries).into()
    }

    /// The first of that as JSON, as [`crate::to_json`] writes it: so many entries, or fewer that take no more
    /// than about `bytes`. `[10]` comes last if there are more.
    pub fn take_json(&mut self, count: usize, bytes: usize) -> String {
        let (json, taken) = write_slice(self.entries.iter(), count.min(self.entries.len()), bytes);
        self.entries.drain(..taken);
        json
    }

    /// Gives up what nobody has taken, but for callsites, which are told of once, and counts it as dropped.
    pub fn drop_entries(&mut self) {
        let before = self.entries.len();
        let counts = self.entries.pop_back_if(|entry| matches!(entry, TraceEntry::Counts(_)));
        self.entries.retain(|entry| matches!(entry, TraceEntry::Callsite(_)));
        let dropped = (before - self.entries.len()) as u64 - u64::from(counts.is_some());
        if let Some(call) = &mut self.call {
            call.counts.dropped = call.counts.dropped.saturating_add(dropped);
            return;
        }
        let mut counts = match counts {
            Some(TraceEntry::Counts(counts)) => counts,
            _ => Counts::default(),
        };
        counts.dropped = counts.dropped.saturating_add(dropped);
        if !counts.is_clean() {
            self.entries.push_back(TraceEntry::Counts(counts));
        }
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
        // One that has ended takes no place.
        if closed == 0 && self.live.len() >= limit {
            return Err(TraceError::LiveSpans { limit });
        }
        let (callsite, (attributes, otel)) = self.attributes(callsite, fields, true, truncated)?;
        let end = if closed == 0 { None } else { Some(self.time(closed)?) };
        let number = callsite.number;
        let around = self.live.get(&parent).map_or(0, |live| live.number);
        self.last_span = self.last_span.wrapping_add(1).max(1);
        let span = self.last_span;
        self.outlived.remove(&id);
        let opened =
            TraceEntry::Open { span, parent: around, callsite: number, at, attributes, otel };
        self.entries.push_back(opened);
        if let Some(at) = end {
            self.entries.push_back(TraceEntry::Close { span, at, ending: CLOSED_BY_GUEST });
            self.closed.add(id, span);
        } else {
            self.live.insert(id, Live { number: span, callsite });
        }
        Ok(())
    }

    /// Whether a span's parent is open, or 0 for none.
    fn known(&self, parent: u64) -> Result<(), TraceError> {
        let is_known = parent == 0 || self.live.contains_key(&parent);
        if is_known { Ok(()) } else { self.unknown(parent) }
    }

    fn edit(
        &mut self,
        id: u64,
        (fields, truncated): (&[Field<'_>], bool),
    ) -> Result<(), TraceError> {
        self.started()?;
        let Some(live) = self.live.get(&id) else { return self.unknown(id) };
        let span = live.number;
        let (attributes, otel) = describe(&live.callsite.fields, fields, true, truncated, false);
        self.entries.push_back(TraceEntry::Edit { span, attributes, otel });
        Ok(())
    }

    fn close(&mut self, id: u64, tsc: u64, unwinding: bool) -> Result<(), TraceError> {
        let at = self.time(tsc)?;
        let Some(live) = self.live.remove(&id) else {
            let known = self.unknown(id);
            if let Some(call) = &mut self.call {
                call.left_out = call.left_out.saturating_sub(1);
            }
            return known;
        };
        let ending = if unwinding { CLOSED_BY_PANIC } else { CLOSED_BY_GUEST };
        self.entries.push_back(TraceEntry::Close { span: live.number, at, ending });
        self.closed.add(id, live.number);
        Ok(())
    }

    fn link(&mut self, id: u64, from: u64) -> Result<(), TraceError> {
        self.started()?;
        let Some(span) = self.live.get(&id).map(|live| live.number) else {
            return self.unknown(id);
        };
        let to = self.live.get(&from).map(|live| live.number);
        let Some(to) = to.or_else(|| self.closed.find(from, self.last_span)) else {
            return self.unknown(from);
        };
        self.entries.push_back(TraceEntry::Link { span, to });
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
        let (callsite, (attributes, _)) = self.attributes(callsite, fields, false, truncated)?;
        let callsite = callsite.number;
        let span = self.live.get(&id).map(|live| live.number);
        self.entries.push_back(TraceEntry::Event {
            span: span.unwrap_or(0),
            callsite,
            at,
            attributes,
        });
        if span.is_some() || id == 0 { Ok(()) } else { self.unknown(id) }
    }

    /// A span that is not open is an error, unless it was closed by the return of its call, or may be one
    /// that was left out, which was counted.
    fn unknown(&self, id: u64) -> Result<(), TraceError> {
        let left_out = self.call.as_ref().is_some_and(|call| call.left_out > 0);
        let is_counted = left_out || self.outlived.contains(&id);
        if is_counted { Ok(()) } else { Err(TraceError::UnknownSpan { id }) }
    }

    fn started(&mut self) -> Result<&mut Call, TraceError> {
        self.call.as_mut().filter(|call| call.has_started).ok_or(TraceError::BeforeStart)
    }

    /// The time of a record: within the call, and not before the record before.
    fn time(&mut self, tsc: u64) -> Result<u64, TraceError> {
        self.started()?.time(tsc)
    }

    /// The callsite and the attributes by name. Tells of a callsite that is used first.
    fn attributes(
        &mut self,
        id: u32,
        fields: &[Field<'_>],
        is_span: bool,
        truncated: bool,
    ) -> Result<(Arc<CallsiteInfo>, Described), TraceError> {
        let (callsite, is_first) =
            self.callsites.find(id).ok_or(TraceError::UnknownCallsite { id })?;
        let is_approximate = self.call.as_ref().is_some_and(|call| call.is_approximate);
        let attributes = describe(&callsite.fields, fields, is_span, truncated, is_approximate);
        if is_first {
            self.entries.push_back(TraceEntry::Callsite(Arc::clone(&callsite)));
        }
        Ok((callsite, attributes))
    }

    fn count_malformed(&mut self) {
        self.count_lost(0, 1);
    }
}

#[cfg(test)]
mod tests;
