//! What a table shows, and in which order.

use super::*;

fn ids(nodes: &PathTable) -> Vec<String> {
    nodes.iter().map(|node| node.id().to_string()).collect()
}

fn limited(own: Option<PeerEntry>, directions: Directions, except: &[&str]) -> PathTable {
    let up = |key: u64, id| PeerEntry {
        up: Some(face(100 + key, &format!("10.0.0.{key}:4000"))),
        ..peer(key, id, &["/x"])
    };
    let only_up = PeerEntry { down: None, ..up(2, "up") };
    let peers = [peer(1, "down", &["/x"]), only_up, up(3, "both")];
    let except = except.iter().map(|id| NodeId::new(id).unwrap()).collect();
    let own = own.map(Arc::new);
    PathTable::new(own, directory(peers), directions, except, Instant::now(), 1)
}

#[test]
fn the_node_itself_is_first_then_peers_in_join_order_and_who_comes_back_is_last() {
    let _bound = crate::bound::bound();
    let mut peers =
        directory([peer(7, "b", &["/x"]), peer(3, "c", &["/x"]), peer(9, "a", &["/x"])]);
    let made = |peers: &Directory| {
        let (own, except) = (Some(Arc::new(own(&["/x"]))), Arc::default());
        PathTable::new(own, peers.clone(), Directions::BOTH, except, Instant::now(), 1)
    };
    let before = made(&peers);
    assert_eq!(ids(&before), ["self", "c", "b", "a"]);
    peers.remove(PeerKey(3));
    peers.insert(Arc::new(peer(10, "c", &["/x"])));
    assert_eq!(ids(&made(&peers)), ["self", "b", "a", "c"]);
    assert_eq!(ids(&before), ["self", "c", "b", "a"], "a snapshot");
    assert_eq!(shown(&SendToAll, "/x", &made(&peers)), "each: self /x, b /x, a /x, c /x");
}

#[test]
fn only_those_are_shown_that_the_call_may_go_to() {
    let _bound = crate::bound::bound();
    let seen = |directions, except: &[&str]| ids(&limited(None, directions, except));
    assert_eq!(seen(Directions::BOTH, &[]), ["down", "up", "both"]);
    assert_eq!(seen(Directions::UP, &[]), ["up", "both"]);
    assert_eq!(seen(Directions::DOWN, &[]), ["down", "both"]);
    assert_eq!(seen(Directions::NONE, &[]), [""; 0]);
    assert_eq!(seen(Directions::BOTH, &["up"]), ["down", "both"]);
    assert_eq!(seen(Directions::UP, &["both", "nobody"]), ["up"]);

    let nodes = limited(None, Directions::UP, &["both"]);
    assert!(nodes.get("up").is_some());
    assert!(["down", "both", "self"].iter().all(|id| nodes.get(id).is_none()));
    assert_eq!(nodes.len(), 1);
    for strategy in [&FirstFind as &dyn SendStrategy, &crate::routing::First] {
        assert_eq!(shown(strategy, "/x", &nodes), "in order: up /x");
    }
    for strategy in [&SendToAll as &dyn SendStrategy, &SendToAllOnePerNode, &BroadcastGlobal] {
        assert_eq!(shown(strategy, "/x", &nodes), "each: up /x");
    }
    assert!(limited(None, Directions::NONE, &[]).is_empty());
}

#[test]
fn the_node_itself_is_like_others_but_knows_that_it_is() {
    let _bound = crate::bound::bound();
    let nodes = limited(Some(own(&["/x", "/y"])), Directions::BOTH, &["up"]);
    let (first, own) = (nodes.iter().next().unwrap(), nodes.own().unwrap());
    assert!(first == own && nodes.get("self") == Some(own) && own.is_own() && own.is_local());
    assert_eq!(own.directions(), Directions::NONE);
    assert_eq!(own.host(), Some("here"));
    assert_eq!(own.address().unwrap().to_string(), "10.0.0.99:4000");
    assert_eq!(own.paths().iter().collect::<Vec<_>>(), ["/x", "/y"]);
    let other = nodes.get("both").unwrap();
    assert!(other != own && !other.is_own() && !other.is_local());
    assert_eq!((other.directions(), other.host()), (Directions::BOTH, Some("10.0.0.3")));
    assert_eq!((other.pending(), other.latency()), (0, None));
    assert_eq!(nodes.len(), 3);
    assert!(!nodes.is_empty() && table(None, []).is_empty());

    let silent = PeerEntry { host: "".into(), address: None, ..super::own(&[]) };
    let nodes = table(Some(silent), []);
    assert_eq!((nodes.own().unwrap().host(), nodes.own().unwrap().address()), (None, None));
    assert_eq!(table(None, [peer(1, "a", &[])]).own(), None);
}

