//! The documents of a store of snapshots: index, manifest, configuration, and lists of pages.

use ampoule_linux::{Personality, Start};
use ampoule_memory::{AddressSpace, Protection};
use ampoule_hypervisor::BACKENDS;
use ampoule_sandbox::store::fuzzing;
use ampoule_store::fuzzing as documents;

/// The first byte says which document the rest is.
pub fn check(input: &[u8]) {
    let Some((kind, document)) = input.split_first() else { return };
    match kind % 4 {
        0 => documents::index(document),
        1 => documents::manifest(document),
        2 => fuzzing::config(document, BACKENDS),
        _ => fuzzing::pages(document),
    }
}

/// One of each.
pub fn seeds() -> Vec<Vec<u8>> {
    let digest = format!("sha256:{}", "0123456789abcdef".repeat(4));
    let of_type = |kind: &str, rest: &str| {
        format!(r#"{{"mediaType":"application/vnd.{kind}","digest":"{digest}","size":4096{rest}}}"#)
    };
    let tag = r#","artifactType":"application/vnd.ampoule.snapshot.v1",
        "annotations":{"org.opencontainers.image.ref.name":"latest"}"#;
    let entry = of_type("oci.image.manifest.v1+json", tag);
    let index = format!(r#"{{"schemaVersion":2,"manifests":[{entry}],"other":{{"a":[1]}}}}"#);
    let layers = ["memory.base", "memory.pages", "executable", "file"];
    let layers = layers.map(|kind| of_type(&format!("ampoule.{kind}.v1"), "")).join(",");
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",
        "artifactType":"application/vnd.ampoule.snapshot.v1","config":{},"layers":[{layers}]}}"#,
        of_type("ampoule.snapshot.config.v1+json", ""),
    );
    let mut pages = b"AMPPAGES".to_vec();
    for word in [2_u64, 3, 1, 9, 2] {
        pages.extend(word.to_le_bytes());
    }
    pages.resize(4 * 4096, 0);
    let documents = [index.into_bytes(), manifest.into_bytes(), config(), pages];
    let numbered = (0_u8..).zip(documents);
    numbered.map(|(kind, document)| [&[kind][..], &document].concat()).collect()
}

fn config() -> Vec<u8> {
    let mut space = AddressSpace::new(4 << 20).expect("the host has 4 MiB");
    let start = Start { executable: b"/seed".to_vec(), stack_bytes: 1 << 20, ..Start::default() };
    let (personality, _) = Personality::start(&mut space, start).expect("it starts");
    space.map(0x40_0000, 0x4000, Protection::READ).expect("there is room");
    let space = space.seal().expect("the host has a memfd").describe();
    fuzzing::config_seed(space, personality.state().0, BACKENDS).expect("it is JSON")
}
