//! A fixed job on ten workers, in virtual time: who goes by load is done sooner, and who fails fast does not attract anything.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::*;

const WORKERS: u64 = 10;
const CALLS: u64 = 3_000;
/// Calls that the program keeps under way.
const OPEN: u64 = 30;
const MS: Duration = Duration::from_millis(1);

/// What a run came to.
struct Job {
    took: Duration,
    /// Calls that the first worker got, and how many of all failed.
    first: u64,
    failed: u64,
}

/// Each worker takes one call at a time, first come first served, and needs about `needs` of its number; the first one fails its calls if
/// `fails`.
fn run(strategy: &dyn Strategy, seed: u64, needs: &dyn Fn(u64) -> Duration, fails: bool) -> Job {
    let mut rng = fastrand::Rng::with_seed(seed);
    let began = Instant::now();
    let mut directory = Directory::default();
    for key in 0..WORKERS {
        directory.insert(entry(key, &format!("w{key}"), Options::default(), began));
    }
    let mut free = vec![began; WORKERS as usize];
    let mut ends: BinaryHeap<Reverse<(Instant, u64, Instant)>> = BinaryHeap::new();
    let (mut now, mut first, mut failed) = (began, 0, 0);
    for call in 0..CALLS + OPEN {
        if call >= OPEN {
            let Reverse((ended, key, placed)) = ends.pop().unwrap();
            now = ended;
            let peer = directory.by_key(PeerKey(key)).unwrap();
            peer.down.as_ref().unwrap().gauge.give_call_slot();
            if fails && key == 0 {
                failed += 1;
                peer.pace.failed(now);
            } else {
                peer.pace.answered(now - placed, now);
            }
        }
        if call >= CALLS {
            continue;
        }
        let question = everybody();
        let among = Candidates::new(&directory, &question, rng.fork(), now);
        let key = strategy.choose(&among).unwrap().peer.key.0;
        first += u64::from(key == 0);
        directory.by_key(PeerKey(key)).unwrap().down.as_ref().unwrap().gauge.take_call(1).unwrap();
        let free = &mut free[key as usize];
        *free = now.max(*free) + needs(key).mul_f64(0.5 + rng.f64());
        ends.push(Reverse((*free, key, now)));
    }
    Job { took: now - began, first, failed }
}

#[test]
fn with_one_of_ten_twenty_times_slower_going_by_load_is_done_much_sooner() {
    let _bound = crate::bound::bound();
    let needs = |key| if key == 0 { 20 * MS } else { MS };
    for seed in 0..50 {
        let took = |strategy: &dyn Strategy| run(strategy, seed, &needs, false).took.as_secs_f64();
        let random = took(&Random);
        for (name, strategy) in
            [("LeastPending", &LeastPending as &dyn Strategy), ("PowerOfTwo", &PowerOfTwo)]
        {
            let ratio = took(strategy) / random;
            assert!(ratio <= 0.6, "seed {seed}: {name} takes {ratio:.2} of the time of Random");
        }
    }
}

#[test]
fn who_fails_fast_does_not_attract_calls() {
    let _bound = crate::bound::bound();
    let needs = |key| if key == 0 { MS / 100 } else { MS };
    for seed in 0..50 {
        for (name, strategy) in
            [("LeastPending", &LeastPending as &dyn Strategy), ("PowerOfTwo", &PowerOfTwo)]
        {
            let Job { first, failed, .. } = run(strategy, seed, &needs, true);
            assert_eq!(first, failed);
            // Its share, were it like all others, would be a tenth.
            assert!(
                first <= CALLS / 10,
                "seed {seed}: {name} sent {first} calls to a peer that fails all"
            );
        }
        let Job { first, .. } = run(&LeastPending, seed, &needs, false);
        assert!(first > CALLS / 5, "seed {seed}: a quick peer that answers gets only {first}");
    }
}
