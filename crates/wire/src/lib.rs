//! Messages between guest and host: checked encoding and decoding.
