//! Functions that carry attributes: one implementation of [`crate::serve::Functions`].
//!
//! `registry` collects what the macros register and is the program, `convert` is what their code calls to
//! convert arguments and results, `schema` describes types, and `host` calls the host.

pub(crate) mod convert;
pub(crate) mod host;
pub(crate) mod init;
pub(crate) mod registry;
pub(crate) mod schema;
