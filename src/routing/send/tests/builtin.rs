//! The table of built-in strategies, row by row.

use super::*;
use crate::error::ErrorKind;

/// The node itself, two peers on its host, two elsewhere; `far` serves nothing.
fn nodes() -> PathTable {
    let near = |key, id, paths: &[&str]| PeerEntry { is_local: true, ..peer(key, id, paths) };
    let paths = ["/math/mul", "/math/add", "/neg", "/math/v2/add"];
    table(
        Some(own(&["/up", "/math/add"])),
        [
            near(1, "near", &["/math/sub", "user:get", "/math/add"]),
            peer(2, "far", &[]),
            near(3, "idle", &["/math"]),
            peer(4, "all", &paths),
        ],
    )
}

#[test]
fn each_built_in_strategy_chooses_as_its_row_says() {
    let _bound = crate::bound::bound();
    let everywhere = |path: &str, ids: &[&str]| {
        let list: Vec<_> = ids.iter().map(|id| format!("{id} {path}")).collect();
        format!("each: {}", list.join(", "))
    };
    let all = ["self", "near", "far", "idle", "all"];
    let here = ["self", "near", "idle"];
    let rows: &[(&dyn SendStrategy, &str, &str)] = &[
        (&FirstFind, "/neg", "in order: all /neg"),
        (&FirstFind, "/math/add", "in order: self /math/add, near /math/add, all /math/add"),
        (&FirstFind, "/math/*", "in order: self /math/add, near /math/sub, all /math/mul"),
        (&FirstFind, "/math/*/add", "in order: all /math/v2/add"),
        (&FirstFind, "/math", "in order: idle /math"),
        (&FirstFind, "/math/v2", "in order: "),
        (&FirstFind, "/*/*/*/*", "in order: "),
        (&FirstFind, "/", "in order: "),
        (
            &SendToAll,
            "/math/*",
            "each: self /math/add, near /math/sub, near /math/add, all /math/mul, all /math/add",
        ),
        (&SendToAll, "/math/add", "each: self /math/add, near /math/add, all /math/add"),
        (&SendToAll, "/*", "each: self /up, idle /math, all /neg"),
        (&SendToAll, "/nothing", "each: "),
        (&SendToAllOnePerNode, "/math/*", "each: self /math/add, near /math/sub, all /math/mul"),
        (&SendToAllOnePerNode, "/nothing", "each: "),
    ];
    for (strategy, path, expected) in rows {
        assert_eq!(shown(*strategy, path, &nodes()), *expected, "{path}");
    }
    for path in ["/math/add", "/math/*", "/nothing"] {
        assert_eq!(shown(&BroadcastGlobal, path, &nodes()), everywhere(path, &all));
        assert_eq!(shown(&BroadcastLocal, path, &nodes()), everywhere(path, &here));
    }
}

#[test]
fn first_find_is_the_node_itself_or_the_earliest_and_goes_on_to_three_more() {
    let _bound = crate::bound::bound();
    let peers = || (1..=6).map(|key| peer(key, &format!("n{key}"), &["/x"]));
    let serving = table(Some(own(&["/x"])), peers());
    let idle = table(Some(own(&["/y"])), peers());
    for _ in 0..10 {
        assert_eq!(shown(&FirstFind, "/x", &serving), "in order: self /x, n1 /x, n2 /x, n3 /x");
        assert_eq!(shown(&FirstFind, "/x", &idle), "in order: n1 /x, n2 /x, n3 /x, n4 /x");
    }
}

#[test]
fn several_matches_on_one_node_are_one_message_for_the_first_registered() {
    let _bound = crate::bound::bound();
    let several = ["/other", "/math/z", "/math/a", "/math/m"];
    let nodes = table(None, [peer(1, "a", &several)]);
    assert_eq!(shown(&FirstFind, "/math/*", &nodes), "in order: a /math/z");
    assert_eq!(shown(&SendToAll, "/math/*", &nodes), "each: a /math/z, a /math/a, a /math/m");
}

#[test]
fn one_per_node_is_two_messages_for_two_nodes_with_three_matches_each() {
    let _bound = crate::bound::bound();
    let nodes = table(
        None,
        [
            peer(1, "a", &["/math/mul", "/math/add", "/math/neg"]),
            peer(2, "b", &["/math/neg", "/math/add", "/math/mul"]),
        ],
    );
    assert_eq!(shown(&SendToAllOnePerNode, "/math/*", &nodes), "each: a /math/mul, b /math/neg");
}

#[test]
fn a_custom_strategy_may_send_to_two_to_none_and_by_a_rule_of_its_own() {
    let _bound = crate::bound::bound();
    let begins = send_strategy_fn(|message, nodes| {
        let begin = message.pattern().as_str();
        let all = nodes.iter().flat_map(|node| node.paths().iter().map(move |path| (node, path)));
        let begun = all.filter(|(_, path)| path.as_str().starts_with(begin));
        Targets::Each(begun.map(|(node, path)| node.target(path)).collect())
    });
    assert_eq!(
        shown(&begins, "/math/a", &nodes()),
        "each: self /math/add, near /math/add, all /math/add"
    );
    assert_eq!(shown(&begins, "/none", &nodes()), "each: ");
    let wrong = send_strategy_fn(|_, nodes| {
        let path = PathPattern::new("/wrong").unwrap();
        nodes.get("far").map(|node| node.target(path)).into()
    });
    assert_eq!(shown(&wrong, "/math/add", &nodes()), "one: far /wrong");
}

#[test]
fn what_goes_to_one_place_is_no_default_and_all_else_is() {
    let _bound = crate::bound::bound();
    let closure = send_strategy_fn(|_, _| Targets::nobody());
    let good: [&dyn SendStrategy; 7] = [
        &FirstFind,
        &SendToAll,
        &SendToAllOnePerNode,
        &BroadcastLocal,
        &BroadcastGlobal,
        &crate::routing::Random,
        &closure,
    ];
    assert!(good.iter().all(|strategy| strategy.check_default().is_ok()));
    let refused = SendToTarget::new("a").check_default().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidArgument);
}
