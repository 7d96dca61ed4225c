//! Bytes ↔ frames ↔ messages: protocol 1. Pure; it must not know links, clocks or peers, and payloads stay opaque to it.
//!
#![doc = include_str!("protocol.md")]
#![allow(clippy::doc_markdown)] // The document names messages as people do who read no Rust.

mod data;
mod frame;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod greeting;
pub(crate) mod kinds;
mod message;
mod parse;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod vectors;

pub(crate) use data::{DataHead, ForwardHead, TargetHead, put_data_head};
#[cfg(any(test, fuzzing))]
pub(crate) use frame::put_frame_head;
pub(crate) use frame::{FRAME_HEAD_BYTES, Frame, FrameError, FrameReader, frame_head};
pub(crate) use greeting::{Choice, GREETING_BYTES, Heard, Offer, Reply, negotiate};
pub(crate) use message::{Control, DirectoryQuestion, Farewell, Fault, Hello, Member, put_control};
pub(crate) use parse::{Data, Forward, Incoming, Target, parse};
