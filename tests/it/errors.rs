//! Errors as a program meets them: of each kind at least one, with what it says of the handler, and what it tells.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use ciborium::Value;
use crossbeam_channel::bounded as channel;
use threadmesh::{
    Bytes, Error, ErrorKind, Execution, HandlerError, Limits, Node, Request, Tick, predicate,
};

use crate::support::impostor::{FAULT, Impostor, REQUEST, message, number};
use crate::support::{SOON, bounded, builder, joined, listening, pair, place};

const LIMIT: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(100);

/// Kinds whose causes this version does not have yet, or has only at the other end of a link.
const ELSEWHERE: &[ErrorKind] = &[
    ErrorKind::PredicateNotRoutable,
    ErrorKind::CircuitOpen,
    ErrorKind::InvalidFilter,
    ErrorKind::Unsupported,
    ErrorKind::Refused,
    ErrorKind::Busy,
    ErrorKind::Expired,
    ErrorKind::Forbidden,
    ErrorKind::Insecure,
    ErrorKind::NoReply,
];

/// Checks errors, and notes their kinds and what is wrong with them.
struct Seen(BTreeSet<ErrorKind>, Vec<String>);

impl Seen {
    /// `tells` must stand in the text: the name of what it is about.
    fn check(&mut self, kind: ErrorKind, execution: Execution, tells: &str, error: &Error) {
        let said = (error.kind(), error.execution(), error.may_have_run());
        let text = error.message();
        let is_right = said == (kind, execution, execution != Execution::Never)
            && error.to_string() == format!("{}: {text}", error.code())
            && text.contains(tells)
            && text.len() > 12
            && !text.ends_with(['.', '\n']);
        if !is_right {
            self.1.push(format!("{kind}, {execution:?}, telling {tells:?}, is {error:?}"));
        }
        self.0.insert(kind);
    }

    fn never<T: std::fmt::Debug>(&mut self, kind: ErrorKind, tells: &str, got: Result<T, Error>) {
        self.check(kind, Execution::Never, tells, &got.unwrap_err());
    }
}

#[test]
fn every_kind_of_error_says_what_happened_and_whether_anything_ran() {
    bounded("errors", LIMIT, || {
        let mut seen = Seen(BTreeSet::new(), Vec::new());
        before_anything_is_sent(&mut seen);
        of_links(&mut seen);
        of_handlers(&mut seen);
        of_waiting(&mut seen);
        assert_eq!(seen.1, [""; 0]);
        let elsewhere: BTreeSet<_> = ELSEWHERE.iter().copied().collect();
        let all: BTreeSet<_> = ErrorKind::ALL.iter().copied().collect();
        assert_eq!(&seen.0 & &elsewhere, BTreeSet::new(), "these belong to this version now");
        assert_eq!(&seen.0 | &elsewhere, all, "these were not seen");
    });
}

fn before_anything_is_sent(seen: &mut Seen) {
    use ErrorKind::*;

    let (node, server) = pair();
    seen.never(NodeNotFound, "ghost", node.request::<(), _>("ghost", "x", &()));
    seen.never(NodeNotFound, "itself", node.tick("c", "x", &()));
    seen.never(InvalidEvent, "_system:", node.tick("s", "_system:x", &()));
    seen.never(InvalidEvent, "1024 bytes", node.on_tick("", |_: Tick<()>| ()));
    seen.never(InvalidAddress, "nonsense", node.connect("nonsense"));
    let at_once = node.to("s").timeout(Duration::ZERO);
    seen.never(InvalidArgument, "timeout", at_once.request::<(), _>("x", &()));
    seen.never(AlreadyBound, &server.local_addr().unwrap().to_string(), server.bind(place()));
    let taken = server.local_addr().unwrap();
    seen.never(BindFailed, &taken.to_string(), node.bind(taken));
    let large = Bytes::new(vec![0; Limits::default().message_bytes]);
    seen.never(TooLarge, "16777216", node.tick("s", "x", &large));
    seen.never(Encode, "", node.tick("s", "x", &Unwilling));
    seen.never(NotFound, "user:get", node.wait_for_service("user:get", Duration::ZERO));
    let nobody = predicate(|_| false);
    seen.never(NoNodesMatchFilter, "errors.rs", node.wait_for_peer(nobody, Duration::ZERO));
    let wrong = predicate(|_| panic!("this predicate panics"));
    seen.never(UserCodePanicked, "errors.rs", node.wait_for_peer(wrong, SOON));
    server.stop().unwrap();
    seen.never(Closed, "\"s\"", server.request::<(), _>("c", "x", &()));
}

