use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use crossbeam_channel::unbounded;

use super::*;
use crate::error::Execution;
use crate::home::fork;
use crate::node::{Handle, Node};
use crate::routing::{Directory, Filter, First, Page, Search, strategy_fn};

const LONG: Duration = Duration::from_secs(10);
const SOON: Duration = Duration::from_millis(500);

type Told = Receiver<(CallId, Result<Chosen>)>;

fn chooser(strategy: Option<Arc<dyn Strategy>>) -> (Chooser, Told) {
    let (told, heard) = unbounded();
    let post = move |call, chosen| told.send((call, chosen)).is_ok();
    (Chooser::new(NodeId::new("r").unwrap(), strategy, post), heard)
}

fn search(call: u64, directory: &Directory) -> Choose {
    let origin = NodeId::new("asker").unwrap();
    let search = Search { id: None, filter: Some(Filter::any()), pattern: None, origin };
    Choose { call: CallId(call), directory: directory.clone(), search, page: None }
}

fn in_a_second() -> Instant {
    Instant::now() + Duration::from_secs(1)
}

fn busy(answer: Result<Chosen>, why: &str) {
    let error = answer.unwrap_err();
    assert_eq!((error.kind(), error.execution()), (ErrorKind::Busy, Execution::Never));
    assert!(error.message().contains(why), "{error}");
}

/// Three peers, as the node sees them to which they are connected; they keep it alive.
fn three() -> (Directory, Vec<Node>) {
    let hub = Node::builder().id("hub").bind("127.0.0.1:0").start().unwrap();
    let mut nodes = Vec::new();
    for id in ["b", "c", "a"] {
        let node = Node::builder().id(id).start().unwrap();
        node.connect(hub.local_addr().unwrap()).unwrap();
        hub.wait_for_peer(id, LONG).unwrap();
        nodes.push(node);
    }
    let directory = hub.core().directory();
    nodes.push(hub);
    (directory, nodes)
}

/// A strategy that tells of each of its runs and then waits to be let go.
fn held() -> (Arc<dyn Strategy>, Receiver<()>, Sender<()>) {
    let (began, begins) = unbounded();
    let (go, gate) = bounded::<()>(0);
    let strategy = strategy_fn(move |_| {
        let _ = began.send(());
        let _ = gate.recv();
        None
    });
    (Arc::new(strategy), begins, go)
}

#[test]
fn what_is_asked_is_looked_for_and_told_in_its_order() {
    let _bound = crate::bound::bound();
    let (directory, _nodes) = three();
    let ids = ["b", "c", "a"].map(|id| directory.get(id).unwrap().key);
    let (chooser, heard) = chooser(Some(Arc::new(First)));
    assert!(chooser.thread.get().is_none(), "nothing was asked yet");
    for call in 1..=50 {
        assert!(chooser.choose(search(call, &directory)).is_none());
    }
    for call in 1..=50 {
        let (told, chosen) = heard.recv_timeout(LONG).unwrap();
        let Ok(Chosen::Steps(steps)) = chosen else { panic!("{chosen:?}") };
        assert_eq!(
            (told, steps.iter().map(|step| step.peer).collect()),
            (CallId(call), ids.to_vec())
        );
    }
    let page = Some(Page { after: None, limit: 2 });
    assert!(chooser.choose(Choose { page, ..search(51, &directory) }).is_none());
    let (told, chosen) = heard.recv_timeout(LONG).unwrap();
    let Ok(Chosen::Page { peers, more: true }) = chosen else { panic!("{chosen:?}") };
    assert_eq!((told, &*peers[0].0.to_string(), &*peers[1].0.to_string()), (CallId(51), "a", "b"));
    let mut wrong = search(52, &directory);
    wrong.search.filter = Some(crate::filter! { "a": { "$foo": 1 } });
    assert!(chooser.choose(wrong).is_none());
    let (_, chosen) = heard.recv_timeout(LONG).unwrap();
    assert_eq!(chosen.unwrap_err().kind(), ErrorKind::InvalidFilter);
    assert!(!chooser.is_here());
    assert_eq!(chooser.end(in_a_second()), None);
    let (_, answer) = chooser.choose(search(53, &directory)).unwrap();
    busy(answer, "cannot look");
}

#[test]
fn without_a_strategy_it_is_chosen_by_chance() {
    let _bound = crate::bound::bound();
    let (directory, _nodes) = three();
    let (chooser, heard) = chooser(None);
    let mut first = std::collections::BTreeSet::new();
    for call in 0..200 {
        assert!(chooser.choose(search(call, &directory)).is_none());
        let (_, chosen) = heard.recv_timeout(LONG).unwrap();
        let Ok(Chosen::Steps(steps)) = chosen else { panic!("{chosen:?}") };
        first.insert(steps[0].peer);
    }
    assert_eq!(first.len(), 3);
    assert_eq!(chooser.end(in_a_second()), None);
}

