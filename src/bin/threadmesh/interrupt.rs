//! Ctrl-C, and the signals by which systems end programs: the first ends what is under way in good order, the second at once.

use std::process;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use threadmesh::Handle;

use crate::exit::Exit;

static REQUESTED: AtomicBool = AtomicBool::new(false);
/// What is done at the first signal; taken when it comes.
static AT_THE_END: Mutex<Vec<Task>> = Mutex::new(Vec::new());

type Task = Box<dyn FnOnce() + Send>;

/// Takes the signals from now on. Without effect where the system has none.
pub(crate) fn install() {
    let told = || {
        if REQUESTED.swap(true, SeqCst) {
            process::exit(i32::from(Exit::Interrupted.number()));
        }
        // On a thread of its own, so that the second signal is heard meanwhile.
        run(std::mem::take(&mut *tasks()));
    };
    if let Err(why) = ctrlc::set_handler(told) {
        log::warn!(target: "threadmesh::cli", "Ctrl-C will end the program at once: {why}");
    }
}

/// Whether somebody has asked for the end.
pub(crate) fn is_requested() -> bool {
    REQUESTED.load(SeqCst)
}

/// Does this at the first signal; at once if it has come already.
pub(crate) fn then(task: impl FnOnce() + Send + 'static) {
    let mut tasks = tasks();
    tasks.push(Box::new(task));
    if is_requested() {
        run(std::mem::take(&mut *tasks));
    }
}

/// Stops a node at the first signal. Calls of it that are under way fail then.
pub(crate) fn stops(node: &Handle) {
    let node = node.clone();
    then(move || {
        // Whoever waits for the node gets the report, and after an error there is nothing to stop.
        let _ = node.stop();
    });
}

fn run(tasks: Vec<Task>) {
    let all = move || tasks.into_iter().for_each(|task| task());
    if thread::Builder::new().name("stop".into()).spawn(all).is_err() {
        process::exit(i32::from(Exit::Interrupted.number()));
    }
}

fn tasks() -> MutexGuard<'static, Vec<Task>> {
    AT_THE_END.lock().unwrap_or_else(PoisonError::into_inner)
}
