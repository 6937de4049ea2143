//! What the guest is told about tracing, and where it publishes.

use super::generation::generation;
use super::{Channel, take};
use crate::tracing::request::Directives;
use ampoule_abi::channel::{ControlPage, TRACE_DIRECTIVES_OFFSET, TraceHeader};
use ampoule_memory::OutOfBounds;
use ampoule_spans::Published;
use std::mem::offset_of;
use std::sync::Arc;

impl Channel {
    /// Takes back what earlier calls were told about tracing: a guest that goes back must not see it.
    pub(super) fn forget_trace(&mut self) -> Result<(), OutOfBounds> {
        let told = std::mem::take(&mut self.told);
        if told.level > 0 {
            self.write_level(0)?;
        }
        if told.acknowledged > 0 {
            self.write_control(offset_of!(ControlPage, trace_acknowledged), 0)?;
        }
        if let Some(directives) = told.directives {
            self.mapping.zero(TRACE_DIRECTIVES_OFFSET, directives.text().len() as u64)?;
            self.write_control(offset_of!(ControlPage, trace_directives) + 8, 0)?;
        }
        self.write_control(offset_of!(ControlPage, trace_generation), generation())
    }

    fn write_control(&self, at: usize, value: u64) -> Result<(), OutOfBounds> {
        self.mapping.write_u64(at as u64, value)
    }

    fn write_level(&self, level: u32) -> Result<(), OutOfBounds> {
        self.mapping.write(offset_of!(ControlPage, trace_level) as u64, &level.to_le_bytes())
    }

    /// Tells the guest what to trace during the next call; `None` for nothing. Cost: nothing, unless it is
    /// something else than before.
    pub(crate) fn tell(&mut self, directives: Option<&Arc<Directives>>) -> Result<(), OutOfBounds> {
        let level = directives.map_or(0, |directives| directives.level());
        if level != self.told.level {
            self.write_level(level)?;
            self.told.level = level;
        }
        let Some(directives) = directives else { return Ok(()) };
        if self.told.directives.as_ref().is_none_or(|told| told != directives) {
            let text = directives.text().as_bytes();
            self.mapping.write(TRACE_DIRECTIVES_OFFSET, text)?;
            let length = offset_of!(ControlPage, trace_directives) + 8;
            self.write_control(length, text.len() as u64)?;
            self.write_control(offset_of!(ControlPage, trace_generation), generation())?;
            self.told.directives = Some(Arc::clone(directives));
        }
        Ok(())
    }

    /// What the guest has published of trace events, and how many it could not write. Cost: one copy of 32
    /// bytes.
    pub(crate) fn published(&self) -> (Published, u64) {
        let mut header = [0_u8; 32];
        // The area lies inside the mapping by construction, so this cannot fail.
        let read = self.mapping.read(self.trace.offset, &mut header);
        debug_assert!(read.is_ok(), "the area lies inside the mapping");
        let word = |at: usize| u64::from_le_bytes(take(&header, at));
        let published = Published {
            sequence: word(offset_of!(TraceHeader, sequence)),
            address: word(offset_of!(TraceHeader, address)),
            length: word(offset_of!(TraceHeader, length)),
        };
        (published, word(offset_of!(TraceHeader, dropped)))
    }

    /// Tells the guest that everything of batch `sequence` has been read.
    pub(crate) fn acknowledge(&mut self, sequence: u64) {
        if sequence != self.told.acknowledged {
            let at = offset_of!(ControlPage, trace_acknowledged);
            let written = self.write_control(at, sequence);
            debug_assert!(written.is_ok(), "the control page lies inside the mapping");
            self.told.acknowledged = sequence;
        }
    }
}
