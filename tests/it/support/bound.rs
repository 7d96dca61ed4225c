//! A time bound for one test, shared by the unit tests and the tests over loopback: what hangs fails, and says what hangs.

use std::fs;
use std::path::Path;
use std::process::exit;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

/// Longer than any unit test takes on a busy machine.
#[allow(dead_code)] // One of the two crates that share this file names every bound.
const USUAL: Duration = Duration::from_secs(60);

/// While it lives, the test that holds it is watched.
pub(crate) struct Bound(#[allow(dead_code)] Sender<()>);

/// Bounds the rest of this test. If it takes longer, what every thread of the process is stuck in is printed, and the
/// process ends, because a thread that is stuck cannot be ended.
#[allow(dead_code)] // As above.
pub(crate) fn bound() -> Bound {
    within(thread::current().name().unwrap_or("a test"), USUAL)
}

/// The same with a name and a limit.
pub(crate) fn within(name: &str, limit: Duration) -> Bound {
    let (held, over) = channel::<()>();
    let name = name.to_owned();
    let watch = move || {
        if over.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
            eprintln!("{name}: not done after {limit:?}; the threads of this process:");
            for thread in threads_in_detail() {
                eprintln!("  {thread}");
            }
            exit(101);
        }
    };
    thread::Builder::new().name("watch".into()).spawn(watch).expect("a thread to watch");
    Bound(held)
}

/// Name, state and place of every thread.
pub(crate) fn threads_in_detail() -> Vec<String> {
    let Ok(tasks) = fs::read_dir("/proc/self/task") else {
        return vec!["this system does not list its threads".into()];
    };
    tasks.flatten().map(|task| describe(&task.path())).collect()
}

fn describe(task: &Path) -> String {
    let read = |file| fs::read_to_string(task.join(file)).unwrap_or_default().trim().to_owned();
    let status = read("status");
    let state = status.lines().find_map(|line| line.strip_prefix("State:")).unwrap_or("?").trim();
    format!("{:16} {state:14} {} {}", read("comm"), read("wchan"), read("syscall"))
}
