//! Policies around targets that play a script.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use super::rule::helps;
use super::*;
use crate::error::{Error, ErrorKind, Execution};
use crate::id::NodeId;
use crate::node::{Handle, Node, PolicyCounts, Reply};
use crate::node_event::{NodeEvent, PolicyStep};
use crate::payload::{Encode, Payload};

/// More than anything here takes, unless it hangs.
const LONG: Duration = Duration::from_secs(30);
/// What must not take long takes less.
const AT_ONCE: Duration = Duration::from_secs(2);

/// A target that answers with the errors of a script, one a request, and then with the number of requests it has seen.
struct Script {
    node: Node,
    errors: Mutex<VecDeque<Error>>,
    idempotent: bool,
    seen: AtomicUsize,
}

impl Script {
    fn new(errors: impl IntoIterator<Item = Error>) -> Self {
        let node = Node::builder().start().unwrap();
        let errors = Mutex::new(errors.into_iter().collect());
        Self { node, errors, idempotent: false, seen: AtomicUsize::new(0) }
    }

    fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }

    fn seen(&self) -> usize {
        self.seen.load(SeqCst)
    }

    fn counts(&self) -> PolicyCounts {
        self.node.policy_counts()
    }
}

impl Target for Script {
    fn send(&self, parcel: &Parcel) -> Result<Reply<Payload>, Error> {
        assert_eq!(parcel.event().as_str(), "count");
        let seen = self.seen.fetch_add(1, SeqCst) + 1;
        let next = self.errors.lock().unwrap().pop_front();
        if let Some(error) = next {
            assert!(error.message() != "panic", "as the script says");
            return Err(error);
        }
        let handled_by = NodeId::new("script").unwrap();
        Ok(Reply { value: seen.encode()?, handled_by, via: None, elapsed: Duration::ZERO })
    }

    fn handle(&self) -> &Handle {
        &self.node
    }

    fn may_repeat(&self, error: &Error, place: Place) -> Result<bool, Error> {
        Ok(helps(error, place, self.idempotent))
    }
}

fn error(kind: ErrorKind) -> Error {
    Error::new(kind, "as the script says")
}

fn errors(kind: ErrorKind, count: usize) -> Vec<Error> {
    vec![error(kind); count]
}

/// A retry that does not pause.
fn hasty() -> Retry {
    Retry::new().first_pause(Duration::ZERO)
}

fn ask(target: &impl Target) -> Result<usize, Error> {
    target.request("count", &())
}

fn kind(result: Result<usize, Error>) -> ErrorKind {
    result.unwrap_err().kind()
}

#[test]
fn what_never_ran_is_repeated_and_the_last_error_says_how_often() {
    let _bound = crate::bound::bound();
    let script = Script::new(errors(ErrorKind::NoHandler, 2));
    assert_eq!(ask(&(&script).retry(&hasty())).unwrap(), 3);
    let script = Script::new(errors(ErrorKind::NoHandler, 9));
    let error = ask(&(&script).retry(&hasty().attempts(4))).unwrap_err();
    assert_eq!((error.kind(), script.seen()), (ErrorKind::NoHandler, 4));
    assert_eq!(error.context("attempts"), Some("4"));
    assert_eq!(error.message(), "as the script says (tried 4 times)");
    assert_eq!(script.counts().repeats, 3);
}

#[test]
fn what_may_have_run_is_repeated_only_when_the_call_is_idempotent() {
    let _bound = crate::bound::bound();
    for kind in [ErrorKind::RequestTimeout, ErrorKind::ConnectionLost] {
        let script = Script::new(errors(kind, 2));
        let once = ask(&(&script).retry(&hasty())).unwrap_err();
        assert_eq!((once.kind(), once.context("attempts")), (kind, Some("1")));
        assert_eq!((once.message(), script.seen()), ("as the script says", 1));
        let script = Script::new(errors(kind, 2)).idempotent();
        assert_eq!(ask(&(&script).retry(&hasty())).unwrap(), 3);
    }
    let script = Script::new(errors(ErrorKind::Handler, 2)).idempotent();
    assert_eq!(kind(ask(&(&script).retry(&hasty()))), ErrorKind::Handler);
    assert_eq!(script.seen(), 1);
}

