//! Errors of calls that end before their reply. It must not decide when.

use crate::error::{Error, ErrorKind, Execution};
use crate::id::NodeId;
use crate::routing::Destination;

/// The node has stopped.
pub(crate) fn closed() -> Error {
    let why = "this node has stopped; start another one to go on";
    Error::new(ErrorKind::Closed, why).with_execution(Execution::Never)
}

/// The link was gone before the message was wholly written.
pub(crate) fn lost_unsent(peer: &NodeId) -> Error {
    let why = format!("the link to {peer} was lost before the message was sent; it did not run");
    Error::new(ErrorKind::ConnectionLost, why)
        .with_execution(Execution::Never)
        .with_peer(peer.clone())
}

/// The peer's goodbye lists the requests that it has accepted, and this is none of them: they
/// crossed each other.
pub(crate) fn passed_over(peer: &NodeId) -> Error {
    let why = format!("{peer} said goodbye before it took the request up; it did not run");
    Error::new(ErrorKind::ConnectionLost, why)
        .with_execution(Execution::Never)
        .with_peer(peer.clone())
}

/// The link was gone after the message was written.
pub(crate) fn lost_sent(peer: &NodeId) -> Error {
    let why = format!("the link to {peer} was lost before it answered; the request may have run");
    Error::new(ErrorKind::ConnectionLost, why).with_peer(peer.clone())
}

/// The peer takes no payload of that length.
pub(crate) fn too_large(bytes: usize, max: usize) -> Error {
    let why = format!("the data has {bytes} bytes, the peer takes {max}");
    Error::new(ErrorKind::TooLarge, why)
}

/// The router, or this node, knows no match.
pub(crate) fn no_match(sought: &Destination, router: Option<NodeId>) -> Error {
    let knower = router.as_ref().map_or("this node", NodeId::as_str);
    let (kind, why) = match sought {
        Destination::Id(id) => (ErrorKind::NodeNotFound, format!("{knower} knows no way to {id}")),
        Destination::Filter(_) => {
            (ErrorKind::NoNodesMatchFilter, format!("{knower} knows no node that matches"))
        }
        Destination::Path => {
            (ErrorKind::NotFound, format!("{knower} knows no node that serves it"))
        }
    };
    let error = Error::new(kind, why).with_execution(Execution::Never);
    match router {
        Some(router) => error.with_peer(router),
        None => error,
    }
}

/// What came is a reply to something else.
pub(super) fn other_reply() -> Error {
    let why = "the peer answered as if something else had been asked";
    Error::new(ErrorKind::Unsupported, why).with_execution(Execution::Unknown)
}

/// The call was given up, for a reason that `kind` says.
pub(crate) fn given_up(kind: ErrorKind, peer: Option<NodeId>, execution: Execution) -> Error {
    let receiver = peer.as_ref().map_or("the peer", NodeId::as_str);
    let ran = match execution {
        Execution::Never => "the request was not sent",
        Execution::Unknown | Execution::Happened => "the request may have run",
    };
    let why = match kind {
        ErrorKind::Cancelled => format!("the request to {receiver} was cancelled; {ran}"),
        ErrorKind::Backpressure => format!("{receiver} had no room for the request in time; {ran}"),
        ErrorKind::Closed => format!("this node stopped while {receiver} had not answered; {ran}"),
        _ => format!("{receiver} did not answer before the deadline; {ran}"),
    };
    let error = Error::new(kind, why).with_execution(execution);
    match peer {
        Some(peer) => error.with_peer(peer),
        None => error,
    }
}

/// How much an error says of why a call was not placed: least that there is no match, more that one
/// takes none of that size, most what may pass.
pub(super) fn weight(error: &Error) -> u8 {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NoNodesMatchFilter | ErrorKind::NodeNotFound => 0,
        ErrorKind::TooLarge => 1,
        _ => 2,
    }
}
