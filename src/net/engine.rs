//! The engine as the loop sees it. Two things stand behind this door: the mesh, and the small fakes that this room is tested with.

use std::time::Instant;

use crate::id::LinkId;
use crate::proto::{Input, Mesh, Output};
use crate::routing::Directory;

/// What the loop needs of [`Mesh`]; the methods are described there.
pub(crate) trait Engine<T> {
    fn draw_link(&mut self) -> LinkId;
    fn space(&mut self, link: LinkId) -> &mut [u8];
    fn handle(&mut self, now: Instant, input: Input<T>, out: &mut Vec<Output<T>>);
    fn deadline(&self) -> Option<Instant>;
    fn outgoing(&self, link: LinkId) -> impl Iterator<Item = &[u8]>;
    fn directory(&self) -> &Directory;
}

impl<T> Engine<T> for Mesh<T> {
    fn draw_link(&mut self) -> LinkId {
        self.draw_link()
    }

    fn space(&mut self, link: LinkId) -> &mut [u8] {
        self.space(link)
    }

    fn handle(&mut self, now: Instant, input: Input<T>, out: &mut Vec<Output<T>>) {
        self.handle(now, input, out);
    }

    fn deadline(&self) -> Option<Instant> {
        self.deadline()
    }

    fn outgoing(&self, link: LinkId) -> impl Iterator<Item = &[u8]> {
        self.outgoing(link)
    }

    fn directory(&self) -> &Directory {
        self.directory()
    }
}