#[test]
fn an_attempt_that_may_have_run_is_not_forgotten_when_the_last_did_not() {
    let _bound = crate::bound::bound();
    let history = [error(ErrorKind::RequestTimeout), error(ErrorKind::NodeNotFound)];
    let script = Script::new(history).idempotent();
    let error = ask(&(&script).retry(&hasty().attempts(2))).unwrap_err();
    assert_eq!((error.kind(), error.execution()), (ErrorKind::NodeNotFound, Execution::Unknown));
}

#[test]
fn a_budget_that_is_used_up_gives_the_last_error_back_and_is_told() {
    let _bound = crate::bound::bound();
    let budget = Budget::new().ratio(0.5).reserve(1);
    let script = Script::new(errors(ErrorKind::Busy, 100));
    let retry = hasty().attempts(10).budget(&budget);
    let mut events = script.node.events();
    for _ in 0..10 {
        assert_eq!(kind(ask(&(&script).retry(&retry))), ErrorKind::Busy);
    }
    // Ten first attempts pay for five repeats, and one was there.
    let counts = script.counts();
    assert_eq!((script.seen(), counts.repeats), (16, 6));
    assert_eq!(counts.budgets_exhausted, 10);
    let told = std::iter::from_fn(|| events.try_next());
    let exhausted = |event: &NodeEvent| {
        matches!(event, NodeEvent::Policy(PolicyStep::BudgetExhausted { event })
            if event.as_str() == "count")
    };
    assert_eq!(told.filter(exhausted).count(), 10);
}

/// Retries and failovers around two targets, all retries on one budget.
fn drawn<'a>(
    rng: &mut fastrand::Rng,
    scripts: &'a [Script; 2],
    budget: &Budget,
    deeper: u32,
) -> Box<dyn Target + 'a> {
    if deeper == 0 {
        return Box::new(&scripts[rng.usize(..2)]);
    }
    let inner = drawn(rng, scripts, budget, deeper - 1);
    if rng.bool() {
        return Box::new(Failover::first(inner).then(drawn(rng, scripts, budget, deeper - 1)));
    }
    Box::new(inner.retry(&hasty().attempts(rng.u32(2..6)).budget(budget)))
}

#[test]
fn no_history_of_nested_policies_repeats_more_than_one_budget_allows() {
    let _bound = crate::bound::bound();
    let scripts = [Script::new([]), Script::new([])];
    let repeats = || scripts.iter().map(|script| script.counts().repeats).sum::<u64>();
    for seed in 0..300 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (ratio, reserve) = (rng.f64(), rng.u32(..4));
        let budget = Budget::new().ratio(ratio).reserve(reserve);
        let target = drawn(&mut rng, &scripts, &budget, 3);
        let before = repeats();
        for requests in 1..=10 {
            for script in &scripts {
                *script.errors.lock().unwrap() = errors(ErrorKind::Busy, rng.usize(..20)).into();
            }
            let _ = ask(&target);
            let allowed = f64::from(reserve) + ratio * f64::from(requests) + 1e-6;
            let spent = repeats() - before;
            assert!(spent as f64 <= allowed, "seed {seed}: {spent} for {requests} requests");
        }
    }
    assert!(repeats() > 300, "{}", repeats());
}

#[test]
fn a_request_pays_into_a_budget_once_however_often_it_comes_by() {
    let _bound = crate::bound::bound();
    let budget = || Budget::new().ratio(1.0).reserve(0);
    // Five attempts of a retry without a budget, and the one repeat that the request pays for.
    let script = Script::new(errors(ErrorKind::Busy, 100));
    let paid = hasty().attempts(2).budget(&budget());
    let error = ask(&(&script).retry(&paid).retry(&hasty().attempts(5))).unwrap_err();
    assert_eq!((error.attempts(), script.seen()), (6, 6));
    // Another budget is paid as well.
    let script = Script::new(errors(ErrorKind::Busy, 100));
    let (inner, outer) = (hasty().budget(&budget()), hasty().budget(&budget()));
    assert_eq!(kind(ask(&(&script).retry(&inner).retry(&outer))), ErrorKind::Busy);
    assert_eq!((script.seen(), script.counts().repeats), (3, 2));
    // A hedge pays in, too.
    let node = Node::builder().start().unwrap();
    let shared = budget();
    let hedged = node.to("nobody").idempotent().hedge(&Hedge::new().budget(&shared));
    let retried = hedged.retry(&hasty().attempts(10).budget(&shared));
    assert_eq!(ask(&retried).unwrap_err().attempts(), 2);
    assert_eq!(ask(&retried).unwrap_err().attempts(), 2, "the next request pays anew");
}

