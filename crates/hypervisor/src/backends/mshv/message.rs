//! What the hypervisor reports when a guest stops (TLFS, chapter *Intercepts*).

use crate::vm::Exit;
use mshv_bindings as hv;

/// Values of `intercept_access_type`.
const ACCESS_READ: u8 = 0;
const ACCESS_WRITE: u8 = 1;

/// A decoded message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stop {
    pub(super) exit: Exit,
    /// Length of the instruction that the exit stands for and that must not be run again.
    pub(super) skip: u64,
}

impl Stop {
    pub(super) const fn at(exit: Exit) -> Self {
        Self { exit, skip: 0 }
    }
}

/// Decodes a message; `None` stands for one without meaning, after which the guest runs on.
pub(super) fn decode(message: &hv::hv_message) -> Option<Stop> {
    let code = message.header.message_type;
    let unrunnable = Stop::at(Exit::Unrunnable { code: code.into() });
    Some(match code {
        hv::hv_message_type_HVMSG_NONE => return None,
        hv::hv_message_type_HVMSG_X64_IO_PORT_INTERCEPT => {
            message.to_ioport_info().map_or(unrunnable, |info| port(&info).unwrap_or(unrunnable))
        }
        hv::hv_message_type_HVMSG_UNMAPPED_GPA
        | hv::hv_message_type_HVMSG_GPA_INTERCEPT
        | hv::hv_message_type_HVMSG_UNACCEPTED_GPA => {
            let address = message.to_memory_info().ok().map(|info| info.guest_physical_address);
            Stop::at(Exit::Unbacked { address })
        }
        hv::hv_message_type_HVMSG_X64_HALT => Stop::at(Exit::Halt),
        hv::hv_message_type_HVMSG_UNRECOVERABLE_EXCEPTION => Stop::at(Exit::Shutdown),
        // HVMSG_INVALID_VP_REGISTER_VALUE, HVMSG_UNSUPPORTED_FEATURE, and what is not enabled.
        _ => unrunnable,
    })
}

/// `None` when the hypervisor does not say what is needed to go on: without a length the guest
/// would run the same instruction for ever.
fn port(info: &hv::hv_x64_io_port_intercept_message) -> Option<Stop> {
    let port = info.port_number;
    let header = info.header;
    let exit = match header.intercept_access_type {
        ACCESS_WRITE => Exit::PortOut { port },
        ACCESS_READ => Exit::PortIn { port },
        _ => return None,
    };
    match header.instruction_length() {
        0 => None,
        length => Some(Stop { exit, skip: length.into() }),
    }
}
