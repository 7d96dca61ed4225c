//! What a node has dropped or refused so far, by reason. It must not decide anything: it is a list of numbers.

use std::collections::BTreeMap;

/// The reason of messages whose caller was told `BACKPRESSURE`, at once or after they waited in line.
pub(crate) const NO_ROOM: &str = "messages that found no room on their link";

/// What a node has dropped or refused since it started, one number a reason. Got from [`Handle::dropped`](crate::Handle::dropped).
///
/// The reasons are short English texts for logs and graphs: limits that were reached, answers that came too late, and the ways in
/// which peers broke the protocol. A reason is listed once it has happened; more of them may come with newer versions.
///
/// # Example
/// ```
/// # use threadmesh::Node;
/// let node = Node::builder().start()?;
/// let dropped = node.dropped()?;
/// assert_eq!(dropped.get("connections beyond the limit of links"), 0);
/// assert_eq!(dropped.iter().count(), 0);
/// # Ok::<(), threadmesh::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Dropped(BTreeMap<&'static str, u64>);

impl Dropped {
    /// The reasons that have happened and how often, in the order of the alphabet.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(reason, count)| (*reason, *count))
    }

    /// How often that has happened; 0 for a reason that has not, or that there is not.
    pub fn get(&self, reason: &str) -> u64 {
        self.0.get(reason).copied().unwrap_or(0)
    }

    /// Adds what has happened for one reason.
    pub(crate) fn add(&mut self, reason: &'static str, count: u64) {
        if count > 0 {
            *self.0.entry(reason).or_default() += count;
        }
    }
}