#[test]
fn a_pause_that_would_not_end_in_time_is_not_begun() {
    let _bound = crate::bound::bound();
    let script = Script::new(errors(ErrorKind::Busy, 100));
    let began = Instant::now();
    let retry = Retry::new().within(Duration::from_millis(1)).first_pause(LONG).attempts(1_000);
    assert_eq!(kind(ask(&(&script).retry(&retry))), ErrorKind::Busy);
    assert!(began.elapsed() < AT_ONCE);
    assert!(script.seen() < 50, "{} attempts in a millisecond", script.seen());
}

#[test]
fn a_pause_ends_with_its_node() {
    let _bound = crate::bound::bound();
    let script = Script::new(errors(ErrorKind::RequestTimeout, 100)).idempotent();
    // A pause of nearly nothing would be no pause to end.
    let retry = Retry::new().first_pause(LONG * 100).longest_pause(LONG * 100).attempts(1_000);
    let handle = script.node.handle();
    let retried = (&script).retry(&retry);
    thread::scope(|scope| {
        let asking = scope.spawn(|| ask(&retried).unwrap_err());
        while script.seen() == 0 {
            thread::yield_now();
        }
        let began = Instant::now();
        handle.stop().unwrap();
        let error = asking.join().unwrap();
        assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
        // Stopped before the pause began, it is the last error that comes back.
        assert!([ErrorKind::Closed, ErrorKind::RequestTimeout].contains(&error.kind()), "{error}");
        assert_eq!(error.execution(), Execution::Unknown, "the attempt before may have run");
    });
    assert_eq!(kind(ask(&retried)), ErrorKind::RequestTimeout);
}

#[test]
fn a_test_that_panics_ends_the_request_and_says_whether_it_ran() {
    let _bound = crate::bound::bound();
    let node = Node::builder().start().unwrap();
    let call = || node.to("nobody").retry_if(|_| panic!("on purpose"));
    let retried = ask(&call().retry(&hasty())).unwrap_err();
    let failed_over = ask(&Failover::first(call()).then(call())).unwrap_err();
    for error in [retried, failed_over] {
        assert_eq!(error.kind(), ErrorKind::UserCodePanicked);
        assert_eq!((error.execution(), error.attempts()), (Execution::Never, 1));
        assert!(error.message().contains("NODE_NOT_FOUND"), "{error}");
    }
    let breaker = Breaker::new("b").threshold(1).counts(|_| panic!("on purpose"));
    assert_eq!(kind(ask(&node.to("nobody").guard(&breaker))), ErrorKind::UserCodePanicked);
    assert!(!breaker.is_open(), "a panic counts neither way");
}

#[test]
fn a_failover_goes_on_by_the_rule_and_names_the_target_it_goes_on_to() {
    let _bound = crate::bound::bound();
    let (first, second) = (Script::new([error(ErrorKind::Forbidden)]), Script::new([]));
    let mut events = first.node.events();
    assert_eq!(ask(&Failover::first(&first).then(&second)).unwrap(), 1);
    match events.try_next() {
        Some(NodeEvent::Policy(PolicyStep::FailedOver { target: 2, error, .. })) => {
            assert_eq!(error.kind(), ErrorKind::Forbidden);
        }
        other => panic!("{other:?}"),
    }
    for kind in [ErrorKind::RequestTimeout, ErrorKind::Handler, ErrorKind::Encode] {
        let (first, second) = (Script::new([error(kind)]), Script::new([]));
        let failed = ask(&Failover::first(&first).then(&second)).unwrap_err();
        assert_eq!((failed.kind(), second.seen()), (kind, 0));
    }
    let first = Script::new([error(ErrorKind::RequestTimeout)]).idempotent();
    let second = Script::new([error(ErrorKind::NodeNotFound)]);
    let failed = ask(&Failover::first(&first).then(&second)).unwrap_err();
    assert_eq!((failed.kind(), failed.attempts()), (ErrorKind::NodeNotFound, 2));
    assert_eq!(failed.execution(), Execution::Unknown);
}

