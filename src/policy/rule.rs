//! What may be repeated: after which errors sending a request again can help at all, and what has been tried so far. It must not
//! know how the policies go about it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Execution};
use crate::node::inherited_deadline;

/// Where a policy would send a request next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// To the same target again, after a pause.
    Again,
    /// To another target.
    Elsewhere,
}

/// Where a request can be sent next with any hope of another end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Hope {
    /// Anywhere: what was wrong may pass.
    Anywhere,
    /// To another target only: what was wrong lies with this one and stays.
    Elsewhere,
    /// Nowhere: it ran and was answered, or what was wrong lies with the caller.
    Nowhere,
}

impl Hope {
    /// The one table. No wildcard, so that a new kind must say where it belongs.
    const fn after(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::NodeNotFound
            | ErrorKind::NoNodesMatchFilter
            | ErrorKind::RequestTimeout
            | ErrorKind::ConnectionLost
            | ErrorKind::NoHandler
            | ErrorKind::NotFound
            | ErrorKind::CircuitOpen
            | ErrorKind::ConnectTimeout
            | ErrorKind::ConnectFailed
            | ErrorKind::HandshakeTimeout
            | ErrorKind::Backpressure
            | ErrorKind::Busy
            | ErrorKind::Expired
            // A peer that stops is `BUSY`, and one of an earlier version `CLOSED`. When this node itself has stopped, which is what
            // the kind says else, the policies end by themselves.
            | ErrorKind::Closed => Self::Anywhere,
            ErrorKind::PredicateNotRoutable
            | ErrorKind::Incompatible
            | ErrorKind::Unsupported
            | ErrorKind::Refused
            | ErrorKind::Decode
            | ErrorKind::Forbidden
            | ErrorKind::Insecure => Self::Elsewhere,
            ErrorKind::NoReply
            | ErrorKind::Handler
            | ErrorKind::InvalidPath
            | ErrorKind::InvalidFilter
            | ErrorKind::InvalidEvent
            | ErrorKind::InvalidAddress
            | ErrorKind::InvalidArgument
            | ErrorKind::BindFailed
            | ErrorKind::AlreadyBound
            | ErrorKind::DuplicateId
            | ErrorKind::TooLarge
            | ErrorKind::Encode
            | ErrorKind::WouldDeadlock
            | ErrorKind::Cancelled
            | ErrorKind::UserCodePanicked => Self::Nowhere,
        }
    }
}

/// Whether sending a request again can help after this error, and does no harm: it certainly did not run, or it may have run and
/// the program has said that running twice does no harm.
pub(super) fn helps(error: &Error, place: Place, idempotent: bool) -> bool {
    let hope = Hope::after(error.kind());
    let hopeful = hope == Hope::Anywhere || hope == Hope::Elsewhere && place == Place::Elsewhere;
    let harmless = match error.execution() {
        Execution::Never => true,
        Execution::Unknown => idempotent,
        Execution::Happened => false,
    };
    hopeful && harmless
}

/// Whether the error is the caller's own mistake, or its own node's end: it says nothing about the target.
pub(super) fn is_the_callers(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::InvalidPath
            | ErrorKind::InvalidFilter
            | ErrorKind::InvalidEvent
            | ErrorKind::InvalidAddress
            | ErrorKind::InvalidArgument
            | ErrorKind::TooLarge
            | ErrorKind::Encode
            | ErrorKind::WouldDeadlock
            | ErrorKind::Cancelled
            | ErrorKind::UserCodePanicked
    ) || error.kind() == ErrorKind::Closed && !is_of_a_peer(error)
}

/// Whether it can be a peer that has ended: then it is named, and has not run the request. A node that ends before it has sent a request
/// says the same of its own end, so whoever asks has to know that this node goes on.
fn is_of_a_peer(closed: &Error) -> bool {
    closed.peer().is_some() && closed.execution() == Execution::Never
}

/// Whether something will be left after a pause: of the time until `deadline`, and of that of the request that is being handled here.
pub(super) fn ends_in_time(pause: Duration, deadline: Option<Instant>) -> bool {
    let end = Instant::now() + pause;
    [deadline, inherited_deadline()].into_iter().flatten().all(|deadline| end < deadline)
}

/// What a closure of the program says of an error.
///
/// # Errors
/// `USER_CODE_PANICKED`. Whether the request has run is what the error says.
pub(super) fn asked(
    whose: &str,
    error: &Error,
    test: impl FnOnce() -> bool,
) -> Result<bool, Error> {
    catch_unwind(AssertUnwindSafe(test)).map_err(|_| {
        let message = format!("the test given to {whose} panicked when it was asked about {error}");
        let panicked = Error::new(ErrorKind::UserCodePanicked, message);
        panicked.with_execution(error.execution()).with_source(error.clone())
    })
}

