//! Every number of this crate, in one place: its default, its reason, and what happens when it is reached.
//!
//! Durations and sizes that a program may change stand in [`Config`] and [`Limits`]; the constants below them
//! are part of protocol 1 or of the design and are the same for everybody.
//!
//! What is full says so, and is counted under a reason that [`Handle::dropped`](crate::Handle::dropped) tells or in the event that is
//! named; the test shows it at one less, at the limit and at one more, or just below and beyond it.
//!
//! | limit | where | counted as | test |
//! | --- | --- | --- | --- |
//! | message before the handshake | `HANDSHAKE_FRAME_BYTES` | a message is too long | `every_limit_of_what_peers_send_holds_to_the_last_and_is_counted` |
//! | message, segment | `message_bytes`, `SEGMENT_MOST_BYTES` | a message is too long | `every_limit_of_what_peers_send_holds_to_the_last_and_is_counted` |
//! | id | `MAX_ID_BYTES` | a text is not a node id | `an_id_has_at_most_128_bytes` |
//! | host, address | `HOST_BYTES`, `ADDRESS_BYTES` | a host, an address is too long | `every_limit_of_what_peers_send_holds_to_the_last_and_is_counted` |
//! | event | `EVENT_BYTES` | an event name is not allowed | `an_event_has_at_most_1024_bytes` |
//! | path | `EVENT_BYTES` | nothing is dropped: the text is refused with `INVALID_PATH` | `a_path_has_at_most_1024_bytes` |
//! | options | `OPTIONS_BYTES`, `OPTIONS_ENTRIES`, `OPTIONS_DEPTH` | a reason for each | `options_have_at_most_64_entries_4_levels_and_8192_bytes` |
//! | headers | `HEADERS_ENTRIES`, `HEADERS_BYTES` | a reason for each | `headers_are_at_most_32_with_4096_bytes` |
//! | filters | `FILTER_BYTES`, `FILTER_CLAUSES`, `FILTER_DEPTH`, `FILTER_REGEX_BYTES` | nothing is dropped: the call fails with `INVALID_FILTER` | `filters_have_at_most_4096_bytes_64_clauses_8_levels_and_1024_bytes_of_regex` |
//! | services | `SERVICES`, `SERVICES_BYTES` | too many services | `services_end_at_4096_names_and_262144_bytes` |
//! | payload: depth | `PAYLOAD_DEPTH` | the fault `DECODE`; ticks whose handler failed | `payloads_up_to_64_levels_are_handled_and_one_more_fails_its_request` |
//! | payload: items | `PAYLOAD_ITEMS` | the same | `items_end_at_the_limit` |
//! | handshakes | `handshakes` | connections that made room for newer ones | `links_and_handshakes_end_at_their_limits_and_are_counted` |
//! | links | `links` | connections beyond the limit of links | `links_and_handshakes_end_at_their_limits_and_are_counted` |
//! | bytes queued for a link | `link_queue_bytes` | messages that found no room on their link | `a_queue_and_a_window_take_messages_up_to_their_last_byte` |
//! | time without a written byte | `write_stall` | links to peers that did not read | `a_link_may_write_nothing_up_to_the_limit_and_is_closed_then` |
//! | links by descriptors | `DESCRIPTORS_LEFT` | the same | `links_leave_64_descriptors_for_everything_else` |
//! | calls of a peer | `calls_per_link` | requests beyond the number that was granted | `calls_up_to_the_granted_number_run_and_one_more_is_busy_and_counted` |
//! | calls of one node behind a router | `calls_per_router` | requests beyond the number that was granted | `one_who_asks_through_two_routers_has_no_more_places_at_a_service` |
//! | calls of this node | `calls_pending` | calls beyond those that may be pending | `calls_beyond_those_that_may_be_pending_are_refused_and_counted` |
//! | tick window | `tick_window_bytes` | a tick beyond the window it was granted | `every_limit_of_what_peers_send_holds_to_the_last_and_is_counted` |
//! | tick window, grown | `tick_window_most_bytes` | messages that found no room on their link | `a_tick_window_grows_to_its_limit_and_no_further` |
//! | control messages queued | `CONTROL_QUEUE_BYTES` | nothing is dropped: state is told later | `control_messages_leave_half_of_their_room_to_what_must_be_said` |
//! | control messages | `CONTROL_BURST`, `CONTROL_PER_SECOND` | a flood of control messages | `a_second_brings_a_thousand_control_messages_more` |
//! | worker queue | `worker_queue_jobs`, `worker_queue_bytes` | requests beyond the queue of the workers | `requests_beyond_the_queue_are_busy_and_ticks_are_not` |
//! | members | `MEMBERS` | members beyond those that are kept | `ten_thousand_members_and_junk_cost_a_bounded_amount` |
//! | members brought by one link | `MEMBERS_OF_ONE` | members beyond those that are kept | `one_that_tells_lies_leaves_room_for_members_that_others_tell_of` |
//! | members dialled at once | `MEMBER_DIALS` | nothing is dropped: the others wait | `no_more_than_sixty_four_members_are_dialled_at_once` |
//! | questions for members | `MEMBERS_ASKED` | nothing is dropped: the question fails with `BUSY` | `sixteen_questions_wait_and_one_more_is_busy` |
//! | workers | `workers_max` | nothing is dropped; nested requests while all workers waited | `workers_up_to_the_limit_are_started_and_one_more_is_not` |
//! | workers running | `WORKERS_RUNNING` | nothing is dropped | `no_more_than_sixty_four_workers_are_started_for_running_ones` |
//! | events of a subscriber | `events_per_subscriber` | events that subscribers missed, and `NodeEvent::Missed` | `events_up_to_the_limit_wait_and_one_more_is_missed_and_counted` |
//! | events that a router counts by name | `ROUTED_EVENTS` | nothing is dropped: the others are counted together, in `RoutingStats::other_events` | `events_beyond_the_limit_are_counted_together` |
//! | a search on a router's loop | `LOOP_CLAUSES`, `SMALL_FILTER_BYTES` | nothing is dropped: another thread looks | `a_loop_looks_at_4096_clauses_and_at_small_filters_without_expressions` |
//! | searches that wait at a router | `SEARCHES_AT_ONCE` | nothing is dropped: one more is `BUSY` | `searches_up_to_the_limit_wait_and_one_more_is_busy` |
//! | filters that a router keeps | `FILTERS_KEPT` | nothing is dropped: one is read and compiled anew | `a_cache_keeps_256_filters_and_forgets_whichever_was_not_asked_for_longest` |
//! | peers on a page | `DIRECTORY_PAGE`, `DIRECTORY_PAGE_BYTES` | nothing is dropped: the page says that there are more | `pages_name_each_match_once_and_have_at_most_256_peers_and_20480_bytes` |
//! | commands | `MAILBOX_COMMANDS` | commands beyond those that may wait | `a_post_with_a_deadline_comes_back_from_a_full_mailbox` |
//! | timeouts | `LONGEST_TIMEOUT` | shortened, nothing is dropped | `no_time_is_longer_than_a_day_and_any_duration_is_accepted_for_a_call` |

