//! A member: the same program at every address of the list, which knows no other member by name.

use std::time::Duration;

use threadmesh::{Error, Handle, Node, Request};

use crate::Outcome;
use crate::process::wait_for_the_end;

/// Listens at `own`, which is one of the seeds, and joins. Says whom it found.
pub(crate) fn start(id: &str, own: &str, seeds: &[&str]) -> Result<Node, Error> {
    let node = Node::builder().id(id).start()?;
    let name = id.to_owned();
    node.register("/name", move |_: Request<()>| Ok(name.clone()))?;
    // What others want to know: the members that this one knows, and what it gets when it calls a path.
    let mesh = node.handle();
    node.on_request("known", move |_: Request<()>| Ok(known(&mesh)))?;
    let mesh = node.handle();
    node.on_request("try", move |path: Request<String>| {
        // It may have been registered a few milliseconds ago.
        mesh.wait_for_service(&path.data, Duration::from_secs(10))?;
        Ok(mesh.call(&path.data).request::<String>(&())?)
    })?;
    // Only now can it be found: whoever meets it knows at once what it serves.
    node.bind(own)?;
    // The list may name this node, and the others need not be there: then it is the first, and they find it.
    let joined = node.join(seeds.iter().copied())?;
    match joined.seed {
        Some(seed) => println!("{id} asked {seed}, and reached {} more", joined.reached.len()),
        None => println!("{id} is the first"),
    }
    Ok(node)
}

/// All members as one of them sees them.
pub(crate) fn known(node: &Handle) -> Vec<String> {
    let mut ids: Vec<String> = node.path_table().iter().map(|node| node.id().to_string()).collect();
    ids.sort();
    ids
}

/// In a process of its own: until it is told to end.
pub(crate) fn run(id: &str, own: &str, seeds: &[&str]) -> Outcome<()> {
    let node = start(id, own, seeds)?;
    wait_for_the_end()?;
    // All others are told. Without this line, dropping the node would do it.
    node.stop()?;
    Ok(())
}
