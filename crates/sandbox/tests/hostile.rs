//! Every act of the hostile guest ends as its documentation says, and never here.

#[expect(dead_code, reason = "each test file uses a part of it")]
mod support;

use ampoule_sandbox::{
    Budget, CallTrace, Directives, Resumption, Sandbox, State, Step, TraceContext, TraceEntry,
    wall_offset,
};
use ampoule_testkit::kvm_is_available;
use serde::Serialize;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use support::{arguments, export, functions, ready};

/// Acts that never end are ended after this.
const SHORT: Duration = Duration::from_millis(300);
/// Acts that end by themselves do so long before, also on a slow and busy machine.
const LONG: Duration = Duration::from_secs(60);
/// The longest the driver sleeps at a time; the guest is asked again and tells how much is left.
const SLEEP_MAX: Duration = Duration::from_millis(5);
/// Memory small enough to be exhausted soon.
const MEMORY: u64 = 32 << 20;

/// An act's arguments, for those that take any.
fn arguments_of(act: &str) -> Vec<u8> {
    fn one(value: impl Serialize) -> Vec<u8> {
        arguments(&(value,))
    }
    match act {
        "add" => arguments(&(1, 2)),
        "any_system_call" => arguments(&(39_u64, [0_u64; 6])),
        "host_call_unknown" => one(7),
        "map_flood" => one(2_000),
        "map_and_fill" => one(1_u64 << 30),
        "signal_itself" => one(6),
        "jump_into_system_pages" => one(0x1000),
        "exit" => one(3),
        "read_at" | "write_at" | "jump_to" => one(ampoule_abi::layout::SYSTEM_BASE),
        "trace_flood" => one(20_000),
        "trace_raw" => {
            arguments(&([1_u8, 2, 3], None::<u64>, Some(1_u64 << 40), None::<u64>, true))
        }
        "unknown_kind" => one(6),
        _ => arguments(&[0_u8; 0]),
    }
}

fn start() -> Sandbox {
    let mut config = functions("hostile");
    config.memory_bytes = MEMORY;
    support::start(&config)
}

/// How an act ended, in the words of the guest's documentation.
fn outcome(sandbox: &mut Sandbox, act: &str, deadline: Duration) -> Result<String, String> {
    outcome_of(sandbox, act, deadline, None, &mut Vec::new())
}

/// The same of a call that is traced or not; what it tells is added to `told`.
fn outcome_of(
    sandbox: &mut Sandbox,
    act: &str,
    deadline: Duration,
    trace: Option<&CallTrace>,
    told: &mut Vec<TraceEntry>,
) -> Result<String, String> {
    let function = export(sandbox, act);
    let budget = Budget { wall: Some(deadline), cpu: None };
    let begun = sandbox.begin_traced_call(function, &arguments_of(act), budget, trace);
    begun.map_err(|error| error.to_string())?;
    loop {
        let step = sandbox.run();
        told.append(&mut sandbox.take_trace());
        match step {
            Step::HostCall { .. } => {
                let resumed = sandbox.resume(Resumption::HostReturn(&[0xf6]));
                resumed.map_err(|error| error.to_string())?;
            }
            Step::Output => {
                sandbox.take_output(ampoule_linux::OutputStream::Stdout);
                sandbox.take_output(ampoule_linux::OutputStream::Stderr);
                let resumed = sandbox.resume(Resumption::Continue);
                resumed.map_err(|error| error.to_string())?;
            }
            Step::Input { .. } => {
                let resumed = sandbox.resume(Resumption::EndOfInput);
                resumed.map_err(|error| error.to_string())?;
            }
            Step::Sleep { duration } => {
                // tidy: sleep: the guest asked for it
                std::thread::sleep(duration.min(SLEEP_MAX));
                let resumed = sandbox.resume(Resumption::Continue);
                resumed.map_err(|error| error.to_string())?;
            }
            Step::Return => return Ok("survives".into()),
            Step::GuestError => return Ok("GUEST_ERROR".into()),
            Step::Stopped => {
                let State::Poisoned(stop) = sandbox.state() else {
                    return Err("stopped but not poisoned".into());
                };
                let failure = stop.failure();
                return Ok(failure.code.as_str().trim_start_matches("ERR_AMPOULE_").to_owned());
            }
            step => return Err(format!("unexpected {step:?}")),
        }
    }
}

#[test]
fn every_act_ends_as_documented() {
    if !kvm_is_available() {
        return;
    }
    check_every_act(None);
}

#[test]
fn every_act_ends_the_same_when_it_is_traced() {
    if !kvm_is_available() {
        return;
    }
    check_every_act(Some(&CallTrace {
        directives: Some(Arc::new(Directives::parse("trace").unwrap())),
        context: TraceContext::default(),
        wall_offset: wall_offset(),
    }));
}

