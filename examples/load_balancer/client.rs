//! The client: calls `/job` and knows nothing of workers, except that it starts the processes of this example.

use std::collections::BTreeMap;
use std::time::Duration;

use threadmesh::{Error, KnownNode, Node, PathCall, Pending};

use crate::Outcome;
use crate::balancer::Done;
use crate::process::Process;

/// How long a job may take, from here to the worker and back. A node that is told nothing gives a call 10 s.
const TIME: Duration = Duration::from_secs(5);
/// How long processes may take to start.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn run() -> Outcome<()> {
    let node = Node::builder().id("client").bind("127.0.0.1:0").start()?;
    let balancer = Process::start(&["--balancer", &node.local_addr()?.to_string()])?;
    let known = node.wait_for_service("/job", PATIENCE)?;
    // The workers dial the balancer. The client has learned where it listens.
    let table = node.path_table();
    let listens = table.get(known.id.as_str()).and_then(KnownNode::address);
    let address = listens.ok_or("the balancer listens nowhere")?.to_string();
    let mut workers = Vec::new();
    for id in ["w1", "w2", "w3"] {
        workers.push(Process::start(&["--worker", id, &address])?);
        node.call("/wait_for").timeout(PATIENCE).request::<()>(id)?;
    }
    let jobs = node.call("/job").timeout(TIME);

    // Each of three gets a third, and the time of the client's call goes with every job.
    let done = spread(&jobs, 30)?;
    println!("30 jobs: {done:?}");
    assert!(done.len() == 3 && done.values().all(|number| *number == 10));

    // The second ends while many jobs are under way. What it has begun it finishes; the rest another does.
    let mut under_way: Vec<Pending<Done>> =
        (0..200).map(|job| jobs.start(&job)).collect::<Result<_, _>>()?;
    let early = under_way.drain(..9).map(Pending::wait).collect::<Result<Vec<_>, _>>()?;
    workers.remove(1).end()?;
    let late = under_way.into_iter().map(Pending::wait).collect::<Result<Vec<_>, _>>()?;
    let answers = [early, late].concat();
    let of_second = answers.iter().filter(|reply| reply.value.0 == "w2").count();
    println!("{} jobs while w2 stopped: all are done, {of_second} by w2", answers.len());

    // The other two alternate.
    let done = spread(&jobs, 20)?;
    println!("20 jobs: {done:?}");
    assert!(done.len() == 2 && done["w1"] == 10 && done["w3"] == 10);

    workers.into_iter().chain([balancer]).try_for_each(Process::end)
}

/// Jobs one after the other: how many each worker did.
fn spread(jobs: &PathCall<'_>, number: u64) -> Result<BTreeMap<String, usize>, Error> {
    let mut done = BTreeMap::new();
    for job in 0..number {
        let (worker, left): Done = jobs.request(&job)?;
        assert!(left <= TIME.as_millis() as u64, "the balancer gives no more time than it has");
        *done.entry(worker).or_default() += 1;
    }
    Ok(done)
}
