//! Filters as a program meets them: the fourth section of the scenarios. Each test bears the number of its row.

use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use threadmesh::{
    ErrorKind, Execution, Filter, Node, NodeEvent, Options, Request, Selector, filter, options,
    predicate, predicate_as, value,
};

use crate::choosing::{hears, serving};
use crate::support::{SOON, bounded, builder, expect_event, listening};

const LIMIT: Duration = Duration::from_secs(30);

/// Ten clients → s, with options as in the scenarios.
struct Mesh {
    server: Node,
    clients: Vec<Node>,
    heard: Receiver<String>,
}

fn mesh() -> Mesh {
    mesh_of((0..10_i32).map(|number| {
        let name = format!("client{number}");
        (number.to_string(), options! { "clientName": name, "idx": [number], "n": number })
    }))
}

fn mesh_of(clients: impl IntoIterator<Item = (String, Options)>) -> Mesh {
    let (tell, heard) = channel();
    let server = listening("s");
    let join = |(id, options): (String, Options)| {
        let client = builder(&id).options(options).start().unwrap();
        hears(&client, &tell);
        client.connect(server.local_addr().unwrap()).unwrap();
        client
    };
    let clients = clients.into_iter().map(join).collect();
    Mesh { server, clients, heard }
}

impl Mesh {
    /// Who gets a tick to all that match, as their ids one behind the other.
    fn receivers(&self, selector: impl Into<Selector>) -> String {
        let told = self.server.tick_all(selector, "news", &()).unwrap();
        self.server.flush_all(SOON).unwrap();
        let mut all: Vec<_> = self.heard.try_iter().collect();
        all.sort();
        assert_eq!(told.sent, all.len());
        all.concat()
    }
}

/// A test per row, or per few rows that have the mesh in common.
macro_rules! rows {
    ($($name:ident: $( $filter:tt => $expected:literal ),+ ;)+) => { $(
        #[test]
        fn $name() {
            bounded(stringify!($name), LIMIT, || {
                let mesh = mesh();
                $( assert_eq!(mesh.receivers(filter! $filter), $expected, "{}", stringify!($filter)); )+
            });
        }
    )+ };
}

rows! {
    t070_a_plain_value_is_equality: { "clientName": "client2" } => "2";
    t071_eq: { "clientName": { "$eq": "client2" } } => "2";
    t073_aeq: { "clientName": { "$aeq": "client2" } } => "2", { "n": { "$aeq": "2" } } => "2";
    t074_gt_and_gte_of_text: { "clientName": { "$gt": "client8" } } => "9", { "clientName": { "$gte": "client9" } } => "9";
    t076_between_is_exclusive: { "clientName": { "$between": ["client1", "client3"] } } => "2", { "clientName": { "$betweenInclusive": ["client1", "client3"] } } => "123";
    t077_in: { "clientName": { "$in": ["client2"] } } => "2", { "n": { "$nin": [0, 1, 2, 3, 4, 5] } } => "6789";
    t079_contains_an_element: { "idx": { "$contains": 2 } } => "2";
    t080_contains_any: { "idx": { "$containsAny": [2, 100] } } => "2";
    t082_zero_is_an_element_like_any: { "idx": { "$containsAny": [0] } } => "0", { "idx": { "$containsNone": [0, 9] } } => "12345678";
    t085_a_missing_key_matches_nothing: { "name": 1 } => "";
    t086_a_missing_key_is_not_even_unequal: { "missing": { "$ne": 1 } } => "", { "missing": { "$nin": [1] } } => "", { "missing": { "$exists": false } } => "0123456789";
    t088_several_operators_all_hold: { "n": { "$gte": 3, "$lt": 6 } } => "345";
    t089_contains_a_substring: { "clientName": { "$contains": "ent7" } } => "7";
    t095_text_and_number_do_not_compare: { "n": { "$gt": "3" } } => "";
    t098_the_id_is_an_option: { "_id": "4" } => "4";
}

#[cfg(feature = "regex")]
#[test]
fn t083_a_regular_expression_by_data_and_by_method() {
    bounded("t083", LIMIT, || {
        let mesh = mesh();
        assert_eq!(mesh.receivers(filter! { "clientName": { "$regex": "client[0-5]" } }), "012345");
        assert_eq!(mesh.receivers(Filter::any().regex("clientName", "client[0-5]")), "012345");
        let wrong = filter! { "clientName": { "$regex": "client[" } };
        let error = mesh.server.tick_all(wrong, "news", &()).unwrap_err();
        assert_eq!(error.code(), "INVALID_FILTER");
    });
}

#[test]
fn t091_maps_are_equal_as_a_whole_and_arrays_in_order() {
    bounded("t091", LIMIT, || {
        let options = options! { "cfg": { "a": 1, "b": [1, 2] } };
        let mesh = mesh_of([("x".to_owned(), options)]);
        assert_eq!(mesh.receivers(filter! { "cfg": { "b": [1, 2], "a": 1 } }), "x");
        assert_eq!(mesh.receivers(filter! { "cfg": { "a": 1 } }), "");
        assert_eq!(mesh.receivers(filter! { "cfg": { "a": 1, "b": [2, 1] } }), "");
        assert_eq!(mesh.receivers(filter! { "cfg.a": 1 }), "x", "inside of it: by a dotted key");
    });
}

