//! Configurations of the guests that need no hypervisor.

use super::LIMITS;
use ampoule_hypervisor::BACKENDS;
use ampoule_machine::Backends;
use ampoule_sandbox::Config;
use ampoule_testkit::interpreter::{INTERPRETER, guest};
use ampoule_testkit::kvm_is_available;
use ampoule_wire::interface::{Function, Interface};

/// The interpreter, and the hypervisor where there is one: what they do with a guest is the same.
pub(crate) fn back_ends() -> Vec<Backends> {
    let has_hypervisor = kvm_is_available() && BACKENDS.select().open().is_ok();
    std::iter::once(INTERPRETER).chain(has_hypervisor.then_some(BACKENDS)).collect()
}

/// The guest with functions.
pub(crate) fn functions(backends: Backends) -> Config {
    let message_bytes = Some(guest::MESSAGE_BYTES);
    config(guest::functions(&interface()), message_bytes, backends)
}

/// The plain program.
pub(crate) fn program(backends: Backends) -> Config {
    config(guest::program(), None, backends)
}

fn config(executable: Vec<u8>, message_bytes: Option<u64>, backends: Backends) -> Config {
    Config {
        executable: executable.into(),
        name: "interpreted".into(),
        arguments: Vec::new(),
        environment: Vec::new(),
        files: Vec::new(),
        memory_bytes: 32 << 20,
        stack_bytes: 1 << 20,
        message_bytes,
        limits: LIMITS,
        backends,
    }
}

fn interface() -> Vec<u8> {
    let function = |name: &str| Function {
        name: name.into(),
        documentation: None,
        parameters: Vec::new(),
        result: r#"{"type":"null"}"#.into(),
    };
    Interface {
        abi_version: ampoule_abi::version::CURRENT,
        sdk: "assembler".into(),
        sdk_version: "0".into(),
        build_id: String::new(),
        exports: guest::EXPORTS.into_iter().map(function).collect(),
        imports: vec![function("import")],
    }
    .encode()
}