fn of_links(seen: &mut Seen) {
    use ErrorKind::*;

    let node = builder("c").start().unwrap();
    let nowhere = place();
    let told = nowhere.to_string();
    seen.never(ConnectTimeout, &told, node.dial(nowhere).timeout(SHORT).connect());
    seen.never(ConnectFailed, &told, node.dial(nowhere).once().connect());

    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = mute.local_addr().unwrap();
    seen.never(HandshakeTimeout, &address.to_string(), node.dial(address).timeout(SHORT).connect());

    let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = stranger.local_addr().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            use std::io::Write;
            let (mut stream, _) = stranger.accept().unwrap();
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        });
        seen.never(Incompatible, "HTTP", node.connect(address));
    });

    let server = listening("s");
    let _first = joined("c", &server);
    let address = server.local_addr().unwrap();
    seen.never(DuplicateId, &address.to_string(), node.dial(address).once().connect());

    thread::scope(|scope| {
        let connecting = scope.spawn(|| node.connect(nowhere));
        let error = loop {
            node.disconnect(nowhere).unwrap();
            if connecting.is_finished() {
                break connecting.join().unwrap();
            }
            thread::yield_now();
        };
        seen.never(Cancelled, &told, error);
    });
}

fn of_handlers(seen: &mut Seen) {
    use ErrorKind::*;

    let (client, server) = pair();
    let happened = Execution::Happened;
    seen.never(NoHandler, "user:get", client.request::<(), _>("s", "user:get", &()));
    seen.never(NotFound, "\"/user\"", client.request::<(), _>("s", "/user", &()));
    seen.never(InvalidPath, "\"/user/*\"", server.register("/user/*", |_: Request<()>| Ok(())));
    let refuse = |_: Request<()>| Err::<(), _>(HandlerError::new("E1", "there is no money left"));
    server.on_request("refuse", refuse).unwrap();
    let error = client.request::<(), _>("s", "refuse", &()).unwrap_err();
    assert_eq!(error.code(), "E1");
    seen.check(Handler, happened, "no money", &error);
    let panic = |_: Request<()>| -> Result<(), HandlerError> { panic!("a secret") };
    server.on_request("panic", panic).unwrap();
    let error = client.request::<(), _>("s", "panic", &()).unwrap_err();
    assert!(!error.to_string().contains("secret"), "{error}");
    seen.check(Handler, happened, "panicked", &error);

    server.on_request("echo", |request: Request<u64>| Ok(request.data)).unwrap();
    seen.never(Decode, "", client.request::<u64, _>("s", "echo", "no number"));
    let error = client.request::<String, _>("s", "echo", &7).unwrap_err();
    seen.check(Decode, happened, "", &error);

    let handle = server.handle();
    let wait = move |_: Request<()>| {
        let error = handle.wait().unwrap_err();
        assert_eq!((error.kind(), error.execution()), (WouldDeadlock, Execution::Never));
        Ok(error.message().to_owned())
    };
    server.on_request("wait", wait).unwrap();
    assert!(client.request::<String, _>("s", "wait", &()).unwrap().contains("waits"));
    seen.0.insert(WouldDeadlock);
}

fn of_waiting(seen: &mut Seen) {
    use ErrorKind::*;

    let unknown = Execution::Unknown;
    let (client, server, began, release) = holding();
    let call = client.to("s").timeout(SHORT);
    let error = call.request::<(), _>("hold", &()).unwrap_err();
    seen.check(RequestTimeout, unknown, "s did not answer", &error);
    let held = client.start::<(), _>("s", "hold", &()).unwrap();
    (0..2).for_each(|_| began.recv_timeout(SOON).unwrap());
    seen.never(Backpressure, "\"s\"", client.to("s").try_request::<(), _>("hold", &()));
    held.cancel();
    seen.check(Cancelled, unknown, "", &held.wait().unwrap_err());
    let held = client.start::<(), _>("s", "hold", &()).unwrap();
    began.recv_timeout(SOON).unwrap();
    server.stop_within(Duration::ZERO).unwrap();
    seen.check(ConnectionLost, unknown, "s", &held.wait().unwrap_err());
    drop(release);

    let (client, _server, began, _release) = holding();
    let held = client.start::<(), _>("s", "hold", &()).unwrap();
    began.recv_timeout(SOON).unwrap();
    client.stop_within(Duration::ZERO).unwrap();
    seen.check(Closed, unknown, "stopped", &held.wait().unwrap_err());
}