use std::time::Duration;

/// How long things may take. The defaults suit a service in a data centre. Each may be changed on the
/// [`Builder`](crate::Builder), or in a value that begins as the default.
///
/// # Example
/// ```
/// use threadmesh::{Config, Node};
///
/// let mut config = Config::default();
/// config.limits.message_bytes = 1024 * 1024;
/// let node = Node::builder().config(config).start()?;
/// # Ok::<(), threadmesh::Error>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// A request without a timeout of its own ends after this: 10 s.
    pub request_timeout: Duration,
    /// Resolve, dial and handshake of one `connect` together: 10 s.
    pub connect_timeout: Duration,
    /// A link that has not completed its handshake is closed after this: 5 s, so that silent strangers cost little.
    pub handshake_timeout: Duration,
    /// A heartbeat is sent after this long without a written byte: 2 s, or earlier: a third of what the peer waits for.
    pub heartbeat_interval: Duration,
    /// A link is lost after this long without a received byte: 10 s.
    pub liveness_timeout: Duration,
    /// A link that has bytes to write and writes fewer than 1 KiB a second for this long is closed as a slow peer: 10 s.
    pub write_stall: Duration,
    /// The first pause before a lost link is dialled again: 100 ms, doubling.
    pub reconnect_first: Duration,
    /// The longest pause before a lost link is dialled again: 4 s.
    pub reconnect_longest: Duration,
    /// A lost link is given up after this long; `None` (the default) never gives up.
    pub reconnect_give_up: Option<Duration>,
    /// When lost links are dialled again.
    pub reconnect: Reconnect,
    /// How long `stop()` lets running handlers and queued messages finish: 2 s.
    pub stop_bound: Duration,
    /// The limits of sizes and counts.
    pub limits: Limits,
}

