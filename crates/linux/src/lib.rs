//! The Linux personality: start-up stack, system calls, in-memory files.