/// What has been tried so far: how often, and whether the request may have run by now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tally {
    attempts: u32,
    execution: Execution,
}

impl Tally {
    pub(super) const fn new() -> Self {
        Self { attempts: 0, execution: Execution::Never }
    }

    /// Notes a request that failed; a policy inside may have tried it more than once.
    pub(super) fn note(&mut self, error: &Error) {
        self.attempts = self.attempts.saturating_add(error.attempts());
        self.execution = self.execution.max(error.execution());
    }

    /// The error with which everything ends. That the last attempt did not run says nothing of those before.
    pub(super) fn end(self, error: Error) -> Error {
        let execution = self.execution.max(error.execution());
        error.with_execution(execution).with_attempts(self.attempts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table once more, by code: what no policy repeats, and what it sends elsewhere only. All others may pass.
    const NOWHERE: &str = "NO_REPLY HANDLER_ERROR INVALID_PATH INVALID_FILTER INVALID_EVENT INVALID_ADDRESS \
        INVALID_ARGUMENT BIND_FAILED ALREADY_BOUND DUPLICATE_ID TOO_LARGE ENCODE WOULD_DEADLOCK CANCELLED USER_CODE_PANICKED";
    const ELSEWHERE: &str =
        "PREDICATE_NOT_ROUTABLE INCOMPATIBLE UNSUPPORTED REFUSED DECODE FORBIDDEN INSECURE";
    const ANYWHERE: &str = "NODE_NOT_FOUND NO_NODES_MATCH_FILTER REQUEST_TIMEOUT CONNECTION_LOST NO_HANDLER CIRCUIT_OPEN \
        NOT_FOUND CONNECT_TIMEOUT CONNECT_FAILED HANDSHAKE_TIMEOUT BACKPRESSURE BUSY EXPIRED CLOSED";

    fn is_in(kind: ErrorKind, list: &str) -> bool {
        list.split_whitespace().any(|code| code == kind.code())
    }

    #[test]
    fn every_kind_of_error_has_its_place_in_the_table() {
        let _bound = crate::bound::bound();
        for &kind in ErrorKind::ALL {
            let lists = [NOWHERE, ELSEWHERE, ANYWHERE].map(|list| is_in(kind, list));
            assert_eq!(lists.iter().filter(|listed| **listed).count(), 1, "{kind}");
            for execution in [Execution::Never, Execution::Unknown, Execution::Happened] {
                let error = Error::new(kind, "x").with_execution(execution);
                for idempotent in [false, true] {
                    let harmless = execution == Execution::Never
                        || idempotent && execution == Execution::Unknown;
                    let again = harmless && lists[2];
                    let elsewhere = harmless && (lists[1] || lists[2]);
                    assert_eq!(helps(&error, Place::Again, idempotent), again, "{error:?}");
                    assert_eq!(helps(&error, Place::Elsewhere, idempotent), elsewhere, "{error:?}");
                }
            }
        }
    }

    #[test]
    fn the_callers_own_mistakes_are_those_of_the_contract() {
        let _bound = crate::bound::bound();
        let own = "INVALID_PATH INVALID_FILTER INVALID_EVENT INVALID_ADDRESS INVALID_ARGUMENT ENCODE TOO_LARGE CANCELLED \
            CLOSED WOULD_DEADLOCK USER_CODE_PANICKED";
        for &kind in ErrorKind::ALL {
            assert_eq!(is_the_callers(&Error::new(kind, "x")), is_in(kind, own), "{kind}");
        }
    }

    #[test]
    fn an_error_in_the_end_owns_up_to_what_earlier_attempts_may_have_done() {
        let _bound = crate::bound::bound();
        let mut tally = Tally::new();
        tally.note(&Error::new(ErrorKind::RequestTimeout, "late"));
        let last = Error::new(ErrorKind::NodeNotFound, "gone");
        tally.note(&last);
        let error = tally.end(last);
        assert_eq!((error.kind(), error.attempts()), (ErrorKind::NodeNotFound, 2));
        assert_eq!(error.execution(), Execution::Unknown);
        assert_eq!(error.message(), "gone (tried 2 times)");
    }

    #[test]
    fn a_test_that_panics_is_an_error_that_says_whether_the_request_ran() {
        let _bound = crate::bound::bound();
        let error = Error::new(ErrorKind::Handler, "no").with_handler_code("NO".into(), None);
        let panicked = asked("retry_if", &error, || panic!("on purpose")).unwrap_err();
        assert_eq!(panicked.kind(), ErrorKind::UserCodePanicked);
        assert_eq!(panicked.execution(), Execution::Happened);
        assert!(panicked.to_string().contains("NO: no"), "{panicked}");
        assert!(asked("retry_if", &error, || true).unwrap());
    }
}
