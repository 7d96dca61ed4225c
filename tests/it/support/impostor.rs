//! A peer written from the protocol's document alone: it joins like any other and then says what it likes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use ciborium::Value;

use super::SOON;
use super::alien::greeting;

pub(crate) const READY: u64 = 5;
pub(crate) const REQUEST: u64 = 2;
pub(crate) const REPLY: u64 = 4;
pub(crate) const FAILURE: u64 = 6;
pub(crate) const FAULT: u64 = 8;
pub(crate) const GOODBYE: u64 = 9;
pub(crate) const HEARTBEAT: u64 = 11;

/// What an impostor announces in its hello, as far as the tests change it.
#[derive(Clone, Copy)]
pub(crate) struct Announced {
    pub(crate) heartbeat_ms: u32,
    pub(crate) liveness_ms: u32,
    pub(crate) calls: u32,
    pub(crate) tick_window: u64,
    pub(crate) message_bytes: u64,
}

pub(crate) const MODEST: Announced = Announced {
    heartbeat_ms: 2_000,
    liveness_ms: 10_000,
    calls: 1_024,
    tick_window: 65_536,
    message_bytes: 16 << 20,
};

pub(crate) struct Impostor(TcpStream);

/// One message: kind, call, headers, and so on.
pub(crate) type Said = Vec<Value>;

impl Impostor {
    pub(crate) fn join(address: SocketAddr, id: &str) -> Self {
        Self::join_as(address, id, MODEST)
    }

    pub(crate) fn join_as(address: SocketAddr, id: &str, announced: Announced) -> Self {
        let stream = TcpStream::connect(address).expect("the node listens");
        stream.set_read_timeout(Some(SOON)).expect("an open socket");
        let mut own = Self(stream);
        own.write(&greeting(1, 1, 1));
        own.0.read_exact(&mut [0; 16]).expect("the node greets");
        own.say(hello(id, announced));
        own.say(message(3, 0, [Value::Bool(true), Value::Array(Vec::new())]));
        own.say(message(READY, 0, []));
        own.hear(READY);
        own
    }

    /// The node may close before it has read everything, so a failure to write is not a failure of the test.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> bool {
        self.0.write_all(bytes).is_ok()
    }

    pub(crate) fn say(&mut self, message: Said) {
        self.write(&frame(message));
    }

    /// The next message of that kind; what comes before it is skipped.
    pub(crate) fn hear(&mut self, kind: u64) -> Said {
        self.hear_until(|said| number(&said[0]) == kind)
    }

    /// The next fault about that call: the number of its kind, and its execution.
    pub(crate) fn hear_fault(&mut self, call: u64) -> (u64, u64) {
        let fault = self.hear_until(|said| number(&said[0]) == FAULT && number(&said[1]) == call);
        (number(&fault[3]), number(&fault[4]))
    }

    /// The next answer to that call, whatever it is.
    pub(crate) fn hear_answer(&mut self, call: u64) -> Said {
        self.hear_until(|said| is_answer(said) && number(&said[1]) == call)
    }

    /// The reason and the text of the goodbye with which the node answers.
    pub(crate) fn hear_goodbye(&mut self) -> (u64, String) {
        let goodbye = self.hear(GOODBYE);
        (number(&goodbye[3]), goodbye[4].as_text().unwrap_or_default().to_owned())
    }

    /// Asks for an event, and hears the value of the answer.
    pub(crate) fn ask(&mut self, call: u64, event: &str, value: u64) -> u64 {
        self.say(request(call, event, &item(Value::from(value))));
        let answer = self.hear_answer(call);
        assert_eq!(number(&answer[0]), 4, "{answer:?}");
        number_in(&answer[3])
    }

    /// How many heartbeats come within that time.
    pub(crate) fn heartbeats_within(&mut self, time: Duration) -> usize {
        let end = std::time::Instant::now() + time;
        let mut heard = 0;
        while std::time::Instant::now() < end {
            self.hear(HEARTBEAT);
            heard += 1;
        }
        heard
    }

    fn hear_until(&mut self, wanted: impl Fn(&Said) -> bool) -> Said {
        loop {
            let said = self.hear_any();
            if wanted(&said) {
                return said;
            }
        }
    }

    fn hear_any(&mut self) -> Said {
        let mut word = [0; 4];
        self.0.read_exact(&mut word).expect("the node says more");
        let word = u32::from_be_bytes(word);
        assert_eq!(word >> 30, 0, "these tests ask for nothing that needs segments");
        let mut bytes = vec![0; word as usize];
        self.0.read_exact(&mut bytes).expect("the node says it whole");
        envelope(&bytes)
    }
}

pub(crate) fn envelope(bytes: &[u8]) -> Said {
    let value: Value = ciborium::from_reader(bytes).expect("an envelope is CBOR");
    value.into_array().expect("an envelope is an array")
}

pub(crate) fn is_answer(said: &Said) -> bool {
    [REPLY, FAILURE, FAULT].contains(&number(&said[0]))
}

/// The number that is all of a payload.
pub(crate) fn number_in(payload: &Value) -> u64 {
    let item = payload.as_bytes().expect("a payload");
    number(&ciborium::from_reader(&**item).expect("one item"))
}

pub(crate) fn number(value: &Value) -> u64 {
    value.as_integer().and_then(|integer| u64::try_from(integer).ok()).expect("a number")
}

pub(crate) fn item(value: Value) -> Vec<u8> {
    let mut out = Vec::new();
    ciborium::into_writer(&value, &mut out).expect("a vector takes everything");
    out
}

pub(crate) fn message(kind: u64, call: u64, fields: impl IntoIterator<Item = Value>) -> Said {
    message_with(kind, call, Vec::new(), fields)
}

pub(crate) fn message_with(
    kind: u64,
    call: u64,
    headers: Vec<(Value, Value)>,
    fields: impl IntoIterator<Item = Value>,
) -> Said {
    let head = [Value::from(kind), Value::from(call), Value::Map(headers)];
    head.into_iter().chain(fields).collect()
}

pub(crate) fn request(call: u64, event: &str, payload: &[u8]) -> Said {
    let fields = [Value::from(5_000_u64), Value::from(event), Value::Bytes(payload.to_vec())];
    message(REQUEST, call, fields)
}

pub(crate) fn tick(event: &str, payload: &[u8]) -> Said {
    message(10, 0, [Value::from(event), Value::Bytes(payload.to_vec())])
}

pub(crate) fn frame(message: Said) -> Vec<u8> {
    let body = item(Value::Array(message));
    let len = u32::try_from(body.len()).expect("a short message");
    [&len.to_be_bytes()[..], &body].concat()
}

fn hello(id: &str, announced: Announced) -> Said {
    let options = Value::Map(vec![(Value::from("_id"), Value::from(id))]);
    let mut instance = [0; 16];
    fastrand::Rng::new().fill(&mut instance);
    let fields = [
        Value::from(id),
        Value::Bytes(instance.to_vec()),
        Value::from(1_u64),
        options,
        Value::from(1_u64),
        Value::Null,
        Value::Null,
        Value::Map(Vec::new()),
        Value::from(announced.heartbeat_ms),
        Value::from(announced.liveness_ms),
        Value::from(announced.calls),
        Value::from(announced.tick_window),
        Value::from(announced.message_bytes),
    ];
    message(1, 0, fields)
}
