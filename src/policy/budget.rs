//! [`Budget`]: how much may be sent beyond what was asked for. A bucket of tokens, shared by whoever holds a clone.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::{BUDGET_CAP, BUDGET_RATIO, BUDGET_RESERVE};

/// Parts of a token, so that a ratio can be added up without rounding.
const TOKEN: u64 = 1_000;

/// How much retries and hedges may send beyond what was asked for: at most so many repeats for each request over time, so that
/// a service in trouble is not drowned in repeats.
///
/// Each request deposits `ratio` tokens (0.2), each repeat takes one. A request deposits once, however many policies that share the
/// budget it comes by, and however often: what they repeat, and where a failover goes on to, is the same request. There is a
/// `reserve` (10) to begin with, so that a few requests may be repeated at once, and never more than a `cap` (100), so that a long
/// quiet time does not pay for a flood. So however many threads share it: repeats ≤ reserve + ratio × requests.
///
/// Clones share the tokens. Setting something makes a budget of its own, with its reserve, that shares with nobody yet.
///
/// # Example
/// ```
/// use threadmesh::{Budget, Retry};
///
/// let budget = Budget::new().ratio(0.1).reserve(3);
/// let (reads, writes) = (Retry::new().budget(&budget), Retry::new().attempts(2).budget(&budget));
/// # let _ = (reads, writes);
/// ```
#[derive(Clone)]
pub struct Budget(Arc<Bucket>);

/// All in parts of a token.
struct Bucket {
    ratio: u64,
    reserve: u64,
    cap: u64,
    tokens: AtomicU64,
}

impl Budget {
    /// A budget with 0.2 tokens for each request, 10 to begin with and never more than 100.
    pub fn new() -> Self {
        let (reserve, cap) = (whole(BUDGET_RESERVE), whole(BUDGET_CAP));
        Self::filled(parts(BUDGET_RATIO), reserve, cap)
    }

    /// How many repeats each request pays for: 0.2 unless set. Thousandths count, from 0 to 1,000.
    pub fn ratio(self, ratio: f64) -> Self {
        Self::filled(parts(ratio), self.0.reserve, self.0.cap)
    }

    /// How many repeats are there to begin with: 10 unless set, at most the [`cap`](Self::cap).
    pub fn reserve(self, repeats: u32) -> Self {
        Self::filled(self.0.ratio, whole(repeats), self.0.cap)
    }

    /// How many repeats can be saved up: 100 unless set.
    pub fn cap(self, repeats: u32) -> Self {
        Self::filled(self.0.ratio, self.0.reserve, whole(repeats))
    }

    fn filled(ratio: u64, reserve: u64, cap: u64) -> Self {
        let tokens = AtomicU64::new(reserve.min(cap));
        Self(Arc::new(Bucket { ratio, reserve, cap, tokens }))
    }

    /// A request of the program is sent for the first time; asked by [`Paid`] only, which knows.
    fn deposit(&self) {
        let Bucket { ratio, cap, tokens, .. } = &*self.0;
        // It always succeeds: there is a next value for every value.
        let _ = tokens.fetch_update(Relaxed, Relaxed, |tokens| Some((*cap).min(tokens + ratio)));
    }

    /// Whether a repeat can be paid for; then it is.
    pub(super) fn take(&self) -> bool {
        let paid = |tokens: u64| tokens.checked_sub(TOKEN);
        self.0.tokens.fetch_update(Relaxed, Relaxed, paid).is_ok()
    }

    /// Gives the token back that was taken for a repeat which was not sent. Taken first, it is never spent by two.
    pub(super) fn give_back(&self) {
        let Bucket { cap, tokens, .. } = &*self.0;
        let _ = tokens.fetch_update(Relaxed, Relaxed, |tokens| Some((*cap).min(tokens + TOKEN)));
    }
}

/// The budgets that one request of the program has paid into, into each once. Clones are of the same request.
#[derive(Clone, Default, Debug)]
pub(super) struct Paid(Arc<Mutex<Vec<Budget>>>);

impl Paid {
    /// Pays into this budget, unless the request has done so before.
    pub(super) fn pay(&self, budget: &Budget) {
        let mut paid = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !paid.iter().any(|before| Arc::ptr_eq(&before.0, &budget.0)) {
            budget.deposit();
            paid.push(budget.clone());
        }
    }
}

