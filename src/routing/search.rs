//! A search among the peers of a router: whom a forwarded message is placed with, and who is named to those who choose themselves.
//!
//! It must not know how the message came, nor who is asked when nobody is found.

use super::filter::Filter;
use super::path::PathPattern;
use crate::id::NodeId;

/// Who is looked for.
#[derive(Clone, Debug)]
pub(crate) struct Search {
    /// Only this one.
    pub(crate) id: Option<NodeId>,
    pub(crate) filter: Option<Filter>,
    /// Only those that serve a path of this pattern.
    pub(crate) pattern: Option<PathPattern>,
    /// Who asked first is never found, and no router is.
    pub(crate) origin: NodeId,
}