#[test]
fn a_policy_around_a_failover_repeats_what_all_targets_allow() {
    let _bound = crate::bound::bound();
    let late = || error(ErrorKind::RequestTimeout);
    for second_is_idempotent in [false, true] {
        let first = Script::new([late(), late()]).idempotent();
        let mut second = Script::new([late(), late()]);
        second.idempotent = second_is_idempotent;
        let failover = Failover::first(&first).then(&second);
        let result = ask(&failover.retry(&hasty()));
        if second_is_idempotent {
            assert_eq!((result.unwrap(), first.seen(), second.seen()), (3, 3, 2));
        } else {
            assert_eq!((result.unwrap_err().attempts(), first.seen(), second.seen()), (2, 1, 1));
        }
    }
}

#[test]
fn a_breaker_opens_refuses_probes_and_closes_and_tells_of_it() {
    let _bound = crate::bound::bound();
    let script = Script::new(errors(ErrorKind::RequestTimeout, 6));
    let breaker = Breaker::new("script").open_for(Duration::ZERO);
    let guarded = (&script).guard(&breaker);
    let mut events = script.node.events();
    (0..6).for_each(|_| assert_eq!(kind(ask(&guarded)), ErrorKind::RequestTimeout));
    assert_eq!(ask(&guarded).unwrap(), 7);
    let steps: Vec<String> = std::iter::from_fn(|| events.try_next())
        .map(|event| match event {
            NodeEvent::Policy(step) => step.to_string(),
            other => panic!("{other:?}"),
        })
        .collect();
    let expected = [
        "breaker \"script\" opens for 0ns after 5 failures in a row",
        "breaker \"script\" lets a probe through",
        "breaker \"script\" opens for 0ns after 6 failures in a row",
        "breaker \"script\" lets a probe through",
        "breaker \"script\" closes",
    ];
    assert_eq!(steps, expected);

    let script = Script::new(errors(ErrorKind::RequestTimeout, 5));
    let guarded = (&script).guard(&Breaker::new("script"));
    (0..5).for_each(|_| assert_eq!(kind(ask(&guarded)), ErrorKind::RequestTimeout));
    let refused = ask(&guarded).unwrap_err();
    assert_eq!((refused.kind(), script.seen()), (ErrorKind::CircuitOpen, 5));
    assert!(!refused.may_have_run());
    for said in ["\"script\"", "5 failures", "REQUEST_TIMEOUT", "60.0s"] {
        assert!(refused.message().contains(said), "{refused}");
    }
    assert_eq!(script.counts().breaker_refusals, 1);
}

#[test]
fn the_callers_own_mistakes_do_not_open_a_breaker_unless_it_is_told_so() {
    let _bound = crate::bound::bound();
    let mistakes = || errors(ErrorKind::InvalidArgument, 20);
    let (script, breaker) = (Script::new(mistakes()), Breaker::new("b"));
    (0..20).for_each(|_| drop(ask(&(&script).guard(&breaker)).unwrap_err()));
    assert!(!breaker.is_open());
    let breaker = Breaker::new("b").counts(|error| error.kind() == ErrorKind::InvalidArgument);
    let script = Script::new(mistakes());
    (0..5).for_each(|_| drop(ask(&(&script).guard(&breaker)).unwrap_err()));
    assert!(breaker.clone().is_open(), "a clone shares the state");
    assert!(!breaker.threshold(5).is_open(), "another setting makes another breaker");
}

#[test]
fn a_breaker_counts_the_end_of_a_peer_and_not_that_of_its_own_node() {
    let _bound = crate::bound::bound();
    let peers = || error(ErrorKind::Closed).with_peer(NodeId::new("s").unwrap());
    for (error, opens) in [
        (peers(), true),
        // Only a node that has stopped itself does not know whether the request ran.
        (peers().with_execution(Execution::Unknown), false),
        (error(ErrorKind::Closed), false),
    ] {
        let (script, breaker) = (Script::new([error.clone()]), Breaker::new("b").threshold(1));
        assert_eq!(kind(ask(&(&script).guard(&breaker))), ErrorKind::Closed);
        assert_eq!(breaker.is_open(), opens, "{error:?}");
    }
    // A request that its own node never sent names the peer it was for, too.
    let breaker = Breaker::new("b").threshold(1);
    let stopping = Stopping(Script::new([peers()]));
    assert_eq!(kind(ask(&(&stopping).guard(&breaker))), ErrorKind::Closed);
    assert!(!breaker.is_open());
}

/// A target whose node stops while it sends.
struct Stopping(Script);

impl Target for Stopping {
    fn send(&self, parcel: &Parcel) -> Result<Reply<Payload>, Error> {
        self.0.node.stop()?;
        self.0.send(parcel)
    }

    fn handle(&self) -> &Handle {
        self.0.handle()
    }

