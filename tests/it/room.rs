//! Waiting for room, for services and for confirmation: what waits, what does not, and how long.

use std::time::{Duration, Instant};

use crossbeam_channel::unbounded;
use threadmesh::{Bytes, ErrorKind, Execution, Limits, Request, Tick};

use crate::support::{AT_ONCE, SOON, bounded, builder, joined, listening, pair, took};

const LIMIT: Duration = Duration::from_secs(30);
const PATIENCE: Duration = Duration::from_millis(100);

#[test]
fn a_request_without_room_waits_until_its_deadline_and_tries_to_start_do_not() {
    bounded("calls", LIMIT, || {
        let mut limits = Limits::default();
        limits.calls_per_link = 2;
        let server = builder("s").limits(limits).bind("127.0.0.1:0").start().unwrap();
        let (release, released) = unbounded::<()>();
        let hold = move |_: Request<()>| {
            let _ = threadmesh::blocking(|| released.recv_timeout(SOON));
            Ok(())
        };
        server.on_request("hold", hold).unwrap();
        let client = joined("c", &server);
        let call = client.to("s");
        let held = [(); 2].map(|()| call.try_start::<(), _>("hold", &()).expect("there is room"));

        for refused in [
            took(AT_ONCE, || call.try_request::<(), _>("hold", &()).unwrap_err()),
            took(AT_ONCE, || call.try_start::<(), _>("hold", &()).unwrap_err()),
        ] {
            assert_eq!(refused.kind(), ErrorKind::Backpressure);
            assert_eq!(refused.execution(), Execution::Never);
            assert_eq!(refused.peer().unwrap(), "s");
        }
        let began = Instant::now();
        let error = call.clone().timeout(PATIENCE).request::<(), _>("hold", &()).unwrap_err();
        assert_eq!((error.kind(), error.execution()), (ErrorKind::Backpressure, Execution::Never));
        assert!(began.elapsed() >= PATIENCE && began.elapsed() < PATIENCE + AT_ONCE);

        let waiting = call.start::<(), _>("hold", &()).unwrap();
        drop(release);
        waiting.wait().expect("its turn came");
        for pending in held {
            pending.wait().unwrap();
        }
        call.try_request::<(), _>("hold", &()).expect("there is room again");
    });
}

#[test]
fn a_tick_without_room_waits_as_long_as_it_may_and_tries_do_not() {
    bounded("ticks", LIMIT, || {
        let (client, server) = pair();
        let (release, released) = unbounded::<()>();
        server.on_tick("hold", move |_: Tick<Bytes>| _ = released.recv_timeout(SOON)).unwrap();
        let call = client.to("s").wait(PATIENCE);
        let tick = Bytes::new(vec![0; 60_000]);
        call.try_tick("hold", &tick).expect("the window is open");
        let full = client.to("s");
        for refused in [
            took(AT_ONCE, || call.try_tick("hold", &tick).unwrap_err()),
            took(AT_ONCE, || full.tick("hold", &tick).unwrap_err()),
        ] {
            assert_eq!(refused.kind(), ErrorKind::Backpressure);
            assert_eq!(refused.execution(), Execution::Never);
        }
        let began = Instant::now();
        assert_eq!(call.tick("hold", &tick).unwrap_err().kind(), ErrorKind::Backpressure);
        assert!(began.elapsed() >= PATIENCE && began.elapsed() < PATIENCE + AT_ONCE);
        drop(release);
        call.clone().wait(SOON).tick("hold", &tick).unwrap();
        client.flush("s", SOON).unwrap();
        call.try_tick("hold", &tick).expect("there is room again");
    });
}

#[test]
fn a_service_is_waited_for_until_somebody_announces_it() {
    bounded("services", LIMIT, || {
        let (server, client) = (listening("s"), builder("c").start().unwrap());
        let began = Instant::now();
        let error = client.wait_for_service("user:get", PATIENCE).unwrap_err();
        assert_eq!((error.kind(), error.execution()), (ErrorKind::NotFound, Execution::Never));
        assert!(error.to_string().contains("user:get"), "{error}");
        assert!(began.elapsed() >= PATIENCE && began.elapsed() < PATIENCE + AT_ONCE);
        assert_eq!(
            client.wait_for_service("", PATIENCE).unwrap_err().kind(),
            ErrorKind::InvalidEvent
        );

        client.connect(server.local_addr().unwrap()).unwrap();
        server.on_request("user:*", |_: Request<()>| Ok(())).unwrap();
        server.on_tick("user:get", |_: Tick<()>| ()).unwrap();
        client.wait_for_service("user:get", PATIENCE).expect_err("patterns and ticks are none");
        let handler = std::thread::scope(|scope| {
            let waiting = scope.spawn(|| client.wait_for_service("user:get", SOON).unwrap());
            let handler = server.on_request("user:get", |_: Request<()>| Ok(())).unwrap();
            assert_eq!(waiting.join().unwrap().id, "s");
            handler
        });
        took(AT_ONCE, || client.wait_for_service("user:get", Duration::ZERO).unwrap());
        // Told at the handshake, too.
        let late = joined("late", &server);
        late.wait_for_service("user:get", Duration::ZERO).unwrap();
        assert!(handler.remove());
        crate::support::eventually("it is gone", || {
            client.wait_for_service("user:get", Duration::ZERO).is_err()
        });
        server.stop().unwrap();
        client.stop().unwrap();
        let error = client.wait_for_service("user:get", SOON).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Closed);
    });
}

#[test]
fn a_flush_of_all_waits_for_every_peer_and_names_the_first_that_is_late() {
    bounded("flush all", LIMIT, || {
        let server = listening("s");
        server.flush_all(PATIENCE).expect("nobody owes anything");
        let (quick, slow) = (joined("quick", &server), joined("slow", &server));
        let (release, released) = unbounded::<()>();
        let (tell, told) = unbounded();
        quick.on_tick("t", move |tick: Tick<u64>| tell.send(tick.data).unwrap()).unwrap();
        slow.on_tick("t", move |_: Tick<u64>| _ = released.recv_timeout(SOON)).unwrap();
        server.flush_all(SOON).expect("still nobody");
        for id in ["quick", "slow"] {
            assert_eq!(server.to(id).ticks("t", 0..3_u64).all().unwrap(), 3);
        }
        server.flush("quick", SOON).unwrap();
        assert_eq!(told.len(), 3, "confirmed means handled");
        let error = server.flush_all(PATIENCE).unwrap_err();
        assert_eq!(
            (error.kind(), error.peer().unwrap().as_str()),
            (ErrorKind::RequestTimeout, "slow")
        );
        assert!(error.may_have_run() && error.to_string().contains(" 3 "), "{error}");
        drop(release);
        server.flush_all(SOON).unwrap();
        std::thread::scope(|scope| {
            let (_keep, never) = unbounded::<()>();
            slow.off("t").unwrap();
            slow.on_tick("t", move |_: Tick<u64>| _ = never.recv_timeout(SOON)).unwrap();
            server.tick("slow", "t", &1_u64).unwrap();
            let flushing = scope.spawn(|| server.flush_all(SOON).unwrap_err());
            let error = took(AT_ONCE * 4, || {
                server.stop_within(Duration::from_millis(100)).unwrap();
                flushing.join().unwrap()
            });
            assert_eq!(error.kind(), ErrorKind::Closed);
        });
    });
}
