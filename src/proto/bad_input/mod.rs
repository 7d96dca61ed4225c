//! Rows of bytes that nobody should send, each with what must come of them: as the side that dialled and as the side that was
//! dialled, at once, cut in two at every byte, and byte by byte. It must not hold rows: they stand in the files beside it.

mod bytes;
mod encoding;
mod fields;
mod framing;
mod greeting;
mod joining;
mod limits;
mod payloads;
mod peers;
mod routers;

use super::counters::Counters;
use super::fuzz::end::End;
use crate::config::Config;
use crate::error::ErrorKind;
use crate::id::CallId;
use crate::node_event::NodeEvent;
use crate::proto::RouterRole;
use crate::wire::{self, Choice, Control, Data, Farewell, FrameReader, Incoming, Offer, Reply};

/// The issue asks for so many rows at least.
const ROWS: usize = 75;
/// A row of more bytes is not cut at each of them, but everywhere near its ends and now and then between.
const CUT_EVERYWHERE_BYTES: usize = 256;
/// How far from an end of a long row it is cut everywhere, and how often between.
const NEAR: usize = 64;

/// Which side we are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Role {
    Accepted,
    Dialled,
}

/// What has happened on the link before the bytes of the row come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// Nothing was heard.
    Greeting,
    /// The other side's greeting was heard.
    Handshake,
    /// Both have joined, and our call 1 waits for an answer.
    Joined,
    /// The same, and this node is a router.
    Router,
    /// The same, and both are routers; our call 1 asks for the peers of the other one.
    Routers,
}

impl Stage {
    fn is_joined(self) -> bool {
        matches!(self, Self::Joined | Self::Router | Self::Routers)
    }
}

