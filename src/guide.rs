//! Chapters to read: documentation and nothing else. There is no item here to use, and no code but the examples, which run as tests.
//!
//! * [`send_strategies`]: services by path, and who gets a call to one.
//! * [`membership`]: meshes in which everybody is connected to everybody.
//! * [`routers`]: meshes in which not everybody is.

#[doc = include_str!("guide/send_strategies.md")]
pub mod send_strategies {}

#[doc = include_str!("guide/membership.md")]
pub mod membership {}

#[doc = include_str!("guide/routers.md")]
pub mod routers {}
