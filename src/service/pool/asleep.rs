//! Whether a thread sleeps or only waits for a processor. Linux says so in `/proc`; elsewhere nothing is known.

use std::fs;
use std::path::PathBuf;

/// Where the kernel tells about one thread.
#[derive(Clone, Debug)]
pub(super) struct Pulse(PathBuf);

impl Pulse {
    /// The pulse of the calling thread, if it can be known.
    pub(super) fn of_this_thread() -> Option<Self> {
        let thread = fs::read_link("/proc/thread-self").ok()?;
        Some(Self(PathBuf::from("/proc").join(thread).join("stat")))
    }

    /// Whether the thread runs, or would if it had a processor. False also when it is gone.
    pub(super) fn wants_processor(&self) -> bool {
        // The state follows the name of the thread, which stands in brackets and may hold brackets itself.
        let stat = fs::read_to_string(&self.0).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('R'))
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_running_thread_wants_a_processor_and_a_parked_one_does_not() {
        let _bound = crate::bound::bound();
        let pulse = Pulse::of_this_thread().unwrap();
        assert!(pulse.wants_processor());
        let (tell, told) = crossbeam_channel::bounded(1);
        let parked = std::thread::Builder::new().spawn(move || {
            tell.send(Pulse::of_this_thread().unwrap()).unwrap();
            std::thread::park();
        });
        let (parked, pulse) = (parked.unwrap(), told.recv().unwrap());
        let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while pulse.wants_processor() {
            assert!(std::time::Instant::now() < until);
            std::thread::yield_now();
        }
        parked.thread().unpark();
        parked.join().unwrap();
    }
}
