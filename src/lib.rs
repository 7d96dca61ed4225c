//! threadmesh.
#![forbid(unsafe_code)]

mod address;
mod cbor;
mod config;
mod error;
mod event;
mod headers;
mod id;
mod node_event;
mod options;
mod payload;
mod proto;
mod routing;
mod value;
#[allow(dead_code, unused_imports)] // The engine connects it.
mod wire;

pub use headers::Headers;
pub use options::Options;
pub use value::{Map, Value};
