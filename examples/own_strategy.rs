//! Send strategies of one's own: one that changes what another says, one that is written anew, and one for once, in a closure.

use std::time::Duration;

use threadmesh::{
    Error, FirstFind, Node, Observation, Options, Outgoing, PathTable, Request, SendStrategy,
    SendToAll, Targets, filter, options, send_strategy_fn,
};

/// Goes around any strategy: a node whose option `draining` is true gets nothing.
struct NotDraining<S>(S);

impl<S: SendStrategy> SendStrategy for NotDraining<S> {
    fn targets(&self, message: &Outgoing<'_>, nodes: &PathTable) -> Targets {
        let staying = nodes.filter(|node| node.options().get_bool("draining") != Some(true));
        self.0.targets(message, &staying)
    }

    // Both are for the strategy inside: how its calls ended, and whether it can be the default of a node.
    fn observe(&self, observation: &Observation<'_>) {
        self.0.observe(observation);
    }

    fn check_default(&self) -> Result<(), Error> {
        self.0.check_default()
    }
}

/// The cheapest of those that serve it. Those who do not say what they cost come last.
struct Cheapest;

impl SendStrategy for Cheapest {
    fn targets(&self, message: &Outgoing<'_>, nodes: &PathTable) -> Targets {
        let mut serving: Vec<_> = nodes.first_matches(message.pattern()).collect();
        serving.sort_by_key(|(node, _)| node.options().get_u64("price").unwrap_or(u64::MAX));
        // Those behind the first are asked only if the one before certainly did not run it.
        Targets::InOrder(serving.into_iter().map(|(node, path)| node.target(path)).collect())
    }
}

fn start(id: &'static str, options: Options) -> Result<Node, Error> {
    let node = Node::builder().id(id).options(options).bind("127.0.0.1:0").start()?;
    node.register("/print", move |_: Request<()>| Ok(id))?;
    Ok(node)
}

fn main() -> Result<(), Error> {
    let office = Node::builder().id("office").send_strategy(NotDraining(FirstFind)).start()?;
    let laser = start("laser", options! { "price": 5 })?;
    let others = [start("inkjet", options! {})?, start("matrix", options! { "price": 1 })?];
    for printer in [&laser].into_iter().chain(&others) {
        office.connect(printer.local_addr()?)?;
    }
    println!("{}", office.path_table());
    let print = || office.call("/print").request::<String>(&());

    // The first, until it says that it is about to end. Then the second: nothing was configured anew.
    assert_eq!(print()?, "laser");
    laser.update_options(&options! { "draining": true })?;
    office.wait_for_peer(filter! { "_id": "laser", "draining": true }, Duration::from_secs(10))?;
    assert_eq!(print()?, "inkjet");
    // It goes around a strategy that means many just as well.
    let all = office.call("/print").by(NotDraining(SendToAll)).request_all::<String>(&())?;
    assert_eq!(all.values().collect::<Vec<_>>(), ["inkjet", "matrix"]);

    assert_eq!(office.call("/print").by(Cheapest).request::<String>(&())?, "matrix");

    // By what the call says of itself: one in a hurry goes to the last of them, all others to the first.
    let by_time = send_strategy_fn(|message, nodes| {
        let hurries = message.timeout().is_some_and(|left| left < Duration::from_secs(5));
        let mut matches = nodes.matches(message.pattern());
        let found = if hurries { matches.last() } else { matches.next() };
        found.map(|(node, path)| node.target(path)).into()
    });
    let quick = office.call("/print").by(by_time).timeout(Duration::from_secs(4));
    assert_eq!(quick.request::<String>(&())?, "matrix");
    Ok(())
}
