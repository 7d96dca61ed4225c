//! Targets of calls by path that are named by id or address, what is no default, and what a strategy is told of its targets.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::unbounded;
use threadmesh::{
    ErrorKind, Execution, FirstFind, Limits, NodeEvent, NodeId, Outcome, Request, Responder,
    SendStrategy, SendTarget, SendToAll, SendToTarget, Targets, send_strategy_fn,
};

use crate::by_path::dead_address;
use crate::support::paths::{Log, Observed, knows, order, serve, serving, shown};
use crate::support::{AT_ONCE, SOON, bounded, builder, eventually, expect_event, listening, took};

const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn a_target_is_named_by_its_id_or_an_address_and_may_be_the_node_itself() {
    bounded("targets", LIMIT, || {
        let log = Log::default();
        let a = serving("a", &["/x"], &log);
        let far = builder("far").bind("127.0.0.1:0").advertise("far.invalid:4000").start().unwrap();
        serve(&far, &["/x"], &log);
        knows(&a, &[&far]);
        let (own, linked) = (a.local_addr().unwrap(), far.local_addr().unwrap());
        let ask = |to: SendToTarget| {
            let all = a.call("/x").by(to.clone()).request_all::<String>(&()).unwrap();
            let one = took(AT_ONCE, || a.call("/x").by(to).request::<String>(&()).unwrap());
            assert_eq!(shown(&all), [format!("{one} = {one}")]);
            one
        };
        assert_eq!(ask(SendToTarget::new(far.id())), "far/x");
        assert_eq!(ask(SendToTarget::new("far")), "far/x");
        assert_eq!(ask(SendToTarget::new("far.invalid:4000")), "far/x", "as it advertises");
        assert_eq!(ask(SendToTarget::new(linked)), "far/x", "where its link leads");
        assert_eq!(ask(SendToTarget::new(format!("tcp://{linked}"))), "far/x");
        assert_eq!(ask(SendToTarget::new(a.id())), "a/x");
        assert_eq!(ask(SendToTarget::new(own)), "a/x");
        assert_eq!(ask(SendToTarget::new(own.to_string())), "a/x");
        assert_eq!(order(&a), ["a", "far"], "nobody was dialled");
        assert_eq!(a.peers().len(), 1);
        // It is sent as it was given, whatever is served.
        let error = a.call("/*").by(SendToTarget::new("far")).request::<String>(&()).unwrap_err();
        assert_eq!((error.kind(), error.peer().unwrap()), (ErrorKind::NotFound, far.id()));
        for nobody in ["nobody", "no body"] {
            let call = a.call("/x").by(SendToTarget::new(nobody));
            let error = call.request::<String>(&()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NodeNotFound, "{nobody}: {error}");
        }
    });
}

#[test]
fn an_address_that_is_not_connected_is_dialled_and_its_node_is_a_peer_after_that() {
    bounded("on demand", LIMIT, || {
        let log = Log::default();
        let a = builder("a").start().unwrap();
        let b = serving("b", &["/x"], &log);
        let address = b.local_addr().unwrap();
        let mut events = a.events();
        let call = a.call("/x").by(SendToTarget::new(address));
        let reply = call.request_reply::<String>(&()).unwrap();
        assert_eq!((reply.value.as_str(), reply.handled_by.as_str()), ("b/x", "b"));
        let joined = expect_event(&mut events, |event| match event {
            NodeEvent::PeerJoined(peer) => Some(peer.id.clone()),
            _ => None,
        });
        assert_eq!(joined, "b");
        assert_eq!(order(&a), ["a", "b"]);
        let all = call.request_all::<String>(&()).unwrap();
        assert_eq!(shown(&all), ["b/x = b/x"], "it is known by its name");
        assert_eq!(a.call("/x").request::<String>(&()).unwrap(), "b/x");
        assert!(events.try_next().is_none(), "it was dialled once");

        // Many at once share the one link.
        let c = serving("c", &["/x"], &log);
        let call = a.call("/x").by(SendToTarget::new(c.local_addr().unwrap()));
        std::thread::scope(|scope| {
            let callers: [_; 8] = [(); 8].map(|()| scope.spawn(|| call.request::<String>(&())));
            for caller in callers {
                assert_eq!(caller.join().unwrap().unwrap(), "c/x");
            }
        });
        assert_eq!(order(&a), ["a", "b", "c"]);
        eventually("c knows it once", || order(&c) == ["c", "a"]);
        // A first call to many says who was found.
        let d = serving("d", &["/x"], &log);
        let all = a.call("/x").by(SendToTarget::new(d.local_addr().unwrap()));
        assert_eq!(shown(&all.request_all::<String>(&()).unwrap()), ["d/x = d/x"]);
    });
}