/// What must come of the bytes.
#[derive(Clone, Copy, Debug)]
enum Expected {
    /// Closed without a word; who dialled is told `INCOMPATIBLE` and what the other side looks like.
    Stranger(&'static str),
    /// Closed after our range was told; who dialled is told `INCOMPATIBLE` and this.
    NothingInCommon(&'static str),
    /// Closed with a goodbye that says this; the program is told the same.
    Violation(&'static str),
    /// Closed with a refusal that says this; who dialled is told the same.
    Refusal(ErrorKind, &'static str),
    /// The other side has ended the handshake: nothing is said, and who dialled is told this.
    TurnedAway(ErrorKind, &'static str),
    /// The peer has left for this reason; nothing is said.
    Left(&'static str),
    /// The peer has left and not taken up our call, which certainly did not run; nothing is said.
    PassedOver,
    /// That call of theirs is answered with this fault, no handler has seen it, and the link goes on.
    Fault(u64, ErrorKind, &'static str),
    /// That question of theirs is answered with so many peers, and there are no others.
    Page(u64, usize),
    /// Our call has ended with this, and the link goes on.
    Ended(ErrorKind, &'static str),
    /// The program is told of an error, and the link goes on.
    Told(ErrorKind, &'static str),
    /// Nothing comes of it but that it is counted, and the link goes on.
    Counted(fn(&mut Counters) -> &mut u64, u64),
    /// Nothing comes of it, and the link goes on.
    Ignored,
    /// Nothing comes of it yet: the rest is awaited, until the link is silent for too long.
    Unfinished,
}

#[derive(Debug)]
struct Row {
    name: String,
    stage: Stage,
    roles: &'static [Role],
    bytes: Vec<u8>,
    expected: Expected,
    /// Messages before the bad one that a handler sees.
    held: usize,
}

const BOTH: &[Role] = &[Role::Accepted, Role::Dialled];
const ACCEPTED: &[Role] = &[Role::Accepted];
const DIALLED: &[Role] = &[Role::Dialled];

impl Row {
    fn new(name: impl Into<String>, stage: Stage, bytes: Vec<u8>, expected: Expected) -> Self {
        Self { name: name.into(), stage, roles: BOTH, bytes, expected, held: 0 }
    }

    /// That many messages of the row reach a handler before the bad one, and are not finished.
    fn held(self, held: usize) -> Self {
        Self { held, ..self }
    }

    fn only(self, roles: &'static [Role]) -> Self {
        Self { roles, ..self }
    }
}

fn rows() -> Vec<Row> {
    let rooms = [
        greeting::rows(),
        framing::rows(),
        encoding::rows(),
        fields::rows(),
        joining::rows(),
        peers::rows(),
        routers::rows(),
        payloads::rows(),
    ];
    rooms.into_iter().flatten().collect()
}

/// Limits so low that few bytes reach them.
fn config() -> Config {
    let mut config = Config::default();
    config.limits.message_bytes = 4_096;
    config.limits.calls_per_link = 2;
    config.limits.tick_window_bytes = 1_024;
    config
}

/// What came of the bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Seen {
    /// Last words and answers, in order.
    said: Vec<String>,
    /// What the program was told: events, ends of its calls and of its dial.
    told: Vec<String>,
    dropped: Counters,
    /// Messages that a handler has seen.
    handled: usize,
    closed: bool,
}

fn begin(stage: Stage, role: Role) -> End {
    let router = Some(RouterRole { tells: true, chooses_elsewhere: false, stats_every: None });
    let roles = match (stage, role) {
        (Stage::Router, Role::Accepted) => [router, None],
        (Stage::Router, Role::Dialled) => [None, router],
        (Stage::Routers, _) => [router; 2],
        _ => [None; 2],
    };
    let (ours, theirs) = End::pair(&config(), roles);
    let mut end = match (stage, role) {
        (_, Role::Accepted) if stage.is_joined() => ours,
        (_, Role::Dialled) if stage.is_joined() => theirs,
        (_, Role::Accepted) => End::accepting(config()),
        (_, Role::Dialled) => End::dialling(config()),
    };
    match (stage, role) {
        (Stage::Greeting, _) => {}
        (Stage::Handshake, Role::Accepted) => end.hear_in_pieces(&Offer::OURS.to_bytes(), 0),
        (Stage::Handshake, Role::Dialled) => {
            let choice = Reply::Chosen(Choice { version: 1, mode: 1 });
            end.hear_in_pieces(&choice.to_bytes(), 0);
        }
        (Stage::Joined | Stage::Router, _) => end.ask(),
        (Stage::Routers, _) => end.ask_for_peers(),
    }
    end.said.clear();
    end.events.clear();
    end
}

/// Feeds a row in pieces: up to the cut, and the rest; or, without a cut, byte by byte.
fn play(row: &Row, role: Role, cut: Option<usize>) -> Seen {
    let mut end = begin(row.stage, role);
    match cut {
        Some(cut) => {
            end.hear_in_pieces(&row.bytes[..cut], 0);
            end.hear_in_pieces(&row.bytes[cut..], 0);
        }
        None => end.hear_in_pieces(&row.bytes, 1),
    }
    let seen = look(&end, row.stage);
    let waits = matches!(row.expected, Expected::Unfinished);
    if !seen.closed && row.stage.is_joined() && !waits {
        assert_serves(&mut end, &row.name);
    }
    end.fall_silent();
    seen
}

fn look(end: &End, stage: Stage) -> Seen {
    let state = end.mesh.link_state(end.link);
    Seen {
        said: said(&end.said, stage),
        told: told(end),
        dropped: end.mesh.dropped(),
        handled: end.handled,
        closed: end.hung || state.is_none() || state == Some("closing"),
    }
}

/// A peer that was not disconnected gets an answer like any other.
fn assert_serves(end: &mut End, name: &str) {
    let before = (end.said.len(), end.handled);
    end.hear_in_pieces(&bytes::frame(&bytes::request(1_000_001, "a", &[0xf6])), 0);
    let answer = said(&end.said[before.0..], Stage::Joined);
    assert_eq!(answer, ["reply 1000001"], "{name}: does the link go on?");
    assert_eq!(end.handled, before.1 + 1, "{name}");
}

/// What stands in the bytes of an end, without what is said at every handshake or to every peer.
fn said(bytes: &[u8], stage: Stage) -> Vec<String> {
    let mut out = Vec::new();
    let mut input = bytes;
    if stage == Stage::Greeting && !bytes.is_empty() {
        let range = Reply::Range(Offer::OURS).to_bytes();
        let (greeting, rest) = bytes.split_at(range.len());
        out.extend((*greeting == range).then(|| "our range".to_owned()));
        input = rest;
    }
    let mut reader = FrameReader::new(1 << 20);
    while let Some(frame) = reader.next(&mut input).expect("what we say is legal") {
        let message = wire::parse(frame.bytes(), &mut 0).expect("what we say is legal");
        out.extend(described(message));
    }
    assert!(input.is_empty(), "half a frame was said");
    out
}

fn described(message: Incoming<'_>) -> Option<String> {
    match message {
        Incoming::Control(Control::Goodbye { reason: Farewell::Protocol(why), .. }) => {
            Some(format!("goodbye: {why}"))
        }
        Incoming::Control(Control::Goodbye { reason, .. }) => Some(format!("goodbye {reason:?}")),
        Incoming::Control(Control::Refuse { kind, message }) => {
            Some(format!("refuse {}: {message}", kind.code()))
        }
        Incoming::Control(Control::Fault(fault)) => {
            let CallId(call) = fault.call;
            let (code, execution) = (fault.kind.code(), fault.execution);
            Some(format!("fault {call} {code} {execution:?}: {}", fault.message))
        }
        Incoming::Data { head: Data::Reply { call: CallId(call), .. }, .. } => {
            Some(format!("reply {call}"))
        }
        Incoming::Control(Control::DirectoryPage { call: CallId(call), peers, more }) => {
            Some(format!("page {call}: {} peers, more: {more}", peers.len()))
        }
        Incoming::Control(_) => None,
        other => Some(format!("{other:?}")),
    }
}

fn told(end: &End) -> Vec<String> {
    let event = |event: &NodeEvent| match event {
        NodeEvent::PeerLeft { reason, .. } => Some(format!("left: {reason:?}")),
        NodeEvent::Error(error) => Some(format!("event {}: {}", error.code(), error.message())),
        NodeEvent::Undelivered { unwritten, unconfirmed, .. } => {
            Some(format!("undelivered: {unwritten} {unconfirmed}"))
        }
        _ => None,
    };
    let failed = |error: &crate::error::Error| {
        // How much of a stranger is known depends on how much has come before the first wrong byte.
        let (text, _) =
            error.message().split_once("it looks like").unwrap_or((error.message(), ""));
        format!("ended {} {:?}: {text}", error.code(), error.execution())
    };
    end.events.iter().filter_map(event).chain(end.failed.iter().map(failed)).collect()
}

fn cuts(len: usize) -> Vec<usize> {
    let near = |at: &usize| len <= CUT_EVERYWHERE_BYTES || *at <= NEAR || len - *at <= NEAR;
    let step = (len / NEAR).max(1);
    (0..=len).filter(|at| near(at) || at % step == 0).collect()
}

// covers P01, P03, P05, P06, P07, P22, P32
#[test]
fn every_row_ends_as_it_says_however_it_is_cut() {
    let _bound = crate::bound::bound();
    let rows = rows();
    let mut bad = Vec::new();
    for row in &rows {
        for role in row.roles {
            let whole = play(row, *role, Some(row.bytes.len()));
            if let Some(why) = row.expected.objection(&whole, row, *role) {
                bad.push(format!("{} ({role:?}): {why}", row.name));
                continue;
            }
            for cut in cuts(row.bytes.len()).into_iter().map(Some).chain([None]) {
                let seen = play(row, *role, cut);
                if seen != whole {
                    bad.push(format!(
                        "{} ({role:?}) cut at {cut:?}: {seen:?} and {whole:?}",
                        row.name
                    ));
                    break;
                }
            }
        }
    }
    assert!(bad.is_empty(), "{} of {} rows:\n{}", bad.len(), rows.len(), bad.join("\n"));
}

#[test]
fn there_are_enough_rows_and_each_has_a_name_of_its_own() {
    let _bound = crate::bound::bound();
    let rows = rows();
    assert!(rows.len() >= ROWS, "{} rows", rows.len());
    let mut names: Vec<_> = rows.iter().map(|row| (&row.name, row.stage as u8)).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), rows.len());
}

/// What is said and told, as a pattern: `…` stands for any text at its place.
struct Pattern {
    said: Vec<String>,
    told: Vec<String>,
    closed: bool,
}

impl Expected {
    /// What is not as expected.
    fn objection(self, seen: &Seen, row: &Row, role: Role) -> Option<String> {
        let pattern = self.pattern(row.stage, role);
        let same = |patterns: &[String], texts: &[String]| {
            patterns.len() == texts.len()
                && patterns.iter().zip(texts).all(|(pattern, text)| fits(pattern, text))
        };
        if !same(&pattern.said, &seen.said) {
            return Some(format!("it should say {:?}, not {:?}", pattern.said, seen.said));
        }
        if !same(&pattern.told, &seen.told) {
            return Some(format!(
                "the program should hear {:?}, not {:?}",
                pattern.told, seen.told
            ));
        }
        if pattern.closed != seen.closed {
            return Some(format!("closed: {}", seen.closed));
        }
        if row.held != seen.handled {
            return Some(format!("handlers have seen {} messages, not {}", seen.handled, row.held));
        }
        self.miscounted(seen.dropped)
    }

    fn miscounted(self, mut dropped: Counters) -> Option<String> {
        let (counter, count): (fn(&mut Counters) -> &mut u64, _) = match self {
            Self::Stranger(_) => (|dropped| &mut dropped.aliens, 1),
            Self::Counted(counter, count) => (counter, count),
            _ => return None,
        };
        let counted = *counter(&mut dropped);
        (counted != count).then(|| format!("it should count {count}: {dropped:?}"))
    }

    fn pattern(self, stage: Stage, role: Role) -> Pattern {
        let (joined, dialled) = (stage.is_joined(), role == Role::Dialled);
        let lost = || "ended CONNECTION_LOST Unknown: …".to_owned();
        let (said, told, closed): (Vec<String>, Vec<String>, bool) = match self {
            Self::Stranger(_) => (
                vec![],
                vec![
                    "ended INCOMPATIBLE Never: 127.0.0.1:1 does not speak threadmesh: ".to_owned(),
                ],
                true,
            ),
            Self::NothingInCommon(why) if dialled => (
                vec![],
                vec![format!("ended INCOMPATIBLE Never: 127.0.0.1:1 is incompatible: {why}; …")],
                true,
            ),
            Self::NothingInCommon(_) => (vec!["our range".to_owned()], vec![], true),
            Self::Violation(why) if joined => (
                vec![format!("goodbye: {why}")],
                vec![format!("left: Protocol({why:?})"), lost()],
                true,
            ),
            Self::Violation(why) => (
                vec![format!("goodbye: {why}")],
                vec![format!(
                    "ended INCOMPATIBLE Never: 127.0.0.1:1: the other side broke the protocol: {why}"
                )],
                true,
            ),
            Self::Refusal(kind, why) => {
                let code = kind.code();
                (
                    vec![format!("refuse {code}: {why}")],
                    vec![format!("ended {code} Never: {why}")],
                    true,
                )
            }
            Self::TurnedAway(kind, why) => {
                (vec![], vec![format!("ended {} Never: {why}", kind.code())], true)
            }
            Self::Left(why) => (vec![], vec![format!("left: {why}"), lost()], true),
            Self::PassedOver => {
                let why = "… said goodbye before it took the request up; it did not run";
                let ended = format!("ended CONNECTION_LOST Never: {why}");
                (vec![], vec!["left: PeerLeft".to_owned(), ended], true)
            }
            Self::Fault(call, kind, why) => {
                (vec![format!("fault {call} {} Never: {why}", kind.code())], vec![], false)
            }
            Self::Page(call, peers) => {
                (vec![format!("page {call}: {peers} peers, more: false")], vec![], false)
            }
            Self::Ended(kind, why) => (vec![], vec![format!("ended {} {why}", kind.code())], false),
            Self::Told(kind, why) => (vec![], vec![format!("event {}: {why}", kind.code())], false),
            Self::Counted(..) | Self::Ignored | Self::Unfinished => (vec![], vec![], false),
        };
        let told = if joined || dialled { told } else { vec![] };
        Pattern { said, told, closed }
    }
}

/// Whether a text is as the pattern says, in which `…` stands for anything.
fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('…');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let mut open = false;
    for part in parts {
        open = part.is_empty();
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    open || rest.is_empty()
}

/// Whether the name of a stranger is right is seen only if enough of it has come.
#[test]
fn strangers_are_named_when_their_first_bytes_come_together() {
    let _bound = crate::bound::bound();
    for row in rows() {
        let Expected::Stranger(looks) = row.expected else { continue };
        if !row.roles.contains(&Role::Dialled) {
            continue;
        }
        let mut end = begin(row.stage, Role::Dialled);
        end.hear_in_pieces(&row.bytes, 0);
        let error = end.failed.pop().expect("the dial has failed");
        assert!(error.message().contains(looks), "{}: {error}", row.name);
    }
}
