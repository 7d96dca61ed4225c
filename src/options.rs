//! A node's metadata: a small map of values that its peers see.

/// A node's options: an immutable map that always holds `_id`. Cheap to clone.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct Options {}