/// When a link that this node dialled is dialled again after it was lost. Not by any of these after this node disconnected, or after
/// the peer said that a newer link or instance has taken the place of this one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Reconnect {
    /// Always, also after the peer said goodbye.
    Always,
    /// Unless the peer said goodbye.
    OnFailure,
    /// Never.
    Never,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            request_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(5),
            heartbeat_interval: Duration::from_secs(2),
            liveness_timeout: Duration::from_secs(10),
            write_stall: Duration::from_secs(10),
            reconnect_first: Duration::from_millis(100),
            reconnect_longest: Duration::from_secs(4),
            reconnect_give_up: None,
            reconnect: Reconnect::Always,
            stop_bound: Duration::from_secs(2),
            limits: Limits::default(),
        }
    }
}

/// How much there may be of anything. What is full says so: see each field.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// The data of one message, 16 MiB: more is `TOO_LARGE` at the sender, who was told, and here; with 24 KiB on top for the envelope a
    /// longer message disconnects its peer. An answer that is larger than its caller takes is told to the caller as `TOO_LARGE`, executed.
    pub message_bytes: usize,
    /// Bytes queued for one link, 8 MiB: beyond it callers wait or get `BACKPRESSURE`. An empty queue takes one message of any legal size.
    pub link_queue_bytes: usize,
    /// Requests a peer may have open with this node on one link, 1,024: it is announced, and the peer's callers wait; a request beyond it is `BUSY`.
    pub calls_per_link: u32,
    /// The same for a router, through which many ask, 16,384, but no less than `calls_per_link`, which is what each of those may have open through
    /// it: one more is `BUSY`.
    pub calls_per_router: u32,
    /// Requests this node may have pending in all, 65,536: beyond it `BACKPRESSURE`.
    pub calls_pending: usize,
    /// The tick window granted to a new link, 64 KiB: small, because most links carry few ticks.
    pub tick_window_bytes: u64,
    /// The largest tick window a busy link grows to, 16 MiB: at 1 GB/s that is 16 ms of work.
    pub tick_window_most_bytes: u64,
    /// What all links together may hold of this node's memory, 256 MiB: messages that are queued, that have come in part, that handlers
    /// have in hand, and data of requests to any that another peer may need until they are answered; of those the node keeps fewer above
    /// half of it. There one link may hold what is free divided by the links: beyond that callers wait or get
    /// `BACKPRESSURE`, requests of the peer are `BUSY`, an answer is dropped and told to its caller as `BACKPRESSURE`, executed, and a
    /// peer that is sending a larger message is disconnected as [`Overloaded`](crate::LeftReason::Overloaded).
    pub node_bytes: usize,
    /// Links in all, 16,384, and at most 64 less than the descriptors that the system allowed this process when the node started: a
    /// connection beyond it is closed at accept.
    pub links: usize,
    /// Links that have not completed their handshake, 1,024: the oldest makes room.
    pub handshakes: usize,
    /// Workers kept when idle: the number of cores, at least 2.
    pub workers_min: usize,
    /// Workers at most, 256: jobs beyond it are queued.
    pub workers_max: usize,
    /// Requests waiting for a worker, 1,024: beyond it one is `BUSY`, the newest of the link that has most of them waiting.
    pub worker_queue_jobs: usize,
    /// Bytes of requests waiting for a worker, 64 MiB: beyond it likewise.
    pub worker_queue_bytes: usize,
    /// Node events waiting in one subscription, 1,024: then the oldest are dropped and counted in `Missed`.
    pub events_per_subscriber: usize,
}

