//! The engine's door: one value, its inputs, its outputs.

use std::marker::PhantomData;
use std::time::Instant;

use super::{Input, Local, Output};
use crate::id::LinkId;
use crate::routing::Directory;

/// One node's half of all its links.
#[derive(Debug)]
pub(crate) struct Mesh<T> {
    directory: Directory,
    token: PhantomData<T>,
}

impl<T> Mesh<T> {
    pub(crate) fn new(local: Local, rng: fastrand::Rng, now: Instant) -> Self {
        let _ = (local, rng, now);
        Self { directory: Directory::default(), token: PhantomData }
    }

    /// A fresh id for a link that the shell accepts.
    pub(crate) fn draw_link(&mut self) -> LinkId {
        unimplemented!()
    }

    /// Where the next received bytes of this link go; never empty. Valid until the next call of any method.
    pub(crate) fn space(&mut self, link: LinkId) -> &mut [u8] {
        let _ = link;
        unimplemented!()
    }

    /// Takes one input and appends what is to be done.
    pub(crate) fn handle(&mut self, now: Instant, input: Input<T>, out: &mut Vec<Output<T>>) {
        let _ = (now, input, out);
        unimplemented!()
    }

    /// When to come back with [`Input::Due`] at the latest.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        None
    }

    /// Bytes to write to this link, in order; report what the kernel took with [`Input::Sent`], then ask again.
    /// Empty slices never occur. A link that is unknown has nothing to write.
    pub(crate) fn outgoing(&self, link: LinkId) -> impl Iterator<Item = &[u8]> {
        let _ = link;
        std::iter::empty()
    }

    /// The peers as of now; cheap to clone.
    pub(crate) fn directory(&self) -> &Directory {
        &self.directory
    }
}
