//! What the coordinator prints: who did how much, how fast, and what was redone.

use std::time::Duration;

use crate::Outcome;
use crate::words::{Index, Piece};

/// What one worker did.
#[derive(Clone, Default)]
pub(crate) struct Share {
    pub(crate) latencies: Vec<Duration>,
    /// Pieces given to this worker that another one had to do.
    pub(crate) redone: usize,
    /// The first error of this worker.
    pub(crate) error: Option<String>,
}

/// What all of them did.
pub(crate) struct Report {
    pub(crate) shares: Vec<Share>,
    pub(crate) took: Duration,
    alone: Duration,
    pieces: usize,
    lines: usize,
}

impl Report {
    pub(crate) fn new(pieces: &[Piece], workers: usize, alone: Duration) -> Self {
        let lines = pieces.iter().map(|piece| piece.lines.len()).sum();
        let shares = vec![Share::default(); workers];
        Self { shares, took: Duration::ZERO, alone, pieces: pieces.len(), lines }
    }

    pub(crate) fn print(&self, index: &Index) {
        println!(
            "\n{:10} {:>7} {:>9} {:>9} {:>7}  first error",
            "", "pieces", "p50", "p99", "redone"
        );
        for (number, share) in self.shares.iter().enumerate() {
            line(&format!("worker-{}", number + 1), share);
        }
        line("all", &self.sum());
        let places: usize = index.values().map(Vec::len).sum();
        println!(
            "\n{} lines, {} different words, which stand in {places} places",
            self.lines,
            index.len()
        );
        let rate = self.pieces as f64 / self.took.as_secs_f64();
        println!(
            "{} requests in {:.0?}: {rate:.0} per second (a single thread without requests: {:.0?})",
            self.pieces, self.took, self.alone
        );
    }

    fn sum(&self) -> Share {
        let latencies = self.shares.iter().flat_map(|share| share.latencies.clone()).collect();
        let redone = self.shares.iter().map(|share| share.redone).sum();
        Share { latencies, redone, error: None }
    }

    /// Whether this run has shown what it is there to show.
    pub(crate) fn judge(&self, same: bool) -> Outcome<()> {
        let redone = self.sum().redone;
        if !same {
            return Err("the index differs from that of a single thread".into());
        }
        if redone == 0 {
            return Err("nothing had to be redone, so losing a worker was not shown".into());
        }
        println!(
            "the index equals that of a single thread; {redone} pieces of the killed worker were redone by others"
        );
        Ok(())
    }
}

fn line(name: &str, share: &Share) {
    let mut sorted = share.latencies.clone();
    sorted.sort_unstable();
    let at = |part: usize| match sorted
        .get((sorted.len() * part / 100).min(sorted.len().saturating_sub(1)))
    {
        Some(latency) => format!("{:.2} ms", latency.as_secs_f64() * 1e3),
        None => "-".into(),
    };
    let error = share.error.as_deref().unwrap_or("");
    println!(
        "{name:10} {:>7} {:>9} {:>9} {:>7}  {error}",
        sorted.len(),
        at(50),
        at(99),
        share.redone
    );
}
