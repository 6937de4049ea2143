//! Files: descriptors, the tree of names, pipes, standard streams.

pub(crate) mod buffers;
pub(crate) mod files;
pub(crate) mod flags;
pub(crate) mod path;
pub(crate) mod pipe;
pub(crate) mod system;
