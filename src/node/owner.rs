//! [`Node`]: the owner of the threads. It adds nothing to [`Handle`] but the end.

use std::ops::Deref;
use std::time::Duration;

use super::builder::Builder;
use super::handle::Handle;
use super::runtime;

/// How long dropping a node may take.
const DROP_BOUND: Duration = Duration::from_millis(500);

/// A node: one process's membership in a mesh. Owns its threads, and stops when it is dropped.
///
/// Everything it can do, [`Handle`] can; a `Node` derefs to one. There is one `Node` and any number of handles.
///
/// # Dropping
/// Like [`stop`](Handle::stop), with a bound of 500 ms. On a thread of the node itself (a handler that holds the `Node`) the
/// drop returns at once and a thread of its own sees the stop through. Nodes can be dropped in any order: a peer sees a
/// goodbye. Inside the node the loop goes first, so that its sockets are closed and every waiting call has ended, then the
/// handlers are dropped and the workers are joined.
///
/// # Example
/// ```
/// use threadmesh::Node;
///
/// let node = Node::builder().id("a").bind("127.0.0.1:0").start()?;
/// let handle = node.handle();
/// drop(node);
/// assert_eq!(handle.unbind().unwrap_err().code(), "CLOSED");
/// # Ok::<(), threadmesh::Error>(())
/// ```
#[derive(Debug)]
pub struct Node {
    handle: Handle,
}

impl Node {
    /// A node that is being put together.
    pub fn builder() -> Builder {
        Builder::new()
    }

    pub(crate) fn new(handle: Handle) -> Self {
        Self { handle }
    }

    /// A way to this node that does not keep it alive.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }
}

impl Deref for Node {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // In a fork there is nothing to stop.
        let _ = runtime::stop(&self.handle.shared(), DROP_BOUND);
    }
}
