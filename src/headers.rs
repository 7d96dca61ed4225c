//! What travels beside the data of a message: the user's text keys and the protocol's integer keys.

/// Small facts that travel with a message and through routers: trace ids, tokens. Empty costs nothing.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct Headers {}