type Holding = (Node, Node, crossbeam_channel::Receiver<()>, crossbeam_channel::Sender<()>);

/// A pair whose server lets one call be open, says when its handler has begun, and holds it.
fn holding() -> Holding {
    let mut limits = Limits::default();
    limits.calls_per_link = 1;
    let server = builder("s").limits(limits).bind("127.0.0.1:0").start().unwrap();
    let (tell, began) = channel(8);
    let (release, released) = channel::<()>(0);
    let hold = move |_: Request<()>| {
        tell.send(()).unwrap();
        let _ = threadmesh::blocking(|| released.recv_timeout(SOON));
        Ok(())
    };
    server.on_request("hold", hold).unwrap();
    (joined("c", &server), server, began, release)
}

/// Data that does not let itself be encoded.
struct Unwilling;

impl serde::Serialize for Unwilling {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("unwilling"))
    }
}

#[test]
fn what_a_peer_says_of_a_call_comes_back_as_it_was_said() {
    bounded("faults", LIMIT, || {
        let server = listening("s");
        let mut peer = Impostor::join(server.local_addr().unwrap(), "peer");
        let executions = [Execution::Never, Execution::Unknown, Execution::Happened];
        for (index, kind) in ErrorKind::ALL.iter().enumerate() {
            for (number_of_execution, execution) in executions.iter().enumerate() {
                let pending = server.start::<(), _>("peer", "ask", &()).unwrap();
                let asked = peer.hear(REQUEST);
                let fields = [
                    Value::from(index as u64 + 1),
                    Value::from(number_of_execution as u64),
                    Value::from("because of this"),
                    Value::Array(Vec::new()),
                ];
                peer.say(message(FAULT, number(&asked[1]), fields));
                let began = Instant::now();
                let error = pending.wait().unwrap_err();
                assert!(began.elapsed() < SOON);
                assert_eq!((error.kind(), error.execution()), (*kind, *execution));
                assert_eq!(error.code(), kind.code());
                assert_eq!(error.peer().unwrap(), "peer");
                assert_eq!(error.message(), "because of this");
            }
        }
    });
}

/// The codes are a promise: programs compare them. This is how the contract spells them, in the order of their numbers.
#[test]
fn codes_and_usual_executions_are_those_of_the_contract() {
    let never = "NODE_NOT_FOUND NO_NODES_MATCH_FILTER PREDICATE_NOT_ROUTABLE NO_HANDLER CIRCUIT_OPEN NOT_FOUND \
        INVALID_PATH INVALID_FILTER INVALID_EVENT INVALID_ADDRESS INVALID_ARGUMENT BIND_FAILED ALREADY_BOUND CONNECT_TIMEOUT \
        CONNECT_FAILED HANDSHAKE_TIMEOUT INCOMPATIBLE UNSUPPORTED DUPLICATE_ID REFUSED BACKPRESSURE BUSY TOO_LARGE ENCODE \
        DECODE EXPIRED FORBIDDEN INSECURE WOULD_DEADLOCK CLOSED USER_CODE_PANICKED";
    let unknown = "REQUEST_TIMEOUT CONNECTION_LOST CANCELLED";
    let happened = "NO_REPLY HANDLER_ERROR";
    for (codes, execution) in
        [(never, Execution::Never), (unknown, Execution::Unknown), (happened, Execution::Happened)]
    {
        let of_kinds = ErrorKind::ALL.iter().filter(|kind| kind.usual_execution() == execution);
        let of_kinds: Vec<_> = of_kinds.map(|kind| kind.code()).collect();
        assert_eq!(of_kinds, codes.split_whitespace().collect::<Vec<_>>());
    }
}
