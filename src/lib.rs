//! threadmesh.
#![forbid(unsafe_code)]

#[doc = include_str!("architecture.md")]
mod architecture {}
mod address;
mod cbor;
mod config;
mod error;
mod event;
mod handler_error;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
mod headers;
mod id;
#[allow(dead_code, unused_imports)]
mod net;
mod node_event;
mod options;
mod payload;
mod proto;
mod routing;
mod scan;
#[allow(dead_code, unused_imports)] // The node connects it.
mod service;
mod value;
#[allow(dead_code, unused_imports)] // The engine connects it.
mod wire;

pub use handler_error::HandlerError;
pub use headers::Headers;
pub use options::Options;
pub use payload::{Bytes, Decode, Encode, Payload};
#[doc(hidden)]
pub use service::Verdict;
pub use service::{Pattern, Registration, Request, Respond, Tick, blocking};
pub use value::{Map, Value};
