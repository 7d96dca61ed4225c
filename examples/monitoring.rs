//! Calls that find nobody, as a metric: every one of them is an event of the node with filter and event to count by, wherever in the program
//! it was made; and the call itself returns the same.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crossbeam_channel::unbounded;
use threadmesh::{Error, ErrorKind, Node, NodeEvent, Request, filter, options, predicate};

/// What a program hands to its monitoring: counters with labels.
type Counters = BTreeMap<(String, String), u64>;

/// Counts a call that found nobody. The labels are in the error: whom it was for, and the event.
fn count(counters: &Mutex<Counters>, error: &Error) {
    let label = |key: &str| error.context(key).unwrap_or_default().to_owned();
    // A predicate is a closure, which has no text; its place in the source stands for it.
    let whom = if error.context("filter").is_some() { label("filter") } else { label("predicate") };
    *counters.lock().expect("no panic").entry((whom, label("event"))).or_default() += 1;
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = Node::builder()
        .id("worker-1")
        .options(options! { "role": "worker", "region": "eu" })
        .on_request("task", |_: Request<()>| Ok("done"))
        .bind("127.0.0.1:0")
        .start()?;
    let node = Node::builder().id("gateway").start()?;
    node.connect(server.local_addr()?)?;

    // Once for the whole program. The closure runs on a thread of its own, so it may be slow without slowing calls down.
    let no_match = Arc::new(Mutex::new(Counters::new()));
    let (alert, alerts) = unbounded();
    let counters = Arc::clone(&no_match);
    node.on_event(move |event| {
        if let NodeEvent::Error(error) = event {
            if error.kind() == ErrorKind::NoNodesMatchFilter {
                count(&counters, error);
                let _ = alert.send(error.to_string());
            }
        }
    })?;

    // What goes well is no event.
    assert_eq!(node.request_any::<String, _>(filter! { "region": "eu" }, "task", &())?, "done");
    // Three calls that find nobody: two alike, one with a closure and in one direction.
    let on_mars = filter! { "role": "worker", "region": "mars" };
    let error = node.request_any::<String, _>(&on_mars, "task", &()).unwrap_err();
    assert!(node.tick_any(&on_mars, "task", &()).is_err());
    let nobody = predicate(|peer| peer.get_u64("free") > Some(0));
    assert!(node.request_down_any::<String, _>(nobody, "task", &()).is_err());

    // The same from what the call returned: for one who wants to know at that very place.
    assert_eq!(error.code(), "NO_NODES_MATCH_FILTER");
    assert!(!error.may_have_run());
    assert_eq!(error.context("filter"), Some(r#"role = "worker" and region = "mars""#));
    assert_eq!((error.context("event"), error.context("directions")), (Some("task"), Some("both")));
    assert_eq!(
        node.explain(&on_mars)?[0].to_string(),
        r#"worker-1: region = "mars": region is "eu""#
    );

    // Events come in order, on their own thread: the third alert is the last.
    for _ in 0..3 {
        println!("alert: {}", alerts.recv_timeout(Duration::from_secs(10))?);
    }
    let counters = no_match.lock().expect("no panic");
    for ((whom, event), times) in counters.iter() {
        println!("routing.no_match{{filter={whom:?}, event={event:?}}} {times}");
    }
    let of_mars = (r#"role = "worker" and region = "mars""#.to_owned(), "task".to_owned());
    assert_eq!((counters.len(), counters[&of_mars]), (2, 2));
    Ok(())
}
