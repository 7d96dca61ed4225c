//! Real nodes over loopback, as a program sees them: the public API only, one behaviour a test, the name a claim.
//!
//! A test that comes from the list of scenarios bears its number. Nothing here waits by sleeping, every test is bounded by
//! [`support::bounded`], and what must be alone in a process runs in one of its own ([`support::process`]).

mod aliens;
mod attacks;
mod by_path;
mod by_path_terms;
mod choosing;
mod deadlines;
mod direct;
mod errors;
mod events;
#[cfg(target_os = "linux")]
mod faults;
mod filters;
#[cfg(target_os = "linux")]
mod five;
#[cfg(target_os = "linux")]
mod flow;
mod gathering;
mod guests;
mod handlers;
#[cfg(target_os = "linux")]
mod herd;
mod life;
mod links;
mod members;
#[cfg(target_os = "linux")]
mod members_processes;
mod one_way;
mod options;
mod own;
mod path_policies;
mod policies;
mod pool;
#[cfg(target_os = "linux")]
mod processes;
mod python;
mod room;
mod rounds;
mod routers;
mod routers_terms;
mod services;
#[cfg(target_os = "linux")]
mod slow_peer;
mod stops;
mod strategies;
mod support;
#[cfg(target_os = "linux")]
mod survival;
mod switchboards;
mod targets;
