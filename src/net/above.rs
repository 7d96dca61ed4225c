//! What the loop calls upwards. The only way out of this room; implemented where the node's threads are put together.

use crate::error::Error;
use crate::id::CallId;
use crate::node_event::NodeEvent;
use crate::proto::{Answer, Choose, Chosen, Delivery, Done, ReplyTo};
use crate::routing::Directory;

/// The rooms above, as the loop sees them. Every method runs on the loop thread: none may block, run user code, or post to the loop's own
/// mailbox, which may be full.
pub(crate) trait Above<T> {
    /// Takes all messages that one turn brought, in their order, and leaves `batch` empty. What comes back are the answers to
    /// requests that cannot be taken.
    fn deliver(&mut self, batch: &mut Vec<Delivery>) -> Vec<(ReplyTo, Answer)>;

    /// A command has finished. A token that is dropped instead belongs to a command that came after the end: its caller is to read that as
    /// `CLOSED`.
    fn complete(&mut self, token: T, result: Result<Done, Error>);

    /// Something happened to the mesh.
    fn event(&mut self, event: NodeEvent);

    /// Has somebody else look for peers, who posts [`Input::Chosen`](crate::proto::Input::Chosen); what comes back is the answer if nobody can.
    fn choose(&mut self, choose: Choose) -> Option<(CallId, Result<Chosen, Error>)>;

    /// Shows the peers to all callers, if that is possible at once; `false` asks to be called again.
    fn publish(&mut self, directory: &Directory) -> bool;

    /// The peers are shown, and what happened to them is told: who waits for a peer may go on.
    fn published(&mut self);

    /// The loop has ended: its sockets are closed, posts fail, nothing is called after this.
    fn stopped(&mut self);
}
