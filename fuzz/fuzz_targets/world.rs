//! A whole mesh in the simulated world, whose script the bytes are: nobody waits for ever, nothing runs twice.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| threadmesh::fuzz::world(bytes));
