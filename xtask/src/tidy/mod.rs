//! `cargo xtask tidy`: the house rules as tests.
pub(crate) fn run() -> anyhow::Result<()> {
    Ok(())
}