#[test]
fn searches_up_to_the_limit_wait_and_one_more_is_busy() {
    let _bound = crate::bound::bound();
    let (strategy, begins, go) = held();
    let (chooser, heard) = chooser(Some(strategy));
    let ask = |call: u64| chooser.choose(search(call, &Directory::default()));
    assert!(ask(0).is_none());
    begins.recv_timeout(LONG).unwrap();
    let all = SEARCHES_AT_ONCE as u64;
    assert!((1..=all).all(|call| ask(call).is_none()));
    for call in [all + 1, all + 2] {
        let (told, answer) = ask(call).unwrap();
        assert_eq!(told, CallId(call));
        busy(answer, &SEARCHES_AT_ONCE.to_string());
    }
    drop(go);
    for call in 0..=all {
        let (told, chosen) = heard.recv_timeout(LONG).unwrap();
        assert!(
            told == CallId(call) && matches!(chosen, Ok(Chosen::Steps(steps)) if steps.is_empty())
        );
    }
    assert!(ask(all + 3).is_none());
    assert_eq!(heard.recv_timeout(LONG).unwrap().0, CallId(all + 3));
    assert_eq!(chooser.end(in_a_second()), None);
}

/// Thrown, and throws when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

#[test]
fn a_strategy_that_panics_makes_its_call_busy_and_the_next_is_looked_for() {
    let _bound = crate::bound::bound();
    let (directory, _nodes) = three();
    let runs = AtomicUsize::new(0);
    let strategy = strategy_fn(move |among| match runs.fetch_add(1, SeqCst) {
        0 => panic!("secret"),
        1 => std::panic::panic_any(Bomb),
        _ => among.iter().next(),
    });
    let (chooser, heard) = chooser(Some(Arc::new(strategy)));
    for call in 0..3 {
        assert!(chooser.choose(search(call, &directory)).is_none());
    }
    for _ in 0..2 {
        let (_, answer) = heard.recv_timeout(LONG).unwrap();
        assert!(!answer.as_ref().unwrap_err().to_string().contains("secret"));
        busy(answer, "strategy");
    }
    let (call, chosen) = heard.recv_timeout(LONG).unwrap();
    assert!(call == CallId(2) && matches!(chosen, Ok(Chosen::Steps(steps)) if steps.len() == 3));
    assert_eq!(chooser.end(in_a_second()), None);
}

#[test]
fn an_end_waits_for_the_search_under_way_and_begins_no_other() {
    let _bound = crate::bound::bound();
    let (strategy, begins, go) = held();
    let (chooser, heard) = chooser(Some(strategy));
    for call in 0..10 {
        assert!(chooser.choose(search(call, &Directory::default())).is_none());
    }
    begins.recv_timeout(LONG).unwrap();
    let soon = Instant::now() + Duration::from_millis(20);
    assert_eq!(chooser.end(soon).as_deref(), Some("tm-r-choose"));
    assert!(Instant::now() >= soon);
    assert_eq!(chooser.end(soon), None, "it is named once");
    drop((chooser, go));
    // Nothing of the thread is left when this ends.
    let told: Vec<CallId> = heard.iter().map(|(call, _)| call).collect();
    assert_eq!(told, [CallId(0)]);
    assert_eq!(begins.try_iter().count(), 0);
}

fn started(strategy: impl Strategy + 'static) -> Node {
    Node::builder().id("r").strategy(strategy).start().unwrap()
}

#[test]
fn a_stop_ends_in_its_bound_while_a_strategy_blocks_and_names_the_thread() {
    let _bound = crate::bound::bound();
    let (strategy, begins, go) = held();
    let node = started(strategy);
    assert!(node.core().chooser.choose(search(1, &Directory::default())).is_none());
    begins.recv_timeout(LONG).unwrap();
    let began = Instant::now();
    let report = node.stop_within(Duration::from_millis(50)).unwrap();
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    assert_eq!(report.detached, ["tm-r-choose"]);
    drop(go);
    // One that does not block is joined.
    let node = started(First);
    assert!(node.core().chooser.choose(search(1, &Directory::default())).is_none());
    assert!(node.stop().unwrap().is_clean());
    assert!(node.core().chooser.choose(search(2, &Directory::default())).is_some());
}

#[test]
fn a_strategy_that_stops_its_own_router_does_not_wait_for_itself() {
    let _bound = crate::bound::bound();
    let node = Arc::new(OnceLock::<Handle>::new());
    let (told, heard) = unbounded();
    let own = Arc::clone(&node);
    let strategy = strategy_fn(move |_| {
        let handle = own.get().unwrap();
        let _ = told.send((handle.wait().unwrap_err().kind(), handle.stop().unwrap().unfinished));
        None
    });
    let router = started(strategy);
    node.set(router.handle()).unwrap();
    assert!(router.core().chooser.choose(search(1, &Directory::default())).is_none());
    assert_eq!(heard.recv_timeout(LONG).unwrap(), (ErrorKind::WouldDeadlock, true));
    assert!(router.wait().unwrap().is_clean());
}

// covers P39
#[test]
fn a_child_does_not_wait_for_the_thread_that_chooses() {
    let _bound = crate::bound::bound();
    let (strategy, begins, go) = held();
    let node = started(strategy);
    assert!(node.core().chooser.choose(search(1, &Directory::default())).is_none());
    begins.recv_timeout(LONG).unwrap();
    let (handle, core) = (node.handle(), node.shared());
    let held = lock(&core.chooser.state);
    let child = fork();
    let began = Instant::now();
    assert_eq!(handle.stop().unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(handle.wait().unwrap_err().kind(), ErrorKind::Closed);
    assert!(!core.chooser.is_here());
    drop(node);
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    drop((child, held, go));
    assert!(handle.stop().unwrap().is_clean());
}
