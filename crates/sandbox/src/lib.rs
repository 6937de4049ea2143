//! Sandboxes: loader, calls, host functions, limits, executor.