impl Default for Limits {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            message_bytes: 16 * 1024 * 1024,
            link_queue_bytes: 8 * 1024 * 1024,
            calls_per_link: 1_024,
            calls_per_router: 16_384,
            calls_pending: 65_536,
            tick_window_bytes: 64 * 1024,
            tick_window_most_bytes: 16 * 1024 * 1024,
            node_bytes: 256 * 1024 * 1024,
            links: 16_384,
            handshakes: 1_024,
            workers_min: cores.max(2),
            workers_max: 256,
            worker_queue_jobs: 1_024,
            worker_queue_bytes: 64 * 1024 * 1024,
            events_per_subscriber: 1_024,
        }
    }
}

/// Messages to the loop that wait in its channel: a burst of this size needs no waiting, and 4,096 × 256 B is one MiB.
pub(crate) const MAILBOX_COMMANDS: usize = 4_096;
/// Commands taken in one turn, so that a storm of them does not starve the sockets.
pub(crate) const COMMANDS_PER_TURN: usize =
    if cfg!(threadmesh_without = "bursts") { 1 } else { 4_096 };
/// Messages handed to the workers at once, so that they begin while the rest of a large burst is still being read.
pub(crate) const MESSAGES_PER_HANDOVER: usize =
    if cfg!(threadmesh_without = "bursts") { 1 } else { 1_024 };
/// Connections accepted in one turn, so that a herd does not starve the links that stand.
pub(crate) const ACCEPTS_PER_TURN: usize = 64;
/// Bytes read from one link in one turn.
pub(crate) const READ_PER_LINK_AND_TURN: usize = 256 * 1024;
/// Bytes read from all links in one turn.
pub(crate) const READ_PER_TURN: usize = 4 * 1024 * 1024;
/// Bytes written to one link in one turn, so that a long queue to a fast reader does not starve the others.
pub(crate) const WRITE_PER_LINK_AND_TURN: usize = 1024 * 1024;
/// Small pieces of one link are put together up to this before they are written, so that a head and its body leave at once.
pub(crate) const GATHER_BYTES: usize = 16 * 1024;
/// Descriptors that links leave for files, listeners, pipes and the poll.
pub(crate) const DESCRIPTORS_LEFT: usize = 64;
/// After the system refused to accept (no descriptors, say), accepting is tried again after this; a poll gives no second notice.
pub(crate) const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// Threads that resolve names, at most; each may hang in the system's resolver for many seconds.
pub(crate) const RESOLVER_THREADS: usize = 4;
/// Names that wait to be resolved: one beyond it fails at once, and its dial is repeated like any other that failed.
pub(crate) const RESOLVER_QUESTIONS: usize = 256;
/// A message before the handshake is complete: enough for options (8 KiB) and an id.
pub(crate) const HANDSHAKE_FRAME_BYTES: usize = 16 * 1024;
/// What an envelope may add to its payload: an event name, headers of both kinds, and what routers add.
pub(crate) const ENVELOPE_BYTES: usize = 24 * 1024;
/// A page of service names in the handshake.
pub(crate) const SERVICES_PAGE_BYTES: usize = 12 * 1024;
/// The size of a segment we send. Up to [`SEGMENT_MOST_BYTES`] is accepted.
pub(crate) const SEGMENT_BYTES: usize = 128 * 1024;
/// The largest segment accepted.
pub(crate) const SEGMENT_MOST_BYTES: usize = 256 * 1024;
/// A body above this is read straight into its final buffer and written straight from its payload.
pub(crate) const LARGE_BODY_BYTES: usize = 16 * 1024;
/// Bytes staged for the kernel on one link before more are framed. Small, because what is staged cannot be withdrawn.
pub(crate) const STAGED_BYTES: usize =
    if cfg!(threadmesh_without = "gather") { 1 } else { 64 * 1024 };
