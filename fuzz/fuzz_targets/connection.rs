//! What a joined peer says next: no panic, no answer to nobody, no memory beyond the limits.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| threadmesh::fuzz::connection(bytes));
