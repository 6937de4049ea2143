//! The life of a guest: initialise, describe itself, answer calls.

use crate::channel::{Channel, Claim, current, runtime};
use crate::error::ErrorData;
use crate::serve::arguments::CallArguments;
use crate::serve::functions::{Functions, start};
use crate::serve::panics::{abort, guarded};
use crate::serve::{host, native, panics};
use crate::trace;
use ampoule_abi::channel::{GuestMessage, HostMessage};
use ampoule_wire::failure::GuestError;
use std::io::Write;
use std::process::ExitCode;

/// The whole program, for `main`: makes the functions by `make` and answers calls of them. In a sandbox it
/// never returns.
///
/// `make`, and [`Functions::start`] after it, run before the sandbox is ready and before its image is taken;
/// an error or a panic there makes creating the sandbox fail with its text. `build_id` tells builds of the
/// program apart, for people.
pub fn run<F: Functions>(make: impl FnOnce() -> Result<F, String>, build_id: &str) -> ExitCode {
    let channel = match Channel::find() {
        Ok(Some(channel)) => current::set(channel),
        Ok(None) => return native::run(make, build_id),
        Err(error) => {
            // No channel to say it through.
            let _ = writeln!(std::io::stderr(), "ampoule-guest: {error}");
            return ExitCode::FAILURE;
        }
    };
    runtime::keep_memory();
    panics::install();

    trace::start_begins(channel);
    let functions = guarded(channel, || -> Result<F, String> {
        let mut functions = make()?;
        start(&mut functions)?;
        Ok(functions)
    });
    let mut functions = functions.unwrap_or_else(|message| abort(channel, message));
    serve(channel, &mut functions, build_id)
}

pub(super) fn serve(channel: &'static Channel, functions: &mut dyn Functions, build_id: &str) -> ! {
    let (count, bytes) = guarded(channel, || {
        let description = functions.describe();
        (description.exports.len(), description.interface(build_id).encode())
    });
    trace::start_ends();
    if let Err(error) = channel.post(GuestMessage::Ready, 0, &bytes) {
        abort(channel, format!("the interface does not fit: {error}"));
    }
    // Reused, so that its memory is there already when the next result is of a like size.
    let mut result = Vec::new();
    loop {
        let Some(claim) = Claim::take(channel) else {
            abort(channel, "the channel is in use outside a call".to_owned())
        };
        let call = match claim.exchange() {
            Ok(call) if call.kind == HostMessage::Call => call,
            Ok(call) => abort(channel, format!("protocol: {:?} without a host call", call.kind)),
            Err(error) => abort(channel, error.to_string()),
        };
        drop(claim);
        trace::call_begins(channel, call.is_traced);

        result.clear();
        let outcome = match usize::try_from(call.function).ok().filter(|&index| index < count) {
            Some(index) => {
                current::set_in_call(true);
                let arguments = CallArguments::received(channel, call);
                let outcome = guarded(channel, || functions.call(index, arguments, &mut result));
                current::set_in_call(false);
                outcome
            }
            None => Err(GuestError {
                kind: "UnknownFunction".to_owned(),
                message: format!("there is no function with id {}", call.function),
                data: None,
            }),
        };
        trace::call_ends();
        let posted = match &outcome {
            Ok(()) => channel.post(GuestMessage::Return, 0, &result),
            Err(error) => channel.post(GuestMessage::Error, 0, &error.encode()),
        };
        if let Err(error) = posted {
            let error = GuestError {
                kind: "MessageTooLarge".to_owned(),
                message: format!("the function's answer does not fit: {error}"),
                data: host::sizes(error).map(|ErrorData(data)| data),
            };
            if let Err(error) = channel.post(GuestMessage::Error, 0, &error.encode()) {
                abort(channel, error.to_string());
            }
        }
    }
}
