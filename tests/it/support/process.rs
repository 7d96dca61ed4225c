//! Tests in processes of their own: this very program is started again with a role in its environment.
//!
//! The child runs one test function, [`role`], which does nothing when no role is given. A child ends when it is done, when its
//! parent drops it, or when its own bound is over.

use std::env;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use super::bounded;

const ROLE: &str = "THREADMESH_TEST_ROLE";
const ARGUMENT: &str = "THREADMESH_TEST_ARGUMENT";
/// What a child says to its parent begins with this; the rest of its output is the test runner's.
const MARK: &str = "said: ";
const BOUND: Duration = Duration::from_secs(120);

/// A name, and what a child of that name does with its argument.
type Role = (&'static str, fn(&str));

/// What children can be.
const ROLES: &[Role] = &[
    ("holder", crate::direct::holder),
    ("server", crate::life::server),
    ("sink", crate::events::sink),
    ("rounds", crate::rounds::many_rounds),
    #[cfg(target_os = "linux")]
    ("worker", crate::processes::worker),
    #[cfg(target_os = "linux")]
    ("patient", crate::faults::patient),
    #[cfg(target_os = "linux")]
    ("busybody", crate::faults::busybody),
    #[cfg(target_os = "linux")]
    ("writer", crate::faults::writer),
    #[cfg(target_os = "linux")]
    ("sluggish", crate::flow::sluggish),
    #[cfg(target_os = "linux")]
    ("teller", crate::flow::teller),
    #[cfg(target_os = "linux")]
    ("hub", crate::herd::hub),
    #[cfg(target_os = "linux")]
    ("herd", crate::herd::herd),
    #[cfg(target_os = "linux")]
    ("idlers", crate::herd::idlers),
    #[cfg(target_os = "linux")]
    ("throng", crate::slow_peer::throng),
    #[cfg(target_os = "linux")]
    ("recorder", crate::survival::recorder),
    #[cfg(target_os = "linux")]
    ("member", crate::five::member),
    #[cfg(target_os = "linux")]
    ("one_of_many", crate::members_processes::one_of_many),
    ("mortal", crate::choosing::mortal),
    ("stopped", crate::rounds::stopped_nodes),
    ("kept", crate::stops::kept_handles),
];

/// Not a test of its own: where children begin.
#[test]
fn role() {
    let Ok(name) = env::var(ROLE) else { return };
    let argument = env::var(ARGUMENT).unwrap_or_default();
    let (_, body) = ROLES.iter().find(|(role, _)| *role == name).expect("a known role");
    bounded(&name, BOUND, || body(&argument));
}

/// Tells the parent something.
pub(crate) fn say(text: impl std::fmt::Display) {
    // The runner may have begun a line.
    println!("\n{MARK}{text}");
}

/// A child process; killed when dropped.
pub(crate) struct Process {
    child: Mutex<Child>,
    said: BufReader<ChildStdout>,
}

impl Process {
    pub(crate) fn start(role: &str, argument: &str) -> Self {
        Self::start_under(&[], role, argument)
    }

    /// The same with a program before it, like `strace` and its arguments.
    pub(crate) fn start_under(before: &[&str], role: &str, argument: &str) -> Self {
        let program = env::current_exe().expect("this program has a path");
        let mut words = before.iter().map(OsStr::new).chain([program.as_os_str()]);
        let mut command = Command::new(words.next().expect("one word at least"));
        command.args(words);
        command.args(["--exact", "support::process::role", "--nocapture", "--test-threads=1"]);
        command.env(ROLE, role).env(ARGUMENT, argument).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("this program can be started again");
        let said = BufReader::new(child.stdout.take().expect("it is piped"));
        Self { child: Mutex::new(child), said }
    }

    /// The next thing the child says; `None` when it has ended. The caller's own bound ends the wait.
    pub(crate) fn hear(&mut self) -> Option<String> {
        let mut lines = self.said.by_ref().lines().map_while(Result::ok);
        lines.find_map(|line| line.strip_prefix(MARK).map(str::to_owned))
    }

    /// Sends the child a signal, by its name.
    #[cfg(unix)]
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.lock().expect("nobody panics while holding it").id();
        let sent = Command::new("kill").args([format!("-{name}"), pid.to_string()]).status();
        assert!(sent.expect("there is a program `kill`").success());
    }

    /// Ends the child without asking it.
    pub(crate) fn kill(&self) {
        let mut child = self.child.lock().expect("nobody panics while holding it");
        // It may have ended by itself.
        let _ = child.kill();
        let _ = child.wait();
    }

    /// Waits for the end and asserts that it was a good one.
    pub(crate) fn succeed(mut self) {
        while self.hear().is_some() {}
        let status = self.child.lock().expect("nobody panics while holding it").wait();
        assert!(
            status.expect("a child can be waited for").success(),
            "the child failed, see above"
        );
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