/// So many tokens.
fn whole(tokens: u32) -> u64 {
    u64::from(tokens) * TOKEN
}

/// So much of a token, never more. What is no number is nothing.
#[allow(clippy::cast_sign_loss)] // It is at least zero.
fn parts(ratio: f64) -> u64 {
    (ratio.clamp(0.0, 1_000.0) * TOKEN as f64) as u64
}

impl Default for Budget {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tokens = self.0.tokens.load(Relaxed) as f64 / TOKEN as f64;
        f.debug_struct("Budget").field("tokens", &tokens).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// What one history spent: (requests, repeats).
    fn spend(budget: &Budget, rng: &mut fastrand::Rng, steps: usize) -> (u64, u64) {
        let (mut requests, mut repeats) = (0, 0);
        for _ in 0..steps {
            match rng.u8(..) {
                0..100 => {
                    requests += 1;
                    // The request comes by twice.
                    let paid = Paid::default();
                    paid.clone().pay(budget);
                    paid.pay(budget);
                }
                100..200 => repeats += u64::from(budget.take()),
                _ if budget.take() => budget.give_back(),
                _ => {}
            }
        }
        (requests, repeats)
    }

    fn draw(rng: &mut fastrand::Rng) -> (Budget, f64, u32) {
        let (ratio, reserve) = (rng.f64() * 2.0, rng.u32(0..20));
        (Budget::new().cap(rng.u32(0..200)).ratio(ratio).reserve(reserve), ratio, reserve)
    }

    fn within(ratio: f64, reserve: u32, requests: u64, repeats: u64) -> bool {
        repeats as f64 <= f64::from(reserve) + ratio * requests as f64 + 1e-6
    }

    #[test]
    fn no_history_spends_more_than_was_paid_in() {
        let _bound = crate::bound::bound();
        for seed in 0..500 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let (budget, ratio, reserve) = draw(&mut rng);
            let (mut requests, mut repeats) = (0, 0);
            for _ in 0..200 {
                let (more, again) = spend(&budget, &mut rng, 1);
                (requests, repeats) = (requests + more, repeats + again);
                assert!(within(ratio, reserve, requests, repeats), "seed {seed}: {budget:?}");
            }
        }
    }

    #[test]
    fn threads_that_share_a_budget_spend_no_more_than_one() {
        let _bound = crate::bound::bound();
        for seed in 0..20 {
            let (budget, ratio, reserve) = draw(&mut fastrand::Rng::with_seed(seed));
            let spent: Vec<(u64, u64)> = thread::scope(|scope| {
                let threads: Vec<_> = (0..4)
                    .map(|n| {
                        let budget = budget.clone();
                        let mut rng = fastrand::Rng::with_seed(seed * 4 + n);
                        scope.spawn(move || spend(&budget, &mut rng, 2_000))
                    })
                    .collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            let requests = spent.iter().map(|(requests, _)| requests).sum();
            let repeats = spent.iter().map(|(_, repeats)| repeats).sum();
            assert!(within(ratio, reserve, requests, repeats), "seed {seed}: {spent:?}");
        }
    }

    #[test]
    fn the_defaults_are_those_of_the_contract() {
        let _bound = crate::bound::bound();
        let Bucket { ratio, reserve, cap, tokens } = &*Budget::default().0;
        assert_eq!((*ratio, *reserve, *cap), (TOKEN / 5, 10 * TOKEN, 100 * TOKEN));
        assert_eq!(tokens.load(Relaxed), 10 * TOKEN);
    }

    #[test]
    fn tokens_come_from_the_reserve_then_from_requests_and_end_at_the_cap() {
        let _bound = crate::bound::bound();
        let budget = Budget::new().reserve(2);
        assert_eq!([(); 3].map(|()| budget.take()), [true, true, false]);
        (0..4).for_each(|_| budget.deposit());
        assert!(!budget.take(), "0.8 of a token");
        budget.deposit();
        assert_eq!([(); 2].map(|()| budget.clone().take()), [true, false], "a clone shares");
        let small = Budget::new().cap(3);
        (0..1_000).for_each(|_| small.deposit());
        small.give_back();
        assert_eq!((0..10).filter(|_| small.take()).count(), 3);
        for odd in [f64::NAN, -1.0] {
            let none = Budget::new().reserve(0).ratio(odd);
            none.deposit();
            assert!(!none.take(), "{odd}");
        }
    }
}