    fn may_repeat(&self, error: &Error, place: Place) -> Result<bool, Error> {
        self.0.may_repeat(error, place)
    }
}

#[test]
fn a_probe_that_panics_gives_way_to_the_next() {
    let _bound = crate::bound::bound();
    let history = [error(ErrorKind::Busy), Error::new(ErrorKind::Busy, "panic")];
    let script = Script::new(history);
    let breaker = Breaker::new("b").threshold(1).open_for(Duration::from_millis(20));
    let guarded = (&script).guard(&breaker);
    assert_eq!(kind(ask(&guarded)), ErrorKind::Busy);
    assert!(breaker.is_open());
    script.node.handle().pause(Duration::from_millis(25)).unwrap();
    let probe = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| ask(&guarded)));
    assert!(probe.is_err());
    assert_eq!(ask(&guarded).unwrap(), 3, "the next request is the probe");
}

#[test]
fn the_order_of_policies_decides_what_each_of_them_sees() {
    let _bound = crate::bound::bound();
    let breaker = || Breaker::new("b").threshold(2);
    // The breaker sees both attempts, and refuses the third.
    let script = Script::new(errors(ErrorKind::Busy, 9));
    let inside = ask(&(&script).guard(&breaker()).retry(&hasty())).unwrap_err();
    assert_eq!((inside.kind(), script.seen()), (ErrorKind::CircuitOpen, 2));
    assert_eq!(inside.attempts(), 3);
    // It sees one failure for three attempts.
    let script = Script::new(errors(ErrorKind::Busy, 9));
    let (breaker, retry) = (breaker(), hasty());
    let around = (&script).retry(&retry).guard(&breaker);
    assert_eq!((kind(ask(&around)), breaker.is_open()), (ErrorKind::Busy, false));
    assert_eq!((kind(ask(&around)), breaker.is_open()), (ErrorKind::Busy, true));
    assert_eq!((kind(ask(&around)), script.seen()), (ErrorKind::CircuitOpen, 6));
    // A box of anything is a target, and so is a failover of them.
    let script = Script::new(errors(ErrorKind::Busy, 3));
    let boxed: Box<dyn Target + '_> = Box::new((&script).retry(&retry));
    assert_eq!(ask(&Failover::first(boxed).then(&script).retry(&retry)).unwrap(), 4);
}

/// Data that counts how often it is encoded.
struct Counted<'a>(&'a AtomicUsize);

impl serde::Serialize for Counted<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.fetch_add(1, SeqCst);
        serializer.serialize_unit()
    }
}

#[test]
fn data_is_encoded_once_and_what_is_wrong_with_it_is_told_before_anything_is_sent() {
    let _bound = crate::bound::bound();
    let encoded = AtomicUsize::new(0);
    let script = Script::new(errors(ErrorKind::Busy, 2));
    let retried = (&script).retry(&hasty());
    assert_eq!(retried.request::<usize, _>("count", &Counted(&encoded)).unwrap(), 3);
    assert_eq!(encoded.load(SeqCst), 1);
    let reserved = retried.request::<usize, _>("_system:x", &()).unwrap_err();
    assert_eq!((reserved.kind(), script.seen()), (ErrorKind::InvalidEvent, 3));
    let wrong = retried.request::<String, _>("count", &()).unwrap_err();
    assert_eq!((wrong.kind(), wrong.execution()), (ErrorKind::Decode, Execution::Happened));
    assert_eq!(wrong.peer().map(NodeId::as_str), Some("script"));
}

#[test]
fn a_hedge_wants_an_idempotent_call() {
    let _bound = crate::bound::bound();
    let node = Node::builder().start().unwrap();
    let refused = ask(&node.to("nobody").hedge(&Hedge::new())).unwrap_err();
    assert_eq!((refused.kind(), refused.may_have_run()), (ErrorKind::InvalidArgument, false));
    let hedged = node.to("nobody").idempotent().hedge(&Hedge::new());
    assert_eq!(kind(ask(&hedged)), ErrorKind::NodeNotFound);
}

#[test]
fn policies_can_be_shared_by_threads() {
    fn crosses<T: Send + Sync>() {}
    crosses::<(Retry, Budget, Hedge, Breaker, Parcel)>();
    crosses::<(Failover<'static>, Hedged<'static>, Box<dyn Target>)>();
    crosses::<Retried<Guarded<crate::node::Call<'static>>>>();
}
