//! What a stranger says first, to a listener and to a dialler: nothing gets in, nothing grows.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| threadmesh::fuzz::handshake(bytes));