/// A link may hold this much however little memory of the node is left: one small message each way.
pub(crate) const LINK_LEAST_BYTES: usize = 16 * 1024;
/// A peer that reads less than this is taken for one that does not read: at 1 KiB/s the longest queue would take hours.
pub(crate) const STALL_BYTES_PER_SECOND: u32 = 1_024;
/// Control messages queued on one link: beyond half of it nothing is told of changed state until it is written. What else comes there is
/// bounded by the calls that are open and by what the peer itself may send.
pub(crate) const CONTROL_QUEUE_BYTES: usize = 64 * 1024;
/// Calls that a goodbye says were taken up and have no answer: as many as a peer has open by default, and 9 KiB at most, so that the goodbye
/// is still a small message. Who has more says that it does not know.
pub(crate) const GOODBYE_CALLS: usize = 1_024;
/// A closing link reads and discards at most this much while it waits for the other side to close.
pub(crate) const LINGER_BYTES: usize = 64 * 1024;
/// A closing link waits at most this long for the other side to close.
pub(crate) const LINGER: Duration = Duration::from_secs(1);
/// The older link with a contested id must show life within this.
pub(crate) const PROBE: Duration = Duration::from_secs(1);
/// A refused dial is repeated after this, doubling to [`DIAL_LONGEST`], until the deadline of the connect.
pub(crate) const DIAL_FIRST: Duration = Duration::from_millis(50);
/// The longest pause between two dials of one connect.
pub(crate) const DIAL_LONGEST: Duration = Duration::from_secs(1);
/// The caller's own clock fires this long after the deadline, so that normally the engine's verdict arrives.
pub(crate) const CALLER_GRACE: Duration = Duration::from_millis(5);
/// Longer timeouts are shortened to this; nothing waits for ever.
pub(crate) const LONGEST_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);
/// Longest event name, in bytes; also the longest service path, as a path is announced as the name of an event.
pub(crate) const EVENT_BYTES: usize = 1_024;
/// The longest name of a host that a node gives itself: that of a name of the DNS.
pub(crate) const HOST_BYTES: usize = 255;
/// The longest address that peers tell, as text: a host, brackets, a colon and a port.
pub(crate) const ADDRESS_BYTES: usize = 300;
/// Members a node knows: each may cost it a dial, and a mesh in which everybody has a link with everybody is smaller.
pub(crate) const MEMBERS: usize = 4_096;
/// Members that one link may bring and that are not here yet: a mesh of a few hundreds is named by one seed, and one that lies leaves
/// room for those that others tell of.
pub(crate) const MEMBERS_OF_ONE: usize = MEMBERS / 4;
/// Members that are dialled at once: a newcomer to a large mesh, or one that is told lies, does not use up its descriptors.
pub(crate) const MEMBER_DIALS: usize = 64;
/// A member that could not be reached for this long is forgotten; a restart takes less.
pub(crate) const MEMBER_GIVE_UP: Duration = Duration::from_secs(60);
/// A new member may take so long to dial this node; then it is dialled. The node with the larger id waits twice as long.
pub(crate) const MEMBER_PATIENCE: Duration = Duration::from_secs(2);
/// Who asked for members within this is told of those that become known afterwards: what two seeds hear of each other takes less.
pub(crate) const MEMBERS_LATELY: Duration = Duration::from_secs(10);
/// Members named in one message.
pub(crate) const MEMBERS_PAGE: usize = 256;
/// Bytes of one such message, so that two of them fit into the control messages of a link.
pub(crate) const MEMBERS_PAGE_BYTES: usize = 12 * 1024;
/// Questions for members that may wait for their answer on one link: a program asks once.
pub(crate) const MEMBERS_ASKED: usize = 16;
/// Members told of at once, before the next [`TELL_PAUSE`]: 400 in a second stay well below a flood.
pub(crate) const MEMBERS_TOLD: usize = 2;
/// Options: encoded bytes, entries and nesting.
pub(crate) const OPTIONS_BYTES: usize = 8 * 1024;
/// Entries in one options map.
pub(crate) const OPTIONS_ENTRIES: usize = 64;
/// Nesting of options.
pub(crate) const OPTIONS_DEPTH: usize = 4;
/// Headers: entries.
pub(crate) const HEADERS_ENTRIES: usize = 32;
/// Headers: encoded bytes.
pub(crate) const HEADERS_BYTES: usize = 4 * 1024;
/// A filter, encoded: what a forwarded call may carry, so it is the same for one that stays here.
pub(crate) const FILTER_BYTES: usize = 4 * 1024;
/// Clauses of a filter: operators, tests of equality and logical keys. Ten thousand peers are asked each of them.
pub(crate) const FILTER_CLAUSES: usize = 64;
/// Nesting of a filter's maps and arrays, itself included: evaluation recurses this far and no further.
pub(crate) const FILTER_DEPTH: usize = 8;
/// The longest regular expression of a filter, in bytes: longer ones are programs, not patterns.
#[cfg(feature = "regex")]
pub(crate) const FILTER_REGEX_BYTES: usize = 1_024;
/// The largest compiled regular expression of a filter, in bytes: it bounds the work per byte of an option.
#[cfg(feature = "regex")]
pub(crate) const FILTER_REGEX_COMPILED_BYTES: usize = 64 * 1024;
/// Nesting of a payload: ciborium recurses, and a 512 KiB stack must survive it.
pub(crate) const PAYLOAD_DEPTH: usize = 64;
/// Items in a payload: decoded into generic values they may take 40 times their bytes.
pub(crate) const PAYLOAD_ITEMS: usize = 262_144;
/// Services a node announces.
pub(crate) const SERVICES: usize = 4_096;
/// Bytes of services a node announces.
pub(crate) const SERVICES_BYTES: usize = 256 * 1024;
/// Cheap messages (heartbeats, cancels, updates) a peer may send per second, and in a burst.
pub(crate) const CONTROL_PER_SECOND: u32 = 1_000;
/// The burst of cheap messages.
pub(crate) const CONTROL_BURST: u32 = 4_000;
/// After each message that tells a peer of changed options or services this side waits so long before the next, which then tells the
/// newest state: a storm of changes stays well below what a peer takes for a flood.
pub(crate) const TELL_PAUSE: Duration = Duration::from_millis(5);
/// Events that a router counts by name: more than services use, and 1.4 MiB at most (4.2 KiB of times and a name of 1 KiB each) when a peer invents
/// them.
pub(crate) const ROUTED_EVENTS: usize = 256;
/// Alternates in a plan.
pub(crate) const ALTERNATES: usize = 3;
/// Routers that a message passes one behind the other: more than any sane topology has.
pub(crate) const ROUTER_HOPS: u8 = 8;
/// Routers that one search asks: a list of them travels with the message.
pub(crate) const ROUTERS_ASKED: usize = 32;
/// What the loop of a router spends on one search: so many clauses of filters, or names of services, which takes well below a millisecond.
/// What needs more is looked for on another thread.
pub(crate) const LOOP_CLAUSES: usize = 4_096;
/// A filter up to this, encoded, is small: quick to compile, and what nearly all programs write.
pub(crate) const SMALL_FILTER_BYTES: usize = 512;
/// Filters that a router keeps compiled, as programs ask with the same ones again and again. A large one counts as several, and each regular
/// expression as a filter, so that all together take 16 MiB at most.
pub(crate) const FILTERS_KEPT: usize = 256;
/// Searches that the thread of a router which chooses has in hand at once: enough to keep it busy. The others wait, and each peer that asks has
/// its turn, so that nobody fills the thread for all.
pub(crate) const SEARCHES_AT_ONCE: usize = 64;
/// Peers named in one page of a router's directory.
pub(crate) const DIRECTORY_PAGE: usize = 256;
/// Bytes of one such page: with its envelope it is never too long for its reader, however short the data of a message may be there, and
/// three of them fit into the control messages of a link.
pub(crate) const DIRECTORY_PAGE_BYTES: usize = 20 * 1024;
/// Matches that one router is asked to list for a call that chooses among them itself: sixteen pages, more than a closure should be
/// asked about for one call.
pub(crate) const ROUTER_MATCHES: usize = 4_096;
/// Keys of options by whose values a node keeps its peers: each costs a little whenever a peer changes, and programs look for few.
pub(crate) const INDEXED_KEYS: usize = 8;
/// From so many peers on it pays to keep them by the values that are looked for.
pub(crate) const INDEXED_PEERS: usize = 64;
/// A waiting thread looks again this long, yielding between looks, before it parks.
pub(crate) const YIELD_BEFORE_PARK: Duration =
    Duration::from_micros(if cfg!(threadmesh_without = "yield") { 0 } else { 20 });
