//! Why a peer matches, or does not: for people who look for a mistake. It must not be needed by any call.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::handle::Handle;
use super::selector::Selector;
use crate::error::Error;
use crate::id::NodeId;
use crate::options::Options;

/// Whether one peer matches, and if not, what it fails on. Made by [`Handle::explain`].
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Explanation {
    /// Which peer.
    pub peer: NodeId,
    /// What it fails on, and what was found there; `None` if it matches.
    pub failed: Option<String>,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.peer, self.failed.as_deref().unwrap_or("matches"))
    }
}

impl Handle {
    /// Says of every peer, in join order, whether it matches, and if not, which clause fails and what was found. For people and logs:
    /// the wording may change. Directions and whom else a call leaves out are not looked at: [`PeerInfo::directions`](crate::PeerInfo)
    /// has the former.
    ///
    /// # Errors
    /// `INVALID_FILTER`, `CLOSED`. A predicate that panics fails the peer it panics for.
    ///
    /// # Threads
    /// A predicate runs on this thread.
    ///
    /// # Example
    /// ```
    /// # use threadmesh::{Node, filter, options};
    /// # let server = Node::builder().id("w1").options(options! { "role": "api" }).bind("127.0.0.1:0").start()?;
    /// # let node = Node::builder().start()?;
    /// # node.connect(server.local_addr()?)?;
    /// for explanation in node.explain(filter! { "role": "worker" })? {
    ///     println!("{explanation}"); // w1: role = "worker": role is "api"
    /// }
    /// # assert!(node.explain(filter! { "role": "worker" })?[0].failed.is_some());
    /// # Ok::<(), threadmesh::Error>(())
    /// ```
    pub fn explain(&self, selector: impl Into<Selector>) -> Result<Vec<Explanation>, Error> {
        self.core().open()?;
        let Selector { id, filter, predicate } = selector.into();
        let explain = |peer: &NodeId, options: &Options| -> Result<Option<String>, Error> {
            if id.as_ref().is_some_and(|id| peer != &**id) {
                return Ok(Some(format!("its id is not {:?}", id.as_deref().unwrap_or_default())));
            }
            if let Some(failed) =
                filter.as_ref().map(|filter| filter.explain(options)).transpose()?.flatten()
            {
                return Ok(Some(failed));
            }
            let Some(predicate) = &predicate else { return Ok(None) };
            let held = catch_unwind(AssertUnwindSafe(|| (predicate.test)(options)));
            Ok(match held {
                Ok(true) => None,
                Ok(false) => Some(format!("the predicate at {} says no", predicate.place)),
                Err(_) => Some(format!("the predicate at {} panicked", predicate.place)),
            })
        };
        let directory = self.core().directory();
        let all = directory.iter().map(|peer| {
            let failed = explain(&peer.id, &peer.options)?;
            Ok(Explanation { peer: peer.id.clone(), failed })
        });
        all.collect()
    }
}
