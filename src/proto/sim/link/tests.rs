//! TCP's facts, one by one.

use super::*;

fn pair(conditions: Conditions) -> (Tcp, Instant) {
    let now = Instant::now();
    (Tcp::new(conditions, now), now)
}

/// Runs until nothing changes by itself; returns the time that then is.
fn settle(tcp: &mut Tcp, mut now: Instant) -> Instant {
    for _ in 0..1_000_000 {
        tcp.step(now);
        match tcp.next() {
            Some(next) => now = now.max(next),
            None => return now,
        }
        tcp.step(now);
        if tcp.next().is_some_and(|next| next <= now) {
            // A window that is closed until somebody reads is not a change by itself.
            return now;
        }
    }
    panic!("a busy loop");
}

fn read_all(tcp: &mut Tcp, end: usize) -> (Vec<u8>, Read) {
    let mut all = Vec::new();
    let mut space = [0; 1_000];
    loop {
        match tcp.read(end, &mut space) {
            Read::Bytes(len) => all.extend(&space[..len]),
            other => return (all, other),
        }
    }
}

#[test]
fn bytes_arrive_in_order_once_and_after_the_delay() {
    let delay = Duration::from_millis(30);
    let (mut tcp, now) = pair(Conditions { delay, ..Conditions::GOOD });
    assert_eq!(tcp.write(0, b"one ", now), Some(4));
    assert_eq!(tcp.write(0, b"two", now), Some(3));
    tcp.shut(0);
    tcp.step(now);
    assert_eq!(tcp.read(1, &mut [0; 8]), Read::Wait);
    assert_eq!(tcp.next(), Some(now + delay));
    let end = settle(&mut tcp, now);
    assert_eq!(end, now + delay);
    assert_eq!(read_all(&mut tcp, 1), (b"one two".to_vec(), Read::Eof));
    assert_eq!(tcp.write(1, b"back", end), Some(4), "the other way is still open");
    settle(&mut tcp, end);
    assert_eq!(read_all(&mut tcp, 0), (b"back".to_vec(), Read::Wait));
}

#[test]
fn a_receiver_that_does_not_read_stops_its_sender() {
    let rooms = Conditions { send_room: 100, receive_room: 50, ..Conditions::GOOD };
    let (mut tcp, mut now) = pair(rooms);
    let bytes = [7; 1_000];
    let mut taken = 0;
    for _ in 0..10 {
        taken += tcp.write(0, &bytes, now).unwrap();
        now = settle(&mut tcp, now);
    }
    assert_eq!(taken, 150);
    assert!(!tcp.is_writable(0));
    assert_eq!(read_all(&mut tcp, 1).0.len(), 50);
    settle(&mut tcp, now);
    assert_eq!(tcp.room(0), 50);
}

#[test]
fn a_slow_path_takes_its_time() {
    let slow = Conditions { rate: Some(1_000_000), ..Conditions::GOOD };
    let (mut tcp, start) = pair(slow);
    assert_eq!(tcp.write(0, &vec![1; 200_000], start), Some(200_000));
    let took = settle(&mut tcp, start) - start;
    assert!(took >= Duration::from_millis(190) && took < Duration::from_millis(210), "{took:?}");
}

#[test]
fn closing_with_unread_input_destroys_what_the_other_side_has_not_read() {
    let (mut tcp, now) = pair(Conditions::GOOD);
    tcp.write(0, b"question", now);
    tcp.write(1, b"the very error text", now);
    let now = settle(&mut tcp, now);
    tcp.close(1, now);
    settle(&mut tcp, now);
    assert_eq!(read_all(&mut tcp, 0), (vec![], Read::Broken));
    assert_eq!(tcp.write(0, b"more", now), None);
}

#[test]
fn closing_after_reading_everything_lets_the_last_words_through() {
    let (mut tcp, now) = pair(Conditions::GOOD);
    tcp.write(0, b"question", now);
    let now = settle(&mut tcp, now);
    read_all(&mut tcp, 1);
    tcp.write(1, b"last words", now);
    tcp.close(1, now);
    let now = settle(&mut tcp, now);
    assert_eq!(read_all(&mut tcp, 0), (b"last words".to_vec(), Read::Eof));
    assert_eq!(tcp.write(0, b"too late", now), Some(8));
    settle(&mut tcp, now);
    assert_eq!(read_all(&mut tcp, 0).1, Read::Broken, "nobody was there to read it");
}

#[test]
fn a_cut_keeps_a_beginning_and_ends_the_stream() {
    let mut rng = fastrand::Rng::with_seed(3);
    let sent: Vec<u8> = (0..200).collect();
    for _ in 0..100 {
        let (mut tcp, now) = pair(Conditions::GOOD);
        tcp.write(0, &sent[..120], now);
        tcp.step(now);
        tcp.write(0, &sent[120..], now);
        tcp.cut(&mut rng);
        let now = settle(&mut tcp, now);
        let (read, end) = read_all(&mut tcp, 1);
        assert!(sent.starts_with(&read));
        assert_eq!(end, Read::Eof);
        assert_eq!(tcp.write(0, b"x", now), Some(1), "the writer does not know yet");
        settle(&mut tcp, now);
        assert_eq!(tcp.write(0, b"x", now), None);
    }
}

#[test]
fn a_frozen_path_tells_nobody_and_thaws_whole() {
    let (mut tcp, now) = pair(Conditions::GOOD);
    tcp.write(0, b"before", now);
    tcp.freeze(true);
    assert_eq!(tcp.next(), None);
    tcp.step(now + Duration::from_secs(60));
    assert!(!tcp.is_readable(1));
    tcp.freeze(false);
    settle(&mut tcp, now + Duration::from_secs(60));
    assert_eq!(read_all(&mut tcp, 1), (b"before".to_vec(), Read::Wait));
}