#[test]
fn t092_arrays_are_equal_in_order_only() {
    bounded("t092", LIMIT, || {
        let options = options! { "capabilities": ["video", "image"] };
        let mesh = mesh_of([("x".to_owned(), options)]);
        assert_eq!(mesh.receivers(filter! { "capabilities": ["video", "image"] }), "x");
        assert_eq!(mesh.receivers(filter! { "capabilities": ["image", "video"] }), "");
    });
}

#[test]
fn t094_an_unknown_operator_is_an_error_of_the_call() {
    bounded("t094", LIMIT, || {
        let mesh = mesh();
        let wrong = || filter! { "n": { "$foo": 1 } };
        let errors = [
            mesh.server.tick_all(wrong(), "news", &()).unwrap_err(),
            mesh.server.tick_any(wrong(), "news", &()).unwrap_err(),
            mesh.server.request_any::<(), _>(wrong(), "news", &()).unwrap_err(),
            mesh.server.request_all::<(), _>(wrong(), "news", &()).map(drop).unwrap_err(),
            mesh.server.get_filtered_peers(wrong()).unwrap_err(),
            mesh.server.wait_for_peer(wrong(), SOON).unwrap_err(),
        ];
        for error in errors {
            assert_eq!((error.code(), error.execution()), ("INVALID_FILTER", Execution::Never));
            assert!(error.message().contains("$foo"), "{error}");
        }
        assert_eq!(mesh.receivers(Filter::any()), "0123456789");
    });
}

#[test]
fn t097_the_table_of_the_seed() {
    bounded("t097", LIMIT, || {
        let worker = options! {
            "role": "worker", "region": "us-east-1", "version": 2, "capabilities": ["video", "image"],
        };
        let mesh = mesh_of([("x".to_owned(), worker)]);
        assert_eq!(mesh.receivers(filter! { "role": "worker" }), "x");
        assert_eq!(mesh.receivers(filter! { "role": "worker", "region": "us-east-1" }), "x");
        assert_eq!(mesh.receivers(filter! { "role": "api" }), "");
        assert_eq!(mesh.receivers(filter! { "role": "worker", "region": "eu-west-1" }), "");
    });
}

// covers P37
#[test]
fn t100_a_predicate_that_panics_is_an_error_and_the_node_lives() {
    bounded("t100", LIMIT, || {
        let mesh = mesh();
        let picky = predicate(|options| {
            assert!(options.get_u64("n") != Some(7), "seven");
            true
        });
        let error = mesh.server.tick_all(picky, "news", &()).unwrap_err();
        assert_eq!((error.code(), error.execution()), ("USER_CODE_PANICKED", Execution::Never));
        assert_eq!(mesh.receivers(Filter::any()), "0123456789");
    });
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Worker {
    capabilities: Vec<String>,
    current_load: u32,
    max_concurrent: u32,
}

#[test]
fn t101_a_live_figure_decides_from_the_moment_it_is_told() {
    bounded("t101", LIMIT, || {
        let coordinator = listening("coordinator");
        let worker =
            serving("w", options! { "capabilities": ["video", "image"], "maxConcurrent": 10 });
        worker.connect(coordinator.local_addr().unwrap()).unwrap();
        let by_getters = || {
            predicate(|options| {
                let known = options.get("capabilities").and_then(threadmesh::Value::as_array);
                known.is_some_and(|known| known.iter().any(|can| can.as_str() == Some("video")))
                    && options.get_f64("currentLoad").is_some_and(|load| {
                        options.get_f64("maxConcurrent").is_some_and(|most| load < most)
                    })
            })
        };
        let by_type = || {
            predicate_as(|worker: Worker| {
                worker.current_load < worker.max_concurrent
                    && worker.capabilities.iter().any(|can| can == "video")
            })
        };
        for free in [by_getters(), by_type()] {
            let error = coordinator.request_any::<String, _>(free, "who", &()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NoNodesMatchFilter);
        }
        let mut events = coordinator.events();
        let mut tell = |load: u32| {
            worker.update_options(&options! { "currentLoad": load }).unwrap();
            expect_event(&mut events, |event| match event {
                NodeEvent::OptionsChanged { options, .. } => {
                    (options.get_u64("currentLoad") == Some(load.into())).then_some(())
                }
                _ => None,
            });
        };
        tell(3);
        for free in [by_getters(), by_type()] {
            assert_eq!(coordinator.request_any::<String, _>(free, "who", &()).unwrap(), "w");
        }
        tell(10);
        for free in [by_getters(), by_type()] {
            assert!(coordinator.request_any::<String, _>(free, "who", &()).is_err());
        }
    });
}

#[test]
fn t131_filtered_peers_come_with_options_and_directions() {
    bounded("t131 filters", LIMIT, || {
        let server = listening("s");
        let a = serving("a", options! { "role": "x" });
        let b = serving("b", options! { "role": "y" });
        a.connect(server.local_addr().unwrap()).unwrap();
        server.connect(b.local_addr().unwrap()).unwrap();
        let found = server.get_filtered_peers(filter! { "role": "x" }).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].id.as_str(), found[0].directions),
            ("a", threadmesh::Directions::DOWN)
        );
        assert_eq!(found[0].options.get_str("role"), Some("x"));
        let everybody = Filter::any();
        let ids = |peers: Vec<threadmesh::PeerInfo>| -> Vec<String> {
            peers.iter().map(|peer| peer.id.to_string()).collect()
        };
        assert_eq!(ids(server.all(&everybody).peers().unwrap()), ["a", "b"]);
        assert_eq!(ids(server.all(&everybody).up().peers().unwrap()), ["b"]);
        assert_eq!(ids(server.all(&everybody).down().peers().unwrap()), ["a"]);
        assert!(server.get_filtered_peers(filter! { "role": "z" }).unwrap().is_empty());
    });
}

