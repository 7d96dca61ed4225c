//! A stream of frames, cut anywhere: the same messages, the same error, bounded memory.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| threadmesh::fuzz::frame(bytes));
