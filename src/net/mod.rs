//! The mio shell: the only room that knows sockets. One loop thread per node owns them all, drives the engine and waits for nobody.
//!
//! It knows nothing of frames, messages or peers: bytes and what happens to sockets go into the engine, what the engine wants done comes
//! out. It calls up through one small trait, [`Above`]. It must not run user code, resolve a name or take a lock that others hold for long.

mod above;
mod doorbell;
mod engine;
mod event_loop;
mod listener;
mod mailbox;
mod resolver;
mod stream;

pub(crate) use above::Above;
pub(crate) use event_loop::prepare;
pub(crate) use mailbox::{Mailbox, Unposted};
