//! Policies around calls by path: they find whoever serves the path of the event, as `Handle::by_path` says.

use std::net::TcpListener;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use threadmesh::{
    Breaker, ErrorKind, Execution, Failover, FirstFind, HandlerError, Hedge, Node, Request, Retry,
    RoundRobin, SendTarget, SendToAll, Target, Tick, send_strategy_fn,
};

use crate::support::{AT_ONCE, SOON, bounded, builder, listening, took};

const LIMIT: Duration = Duration::from_secs(30);

/// A node that has dialled three others, `a`, `b` and `c`, each of which serves `/who`.
fn three() -> (Node, Vec<Node>) {
    let servers: Vec<Node> = ["a", "b", "c"].map(listening).into_iter().collect();
    let client = builder("client").start().unwrap();
    for server in &servers {
        let id = server.id().to_string();
        server.register("who", move |_: Request<()>| Ok(id.clone())).unwrap();
        client.connect(server.local_addr().unwrap()).unwrap();
    }
    (client, servers)
}

#[test]
fn a_retry_takes_the_next_turn_and_ends_with_an_answer() {
    bounded("retry by path", LIMIT, || {
        let (client, servers) = three();
        servers[0].off("/who").unwrap();
        servers[0]
            .register("/who", |_: Request<()>| Err::<String, _>(HandlerError::new("BAD", "day")))
            .unwrap();
        client.wait_for_service("/who", SOON).unwrap();
        let retry = Retry::new().attempts(3).first_pause(Duration::from_millis(1));
        let by_turns = client.by_path(RoundRobin::new()).retry_if(|error| error.code() == "BAD");
        let by_turns = by_turns.retry(&retry);
        for _ in 0..6 {
            let who: String = by_turns.request("/who", &()).unwrap();
            assert_ne!(who, "a");
        }
    });
}

#[test]
fn a_hedge_goes_to_another_who_serves_it_and_to_nobody_twice() {
    bounded("hedge by path", LIMIT, || {
        let (client, servers) = three();
        let (release, released) = channel::<()>();
        let released = Mutex::new(released);
        servers[0].off("/who").unwrap();
        servers[0]
            .register("/slow", move |_: Request<()>| {
                let _ = released.lock().unwrap().recv_timeout(SOON);
                Ok("a")
            })
            .unwrap();
        servers[1].register("/slow", |_: Request<()>| Ok("b")).unwrap();
        client.wait_for_peer("b", SOON).unwrap();
        let serves = |id: &str| client.path_table().get(id).unwrap().paths().len();
        crate::support::eventually("both serve it", || serves("a") == 1 && serves("b") == 2);
        let hedge = Hedge::new().after(Duration::from_millis(20));
        let first = client.by_path(FirstFind).idempotent().hedge(&hedge);
        assert_eq!(first.request::<String, _>("/slow", &()).unwrap(), "b");
        drop(release);
    });
}

#[test]
fn a_hedge_is_not_held_up_by_a_copy_that_would_have_to_be_dialled() {
    bounded("hedge without a dial", LIMIT, || {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = silent.local_addr().unwrap();
        let lone = builder("lone").start().unwrap();
        let (copied, is_copied) = channel();
        let is_copied = Mutex::new(is_copied);
        lone.register("/x", move |_: Request<()>| {
            is_copied.lock().unwrap().recv_timeout(SOON).unwrap();
            Ok(())
        })
        .unwrap();
        // The first copy goes to the node itself, and the second would have to be dialled.
        let by = send_strategy_fn(move |message, nodes| {
            if let Some(own) = nodes.own() {
                return own.target(message.pattern()).into();
            }
            let _ = copied.send(());
            SendTarget::at(address, message.pattern()).into()
        });
        let call = lone.by_path(by).timeout(SOON).idempotent();
        took(SOON / 4, || call.hedge(&Hedge::new()).request::<(), _>("/x", &()).unwrap());
    });
}

#[test]
fn a_failover_goes_from_a_path_to_a_node_and_a_breaker_stands_before_both() {
    bounded("failover by path", LIMIT, || {
        let (client, _servers) = three();
        let breaker = Breaker::new("who");
        let by_path = client.by_path(FirstFind).except("a").except("b").except("c");
        let failover = Failover::first(by_path).then(client.to("b"));
        let guarded = failover.guard(&breaker);
        assert_eq!(guarded.request::<String, _>("/who", &()).unwrap(), "b");
    });
}

#[test]
fn the_path_of_such_a_call_is_its_event_and_only_one_may_be_meant() {
    bounded("by path", LIMIT, || {
        let (client, servers) = three();
        let (told, ticks) = channel();
        let told = Arc::new(Mutex::new(told));
        servers[2]
            .register("/work/log", move |request: Request<u32>| {
                told.lock().unwrap().send((request.data, request.wants_answer())).unwrap();
                Ok(())
            })
            .unwrap();
        client.wait_for_service("/work/*", SOON).unwrap();
        let any = client.by_path(FirstFind);
        assert_eq!(any.request::<String, _>("who/", &()).unwrap(), "a");
        assert_eq!(any.ticks("/work/*", [1_u32, 2, 3]).all().unwrap(), 3);
        any.tick("work//log", &4_u32).unwrap();
        let heard: Vec<_> = (0..4).map(|_| ticks.recv_timeout(SOON).unwrap()).collect();
        assert_eq!(heard, [(1, false), (2, false), (3, false), (4, false)]);
        any.request::<(), _>("/work/log", &5_u32).unwrap();
        assert_eq!(ticks.recv_timeout(SOON).unwrap(), (5, true));
        let kind = |event: &str| any.request::<(), _>(event, &()).unwrap_err().kind();
        assert_eq!(
            (kind("user:get"), kind("/nobody")),
            (ErrorKind::InvalidPath, ErrorKind::NotFound)
        );
        let many = client.by_path(SendToAll);
        let error = took(AT_ONCE, || many.request::<String, _>("/who", &()).unwrap_err());
        assert_eq!(
            (error.kind(), error.execution()),
            (ErrorKind::InvalidArgument, Execution::Never)
        );
        // Handlers of ticks are not services.
        servers[0].on_tick("/heard", |_: Tick<()>| ()).unwrap();
        assert_eq!(any.tick("/heard", &()).unwrap_err().kind(), ErrorKind::NotFound);
    });
}
