//! A filter and options: matches as a plain reference says, explains what it refuses, reads back as what it was.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| threadmesh::fuzz::filter(bytes));
