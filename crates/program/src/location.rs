//! A place in a program.

use std::sync::Arc;

/// A place in a program's code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// Virtual address.
    pub address: u64,
    /// Name of the function that holds it, demangled, when the executable has symbols.
    pub symbol: Option<Arc<str>>,
    /// Bytes from the start of that function.
    pub offset: u64,
}

impl std::fmt::Display for Location {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.symbol {
            Some(symbol) => write!(formatter, "{symbol}+{:#x}", self.offset),
            None => write!(formatter, "{:#x}", self.address),
        }
    }
}
