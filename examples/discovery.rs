//! Workers tell what they can do and how busy they are. A coordinator, which knows none by name, sends each job to one that can take it.

use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, unbounded};
use serde::Deserialize;
use threadmesh::{
    Error, ErrorKind, HandlerError, Node, Request, blocking, filter, options, predicate_as,
};

const PATIENCE: Duration = Duration::from_secs(10);

/// What a worker tells about itself. The coordinator reads the same as a type.
#[derive(Deserialize)]
struct Worker {
    capabilities: Vec<String>,
    load: u32,
    most: u32,
}

impl Worker {
    fn can(&self, what: &str) -> bool {
        self.capabilities.iter().any(|known| known == what)
    }
}

/// A worker with room for one job. A job of it is done when `done` says so; the load is told before and after.
fn worker(id: &'static str, can: &'static [&str], done: Receiver<()>) -> Result<Node, Error> {
    let options = options! { "role": "worker", "capabilities": can.to_vec(), "load": 0, "most": 1 };
    let node = Node::builder().id(id).options(options).start()?;
    let handle = node.handle();
    node.on_request("process", move |_: Request<String>| {
        handle.update_options(&options! { "load": 1 })?;
        // The work. Whoever waits for something in a handler tells the workers by this.
        let _ = blocking(|| done.recv());
        handle.update_options(&options! { "load": 0 })?;
        Ok::<_, HandlerError>(id)
    })?;
    Ok(node)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let coordinator = Node::builder().id("coordinator").bind("127.0.0.1:0").start()?;
    let address = coordinator.local_addr()?;
    // By capability: an element of an array among the options. By capacity: two options compared, which takes a closure.
    let video = filter! { "capabilities": { "$contains": "video" } };
    let free_for_video =
        predicate_as(|worker: Worker| worker.can("video") && worker.load < worker.most);
    // Both together: the filter is asked first, the closure only about those that it lets through.
    let free = video.clone().when(|peer| peer.get_u64("load") < peer.get_u64("most"));

    // Nobody is there yet, and a call says so at once, unless it is told to wait for somebody.
    let error = coordinator.request_any::<String, _>(&free, "process", "trailer").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoNodesMatchFilter);
    let (finish, done) = unbounded();
    thread::scope(|scope| {
        let call = coordinator.any(&free).wait_for_match(PATIENCE);
        let first = scope.spawn(move || call.request::<String, _>("process", "trailer"));
        let workers = [
            worker("photo", &["image"], done.clone())?,
            worker("film", &["video", "image"], done)?,
        ];
        for worker in &workers {
            worker.connect(address)?;
        }
        // The load is live: as soon as the worker has told it, calls go elsewhere.
        coordinator.wait_for_peer(filter! { "_id": "film", "load": 1 }, PATIENCE)?;
        assert_eq!(coordinator.get_filtered_peers(&video)?.len(), 1, "it can, but has no room");
        assert!(coordinator.get_filtered_peers(&free_for_video)?.is_empty());
        let call = coordinator.any(&free_for_video).wait_for_match(PATIENCE);
        let second = scope.spawn(move || call.request::<String, _>("process", "film"));
        // One is done, so there is room for the other.
        finish.send(())?;
        assert_eq!(first.join().expect("it does not panic")?, "film");
        finish.send(())?;
        println!("both jobs were done by {:?}", second.join().expect("it does not panic")?);
        Ok(())
    })
}
