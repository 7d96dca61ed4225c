//! The same user to the same node: remembered, so that a session stays where it is until its node is gone; or computed, so that every
//! client agrees without having talked about it.

use std::collections::BTreeMap;

use threadmesh::{
    ConsistentHash, Error, Node, NodeEvent, NodeId, Request, Sticky, filter, options,
};

fn store(id: &'static str) -> Result<Node, Error> {
    Node::builder()
        .id(id)
        .options(options! { "role": "session-store" })
        .on_request("session:get", |request: Request<u32>| Ok(format!("cart of {}", request.data)))
        .bind("127.0.0.1:0")
        .start()
}

fn client(id: &str, stores: &[Node]) -> Result<Node, Error> {
    let node = Node::builder().id(id).start()?;
    for store in stores {
        node.connect(store.local_addr()?)?;
    }
    Ok(node)
}

fn main() -> Result<(), Error> {
    let mut stores = vec![store("red")?, store("green")?, store("blue")?];
    let (web, mobile) = (client("web", &stores)?, client("mobile", &stores)?);
    let any_store = filter! { "role": "session-store" };

    // Remembered: the first call of a user goes anywhere, and all others to where that was.
    let sessions = Sticky::new();
    let ask = |user: u32| {
        let call = web.any(&any_store).strategy(sessions.key(user));
        call.request_reply::<String, _>("session:get", &user).map(|reply| reply.handled_by)
    };
    let home = ask(123)?;
    for _ in 0..20 {
        assert_eq!(ask(123)?, home);
    }
    println!("user 123 has its session at {home}");
    let before = map(ask)?;

    // Computed: no memory, so two clients that see the same stores choose alike.
    let compute = |node: &Node, user: u32| {
        let call = node.any(&any_store).strategy(ConsistentHash::of(user));
        call.request_reply::<String, _>("session:get", &user).map(|reply| reply.handled_by)
    };
    let computed = map(|user| compute(&web, user))?;
    assert_eq!(map(|user| compute(&mobile, user))?, computed);

    // The node of our session goes. Its sessions move, and stay where they have moved to; all others stay where they are.
    let gone = stores.iter().position(|store| *store.id() == home).expect("one of the three");
    let mut events = web.events();
    stores.remove(gone).stop()?;
    events.find(|event| matches!(event, NodeEvent::PeerLeft { .. }));
    let new_home = ask(123)?;
    assert_ne!(new_home, home);
    let after = map(ask)?;
    assert_eq!(after[&123], new_home);
    for (user, was) in &before {
        assert!(*was == home || after[user] == *was, "user {user} had no reason to move");
    }
    println!("{home} is gone: user 123 and all who were there have moved, this one to {new_home}");

    // The same holds for what is computed: only the users of the node that is gone have moved.
    for (user, now) in map(|user| compute(&web, user))? {
        assert!(computed[&user] == home || computed[&user] == now);
    }
    Ok(())
}

/// Who answers each of a hundred users.
fn map(ask: impl Fn(u32) -> Result<NodeId, Error>) -> Result<BTreeMap<u32, NodeId>, Error> {
    (100..200).map(|user| Ok((user, ask(user)?))).collect()
}