// covers P38
#[test]
fn a_filter_that_is_too_large_or_too_costly_is_refused_by_the_call() {
    bounded("too large", LIMIT, || {
        let mesh = mesh();
        let long = filter! { "clientName": "x".repeat(5_000) };
        let many = (0..65).fold(Filter::any(), |all, n| all.eq(format!("k{n}"), n));
        let deep = (0..9).fold(value!({ "n": 1 }), |inner, _| value!({ "$not": inner }));
        let deep = Filter::from(deep.as_map().unwrap().clone());
        for wrong in [long, many, deep] {
            let error = mesh.server.tick_all(wrong, "news", &()).unwrap_err();
            assert_eq!(error.code(), "INVALID_FILTER", "{error}");
        }
    });
}

#[derive(Deserialize)]
struct Number {
    n: u8,
}

#[test]
fn a_filter_is_asked_before_the_predicate_it_comes_with() {
    bounded("both", LIMIT, || {
        let mesh = mesh();
        let both = filter! { "n": { "$lt": 5 } }.when(|options| {
            let n = options.get_u64("n").unwrap();
            assert!(n < 5, "the filter lets nobody else through");
            n % 2 == 1
        });
        assert_eq!(mesh.receivers(both), "13");
        let typed = filter! { "n": { "$lt": 5 } }.when_as(|peer: Number| peer.n % 2 == 0);
        assert_eq!(mesh.receivers(typed), "024");
    });
}

#[test]
fn many_peers_are_kept_by_what_is_looked_for_and_found_like_few() {
    bounded("index", LIMIT, || {
        let clients = (0..80).map(|number| {
            let role = if number % 8 == 3 { "worker" } else { "api" };
            (format!("{number:02}."), options! { "role": role })
        });
        let mesh = mesh_of(clients);
        let workers = filter! { "role": "worker" };
        for _ in 0..3 {
            assert_eq!(mesh.receivers(&workers), "03.11.19.27.35.43.51.59.67.75.");
        }
        let mut events = mesh.server.events();
        mesh.clients[3].update_options(&options! { "role": "api" }).unwrap();
        mesh.clients[4].update_options(&options! { "role": "worker" }).unwrap();
        let mut changes = 0;
        expect_event(&mut events, |event| {
            changes += u32::from(matches!(event, NodeEvent::OptionsChanged { .. }));
            (changes == 2).then_some(())
        });
        assert_eq!(mesh.receivers(&workers), "04.11.19.27.35.43.51.59.67.75.");
        mesh.server.on_request("x", |_: Request<()>| Ok(())).unwrap();
    });
}

#[test]
fn asking_anybody_passes_over_routers_and_nothing_else_does() {
    bounded("routers", LIMIT, || {
        let node = listening("s");
        let router = serving("r", options! { "router": true, "zone": 1 });
        router.connect(node.local_addr().unwrap()).unwrap();
        let here = node.any(Filter::any()).local_only();
        let error = here.request::<String, _>("who", &()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoNodesMatchFilter);
        assert!(
            error.message().contains("1 peer is connected; routers are passed over"),
            "{error}"
        );
        let error = node.request_up_any::<String, _>(Filter::any(), "who", &()).unwrap_err();
        assert!(error.message().contains("routers are passed over"), "{error}");
        let worker = serving("w", options! { "zone": 1 });
        worker.connect(node.local_addr().unwrap()).unwrap();
        let ask = |selector: Selector| -> Vec<String> {
            let ask = |_| node.request_any(&selector, "who", &()).unwrap();
            let mut who: Vec<String> = (0..40).map(ask).collect();
            who.sort();
            who.dedup();
            who
        };
        assert_eq!(ask(Filter::any().into()), ["w"]);
        assert_eq!(ask(filter! {}.into()), ["w"]);
        assert_eq!(ask(filter! { "zone": 1 }.into()), ["r", "w"]);
        assert_eq!(ask(predicate(|_| true)), ["r", "w"]);
        assert_eq!(ask("r".into()), ["r"]);
        assert_eq!(node.tick_all(Filter::any(), "news", &()).unwrap().sent, 2);
        assert_eq!(node.get_filtered_peers(Filter::any()).unwrap().len(), 2);
    });
}
