//! Strategies that remember nothing: by chance, by weight, by place.

use super::{Candidate, Candidates, Strategy};
use crate::value::Value;

/// Any of the candidates, each with the same chance: what calls use that name no strategy.
#[derive(Clone, Copy, Default, Debug)]
pub struct Random;

impl Strategy for Random {
    fn choose<'a>(&self, among: &Candidates<'a>) -> Option<Candidate<'a>> {
        among.sample()
    }
}

/// The candidate that joined first.
#[derive(Clone, Copy, Default, Debug)]
pub struct First;

impl Strategy for First {
    fn choose<'a>(&self, among: &Candidates<'a>) -> Option<Candidate<'a>> {
        among.after(None)
    }
}

/// A candidate on the host of this node ([`Candidate::is_local`]), any of them; one elsewhere only if there is none here.
///
/// When few or none are here it looks at all candidates.
#[derive(Clone, Copy, Default, Debug)]
pub struct LocalFirst;

impl Strategy for LocalFirst {
    fn choose<'a>(&self, among: &Candidates<'a>) -> Option<Candidate<'a>> {
        among.draw(&|peer| peer.is_local).or_else(|| among.sample())
    }
}

/// Any of the candidates, with chances in the proportion of a number among their options.
///
/// A peer without the option weighs 1; one whose option is no number, or not above zero, weighs nothing and is chosen only if
/// all weigh nothing. It looks at all candidates.
///
/// # Example
/// ```
/// use threadmesh::{Filter, Node, WeightedRandom};
///
/// let node = Node::builder().start()?;
/// let call = node.any(Filter::any()).strategy(WeightedRandom::by("cores"));
/// # drop(call);
/// # Ok::<(), threadmesh::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct WeightedRandom {
    key: String,
}

impl WeightedRandom {
    /// By the numbers under this key.
    pub fn by(key: impl Into<String>) -> Self {
        Self { key: key.into() }
    }

    fn weight(&self, peer: &Candidate<'_>) -> f64 {
        let weight = peer.options().get(&self.key).map_or(Some(1.0), Value::as_f64);
        // The bound keeps sums finite.
        weight.filter(|weight| *weight > 0.0).map_or(0.0, |weight| weight.min(1e200))
    }
}

impl Strategy for WeightedRandom {
    fn choose<'a>(&self, among: &Candidates<'a>) -> Option<Candidate<'a>> {
        let (mut chosen, mut sum) = (None, 0.0);
        for peer in among.iter() {
            let weight = self.weight(&peer);
            sum += weight;
            // The newest of those seen so far is kept with its share of their weight, so each ends with its share of the whole.
            if among.random_fraction() * sum < weight {
                chosen = Some(peer);
            }
        }
        chosen.or_else(|| among.sample())
    }
}
