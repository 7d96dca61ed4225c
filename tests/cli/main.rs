//! The program `threadmesh` as scripts and people see it: real processes, their output and their exit codes.
//!
//! What is printed is shown by transcripts ([`transcripts`]); what depends on time and on signals has a test of its own. Every test has a
//! bound, no port is fixed, and nothing waits by sleeping: a test waits for a line.

#[path = "../it/support/bound.rs"]
mod bound;
#[path = "../../src/bin/threadmesh/exec/words.rs"]
mod words;

#[cfg(unix)]
mod exec;
mod interactive;
mod pipes;
mod process;
#[cfg(unix)]
mod restarts;
mod routers;
mod seed;
mod seed_forwarding;
mod serving;
#[cfg(unix)]
mod signals;
#[cfg(unix)]
mod transcripts;
