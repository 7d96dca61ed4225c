//! threadmesh.
#![forbid(unsafe_code)]

mod address;
mod cbor;
mod config;
mod error;
mod event;
mod handler_error;
mod headers;
mod id;
mod node_event;
mod options;
mod payload;
mod proto;
mod routing;
mod scan;
mod value;

pub use handler_error::HandlerError;
pub use headers::Headers;
pub use options::Options;
pub use payload::{Bytes, Decode, Encode, Payload};
pub use value::{Map, Value};