#[test]
fn matches_are_looked_for_only_when_they_are_asked_for() {
    let _bound = crate::bound::bound();
    let peers = || (1..=50).map(|key| peer(key, &format!("n{key}"), &["/a", "/b/c"]));
    for pattern in ["/a", "/b/*", "/*/c"] {
        let nodes = table(None, peers());
        let pattern = PathPattern::new(pattern).unwrap();
        assert!(nodes.matches(&pattern).take(3).count() == 3);
        let made = nodes.everybody().filter(|peer| peer.services.has_tree()).count();
        assert_eq!(made, 3, "{pattern}: the trees of those that were looked at");
    }
}

#[test]
fn clones_draw_the_same_from_here_on_and_a_table_draws_anew_each_time() {
    let _bound = crate::bound::bound();
    let nodes = table(None, (1..=40).map(|key| peer(key, &format!("n{key}"), &["/x"])));
    let draws = |nodes: &PathTable| -> Vec<String> {
        (0..8).map(|_| shown(&crate::routing::Random, "/x", nodes)).collect()
    };
    let clone = nodes.clone();
    let drawn = draws(&nodes);
    assert_eq!(draws(&clone), drawn);
    assert!(drawn.windows(2).any(|two| two[0] != two[1]));
}

#[test]
fn a_strategy_that_sees_only_some_nodes_chooses_as_if_there_were_no_others() {
    let _bound = crate::bound::bound();
    let peers = (1..=6).map(|key| peer(key, &format!("n{key}"), &["/x", "/y"]));
    let table = table(Some(own(&["/x"])), peers);
    let odd = |node: &KnownNode<'_>| matches!(node.id().as_str(), "n1" | "n3" | "n5");
    let some = table.filter(odd);
    assert_eq!(
        some.iter().map(|node| node.id().to_string()).collect::<Vec<_>>(),
        ["n1", "n3", "n5"]
    );
    assert!(some.own().is_none() && some.get("n2").is_none() && some.get("n3").is_some());
    let pattern = PathPattern::new("/*").unwrap();
    let firsts: Vec<String> =
        some.first_matches(&pattern).map(|(node, path)| format!("{}{path}", node.id())).collect();
    assert_eq!(firsts, ["n1/x", "n3/x", "n5/x"]);
    // Turns are fair among those that are left, also when the others stand between them.
    let turns = crate::routing::RoundRobin::new();
    let turn = || some.chosen_by(&turns, &pattern)[0].id().unwrap().to_string();
    assert_eq!([turn(), turn(), turn(), turn()], ["n1", "n3", "n5", "n1"]);
    assert_eq!(some.filter(|node| node.id() != "n3").len(), 2);
    assert_eq!(table.filter(|node| node.is_own()).len(), 1);
}

/// How long it takes at best.
fn best(mut body: impl FnMut()) -> Duration {
    let time = |_| {
        let began = Instant::now();
        body();
        began.elapsed()
    };
    (0..5).map(time).min().unwrap()
}

#[test]
fn a_table_of_which_thousands_are_left_out_is_looked_at_in_a_moment() {
    let _bound = crate::bound::bound();
    let peers = (1..=10_000).map(|key| peer(key, &format!("peer-{key}"), &["/x"]));
    let nodes = table(Some(own(&["/x"])), peers);
    let odd = nodes.filter(|node| node.id().as_str().ends_with(['1', '3', '5', '7', '9']));
    let five = odd.filter(|node| node.id().as_str().ends_with('5'));
    assert_eq!((odd.len(), five.len()), (5_000, 1_000));
    assert!(odd.get("peer-2").is_none() && odd.get("self").is_none());
    assert!(five.get("peer-1").is_none() && five.get("peer-15").is_some());
    let turns = crate::routing::RoundRobin::new();
    let taken = shown(&turns, "/x", &five);
    assert_eq!(taken, "in order: peer-5 /x, peer-15 /x, peer-25 /x, peer-35 /x");
    // Were each looked for in a list of the others, these would be hundreds of times as long.
    let (all, some) =
        (best(|| assert_eq!(nodes.len(), 10_001)), best(|| assert_eq!(five.len(), 1_000)));
    assert!(some < all * 50, "{some:?} to {all:?}");
    let best_of =
        |nodes: &PathTable| best(|| drop(shown(&crate::routing::LeastPending, "/x", nodes)));
    let (all, some) = (best_of(&nodes), best_of(&five));
    assert!(some < all * 50, "{some:?} to {all:?}");
}
