//! What this process holds: threads, descriptors, memory. Elsewhere than on Linux nothing can be counted, and that is said.

use std::fs;

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
