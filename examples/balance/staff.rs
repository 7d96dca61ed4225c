//! The worker processes: started, found by what they tell of themselves, and ended.

use std::env;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use threadmesh::{Node, filter};

use crate::Outcome;

pub(crate) const WORKERS: usize = 10;
/// The id of the worker that is slow.
pub(crate) const SLOW: &str = "worker-10";
/// How long a job takes, in milliseconds: of the slow worker, and of the others.
pub(crate) const MILLIS: (u32, u32) = (40, 2);

/// All workers, and the node that they have joined: they end when it does.
pub(crate) struct Staff {
    host: Node,
    processes: Vec<Process>,
}

/// A process that does not outlive its owner.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself, and then there is nothing to do.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Staff {
    /// Starts all workers.
    pub(crate) fn start() -> Outcome<Self> {
        let host = Node::builder().id("host").bind("127.0.0.1:0").start()?;
        let address = host.local_addr()?.to_string();
        let start = |number| {
            let id = format!("worker-{number}");
            let millis = if id == SLOW { MILLIS.0 } else { MILLIS.1 }.to_string();
            let mut command = Command::new(env::current_exe()?);
            command.args(["--worker", &id, &address, &millis]).stdin(Stdio::null());
            Ok(Process(command.spawn()?))
        };
        let processes = (1..=WORKERS).map(start).collect::<Outcome<_>>()?;
        Ok(Self { host, processes })
    }

    /// Where each of them can be dialled, once all have joined.
    pub(crate) fn addresses(&self) -> Outcome<Vec<String>> {
        let address = |number| {
            let who = filter! { "_id": format!("worker-{number}"), "address": { "$exists": true } };
            let worker = self.host.wait_for_peer(who, Duration::from_secs(20))?;
            Ok(worker.options.get_str("address").unwrap_or_default().to_owned())
        };
        (1..=WORKERS).map(address).collect()
    }

    /// Says goodbye, and waits until all have ended.
    pub(crate) fn end(mut self) -> Outcome<()> {
        self.host.stop()?;
        for process in &mut self.processes {
            let status = process.0.wait()?;
            if !status.success() {
                return Err(format!("a worker ended with {status}").into());
            }
        }
        Ok(())
    }
}
