//! Ways to end.

use ampoule_guest::guest_function;

/// GUEST_ABORT: panics.
#[guest_function]
fn panic() -> String {
    panic!("a hostile panic");
}

/// GUEST_ABORT: panics with a message of 10 MiB.
#[guest_function]
fn panic_at_length() -> String {
    panic!("{}", "x".repeat(10 << 20));
}

/// GUEST_EXITED with SIGABRT.
#[guest_function]
fn abort() -> String {
    std::process::abort();
}

/// GUEST_EXITED with the code: ends in the middle of a call.
#[guest_function]
fn exit(code: i32) -> String {
    std::process::exit(code);
}

/// GUEST_EXITED with code 0, without any clean-up.
#[guest_function]
fn exit_at_once() -> String {
    crate::raw::system_call(231, [0; 6]);
    crate::raw::survived()
}

/// GUEST_FAULT, or GUEST_EXITED: goes on after it has ended.
#[guest_function]
fn exit_and_go_on() -> String {
    crate::raw::system_call(60, [0; 6]);
    crate::raw::system_call(231, [0; 6]);
    crate::raw::survived()
}
