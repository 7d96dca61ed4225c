//! What must hold for any bytes, as functions for the fuzz targets. Not part of the API: it exists only for fuzzing and tests.
//!
//! The bodies stand in the rooms they are about. The tests here run each of them on its committed corpus.

use crate::proto::fuzz as proto;
use crate::routing::fuzz as routing;
use crate::wire::fuzz as wire;

/// However a stream of frames is cut, it gives the same messages and the same error, within the promised memory.
pub fn frame(bytes: &[u8]) {
    wire::frame(bytes);
}

/// A message that is accepted is what writing it again gives.
pub fn envelope(bytes: &[u8]) {
    wire::envelope(bytes);
}

/// What a stranger says first, to a listener or a dialler, gets it nowhere and is forgotten.
pub fn handshake(bytes: &[u8]) {
    proto::handshake(bytes);
}

/// What a joined peer says breaks nothing, and our call to it ends exactly once.
pub fn connection(bytes: &[u8]) {
    proto::connection(bytes);
}

/// A filter means what a plain reference says it means, and reads back as what it was.
pub fn filter(bytes: &[u8]) {
    routing::filter(bytes);
}

/// Paths, patterns and trees of paths mean what a plain reference says they mean, and read back as what they were.
pub fn path(bytes: &[u8]) {
    routing::path(bytes);
}

/// A mesh in the simulated world, its faults and its script drawn from the bytes: everything that holds for seeds holds.
pub fn world(bytes: &[u8]) {
    proto::world(bytes);
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    /// A panic names the file, so that it can be looked at.
    struct Running(String);

    impl Drop for Running {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("the file is {}", self.0);
            }
        }
    }

    fn run_corpus(target: &str, body: fn(&[u8])) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
        let mut files = 0;
        for entry in fs::read_dir(&folder).expect("the corpus is committed") {
            let path = entry.expect("a readable folder").path();
            let _running = Running(path.display().to_string());
            body(&fs::read(&path).expect("a readable file"));
            files += 1;
        }
        assert!(files > 2, "{} has only {files} files", folder.display());
    }

    #[test]
    fn frame_holds_for_its_corpus() {
        run_corpus("frame", super::frame);
    }

    #[test]
    fn envelope_holds_for_its_corpus() {
        run_corpus("envelope", super::envelope);
    }

    #[test]
    fn handshake_holds_for_its_corpus() {
        run_corpus("handshake", super::handshake);
    }

    #[test]
    fn connection_holds_for_its_corpus() {
        run_corpus("connection", super::connection);
    }

    #[test]
    fn filter_holds_for_its_corpus() {
        run_corpus("filter", super::filter);
    }

    #[test]
    fn path_holds_for_its_corpus() {
        run_corpus("path", super::path);
    }

    #[test]
    fn world_holds_for_its_corpus() {
        run_corpus("world", super::world);
    }

    #[test]
    fn world_holds_for_fixed_seeds() {
        for seed in 0..60 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut bytes = vec![0; rng.usize(8..400)];
            rng.fill(&mut bytes);
            let _running = Running(format!("seed {seed}"));
            super::world(&bytes);
        }
    }
}
