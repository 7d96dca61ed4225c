//! Counters of what was dropped or refused: nothing is dropped without one of these.

use crate::dropped::NO_ROOM;

/// What was dropped, by reason: nothing is dropped without one of these.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Counters {
    /// Connections beyond the limit of links.
    pub(crate) links: u64,
    /// Connections that made room for newer ones before their handshake was complete.
    pub(crate) handshakes: u64,
    /// Connections that came while this node stopped.
    pub(crate) stopping: u64,
    /// Connections of strangers.
    pub(crate) aliens: u64,
    /// Answers to calls that have ended.
    pub(crate) late_answers: u64,
    /// Answers of our handlers whose link is gone or whose caller gave up.
    pub(crate) unwanted_answers: u64,
    /// Messages of kinds that may be skipped.
    pub(crate) unknown_kinds: u64,
    /// Headers that may be skipped.
    pub(crate) unknown_headers: u64,
    /// Requests refused because the peer had too many open.
    pub(crate) busy: u64,
    /// Requests and ticks with more data than this node takes.
    pub(crate) long_payloads: u64,
    /// Requests refused because the node's memory was nearly used up and the peer had its share.
    pub(crate) crowded_requests: u64,
    /// Answers dropped for that reason; their callers were told.
    pub(crate) crowded_answers: u64,
    /// Links closed for that reason.
    pub(crate) crowded_links: u64,
    /// Peers that did not read and were let go.
    pub(crate) slow_peers: u64,
    /// Requests and ticks that waited in line for room, and none came in time.
    pub(crate) backpressured: u64,
    /// Members that are not kept because there are as many as may be.
    pub(crate) members: u64,
    /// Addresses of others that are none.
    pub(crate) addresses: u64,
}

impl Counters {
    /// Each counter with its public name.
    pub(super) fn reasons(self) -> [(&'static str, u64); 17] {
        // Taken apart, so that none is forgotten.
        let Self {
            links,
            handshakes,
            stopping,
            aliens,
            late_answers,
            unwanted_answers,
            unknown_kinds,
            unknown_headers,
            busy,
            long_payloads,
            crowded_requests,
            crowded_answers,
            crowded_links,
            slow_peers,
            backpressured,
            members,
            addresses,
        } = self;
        [
            ("connections beyond the limit of links", links),
            ("connections that made room for newer ones", handshakes),
            ("connections while the node stopped", stopping),
            ("connections of strangers", aliens),
            ("answers that came too late", late_answers),
            ("answers whose link or caller is gone", unwanted_answers),
            ("messages of an unknown kind", unknown_kinds),
            ("headers of an unknown number", unknown_headers),
            ("requests beyond the number that was granted", busy),
            ("messages with more data than may be", long_payloads),
            ("requests beyond the share of the memory", crowded_requests),
            ("answers beyond the share of the memory", crowded_answers),
            ("links beyond their share of the memory", crowded_links),
            ("links to peers that did not read", slow_peers),
            (NO_ROOM, backpressured),
            ("members beyond those that are kept", members),
            ("addresses of others that are none", addresses),
        ]
    }
}