#[test]
fn of_two_addresses_of_which_one_is_dead_or_silent_the_other_is_answered() {
    bounded("dead address", LIMIT, || {
        let log = Log::default();
        let a = builder("a").start().unwrap();
        let b = serving("b", &["/x"], &log);
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let addresses = [dead_address(), b.local_addr().unwrap(), silent.local_addr().unwrap()];
        let each = |count: usize| {
            send_strategy_fn(move |message, _| {
                let at = |address| SendTarget::at(address, message.pattern());
                Targets::Each(addresses[..count].iter().map(|address| at(*address)).collect())
            })
        };
        let all = took(AT_ONCE, || a.call("/x").by(each(2)).request_all::<String>(&()).unwrap());
        let dead = addresses[0];
        assert_eq!(shown(&all), [format!("{dead}/x = CONNECT_FAILED"), "b/x = b/x".to_owned()]);
        assert_eq!(all.errors().next().unwrap().1.execution(), Execution::Never);

        // One that takes the connection and says nothing has until the deadline, and no longer.
        let timeout = Duration::from_millis(300);
        let began = Instant::now();
        let call = a.call("/x").by(each(3)).timeout(timeout);
        let all = call.request_all::<String>(&()).unwrap();
        let elapsed = began.elapsed();
        assert!(elapsed >= timeout && elapsed < timeout + AT_ONCE, "{elapsed:?}");
        assert_eq!(all.get("b", "/x").unwrap().as_ref().unwrap(), "b/x");
        let (to, error) = all.errors().last().unwrap();
        assert_eq!(to.address().unwrap().to_string(), addresses[2].to_string());
        let waited = [ErrorKind::HandshakeTimeout, ErrorKind::ConnectTimeout];
        assert!(waited.contains(&error.kind()), "{error}");
        assert_eq!(error.execution(), Execution::Never);
        assert_eq!(log.taken(), ["b/x", "b/x"]);

        // One after the other: the dead one did not run it.
        let in_order = send_strategy_fn(move |message, _| {
            let at = |address| SendTarget::at(address, message.pattern());
            Targets::InOrder(addresses[..2].iter().map(|address| at(*address)).collect())
        });
        let one = took(AT_ONCE, || a.call("/x").by(in_order).request::<String>(&()).unwrap());
        assert_eq!(one, "b/x");
    });
}

