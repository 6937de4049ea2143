//! Taking the guest's messages.

use super::Sandbox;
use super::state::{State, Step, Wait};
use crate::channel::messages::Received;
use crate::events::Event;
use crate::stop::{AbortReport, Stop};
use ampoule_abi::channel::GuestMessage;
use ampoule_abi::{port, version};
use ampoule_program::authors_part;
use ampoule_spans::Ending;
use ampoule_wire::failure::{Abort, GuestError};
use ampoule_wire::interface::Interface;
use ampoule_wire::value::{Limits, validate};
use std::sync::Arc;

/// Major type of an array (RFC 8949, section 3.1): the upper three bits of an item's first byte.
const CBOR_ARRAY: u8 = 4;

/// The module of the SDK that calls what the guest exports.
const SERVE_LOOP: &str = "ampoule_guest::serve";

impl Sandbox {
    /// Begins to take the message that the doorbell announced; most are taken at once.
    pub(super) fn receive(&mut self) -> Result<Option<Step>, Stop> {
        let protocol = |what: String| Stop::Protocol { what };
        self.collect_trace();
        let Some(channel) = &mut self.guest.channel else {
            return Err(self.no_doorbell(port::DOORBELL));
        };
        let received = channel.receive().map_err(|error| protocol(error.to_string()))?;
        self.message.clear();
        self.receive_some(received)
    }

    /// Copies a portion of a message, and takes it when that was the last one.
    pub(super) fn receive_some(&mut self, received: Received) -> Result<Option<Step>, Stop> {
        let protocol = |what: String| Stop::Protocol { what };
        let Some(channel) = &self.guest.channel else {
            return Err(self.no_doorbell(port::DOORBELL));
        };
        let whole = channel.payload_some(&received, &mut self.message);
        if !whole.map_err(|error| protocol(error.to_string()))? {
            self.call.receiving = Some(received);
            return Ok(None);
        }
        self.take_message(&received).map(Some)
    }

    fn take_message(&mut self, received: &Received) -> Result<Step, Stop> {
        let protocol = |what: String| Stop::Protocol { what };
        self.events.tell(Event::Received { bytes: received.length });
        let limits = self.limits.value();
        let is_ready = self.guest.interface.is_some();
        match received.kind {
            GuestMessage::Ready if !is_ready => {
                let interface = Interface::decode(&self.message)
                    .map_err(|error| protocol(format!("its interface is invalid: {error}")))?;
                if !version::is_compatible(version::CURRENT, interface.abi_version) {
                    return Err(Stop::Incompatible { guest: interface.abi_version });
                }
                self.guest.interface = Some(Arc::new(interface));
                self.events.tell(Event::Initialised);
                self.finish(Step::Ready)
            }
            GuestMessage::Return if is_ready => {
                validate(&self.message, &limits)
                    .map_err(|error| Stop::of_value("its result", &error))?;
                self.finish(Step::Return)
            }
            GuestMessage::Error if is_ready => {
                GuestError::decode(&self.message, &limits)
                    .map_err(|error| Stop::of_failure("its error", &error))?;
                self.finish(Step::GuestError)
            }
            GuestMessage::HostCall => self.host_call(received, &limits),
            GuestMessage::Abort => {
                let abort = Abort::decode(&self.message, &limits)
                    .map_err(|error| Stop::of_failure("its abort", &error))?;
                match self.out_of_memory() {
                    Some(stop) => Err(stop),
                    None => Err(Stop::Abort(self.report(abort))),
                }
            }
            kind => Err(protocol(format!("message {kind:?} out of turn"))),
        }
    }

    fn host_call(&mut self, received: &Received, limits: &Limits) -> Result<Step, Stop> {
        let Received { function, span, .. } = *received;
        let protocol = |what: String| Stop::Protocol { what };
        // While it initialises, a guest has not said yet what it imports.
        let imports = self.guest.interface.as_ref().map_or(0, |interface| interface.imports.len());
        if usize::try_from(function).is_ok_and(|function| function >= imports) {
            return Err(protocol(format!("call of import {function} of {imports}")));
        }
        validate(&self.message, limits)
            .map_err(|error| Stop::of_value("the argument list of a host call", &error))?;
        if self.message.first().is_none_or(|first| first >> 5 != CBOR_ARRAY) {
            return Err(protocol("its arguments are not an array".into()));
        }
        if let Err(stop) = self.call.count_host_call(&self.limits) {
            self.events.tell(Event::HostCallRefused);
            return Err(stop);
        }
        self.events.tell(Event::HostCall { function, span });
        Ok(self.wait(Wait::HostCall, Step::HostCall { function }))
    }

    fn finish(&mut self, step: Step) -> Result<Step, Stop> {
        self.events.tell(Event::CallEnded(Ending::Returned));
        self.control.disarm();
        self.state = State::Ready;
        Ok(step)
    }

    /// The reason behind the guest's giving up, when memory was refused during this call.
    pub(super) fn out_of_memory(&self) -> Option<Stop> {
        let refused = self.guest.personality.refused_for_memory() > self.call.out_of_memory_before;
        refused.then(|| Stop::MemoryLimit { limit: self.guest.space.capacity_bytes() })
    }

    fn report(&mut self, abort: Abort) -> Arc<AbortReport> {
        let mut report = self.guest.loaded.symbols.report();
        let frames = abort.backtrace.into_iter().map(|at| report.locate(at)).collect();
        self.events.tell(Event::Reported { steps: report.steps() });
        Arc::new(AbortReport {
            message: abort.message,
            file: abort.file,
            line: abort.line,
            column: abort.column,
            backtrace: authors_part(frames, SERVE_LOOP),
        })
    }
}
