//! Searches that take long, and questions for the peers of a router: who waits for them, and for how long.

use super::*;

#[test]
fn a_router_names_the_peers_that_match_and_neither_routers_nor_the_asker() {
    let _bound = crate::bound::bound();
    let mut pair =
        Pair::graph(&["a", "router", "b", "c", "router-2"], &[(0, 1), (2, 1), (3, 1), (4, 1)]);
    let router = pair.nodes[0].directory().get("router").unwrap().key;
    let mut ask = |after: Option<&str>, limit: u32| {
        let after = after.map(|id| NodeId::new(id).unwrap());
        let question = crate::wire::DirectoryQuestion { filter: vec![0xa0], after, limit };
        let deadline = pair.now + Duration::from_secs(1);
        let (call, token) = (CallId(700 + pair.calls), "asked");
        pair.calls += 1;
        pair.command(0, Command::AskRouter { call, router, question, deadline, token });
        pair.run();
        let Ok(Done::Peers { peers, more }) = pair.result("asked") else { panic!("no page") };
        (peers.into_iter().map(|(id, _)| id.to_string()).collect::<Vec<_>>(), more)
    };
    assert_eq!(ask(None, 1), (vec!["b".to_owned()], true));
    assert_eq!(ask(Some("b"), 1), (vec!["c".to_owned()], false));
    assert_eq!(ask(Some("c"), 1), (vec![], false));
    // An empty page behind which there are others would lead nowhere.
    assert_eq!(ask(None, 0), (vec!["b".to_owned()], true));
    assert_eq!(ask(None, 1_000), (vec!["b".to_owned(), "c".to_owned()], false));
}

#[test]
fn searches_that_are_given_up_do_not_pile_up() {
    let _bound = crate::bound::bound();
    let mut config = Config::default();
    config.limits.calls_per_link = 100;
    let mut pair = Pair::with(&["a", "router"], &config);
    pair.connect(0, 1, "connect");
    pair.run();
    pair.choosing = Some(VecDeque::new());
    let router = pair.nodes[0].directory().get("router").unwrap().key;
    for number in 1..=2_000 {
        let question = crate::wire::DirectoryQuestion { filter: vec![0xa0], after: None, limit: 1 };
        let (call, deadline, token) = (CallId(number), pair.now + Duration::from_secs(1), "a");
        pair.command(0, Command::AskRouter { call, router, question, deadline, token });
        pair.command(0, Command::Cancel { call });
        pair.run();
    }
    let (waiting, inbound) = (pair.nodes[1].searches_waiting(), pair.nodes[1].inbound_requests());
    assert!(waiting <= 201 && inbound == 0, "{waiting} wait, {inbound} are open");
}

#[test]
fn one_who_asks_much_does_not_keep_others_from_being_looked_for() {
    let _bound = crate::bound::bound();
    let mut pair = Pair::graph(&["a", "router", "b", "c"], &[(0, 1), (2, 1), (3, 1)]);
    pair.choosing = Some(VecDeque::new());
    let router = pair.nodes[0].directory().get("router").unwrap().key;
    let ask = |pair: &mut Pair, from: usize| {
        let question = crate::wire::DirectoryQuestion { filter: vec![0xa0], after: None, limit: 1 };
        let deadline = pair.now + Duration::from_secs(1);
        pair.calls += 1;
        let (call, token) = (CallId(pair.calls), if from == 0 { "a" } else { "c" });
        pair.command(from, Command::AskRouter { call, router, question, deadline, token });
        pair.run();
    };
    (0..500).for_each(|_| ask(&mut pair, 0));
    ask(&mut pair, 3);
    let in_hand = pair.choosing.as_ref().unwrap().len();
    assert_eq!(in_hand, crate::config::SEARCHES_AT_ONCE);
    let mut looked = 0;
    while !pair.done.iter().any(|(token, _)| *token == "c") {
        let (node, choose) = pair.choosing.as_mut().unwrap().pop_front().unwrap();
        pair.choose(node, choose);
        pair.run();
        looked += 1;
    }
    assert!(looked <= in_hand + 2, "{looked} were looked for before");
    // Nobody is looked for any more for one who has left.
    pair.drop_link("router");
    pair.run();
    while let Some((node, choose)) = pair.choosing.as_mut().unwrap().pop_front() {
        pair.choose(node, choose);
        pair.run();
        looked += 1;
    }
    assert!(looked <= 2 * in_hand + 2, "{looked}");
}
