//! The wheel against a sorted map that does the same slowly.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::{TimerId, Timers};

/// What the wheel must do: keys by instant, then by arming.
struct Model {
    armed: BTreeMap<(Instant, u64), TimerId>,
    armings: u64,
}

struct Pair {
    origin: Instant,
    now: Instant,
    timers: Timers<u64>,
    model: Model,
    /// Timers that are gone, to show that their ids stay dead.
    stale: Vec<TimerId>,
}

impl Pair {
    fn new() -> Self {
        let now = Instant::now();
        let model = Model { armed: BTreeMap::new(), armings: 0 };
        Self { origin: now, now, timers: Timers::new(now), model, stale: Vec::new() }
    }

    fn arm(&mut self, at: Instant) {
        // Before the wheel's own birth all instants are the same.
        let at = at.max(self.origin);
        let key = self.model.armings;
        self.model.armings += 1;
        let id = self.timers.arm(at, key);
        self.model.armed.insert((at, key), id);
    }

    fn disarm_any(&mut self, rng: &mut fastrand::Rng) {
        let Some((&(at, key), &id)) =
            self.model.armed.iter().nth(rng.usize(..self.model.armed.len().max(1)))
        else {
            return;
        };
        assert_eq!(self.timers.disarm(id), Some(key));
        self.model.armed.remove(&(at, key));
        self.stale.push(id);
    }

    fn move_to(&mut self, now: Instant) {
        self.now = now;
        while let Some(key) = self.timers.expired(now) {
            let ((at, first), id) = self.model.armed.pop_first().expect("a key that was armed");
            assert_eq!(key, first, "the earliest comes first, ties in arming order");
            assert!(at <= now, "a timer came early");
            self.stale.push(id);
        }
        if let Some((&(at, _), _)) = self.model.armed.first_key_value() {
            assert!(at > now, "a timer was forgotten");
        }
    }

    fn check(&mut self) {
        assert_eq!(self.timers.len(), self.model.armed.len());
        let first = self.model.armed.first_key_value().map(|((at, _), _)| *at);
        match (self.timers.next(), first) {
            (Some(bound), Some(first)) => assert!(bound <= first, "the bound is too late"),
            (None, None) => {}
            other => panic!("{other:?}"),
        }
        for id in self.stale.drain(..) {
            assert_eq!(self.timers.disarm(id), None, "a stale id is dead");
        }
    }
}

/// From microseconds to months, each magnitude as likely as another.
fn any_distance(rng: &mut fastrand::Rng) -> Duration {
    Duration::from_nanos(rng.u64(..) >> rng.u32(11..64))
}

fn run(seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut pair = Pair::new();
    for _ in 0..400 {
        match rng.u8(..10) {
            0..=4 => {
                let at = pair.now + any_distance(&mut rng);
                for _ in 0..rng.usize(1..4) {
                    pair.arm(at);
                }
            }
            5 => pair.arm(pair.now.checked_sub(any_distance(&mut rng)).unwrap_or(pair.now)),
            6 | 7 => pair.disarm_any(&mut rng),
            8 => pair.move_to(pair.now + any_distance(&mut rng)),
            _ => pair.move_to(pair.timers.next().unwrap_or(pair.now).max(pair.now)),
        }
        pair.check();
    }
}

#[test]
fn the_wheel_does_what_a_sorted_map_does() {
    for seed in 0..300 {
        run(seed);
    }
}

#[test]
fn following_the_bound_ends_and_reaches_every_timer() {
    let mut rng = fastrand::Rng::with_seed(7);
    let mut pair = Pair::new();
    for _ in 0..200 {
        let at = pair.now + any_distance(&mut rng);
        pair.arm(at);
    }
    let mut turns = 0;
    while let Some(next) = pair.timers.next() {
        let before = pair.timers.len();
        assert!(next > pair.now || turns == 0, "the bound makes progress");
        pair.move_to(next.max(pair.now));
        assert!(pair.timers.len() <= before);
        turns += 1;
        assert!(turns <= 1_000, "a busy loop");
    }
}

#[test]
fn a_disarmed_timer_leaves_a_bound_that_passes() {
    let now = Instant::now();
    let mut timers = Timers::new(now);
    let id = timers.arm(now + Duration::from_secs(1), 1);
    timers.arm(now + Duration::from_millis(1_020), 2);
    assert_eq!(timers.disarm(id), Some(1));
    let mut turns = 0;
    while timers.len() > 0 {
        let next = timers.next().unwrap();
        let _ = timers.expired(next);
        turns += 1;
    }
    assert!(turns <= 3, "{turns}");
}

#[test]
fn a_million_timers_leave_no_memory_behind() {
    let now = Instant::now();
    let mut timers = Timers::new(now);
    let mut armed = std::collections::VecDeque::new();
    for round in 0..1_000_000u64 {
        let now = now + Duration::from_micros(round);
        armed.push_back(timers.arm(now + Duration::from_secs(10), round));
        if armed.len() > 64 {
            timers.disarm(armed.pop_front().unwrap()).unwrap();
        }
        assert_eq!(timers.expired(now), None);
    }
    assert!(timers.entries.len() <= 65, "{}", timers.entries.len());
    assert!(timers.scratch.capacity() <= 256);
}

#[test]
fn deadlines_beyond_every_horizon_are_kept() {
    let now = Instant::now();
    let mut timers = Timers::new(now);
    for days in [0, 1, 12, 13, 40, 400, 4_000] {
        timers.arm(now + Duration::from_secs(days * 86_400 + 1), days);
    }
    for days in [0, 1, 12, 13, 40, 400, 4_000] {
        let at = now + Duration::from_secs(days * 86_400 + 1);
        assert_eq!(timers.expired(at.checked_sub(Duration::from_nanos(1)).unwrap()), None);
        assert_eq!(timers.expired(at), Some(days));
    }
    assert_eq!(timers.next(), None);
}
