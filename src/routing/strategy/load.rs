//! Strategies that go by how loaded the candidates are, as far as this node knows.

use std::time::Duration;

use super::{Candidate, Candidates, Strategy};

/// The candidate with the fewest pending requests of this node; any of those if there are several.
///
/// A peer whose calls fail looks more loaded the more of them do ([`Candidate::load`]), so that one which fails fast does not attract
/// everything. It looks at all candidates; in a large mesh [`PowerOfTwo`] is nearly as good and costs the same everywhere.
#[derive(Clone, Copy, Default, Debug)]
pub struct LeastPending;

impl Strategy for LeastPending {
    fn choose<'a>(&self, among: &Candidates<'a>) -> Option<Candidate<'a>> {
        let (mut chosen, mut least, mut equals) = (None, f64::INFINITY, 0);
        for peer in among.iter() {
            let load = peer.load();
            if load < least {
                (chosen, least, equals) = (Some(peer), load, 1);
            } else if load <= least {
                equals += 1;
                if among.random(equals) == 0 {
                    chosen = Some(peer);
                }
            }
        }
        chosen
    }
}

/// The better one of two candidates that are drawn at random: the one that would be done sooner, by its pending requests and the time
/// its answers took lately.
///
/// The time is a peak-sensitive average ([`Candidate::latency`]), and failures count as load ([`Candidate::load`]), not as quick answers.
/// While one of the two has not answered yet, only their load is compared, so that a newcomer is not taken for infinitely fast.
#[derive(Clone, Copy, Default, Debug)]
pub struct PowerOfTwo;

impl Strategy for PowerOfTwo {
    fn choose<'a>(&self, among: &Candidates<'a>) -> Option<Candidate<'a>> {
        let one = among.sample()?;
        let Some(other) = among.sample_other(one) else { return Some(one) };
        let (a, b) = (one.load(), other.load());
        let (a, b) = match (one.latency(), other.latency()) {
            (Some(of_one), Some(of_other)) => (a * seconds(of_one), b * seconds(of_other)),
            _ => (a, b),
        };
        Some(if b < a { other } else { one })
    }
}

fn seconds(latency: Duration) -> f64 {
    latency.as_secs_f64()
}