/// Whether a thread wakes another while it holds a lock that the other takes next: never, except to measure what that costs.
pub(crate) const WAKES_UNDER_LOCK: bool = cfg!(threadmesh_without = "unlocked_wakes");
/// An idle worker above the minimum ends after this.
pub(crate) const WORKER_IDLE: Duration = Duration::from_secs(10);
/// A worker is added when jobs are queued and none was taken for this long.
pub(crate) const WORKER_STALL: Duration = Duration::from_millis(5);
/// Workers running (not waiting) at most.
pub(crate) const WORKERS_RUNNING: usize = 64;
/// How often a retry sends a request at most: twice more is what passes over a restart or a lost link; more is waiting.
pub(crate) const RETRY_ATTEMPTS: u32 = 3;
/// The longest that the first pause of a retry can be, doubling to [`RETRY_LONGEST_PAUSE`].
pub(crate) const RETRY_FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest that any pause of a retry can be: somebody waits for it.
pub(crate) const RETRY_LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How many repeats a request pays for: a service in trouble gets a fifth more work, and not three times as much.
pub(crate) const BUDGET_RATIO: f64 = 0.2;
/// Repeats that are there to begin with, so that a program of few requests may repeat them.
pub(crate) const BUDGET_RESERVE: u32 = 10;
/// Repeats that can be saved up: a day without failures does not pay for a flood.
pub(crate) const BUDGET_CAP: u32 = 100;
/// How long a copy is waited for before a hedge sends the next: well above what a request usually takes.
pub(crate) const HEDGE_AFTER: Duration = Duration::from_millis(100);
/// Copies of a hedge, the first among them: what a third gains is not worth its cost.
pub(crate) const HEDGE_COPIES: u32 = 2;
/// How many further copies a request pays for: those of the slowest tenth.
pub(crate) const HEDGE_RATIO: f64 = 0.1;
/// So many failures in a row open a circuit breaker: fewer may be chance.
pub(crate) const BREAKER_THRESHOLD: u32 = 5;
/// So long a circuit breaker is open before it lets a probe through: about what a restart takes.
pub(crate) const BREAKER_OPEN: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    /// All that stands in the files of a folder.
    fn text_below(folder: &Path) -> String {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let text = |path: &Path| fs::read_to_string(path).unwrap_or_default();
        entries.map(|path| if path.is_dir() { text_below(&path) } else { text(&path) }).collect()
    }

    #[test]
    fn every_limit_of_the_table_is_there_and_has_its_test() {
        let _bound = crate::bound::bound();
        let source = text_below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
        let rows: Vec<Vec<&str>> = include_str!("config.rs")
            .lines()
            .filter(|line| line.starts_with("//! | "))
            .skip(2)
            .map(|line| line.split(" | ").collect())
            .collect();
        assert!(rows.len() >= 20, "{} rows", rows.len());
        for row in rows {
            let [_, _, places, _, test] = row[..] else { panic!("{row:?}") };
            for place in places.split('`').skip(1).step_by(2) {
                let (field, number) = (format!("pub {place}: "), format!("const {place}: "));
                assert!(source.contains(&field) || source.contains(&number), "{place}");
            }
            let test = test.split('`').nth(1).unwrap();
            assert!(source.contains(&format!("fn {test}(")), "{test}");
        }
    }
}
