//! Running ring 3: the pages that ring 0 needs, and the traps that leave ring 3.

mod machine;
mod system_pages;

pub use machine::machine;
pub use system_pages::system_pages;
