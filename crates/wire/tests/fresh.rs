//! Generated code belongs to the schema that is checked in.

use sha2::{Digest, Sha256};

#[test]
fn interface_is_generated_from_the_current_schema() {
    let schema = include_bytes!("../../../schema/interface.fbs");
    let generated = include_str!("../src/generated/interface.rs");
    let digest: String = Sha256::digest(schema).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(
        generated.lines().next(),
        Some(format!("// schema-sha256: {digest}").as_str()),
        "schema/interface.fbs changed: run `cargo xtask codegen`"
    );
}
