//! What the tests of this crate share: configurations, and driving a sandbox on this thread.

#![expect(clippy::unwrap_used, clippy::panic, reason = "test support: failing loudly is the point")]

mod deadlines;
pub(crate) mod interpreted;

use ampoule_hypervisor::BACKENDS;
use ampoule_sandbox::{Budget, Config, Limits, Providers, Resumption, Sandbox, Snapshot, Step};
use ampoule_wire::value;
use deadlines::Ticks;
use std::sync::Arc;

pub(crate) const LIMITS: Limits = Limits {
    host_calls: 1000,
    output_bytes: 64 << 20,
    value_items: 1_000_000,
    trace_bytes: 16 << 20,
    ..Limits::UNLIMITED
};

/// A guest with functions, from `guests/`.
pub(crate) fn functions(name: &str) -> Config {
    Config {
        message_bytes: Some(1 << 20),
        ..program(ampoule_testkit::guest_bytes(name), name, &[])
    }
}

/// A plain program.
pub(crate) fn program(executable: Vec<u8>, name: &str, arguments: &[&str]) -> Config {
    Config {
        executable: executable.into(),
        name: name.into(),
        arguments: arguments.iter().map(|argument| argument.as_bytes().to_vec()).collect(),
        memory_bytes: 256 << 20,
        stack_bytes: 8 << 20,
        limits: LIMITS,
        ..Config::empty(BACKENDS)
    }
}

/// Makes and starts a sandbox of the guest `name` on this thread.
pub(crate) fn ready(name: &str) -> Sandbox {
    start(&functions(name))
}

/// What sandboxes on this thread are given: deadlines.
pub(crate) fn providers() -> Arc<Providers> {
    Arc::new(Providers { deadlines: Ticks::get(), ..Providers::default() })
}

/// Makes a sandbox that nothing is started in.
pub(crate) fn create(config: &Config) -> Sandbox {
    let providers = providers();
    Sandbox::create(config, providers.control(), providers).unwrap()
}

/// Makes a sandbox that starts in `snapshot`.
pub(crate) fn from_snapshot(snapshot: &Snapshot) -> Sandbox {
    let providers = providers();
    Sandbox::from_snapshot(snapshot, providers.control(), providers).unwrap()
}

/// Makes and starts a sandbox on this thread.
pub(crate) fn start(config: &Config) -> Sandbox {
    let mut sandbox = create(config);
    sandbox.begin_start(Budget::default()).unwrap();
    assert_eq!(sandbox.run(), Step::Ready, "{:?}", sandbox.state());
    sandbox
}

/// Index of the export `name`.
pub(crate) fn export(sandbox: &Sandbox, name: &str) -> u32 {
    let exports = &sandbox.interface().unwrap().exports;
    let at = exports.iter().position(|function| function.name == name);
    at.unwrap_or_else(|| panic!("the guest has no `{name}`")).try_into().unwrap()
}

/// Encodes arguments.
pub(crate) fn arguments(values: &impl serde::Serialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    value::encode(values, &mut bytes).unwrap();
    bytes
}

/// Calls the export `name` and runs to the first step.
pub(crate) fn call(
    sandbox: &mut Sandbox,
    name: &str,
    values: &impl serde::Serialize,
    budget: Budget,
) -> Step {
    let function = export(sandbox, name);
    sandbox.begin_call(function, &arguments(values), budget).unwrap();
    sandbox.run()
}

/// Decodes the last result.
pub(crate) fn result<'a, T: serde::Deserialize<'a>>(sandbox: &'a Sandbox) -> T {
    value::decode(sandbox.message()).unwrap()
}

/// What a plain program left behind.
pub(crate) struct Outcome {
    pub(crate) step: Step,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    pub(crate) sandbox: Sandbox,
}

/// Runs a plain program to its end on this thread.
pub(crate) fn run(config: &Config, stdin: &[u8]) -> Outcome {
    let mut sandbox = create(config);
    sandbox.begin_start(Budget::default()).unwrap();
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let mut input = Some(stdin).filter(|bytes| !bytes.is_empty());
    loop {
        let step = sandbox.run();
        stdout.extend(sandbox.take_output(ampoule_sandbox::OutputStream::Stdout));
        stderr.extend(sandbox.take_output(ampoule_sandbox::OutputStream::Stderr));
        match step {
            Step::Input { .. } => {
                let resumption = input.take().map_or(Resumption::EndOfInput, Resumption::Input);
                sandbox.resume(resumption).unwrap();
            }
            Step::Output => sandbox.resume(Resumption::Continue).unwrap(),
            Step::Sleep { duration } => {
                // tidy: sleep: the guest asked for it
                std::thread::sleep(duration);
                sandbox.resume(Resumption::Continue).unwrap();
            }
            _ => return Outcome { step, stdout, stderr, sandbox },
        }
    }
}
