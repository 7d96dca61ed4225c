//! Services by path: a node serves two, calls itself, and shows what a send strategy sees and decides.

use threadmesh::{
    Error, FirstFind, Node, Observation, Outgoing, PathTable, Request, SendStrategy, Targets,
};

/// Goes around any strategy: prints what it sees and what it answers, and changes nothing.
struct Logged<S>(S);

impl<S: SendStrategy> SendStrategy for Logged<S> {
    fn targets(&self, message: &Outgoing<'_>, nodes: &PathTable) -> Targets {
        let matches = nodes.matches(message.pattern()).map(|(node, path)| node.target(path));
        let matches: Vec<String> = matches.map(|target| target.to_string()).collect();
        let targets = self.0.targets(message, nodes);
        let named: Vec<String> = targets.as_slice().iter().map(ToString::to_string).collect();
        println!("\ncalled     {}\nformatted  {}", message.path(), message.pattern());
        println!("matches    {matches:?}\ntargets    {named:?}");
        targets
    }

    // What the strategy inside may want to know, and may refuse.
    fn observe(&self, observation: &Observation<'_>) {
        self.0.observe(observation);
    }

    fn check_default(&self) -> Result<(), Error> {
        self.0.check_default()
    }
}

fn main() -> Result<(), Error> {
    // FirstFind is what a node has without this line.
    let node = Node::builder().id("calc").send_strategy(Logged(FirstFind)).start()?;
    // A path may be written with or without slashes around it: these are /add and /math/mul.
    node.register("add", |request: Request<(i64, i64)>| Ok(request.data.0 + request.data.1))?;
    node.register("math/mul", |request: Request<(i64, i64)>| Ok(request.data.0 * request.data.1))?;

    // What a strategy sees: the nodes, this one first, and the tree of the paths of each.
    println!("{}", node.path_table());
    assert_eq!(
        node.path_table().to_string(),
        "calc, this node\n    /\n    ├── add\n    └── math/mul"
    );

    // No wait before the first call: a node knows its own services as soon as `register` has returned.
    let sum: i64 = node.call("add").request(&(1, 7))?;
    println!("answer     {sum}");
    assert_eq!(sum, 8);

    // `*` stands for one segment, whatever it is. What is sent is the path that it stands for.
    let product: i64 = node.call("/math/*").request(&(1, 7))?;
    println!("answer     {product}");
    assert_eq!(product, 7);
    // One segment, not two, and not none.
    assert_eq!(node.call("/*").request::<i64>(&(1, 7))?, 8, "it is /add that this means");

    // Nobody serves this one. Nothing was sent, so the error names no peer.
    let error = node.call("/math/div").request::<i64>(&(1, 7)).unwrap_err();
    println!("error      {error}");
    assert_eq!((error.code(), error.peer(), error.may_have_run()), ("NOT_FOUND", None, false));
    assert_eq!(error.context("found"), Some("local"));
    // Where the paths of others begin is no service.
    assert_eq!(node.call("/math").request::<i64>(&(1, 7)).unwrap_err().code(), "NOT_FOUND");

    // What is no path is told apart from what nobody serves: a `*` is a whole segment, and the event `user:get` is no path.
    for text in ["/ma*", "user:get"] {
        let error = node.call(text).request::<i64>(&(1, 7)).unwrap_err();
        assert_eq!(error.code(), "INVALID_PATH");
    }
    // Wildcards are for calls. A service has one name.
    assert_eq!(
        node.register("/math/*", |_: Request<()>| Ok(())).unwrap_err().code(),
        "INVALID_PATH"
    );
    Ok(())
}
