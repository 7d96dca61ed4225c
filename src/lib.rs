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
mod service;
