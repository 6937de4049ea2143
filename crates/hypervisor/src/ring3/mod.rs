//! Running ring 3: the pages that ring 0 needs, and the traps that leave ring 3.

mod entry_stub;
mod machine;
mod map;
mod pages;
mod system_pages;

pub use machine::machine;
pub use system_pages::system_pages;
