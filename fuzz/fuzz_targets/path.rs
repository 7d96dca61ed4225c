//! Paths, patterns and trees: match as a plain reference says, keep the order of registration, read back as what they were.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| threadmesh::fuzz::path(bytes));
