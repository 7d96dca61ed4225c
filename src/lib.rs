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
#[allow(dead_code, unused_imports)]
mod net;
mod node;
mod node_event;
mod options;
mod payload;
mod proto;
mod routing;
mod scan;
#[allow(dead_code, unused_imports)]
mod service;
mod value;
#[allow(dead_code, unused_imports)] // The engine connects it.
mod wire;

pub use address::Address;
pub use config::{Config, Limits, Reconnect};
pub use error::{Error, ErrorKind, Execution};
pub use event::EventName;
pub use handler_error::HandlerError;
pub use headers::Headers;
pub use id::{MAX_ID_BYTES, NodeId};
pub use node::{
    Arrival, Builder, Call, Dial, Events, Handle, Node, PeerRef, Pending, Reply, Selector,
    StopReport, Ticked, predicate,
};
pub use node_event::{Direction, Directions, LeftReason, NodeEvent, PeerInfo};
pub use options::Options;
pub use payload::{Bytes, Decode, Encode, Payload};
pub use service::{Pattern, Registration, Request, Respond, Tick, blocking};
pub use value::{Map, Value};
