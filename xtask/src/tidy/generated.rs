//! Generated code.

use super::code::numbered;
use super::finding::Findings;
use crate::codegen::{GENERATED, HASH_MARK, schema_hash};
use crate::repository::SourceFile;

/// Generated code was made from the schema as it is now.
pub(super) fn is_fresh(files: &[SourceFile], findings: &mut Findings) {
    for generated in GENERATED {
        let find = |path: &str| files.iter().find(|file| file.path == path);
        let Some(schema) = find(generated.schema) else { continue };
        let Some(module) = find(generated.module) else {
            let message = format!("{} is missing, run `cargo xtask codegen`", generated.module);
            findings.add(schema, 1, message);
            continue;
        };
        let mark = numbered(&module.text)
            .find_map(|(line, text)| Some((line, text.strip_prefix(HASH_MARK)?)));
        match mark {
            Some((_, hash)) if hash == schema_hash(&schema.text) => {}
            Some((line, _)) => findings.add(
                module,
                line,
                format!("older than {}, run `cargo xtask codegen`", generated.schema),
            ),
            None => findings.add(module, 1, "no schema hash, run `cargo xtask codegen`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_clean, assert_finding};
    use super::is_fresh;
    use crate::codegen::{HASH_MARK, schema_hash};

    const SCHEMA: (&str, &str) = ("schema/interface.fbs", "table Interface {}");
    const MODULE: &str = "crates/wire/src/generated/interface.rs";

    #[test]
    fn the_hash_of_the_schema_is_in_the_module() {
        let text = format!("// Made.\n{HASH_MARK}{}\nmod x {{}}", schema_hash(SCHEMA.1));
        assert_clean(is_fresh, &[SCHEMA, (MODULE, &text)]);
        let place = "crates/wire/src/generated/interface.rs:2";
        let edited = ("schema/interface.fbs", "table Interface { }");
        assert_finding(is_fresh, &[edited, (MODULE, &text)], place, "older than");
    }

    #[test]
    fn a_module_is_there_and_marked() {
        assert_finding(is_fresh, &[SCHEMA], "schema/interface.fbs:1", "is missing");
        let place = "crates/wire/src/generated/interface.rs:1";
        assert_finding(is_fresh, &[SCHEMA, (MODULE, "mod x {}")], place, "no schema hash");
    }
}
