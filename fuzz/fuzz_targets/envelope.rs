//! One message: what is accepted is what writing it again gives.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| threadmesh::fuzz::envelope(bytes));
