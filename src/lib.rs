//! threadmesh.
#![forbid(unsafe_code)]

mod address;
mod cbor;
mod config;
mod error;
mod event;
mod headers;
mod id;
#[allow(dead_code, unused_imports)]
mod net;
mod node_event;
mod options;
mod payload;
mod proto;
mod routing;
