//! Whom a call goes to: a node by its id, or one that fits a filter, a closure, a direction. A hub that dialled two nodes and was dialled
//! by three chooses among them.

use threadmesh::{Error, ErrorKind, Node, Options, Request, filter, options, predicate, value};

/// A node that says its name when it is asked.
fn start(id: &'static str, options: Options) -> Result<Node, Error> {
    let builder = Node::builder().id(id).options(options).bind("127.0.0.1:0");
    builder.on_request("name", move |_: Request<()>| Ok(id)).start()
}

fn main() -> Result<(), Error> {
    // Upstream of the hub are the nodes that it dials, downstream those that dial it.
    let hub = Node::builder().id("hub").bind("127.0.0.1:0").start()?;
    let upstream = [
        start("auth", options! { "role": "auth", "version": 3 })?,
        start("reserve", options! { "role": "worker", "region": "eu-west", "cores": 64 })?,
    ];
    for node in &upstream {
        hub.connect(node.local_addr()?)?;
    }
    let of_worker = options! { "role": "worker", "region": "us-east", "cores": 8, "queue": 0 };
    let downstream = [
        start("us-1", of_worker.clone().with("gpu", value!({ "memory": 80 })))?,
        start("us-2", of_worker.clone().with("queue", 40))?,
        start("eu-1", of_worker.clone().with("region", "eu-west"))?,
    ];
    for node in &downstream {
        node.connect(hub.local_addr()?)?;
    }

    // By id: this one or none.
    assert_eq!(hub.request::<String, _>("auth", "name", &())?, "auth");

    // By filter: any one whose options have these values, whatever other options they have.
    let worker = filter! { "role": "worker" };
    let chosen: String = hub.request_any(&worker, "name", &())?;
    println!("one of the workers, by chance: {chosen}");
    assert_ne!(chosen, "auth");
    // Several properties, and all of them count: the right role in the wrong place is not enough.
    let in_europe = filter! { "role": "worker", "region": "eu-west", "cores": 8 };
    assert_eq!(hub.request_any::<String, _>(in_europe, "name", &())?, "eu-1");
    let on_mars = filter! { "role": "worker", "region": "mars" };
    let error = hub.request_any::<String, _>(on_mars, "name", &()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoNodesMatchFilter);
    // More than equality, also inside of a map.
    let with_gpu = filter! { "gpu.memory": { "$gte": 40 }, "queue": { "$lt": 10 } };
    assert_eq!(hub.request_any::<String, _>(with_gpu, "name", &())?, "us-1");

    // By predicate: what no filter can say.
    let swamped = predicate(|peer| peer.get_u64("queue") > peer.get_u64("cores"));
    assert_eq!(hub.request_any::<String, _>(&swamped, "name", &())?, "us-2");

    // By direction. The workers that dialled the hub are its staff; the one that it dialled is the reserve.
    assert_eq!(hub.request_up_any::<String, _>(&worker, "name", &())?, "reserve");
    assert_ne!(hub.request_down_any::<String, _>(&worker, "name", &())?, "reserve");
    // The same at greater length, for a call that says more: here also whom it must not go to.
    let staff = hub.any(&worker).down().except("us-1").except("us-2");
    assert_eq!(staff.request::<String, _>("name", &())?, "eu-1");

    // Who matches, without sending anything: in the order in which they joined.
    let known = hub.get_filtered_peers(&worker)?;
    let ids: Vec<&str> = known.iter().map(|peer| peer.id.as_str()).collect();
    assert_eq!(ids, ["reserve", "us-1", "us-2", "eu-1"]);
    assert!(known[0].directions.up && known[1].directions.down);

    // Why somebody matches or does not.
    for explanation in hub.explain(&worker)? {
        println!("{explanation}");
    }
    let about_auth = hub.explain(&worker)?.swap_remove(0);
    assert!(about_auth.peer == "auth" && about_auth.failed.is_some());
    Ok(())
}
