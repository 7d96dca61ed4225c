//! What happened in a run: its last lines, a hash over all of them, and counts of what was covered.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::{self, Write};
use std::time::Duration;

use super::faults::Fault;
use crate::error::ErrorKind;

/// Lines kept of a run, unless `SIM_LINES` says otherwise.
const KEPT: usize = 60;

/// All lines of a run as one hash, the last of them as text.
#[derive(Debug)]
pub(super) struct Transcript {
    hash: u64,
    lines: u64,
    kept: usize,
    last: VecDeque<String>,
}

impl Transcript {
    pub(super) fn new() -> Self {
        let kept = std::env::var("SIM_LINES").ok().and_then(|lines| lines.parse().ok());
        let (hash, kept) = (0xcbf2_9ce4_8422_2325, kept.unwrap_or(KEPT));
        Self { hash, lines: 0, kept, last: VecDeque::new() }
    }

    pub(super) fn line(&mut self, at: Duration, text: fmt::Arguments<'_>) {
        let full = self.last.len() >= self.kept;
        let mut line = if full { self.last.pop_front() } else { None }.unwrap_or_default();
        line.clear();
        let _ = write!(line, "{:>10.3} ms  {text}", at.as_secs_f64() * 1_000.0);
        for byte in line.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        self.lines += 1;
        self.last.push_back(line);
    }

    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    /// The last lines, one per line.
    pub(super) fn tail(&self) -> String {
        let mut text = format!("… {} lines in all, the last of them:\n", self.lines);
        for line in &self.last {
            text.push_str(line);
            text.push('\n');
        }
        text
    }
}

/// How often what was seen.
#[derive(Clone, Default, Debug)]
pub(super) struct Coverage {
    pub(super) faults: BTreeMap<(Fault, &'static str), u64>,
    pub(super) outputs: BTreeMap<&'static str, u64>,
    pub(super) errors: BTreeMap<ErrorKind, u64>,
}

impl Coverage {
    pub(super) fn merge(&mut self, other: &Self) {
        for (key, count) in &other.faults {
            *self.faults.entry(*key).or_default() += count;
        }
        for (key, count) in &other.outputs {
            *self.outputs.entry(key).or_default() += count;
        }
        for (key, count) in &other.errors {
            *self.errors.entry(*key).or_default() += count;
        }
    }
}
