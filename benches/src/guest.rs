//! The guest `guests/fixtures/bench`, and driving it on this thread.

use ampoule_host::{BACKENDS, providers};
use ampoule_sandbox::{Budget, Config, Limits, Sandbox, Step};
use ampoule_wire::value;
use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;
use std::fs;
use std::path::Path;

/// Memory beside what a guest is told to hold.
const ROOM_MIB: u64 = 16;

/// A ready sandbox, and calls made ahead so that only running them is timed.
#[derive(Debug)]
pub(crate) struct Guest {
    pub(crate) sandbox: Sandbox,
}

/// A call whose function was looked up and whose arguments were encoded.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) function: u32,
    pub(crate) arguments: Vec<u8>,
}

/// The configuration of the guest with `memory_mib` MiB.
pub(crate) fn config(memory_mib: u64) -> Result<Config> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .with_file_name("guests/target/x86_64-unknown-linux-gnu/release/bench");
    let executable = fs::read(&path)
        .with_context(|| format!("read {} (`cargo xtask guests` builds it)", path.display()))?;
    Ok(Config {
        executable: executable.into(),
        name: "bench".to_owned(),
        memory_bytes: memory_mib << 20,
        stack_bytes: 1 << 20,
        message_bytes: Some(2 << 20),
        limits: Limits {
            output_bytes: 1 << 20,
            value_items: 250_000,
            trace_bytes: 16 << 20,
            ..Limits::UNLIMITED
        },
        ..Config::empty(BACKENDS)
    })
}

impl Guest {
    /// Starts the guest.
    pub(crate) fn start(config: &Config) -> Result<Self> {
        let mut sandbox = Sandbox::create(config, providers().control(), providers())?;
        sandbox.begin_start(Budget::default())?;
        let step = sandbox.run();
        ensure!(step == Step::Ready, "the guest did not start: {step:?} {:?}", sandbox.state());
        Ok(Self { sandbox })
    }

    /// Starts the guest and lets it write `mib` MiB of memory, which are then in every snapshot.
    pub(crate) fn holding(mib: u64) -> Result<Self> {
        // Tables take an 512th of what they map.
        let mut guest = Self::start(&config(mib + mib / 256 + ROOM_MIB)?)?;
        let hold = guest.prepare("hold", &(mib,))?;
        guest.run(&hold)?;
        Ok(guest)
    }

    /// A call of the export `name`.
    pub(crate) fn prepare(&self, name: &str, arguments: &impl Serialize) -> Result<Call> {
        let interface = self.sandbox.interface().context("no interface")?;
        let at = interface.exports.iter().position(|function| function.name == name);
        let function = at.with_context(|| format!("the guest has no `{name}`"))?;
        let mut encoded = Vec::new();
        value::encode(arguments, &mut encoded)?;
        Ok(Call { function: u32::try_from(function)?, arguments: encoded })
    }

    /// Makes the call; its result stays in the sandbox.
    pub(crate) fn run(&mut self, call: &Call) -> Result<()> {
        run(&mut self.sandbox, call)
    }
}

/// Makes a call.
pub(crate) fn run(sandbox: &mut Sandbox, call: &Call) -> Result<()> {
    sandbox.begin_call(call.function, &call.arguments, Budget::default())?;
    match sandbox.run() {
        Step::Return => Ok(()),
        step => bail!("the call ended with {step:?}: {:?}", sandbox.state()),
    }
}
