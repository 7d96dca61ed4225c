//! Strangers, liars and silence at the door: each is shown out as documented, and the peers inside notice nothing.

use std::time::{Duration, Instant};

use threadmesh::{ErrorKind, Node, NodeEvent, Request};

use crate::support::alien::{Alien, LISTENER_MAGIC, greeting, length};
use crate::support::{SOON, bounded, builder, joined, took};

const LIMIT: Duration = Duration::from_secs(60);
const HANDSHAKE: Duration = Duration::from_millis(700);

/// A listener, a peer that has joined, and nothing to do.
fn house() -> (Node, Node) {
    let server =
        builder("s").handshake_timeout(HANDSHAKE).bind("127.0.0.1:0").start().expect("a free port");
    server.on_request("echo", |request: Request<u32>| Ok(request.data)).unwrap();
    let client = joined("c", &server);
    (client, server)
}

/// Lets an alien do its worst, then sees that the peer inside was not disturbed and nobody has joined.
fn undisturbed(name: &str, worst: impl FnOnce(&mut Alien)) {
    bounded(name, LIMIT, || {
        let (client, server) = house();
        let mut events = server.events();
        let mut alien = Alien::dial(server.local_addr().unwrap());
        assert_eq!(client.request::<u32, _>("s", "echo", &1).unwrap(), 1);
        worst(&mut alien);
        assert_eq!(client.request::<u32, _>("s", "echo", &2).unwrap(), 2);
        assert_eq!(server.peers().len(), 1);
        while let Some(event) = events.try_next() {
            let disturbed = matches!(event, NodeEvent::PeerJoined(_) | NodeEvent::PeerLeft { .. });
            assert!(!disturbed, "{event:?}");
        }
    });
}

// covers P01
#[test]
fn an_http_request_is_closed_at_its_first_byte() {
    undisturbed("http", |alien| {
        alien.say(b"G");
        took(HANDSHAKE / 2, || assert_eq!(alien.hear_until_closed(), b""));
    });
}

// covers P01
#[test]
fn a_tls_hello_is_closed() {
    undisturbed("tls", |alien| {
        alien.say(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
        took(HANDSHAKE / 2, || assert_eq!(alien.hear_until_closed(), b""));
    });
}

// covers P01
#[test]
fn noise_is_closed() {
    undisturbed("noise", |alien| {
        let mut noise = vec![0; 10_000];
        fastrand::Rng::with_seed(7).fill(&mut noise);
        alien.say(&noise);
        took(HANDSHAKE / 2, || assert_eq!(alien.hear_until_closed(), b""));
    });
}

// covers P02
#[test]
fn silence_is_closed_after_the_handshake_timeout() {
    undisturbed("silence", |alien| {
        let began = Instant::now();
        alien.hear_until_closed();
        assert!(began.elapsed() >= HANDSHAKE / 2, "after {:?}", began.elapsed());
        assert!(began.elapsed() <= HANDSHAKE * 4, "after {:?}", began.elapsed());
    });
}

// covers P02
#[test]
fn a_greeting_and_then_silence_is_closed_after_the_handshake_timeout() {
    undisturbed("greeting and silence", |alien| {
        alien.say(&greeting(1, 1, 1));
        took(HANDSHAKE * 4, || assert!(alien.hear_until_closed().starts_with(LISTENER_MAGIC)));
    });
}

// covers P03
#[test]
fn an_oversize_length_before_the_handshake_is_closed_on_the_length_alone() {
    undisturbed("oversize", |alien| {
        alien.say(&greeting(1, 1, 1));
        alien.say(&length(200_000));
        took(HANDSHAKE / 2, || assert!(alien.hear_until_closed().starts_with(LISTENER_MAGIC)));
    });
}

// covers P03
#[test]
fn a_length_that_makes_no_sense_is_closed() {
    undisturbed("nonsense length", |alien| {
        alien.say(&greeting(1, 1, 1));
        alien.say(&length(0));
        took(HANDSHAKE / 2, || assert!(alien.hear_until_closed().starts_with(LISTENER_MAGIC)));
    });
}

// covers P04
#[test]
fn a_truncated_frame_is_closed_with_its_sender() {
    undisturbed("truncated", |alien| {
        alien.say(&greeting(1, 1, 1));
        alien.say(&length(100));
        alien.say(b"\x85\x01\x00");
        alien.say_no_more();
        // Whoever says no more before it has joined may not even be greeted.
        took(HANDSHAKE / 2, || alien.hear_until_closed());
    });
}

#[test]
fn an_envelope_that_is_none_is_closed() {
    undisturbed("malformed", |alien| {
        alien.say(&greeting(1, 1, 1));
        alien.say(&length(4));
        alien.say(&[0x9f, 0x00, 0xff, 0xff]);
        took(HANDSHAKE / 2, || assert!(alien.hear_until_closed().starts_with(LISTENER_MAGIC)));
    });
}

#[test]
fn a_peer_of_protocol_3_is_told_what_is_spoken_here_and_closed() {
    undisturbed("version 3", |alien| {
        alien.say(&greeting(3, 3, 1));
        let heard = took(HANDSHAKE * 4, || alien.hear_until_closed());
        assert_eq!(&heard[..8], LISTENER_MAGIC);
        assert_eq!(heard[8..12], [0, 1, 0, 1], "lowest and highest protocol: {heard:02x?}");
    });
}

#[test]
fn a_peer_that_speaks_1_to_3_is_answered_with_1() {
    undisturbed("versions 1 to 3", |alien| {
        alien.say(&greeting(1, 3, 0xffff));
        let heard = alien.hear_exactly(16);
        assert_eq!(&heard[..8], LISTENER_MAGIC);
        assert_eq!(heard[8..10], [0, 1], "the chosen protocol: {heard:02x?}");
    });
}

#[test]
fn dialling_an_alien_says_what_it_looks_like() {
    bounded("dialling an alien", LIMIT, || {
        let alien = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = alien.local_addr().unwrap();
        let answer = move || {
            use std::io::Write as _;
            let (mut stream, _) = alien.accept().unwrap();
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
            stream
        };
        let answering = std::thread::Builder::new().spawn(answer).unwrap();
        let node = builder("c").start().unwrap();
        let error = node.dial(address).timeout(SOON).once().connect().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Incompatible);
        assert!(error.to_string().contains("HTTP"), "{error}");
        drop(answering.join());
    });
}
