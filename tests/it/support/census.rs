//! What this process holds: threads, descriptors, memory. Elsewhere than on Linux nothing can be counted, and that is said.

use std::fs;
use std::path::Path;

/// What a process may leak.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Census {
    pub(crate) threads: usize,
    pub(crate) descriptors: usize,
}

/// `None` where the system does not tell.
pub(crate) fn take() -> Option<Census> {
    let count = |folder| Some(fs::read_dir(folder).ok()?.count());
    // Reading the folder takes one descriptor, each time.
    Some(Census { threads: count("/proc/self/task")?, descriptors: count("/proc/self/fd")? })
}

/// Resident memory in bytes.
pub(crate) fn memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches("kB").trim().parse::<u64>().ok().map(|kib| kib * 1_024)
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
