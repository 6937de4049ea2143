//! The channel of this process, and whether the guest answers a call.

use super::Channel;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

static CHANNEL: OnceLock<Channel> = OnceLock::new();
static IN_CALL: AtomicBool = AtomicBool::new(false);

/// Makes `channel` that of the process.
pub(crate) fn set(channel: Channel) -> &'static Channel {
    CHANNEL.get_or_init(|| channel)
}

/// The channel, if there is a host.
pub(crate) fn get() -> Option<&'static Channel> {
    CHANNEL.get()
}

/// The channel, if a call runs and host functions may be called.
pub(crate) fn in_call() -> Option<&'static Channel> {
    IN_CALL.load(Ordering::Relaxed).then(|| CHANNEL.get()).flatten()
}

/// Why [`in_call`] gives nothing.
pub(crate) fn why_not_in_call() -> &'static str {
    if CHANNEL.get().is_some() {
        "host functions can be called only while the guest answers a call"
    } else {
        "there is no host: the program runs on plain Linux"
    }
}

/// A call begins, or has been answered.
pub(crate) fn set_in_call(is_in_call: bool) {
    IN_CALL.store(is_in_call, Ordering::Relaxed);
}
