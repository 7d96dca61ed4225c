//! What nodes tell about themselves: set, merged, limited, pushed at once, and never out of date for long.

use std::thread;
use std::time::{Duration, Instant};

use ciborium::Value;
use threadmesh::{ErrorKind, Execution, NodeEvent, Options, options};

use crate::support::impostor::{Impostor, message};
use crate::support::{SOON, bounded, builder, eventually, expect_event, joined, listening, pair};

const LIMIT: Duration = Duration::from_secs(30);

fn changed(event: &NodeEvent) -> Option<Options> {
    match event {
        NodeEvent::OptionsChanged { options, .. } => Some(options.clone()),
        _ => None,
    }
}

#[test]
fn setting_replaces_merging_keeps_and_the_id_stays() {
    bounded("set and merge", LIMIT, || {
        let server = listening("s");
        let clients = ["a", "b"].map(|id| joined(id, &server));
        let mut heard = clients.each_ref().map(|client| client.events());
        let mut told = |expected: Options| {
            for (client, events) in clients.iter().zip(&mut heard) {
                assert_eq!(expect_event(events, changed), expected);
                assert_eq!(client.peer_options("s"), Some(expected.clone()));
            }
            assert_eq!(server.options(), expected);
        };
        server.set_options(options! { "role": "api", "load": 1 }).unwrap();
        told(options! { "_id": "s", "role": "api", "load": 1 });
        server.update_options(&options! { "load": 2, "_id": "x", "cfg": { "a": [1] } }).unwrap();
        told(options! { "_id": "s", "role": "api", "load": 2, "cfg": { "a": [1] } });
        // A value is merged as a whole, not key by key.
        server.update_options(&options! { "cfg": { "b": null } }).unwrap();
        told(options! { "_id": "s", "role": "api", "load": 2, "cfg": { "b": null } });
        server.set_options(options! {}).unwrap();
        told(options! { "_id": "s" });
        assert_eq!(joined("late", &server).peer_options("s").unwrap(), options! { "_id": "s" });
    });
}

/// Options whose encoding, with the id `c`, has that many bytes.
fn of_bytes(bytes: usize) -> Options {
    // The map's head, "_id", "c", "fill", and the three bytes before a long text.
    options! { "fill": "x".repeat(bytes - 1 - 4 - 2 - 5 - 3) }
}

/// Options with that many entries, the id among them.
fn of_entries(entries: usize) -> Options {
    (1..entries).fold(options! {}, |options, index| options.with(index.to_string(), index))
}

#[test]
fn what_is_at_the_limit_arrives_and_one_more_changes_nothing_anywhere() {
    bounded("limits", LIMIT, || {
        let (client, server) = pair();
        let mut events = server.events();
        let deep = options! { "1": { "2": { "3": {} } } };
        let too_deep = options! { "1": { "2": { "3": { "4": {} } } } };
        let at_the_limit = [of_bytes(8_192), of_entries(64), deep];
        let beyond = [of_bytes(8_193), of_entries(65), too_deep];
        for (fits, does_not) in at_the_limit.into_iter().zip(beyond) {
            client.set_options(fits.clone()).unwrap();
            let fits = fits.with("_id", "c");
            assert_eq!(expect_event(&mut events, changed), fits);
            for error in [
                client.set_options(does_not.clone()).unwrap_err(),
                client.update_options(&does_not).unwrap_err(),
                builder("c").options(does_not).start().unwrap_err(),
            ] {
                assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
                assert_eq!(error.execution(), Execution::Never);
            }
            assert_eq!(client.options(), fits);
            assert_eq!(server.peer_options("c"), Some(fits));
        }
        client.set_options(options! { "last": true }).unwrap();
        let next = expect_event(&mut events, changed);
        assert_eq!(next.get_bool("last"), Some(true), "nothing came between");
    });
}

#[test]
fn a_storm_of_changes_costs_few_messages_and_ends_with_the_last_value() {
    bounded("storm", LIMIT, || {
        let (client, server) = pair();
        let mut events = server.events();
        let began = Instant::now();
        for number in 1..=2_000 {
            client.update_options(&options! { "n": number }).unwrap();
        }
        let mut told = 0_u32;
        expect_event(&mut events, |event| {
            let options = changed(event)?;
            told += 1;
            (options.get_u64("n") == Some(2_000)).then_some(())
        });
        // One change is told at once, and another one every five milliseconds.
        let most = began.elapsed().as_millis() / 5 + 2;
        assert!(u128::from(told) <= most, "{told} events in {:?}", began.elapsed());
        assert_eq!(server.peer_options("c").unwrap().get_u64("n"), Some(2_000));
    });
}

#[test]
fn merges_from_many_threads_are_all_kept() {
    bounded("many threads", LIMIT, || {
        let (client, server) = pair();
        thread::scope(|scope| {
            for thread in 0..8 {
                let client = &client;
                scope.spawn(move || {
                    for number in 0..=100 {
                        let own = Options::new().with(format!("key-{thread}"), number);
                        client.update_options(&own).unwrap();
                    }
                });
            }
        });
        let all = |options: Options| {
            (0..8).all(|thread| options.get_u64(&format!("key-{thread}")) == Some(100))
        };
        assert!(all(client.options()));
        eventually("the peer has them all", || all(server.peer_options("c").unwrap()));
    });
}

/// The number of the message in the protocol's document.
const OPTIONS: u64 = 19;

#[test]
fn an_older_version_of_options_is_ignored() {
    bounded("older", LIMIT, || {
        let server = listening("s");
        let mut events = server.events();
        let mut peer = Impostor::join(server.local_addr().unwrap(), "peer");
        let mut say = |version: u64, text: &str| {
            let map = Value::Map(vec![("n".into(), text.into()), ("_id".into(), "peer".into())]);
            peer.say(message(OPTIONS, 0, [version.into(), map]));
        };
        say(5, "five");
        say(4, "four");
        say(5, "again");
        say(6, "six");
        assert_eq!(expect_event(&mut events, changed).get_str("n"), Some("five"));
        assert_eq!(expect_event(&mut events, changed).get_str("n"), Some("six"));
        server.wait_for_peer("peer", SOON).unwrap();
    });
}
