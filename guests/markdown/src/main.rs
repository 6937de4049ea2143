//! To come.

ampoule_guest::main!();
