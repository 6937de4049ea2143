//! Guest SDK: write functions that run inside an Ampoule sandbox.
