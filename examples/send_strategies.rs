//! Who gets a call by path: each send strategy of the crate once, on three nodes that run on two hosts; and the same without an answer.

use std::time::Duration;

use crossbeam_channel::unbounded;
use threadmesh::{
    BroadcastGlobal, BroadcastLocal, Error, FirstFind, Node, Request, RoundRobin, SendStrategy,
    SendToAll, SendToAllOnePerNode, SendToTarget,
};

const PATIENCE: Duration = Duration::from_secs(10);

/// Asks all whom the strategy means: who answered by which path, and who serves no such path.
fn ask(node: &Node, path: &str, by: impl SendStrategy + 'static) -> Result<String, Error> {
    let answers = node.call(path).by(by).request_all::<()>(&())?;
    let shown = answers.iter().map(|(to, answer)| match answer {
        Ok(()) => to.to_string(),
        Err(error) => format!("{to} {}", error.code()),
    });
    let shown = shown.collect::<Vec<_>>().join(", ");
    println!("{path:8} {shown}");
    Ok(shown)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (tell, told) = unbounded();
    // All of them run on this machine. What they say of their hosts is believed.
    let start = |id: &'static str, host: &str, paths: &[&str]| {
        let node = Node::builder().id(id).host(host).bind("127.0.0.1:0").start()?;
        for &path in paths {
            let tell = tell.clone();
            node.register(path, move |request: Request<()>| {
                if !request.wants_answer() {
                    let _ = tell.send(id);
                }
                Ok(())
            })?;
        }
        Ok::<_, Error>(node)
    };
    let a = start("a", "left", &["/hi/en"])?;
    let (b, c) = (start("b", "left", &["/hi/en", "/hi/fr"])?, start("c", "right", &["/hi/fr"])?);
    let stranger = start("stranger", "right", &["/hi/de"])?;
    a.connect(b.local_addr()?)?;
    a.connect(c.local_addr()?)?;

    // By what nodes serve: the first match, every match, one of each node.
    assert_eq!(ask(&a, "/hi/*", FirstFind)?, "a/hi/en");
    assert_eq!(ask(&a, "/hi/*", SendToAll)?, "a/hi/en, b/hi/en, b/hi/fr, c/hi/fr");
    assert_eq!(ask(&a, "/hi/*", SendToAllOnePerNode)?, "a/hi/en, b/hi/en, c/hi/fr");
    // To everybody on this host, or anywhere, whether they serve it or not: who does not says so.
    assert_eq!(ask(&a, "/hi/fr", BroadcastLocal)?, "a/hi/fr NOT_FOUND, b/hi/fr");
    assert_eq!(ask(&a, "/hi/fr", BroadcastGlobal)?, "a/hi/fr NOT_FOUND, b/hi/fr, c/hi/fr");
    // To one node: by its id, or by an address that is not connected yet, which is dialled then.
    assert_eq!(ask(&a, "/hi/fr", SendToTarget::new("c"))?, "c/hi/fr");
    assert_eq!(ask(&a, "/hi/de", SendToTarget::new(stranger.local_addr()?))?, "stranger/hi/de");

    // A call that names no strategy goes by that of the node, which can be replaced at any time. Here it takes turns.
    a.set_send_strategy(RoundRobin::new())?;
    for turn in ["b", "c", "b", "c"] {
        assert_eq!(a.call("/hi/fr").request_reply::<()>(&())?.handled_by, turn);
    }
    // Under one that means many, a call for one answer fails, and nothing is sent.
    a.set_send_strategy(SendToAll)?;
    assert_eq!(a.call("/hi/fr").request::<()>(&()).unwrap_err().code(), "INVALID_ARGUMENT");
    // One node for all calls to all paths is no default, and is refused.
    assert!(a.set_send_strategy(SendToTarget::new("c")).is_err());

    // Fire and forget, with any strategy, to the same services.
    assert_eq!(a.call("/hi/fr").tick(&())?.sent, 2);
    let mut heard = [told.recv_timeout(PATIENCE)?, told.recv_timeout(PATIENCE)?];
    heard.sort_unstable();
    assert_eq!(heard, ["b", "c"]);
    Ok(())
}
