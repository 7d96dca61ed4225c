//! Bytes ↔ frames ↔ messages: protocol 1. Pure; it must not know links, clocks or peers, and payloads stay opaque to it.

mod frame;
mod greeting;

pub(crate) use frame::{FRAME_HEAD_BYTES, Frame, FrameError, FrameReader, put_frame_head};
pub(crate) use greeting::{
    Choice, GREETING_BYTES, Heard, Offer, PLAINTEXT, Reply, VERSION, negotiate,
};
