//! What ends a guest: a panic that nobody has caught, and giving up.

use crate::channel::{Channel, current, runtime};
use crate::trace;
use ampoule_wire::failure::{Abort, BACKTRACE_LIMIT, MESSAGE_LIMIT};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::{Mutex, PoisonError};

/// The panic that is unwinding, as its hook saw it.
static PANIC: Mutex<Option<Abort>> = Mutex::new(None);

/// From now on panics are recorded, and end the guest where nobody catches them.
pub(crate) fn install() {
    std::panic::set_hook(Box::new(record_panic));
}

/// Runs `body`; a panic in it ends the guest.
pub(crate) fn guarded<T>(channel: &Channel, body: impl FnOnce() -> T) -> T {
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
    if final_panic && let Some(channel) = current::get() {
        // In a clean-up, the first panic is the interesting one.
        let first = slot.take().filter(|_| in_cleanup);
        channel.give_up(&first.unwrap_or(abort));
    }
    *slot = Some(abort);
}

/// Gives up.
pub(crate) fn abort(channel: &Channel, message: String) -> ! {
    channel.give_up(&Abort { message, ..Abort::default() })
}
