//! The life of a guest: initialise, describe itself, answer calls.

use crate::channel::{Channel, Claim, Received, runtime};
use crate::convert::Arguments;
use crate::error::ErrorData;
use crate::registry::{ArgumentSource, Export, Registry};
use crate::{host, native, trace};
use ampoule_abi::channel::{GuestMessage, HostMessage};
use ampoule_wire::failure::{Abort, BACKTRACE_LIMIT, GuestError, MESSAGE_LIMIT};
use std::fmt::Display;
use std::io::Write;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

static CHANNEL: OnceLock<Channel> = OnceLock::new();
static IN_CALL: AtomicBool = AtomicBool::new(false);
/// The panic that is unwinding, as its hook saw it.
static PANIC: Mutex<Option<Abort>> = Mutex::new(None);

/// The channel, if a call runs and host functions may be called.
pub(crate) fn channel_in_call() -> Option<&'static Channel> {
    IN_CALL.load(Ordering::Relaxed).then(|| CHANNEL.get()).flatten()
}

/// The channel, if there is a host.
pub(crate) fn channel() -> Option<&'static Channel> {
    CHANNEL.get()
}

/// Why [`channel_in_call`] gives nothing.
pub(crate) fn why_not_in_call() -> &'static str {
    if CHANNEL.get().is_some() {
        "host functions can be called only while the guest answers a call"
    } else {
        "there is no host: the program runs on plain Linux"
    }
}

/// What an init function may return.
#[diagnostic::on_unimplemented(
    message = "an init function returns nothing or `Result<(), E>` with `E: Display`, not `{Self}`"
)]
pub trait InitOutcome {
    /// The failure as text.
    ///
    /// # Errors
    /// The init function's own.
    fn into_result(self) -> Result<(), String>;
}

impl InitOutcome for () {
    fn into_result(self) -> Result<(), String> {
        Ok(())
    }
}

impl<E: Display> InitOutcome for Result<(), E> {
    fn into_result(self) -> Result<(), String> {
        self.map_err(|error| error.to_string())
    }
}

/// The whole program, for `main`. In a sandbox it never returns.
pub fn run<T: InitOutcome>(init: impl FnOnce() -> T, build_id: &str) -> ExitCode {
    let channel = match Channel::find() {
        Ok(Some(channel)) => CHANNEL.get_or_init(|| channel),
        Ok(None) => return native::run(|| init().into_result(), build_id),
        Err(error) => {
            // No channel to say it through.
            let _ = writeln!(std::io::stderr(), "ampoule-guest: {error}");
            return ExitCode::FAILURE;
        }
    };
    runtime::keep_memory();
    std::panic::set_hook(Box::new(record_panic));

    trace::start_begins(channel);
    let registry = guarded(channel, || -> Result<Registry, String> {
        init().into_result().map_err(|error| format!("initialisation failed: {error}"))?;
        Registry::collect()
    });
    let registry = registry.unwrap_or_else(|message| abort(channel, message));
    let interface = guarded(channel, || registry.interface(build_id).encode());
    trace::start_ends();
    serve(channel, &registry, &interface)
}

fn serve(channel: &'static Channel, registry: &Registry, interface: &[u8]) -> ! {
    if let Err(error) = channel.post(GuestMessage::Ready, 0, interface) {
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
        let outcome =
            match usize::try_from(call.function).ok().and_then(|id| registry.exports.get(id)) {
                Some(export) => answer(channel, export, call, &mut result),
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

/// Runs one function.
fn answer(
    channel: &'static Channel,
    export: &Export,
    call: Received,
    result: &mut Vec<u8>,
) -> Result<(), GuestError> {
    IN_CALL.store(true, Ordering::Relaxed);
    let mut source = ChannelArguments { channel, call, function: export.name };
    let outcome = guarded(channel, || (export.invoke)(&mut source, result));
    IN_CALL.store(false, Ordering::Relaxed);
    outcome
}

/// Arguments that stand in the channel. Read before the function runs, because a host call replaces
/// them.
struct ChannelArguments {
    channel: &'static Channel,
    call: Received,
    function: &'static str,
}

impl ArgumentSource for ChannelArguments {
    fn read(
        &mut self,
        read: &mut dyn FnMut(Arguments<'_>) -> Result<(), GuestError>,
    ) -> Result<(), GuestError> {
        let Some(claim) = Claim::take(self.channel) else {
            abort(self.channel, "the channel is in use outside a call".to_owned())
        };
        read(Arguments::new(self.function, claim.payload(self.call))?)
    }
}

/// Runs `body`; a panic in it ends the guest.
fn guarded<T>(channel: &Channel, body: impl FnOnce() -> T) -> T {
    // Nothing of what `body` may leave half done is seen again after a panic.
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|_| {
        let recorded = PANIC.lock().unwrap_or_else(PoisonError::into_inner).take();
        channel.give_up(&recorded.unwrap_or_else(|| Abort {
            message: "unwinding without a panic".to_owned(),
            ..Abort::default()
        }))
    })
}

/// The panic hook: keeps what only it can see. The panic is reported when nobody has caught it.
fn record_panic(info: &PanicHookInfo<'_>) {
    let message = info.payload_as_str().unwrap_or("a panic with a payload that is no text");
    let location = info.location();
    let abort = Abort {
        message: message[..message.floor_char_boundary(MESSAGE_LIMIT)].to_owned(),
        file: location.map(|location| location.file().to_owned()),
        line: location.map(std::panic::Location::line),
        column: location.map(std::panic::Location::column),
        backtrace: runtime::backtrace(BACKTRACE_LIMIT),
    };
    trace::panicked(&abort.message, abort.file.as_deref(), abort.line.unwrap_or_default());
    // A panic that cannot unwind makes `std` abort the process behind this hook, and there is no
    // stable way to ask for that; these are its messages (library/core/src/panicking.rs).
    let in_cleanup = message == "panic in a destructor during cleanup";
    let final_panic =
        cfg!(panic = "abort") || in_cleanup || message == "panic in a function that cannot unwind";

    // Held elsewhere only if this hook itself panicked.
    let Ok(mut slot) = PANIC.try_lock() else { return };
    if final_panic && let Some(channel) = CHANNEL.get() {
        // In a clean-up, the first panic is the interesting one.
        let first = slot.take().filter(|_| in_cleanup);
        channel.give_up(&first.unwrap_or(abort));
    }
    *slot = Some(abort);
}

fn abort(channel: &Channel, message: String) -> ! {
    channel.give_up(&Abort { message, ..Abort::default() })
}