/// What a guest has told is in order, whatever that was: each span has one end, in a parent that was open.
fn check_told(act: &str, told: &[TraceEntry]) {
    let (mut open, mut latest) = (HashSet::new(), 0);
    for entry in told {
        let at = match *entry {
            TraceEntry::Open { span, parent, at, .. } => {
                assert!(parent == 0 || open.contains(&parent), "{act}: {entry:?}");
                assert!(open.insert(span) && open.len() <= 4096, "{act}: {entry:?}");
                at
            }
            TraceEntry::Close { span, at, .. } => {
                assert!(open.remove(&span), "{act}: {entry:?}");
                at
            }
            TraceEntry::Event { span, at, .. } | TraceEntry::HostCall { span, at, .. } => {
                assert!(span == 0 || open.contains(&span), "{act}: {entry:?}");
                at
            }
            TraceEntry::HostReturn { at, .. } | TraceEntry::Start { at } => at,
            TraceEntry::Edit { .. }
            | TraceEntry::Link { .. }
            | TraceEntry::Callsite(_)
            | TraceEntry::Counts(_) => latest,
        };
        assert!(at >= latest, "{act}: {entry:?} after {latest}");
        latest = at;
    }
    assert!(open.is_empty(), "{act}: {open:?} were never closed");
}

/// Acts whose lies about traces must have been counted.
const LIARS: &[&str] = &[
    "trace_raw",
    "trace_flood",
    "trace_flood_of_callsites",
    "trace_kernel_addresses",
    "trace_lying_lengths",
    "trace_lying_sequences",
    "trace_corrupted",
    "trace_lying_records",
    "trace_bad_utf8",
    "trace_unknown_callsites",
    "trace_unknown_spans",
    "trace_duplicate_ids",
    "trace_before_call_start",
    "trace_lying_times",
];

fn check_every_act(trace: Option<&CallTrace>) {
    let hostile = ready("hostile");
    let exports = hostile.interface().map_or(&[][..], |interface| &interface.exports);
    assert!(exports.len() > 100, "{}", exports.len());
    let mut wrong = Vec::new();
    for function in exports {
        let act = &function.name;
        let documentation = function.documentation.clone().unwrap_or_default();
        let expected = documentation.split_once(':').map_or(&*documentation, |(ends, _)| ends);
        let mut sandbox = start();
        let deadline = if expected.contains("TIMEOUT") { SHORT } else { LONG };
        let mut told = Vec::new();
        let ended = outcome_of(&mut sandbox, act, deadline, trace, &mut told);
        check_told(act, &told);
        if trace.is_some() && LIARS.contains(&act.as_str()) {
            let counted = told.iter().any(|entry| matches!(entry, TraceEntry::Counts(_)));
            assert!(counted, "{act}: nothing was counted in {} entries", told.len());
        }
        let fits = match &ended {
            Ok(word) => {
                documentation.starts_with(word)
                    || expected.contains(word.as_str())
                    // Whether a result has its type is checked by the TypeScript API.
                    || word == "survives" && expected.contains("RESULT")
            }
            Err(_) => false,
        };
        if !fits {
            wrong.push(format!("{act}: {ended:?}, but: {expected} ({:?})", sandbox.state()));
        }
    }
    assert!(wrong.is_empty(), "{} acts ended otherwise:\n{}", wrong.len(), wrong.join("\n"));
    // All that must not have hurt the process.
    let mut sandbox = ready("hostile");
    assert_eq!(outcome(&mut sandbox, "ok", LONG).as_deref(), Ok("survives"));
}

#[test]
fn a_hostile_start_ends_with_a_reason() {
    if !kvm_is_available() {
        return;
    }
    for (act, codes) in [
        ("exit", &["GUEST_EXITED"][..]),
        ("loop", &["TIMEOUT"]),
        ("panic", &["GUEST_ABORT", "GUEST_EXITED"]),
        ("fault", &["GUEST_FAULT"]),
        ("badready", &["PROTOCOL"]),
        ("hugeready", &["PROTOCOL", "GUEST_ABORT"]),
    ] {
        let mut config = functions("hostile");
        config.environment = vec![format!("HOSTILE_INIT={act}").into_bytes()];
        let mut sandbox = support::create(&config);
        let deadline = if act == "loop" { SHORT } else { LONG };
        sandbox.begin_start(Budget { wall: Some(deadline), cpu: None }).unwrap();
        assert_eq!(sandbox.run(), Step::Stopped, "{act}");
        let State::Poisoned(stop) = sandbox.state() else { panic!("{act}: not poisoned") };
        let code = stop.failure().code.as_str().trim_start_matches("ERR_AMPOULE_");
        assert!(codes.contains(&code), "{act}: {code}");
    }
}
