//! The public face: [`Node`], [`Handle`], the builder, calls and events.
//!
//! Everything here runs on the caller's thread, except what [`runtime`] hands to the loop. It knows all rooms below and none
//! knows it. It must not speak the protocol or touch a socket.

mod all;
mod builder;
mod by_path;
mod call;
mod callbacks;
mod check;
mod choose;
mod chooser;
mod core;
mod dial;
mod events;
mod explain;
mod gather;
mod handle;
mod handlers;
mod join;
mod life;
mod listing;
mod lookup;
mod names;
mod news;
mod onward;
mod own;
mod owner;
mod pending;
mod runtime;
mod selector;
mod steps;
mod terms;
mod verbs;
mod wake;

#[cfg(test)]
mod tests;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use all::{All, Told};
pub use builder::Builder;
pub use by_path::{Answers, PathCall, PathTold};
pub use call::{Call, Ticked};
pub use callbacks::Callback;
pub use dial::{Dial, PeerRef};
pub use events::Events;
pub use explain::Explanation;
pub use gather::{Gather, Gathered};
pub use handle::Handle;
pub use join::Joined;
pub use life::StopReport;
pub use owner::Node;
pub use pending::{Pending, Reply};
pub use selector::{Selector, predicate, predicate_as};
pub use steps::PolicyCounts;
pub(crate) use steps::{first_ready, inherited_deadline};
pub use wake::Arrival;

/// Locks, also after a panic elsewhere: what these locks guard is whole between any two statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