#[test]
fn one_target_is_no_default_and_what_was_there_stays() {
    bounded("default", LIMIT, || {
        let log = Log::default();
        let a = serving("a", &["/x"], &log);
        let built = builder("z").send_strategy(SendToTarget::new("a")).start();
        assert_eq!(built.unwrap_err().kind(), ErrorKind::InvalidArgument);
        a.set_send_strategy(SendToAll).unwrap();
        let shared: Arc<dyn SendStrategy> = Arc::new(SendToTarget::new("a"));
        for error in [
            a.set_send_strategy(SendToTarget::new("a")).unwrap_err(),
            a.set_send_strategy(shared).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            assert_eq!(error.execution(), Execution::Never);
        }
        // The one before it still counts.
        let error = a.call("/x").request::<String>(&()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert_eq!(a.call("/x").request_all::<String>(&()).unwrap().len(), 1);
        a.stop().unwrap();
        assert_eq!(a.set_send_strategy(FirstFind).unwrap_err().kind(), ErrorKind::Closed);
    });
}

#[test]
fn a_strategy_is_told_once_of_each_target_that_was_tried() {
    bounded("observed", LIMIT, || {
        let log = Log::default();
        let (a, b, c) = (serving("a", &["/x"], &log), serving("b", &["/x"], &log), listening("c"));
        let odd = |_: Request<()>| Err::<String, _>(threadmesh::HandlerError::new("ODD", ""));
        c.register("/x", odd).unwrap();
        knows(&a, &[&b, &c]);
        let all = Observed::new(SendToAll);
        a.call("/x").by(all.clone()).request_all::<String>(&()).unwrap();
        assert_eq!(all.told.heard(3), ["a ok", "b ok", "c ODD"]);

        let one = Observed::new(FirstFind);
        a.call("/x").by(one.clone()).request::<String>(&()).unwrap();
        a.call("/x").by(one.clone()).request_all::<String>(&()).unwrap();
        assert_eq!(one.told.taken(), ["a ok", "a ok"]);
        let silent = |_: Request<()>| Outcome::<String>::later(std::mem::forget);
        b.register("/silent", silent).unwrap();
        a.wait_for_service("/silent", SOON).unwrap();
        let call = a.call("/silent").timeout(Duration::from_millis(50));
        call.clone().by(one.clone()).request::<String>(&()).unwrap_err();
        call.by(all.clone()).request_all::<String>(&()).unwrap();
        assert_eq!(one.told.taken(), ["b REQUEST_TIMEOUT"]);
        assert_eq!(all.told.taken(), ["b REQUEST_TIMEOUT"]);

        // Not of what was refused before anything was sent, nor of what nobody waits for.
        let unknown = NodeId::new("unknown").unwrap();
        let both = Observed::new(send_strategy_fn(move |message, nodes| {
            let unknown = SendTarget::new(&unknown, message.pattern());
            let known = nodes.get("b").map(|node| node.target(message.pattern()));
            Targets::Each(std::iter::once(unknown).chain(known).collect())
        }));
        let answers = a.call("/x").by(both.clone()).request_all::<String>(&()).unwrap();
        assert_eq!(shown(&answers), ["unknown/x = NODE_NOT_FOUND", "b/x = b/x"]);
        assert_eq!(both.told.taken(), ["b ok"]);
        a.call("/x").by(one.clone()).tick(&()).unwrap();
        a.call("/nobody").by(one.clone()).request::<String>(&()).unwrap_err();
        a.call("/nobody").by(all.clone()).request_all::<String>(&()).unwrap_err();
        a.call("/x").by(all.clone()).request::<String>(&()).unwrap_err();
        drop(a.call("/silent").by(one.clone()).start::<String>(&()).unwrap());
        assert_eq!((one.told.len(), all.told.len()), (0, 0));
    });
}

#[test]
fn what_was_never_sent_is_not_observed() {
    bounded("unsent", LIMIT, || {
        let log = Log::default();
        let mut limits = Limits::default();
        limits.calls_pending = 1;
        let a = builder("a").limits(limits).bind("127.0.0.1:0").start().unwrap();
        serve(&a, &["/x"], &log);
        let b = serving("b", &["/x"], &log);
        knows(&a, &[&b]);
        let (keep, kept) = unbounded::<Responder<()>>();
        let hold = move |_: Request<()>| {
            let keep = keep.clone();
            Outcome::<()>::later(move |responder| keep.send(responder).unwrap())
        };
        a.register("/hold", hold).unwrap();
        let held = a.call("/hold").start::<()>(&()).unwrap();
        let all = Observed::new(SendToAll);
        let answers = a.call("/x").by(all.clone()).request_all::<String>(&()).unwrap();
        assert_eq!(shown(&answers), ["a/x = BACKPRESSURE", "b/x = BACKPRESSURE"]);
        assert_eq!((all.told.len(), log.len()), (0, 0));
        assert!(kept.recv_timeout(SOON).unwrap().reply(()));
        held.wait().unwrap();
        let one = a.call("/x").by(all.clone()).except("a").request_all::<String>(&()).unwrap();
        assert_eq!(shown(&one), ["b/x = b/x"]);
        assert_eq!(all.told.taken(), ["b ok"]);
    });
}
