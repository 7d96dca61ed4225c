use super::*;
use crate::config::SEGMENT_BYTES;

const WHOLE_BYTES: usize = SEGMENT_BYTES / 2;
use crate::wire::fuzz::receive;

/// A message in segments of these sizes, each with its length word.
fn segments(sizes: &[usize]) -> (Vec<Vec<u8>>, Vec<u8>) {
    let mut message = Vec::new();
    let frames = sizes.iter().enumerate().map(|(at, len)| {
        let mut out = Vec::new();
        put_frame_head(&mut out, *len, at + 1 < sizes.len(), at > 0);
        let bytes: Vec<u8> = (0..*len).map(|byte| (byte * 31 + at * 7) as u8).collect();
        message.extend_from_slice(&bytes);
        out.extend_from_slice(&bytes);
        out
    });
    let frames = frames.collect();
    (frames, message)
}

fn word(word: u32) -> [u8; 4] {
    word.to_be_bytes()
}

#[test]
fn any_cutting_gives_the_same_messages() {
    let (small, small_message) = segments(&[100]);
    let (large, large_message) = segments(&[SEGMENT_BYTES, SEGMENT_BYTES, LARGE_BODY_BYTES + 1, 3]);
    let (middle, middle_message) = segments(&[WHOLE_BYTES]);
    let stream =
        [&small[0], &large[0], &small[0], &large[1], &middle[0], &large[2], &large[3], &small[0]]
            .map(Vec::as_slice)
            .concat();
    let expected = vec![
        small_message.clone(),
        small_message.clone(),
        middle_message,
        large_message,
        small_message,
    ];
    for pieces in
        [&[usize::MAX][..], &[1], &[3, 5], &[4096], &[64 * 1024], &[1, 200_000], &[132_076, 1, 4]]
    {
        let mut reader = FrameReader::new(1 << 24);
        let (messages, error) = receive(&mut reader, &stream, pieces);
        assert!(messages == expected && error.is_none(), "{pieces:?}");
        assert_eq!(reader.held(), 0);
    }
}

#[test]
fn every_cut_of_small_messages_gives_the_same() {
    let (small, message) = segments(&[9]);
    let (split, joined) = segments(&[2, 3]);
    let stream = [&small[0], &split[0], &small[0], &split[1]].map(Vec::as_slice).concat();
    for cut in 1..stream.len() {
        let mut reader = FrameReader::new(100);
        let (mut messages, _) = receive(&mut reader, &stream[..cut], &[usize::MAX]);
        messages.extend(receive(&mut reader, &stream[cut..], &[usize::MAX]).0);
        assert_eq!(messages, [message.clone(), message.clone(), joined.clone()], "{cut}");
    }
}

#[test]
fn a_small_message_in_one_piece_costs_no_heap() {
    let (frames, message) = segments(&[LARGE_BODY_BYTES]);
    let mut reader = FrameReader::new(1 << 24);
    let mut input = &frames[0][..];
    assert_eq!(reader.next(&mut input), Ok(Some(Frame::Borrowed(&message))));
    assert_eq!(reader.held(), 0);
}

#[test]
fn the_next_segment_comes_straight_behind_the_length_word() {
    let (frames, message) = segments(&[SEGMENT_BYTES, SEGMENT_BYTES]);
    let mut reader = FrameReader::new(1 << 24);
    assert_eq!(reader.next(&mut &frames[0][..4]), Ok(None));
    let stream = [&frames[0][4..], &frames[1][..]].concat();
    let (mut at, mut reads) = (0, 0);
    while let Some(space) = reader.body_space() {
        let len = space.len().min(stream.len() - at);
        space[..len].copy_from_slice(&stream[at..at + len]);
        reader.body_received(len);
        (at, reads) = (at + len, reads + 1);
        if let Some(frame) = reader.next(&mut &[][..]).unwrap() {
            assert_eq!(frame, Frame::Owned(message.clone()));
        }
    }
    assert_eq!((at, reads), (stream.len(), 2));
}

#[test]
fn lengths_are_judged_before_any_room_is_made() {
    let limit = 1_000;
    for (stream, error) in [
        (word(1_001).to_vec(), FrameError::TooLarge { len: 1_001, limit }),
        (word(0x3fff_ffff).to_vec(), FrameError::TooLarge { len: 0x3fff_ffff, limit }),
        (word(0).to_vec(), FrameError::Malformed("an empty frame")),
        (word(MORE).to_vec(), FrameError::Malformed("an empty frame")),
        (word(CONTINUES | 5).to_vec(), FrameError::Malformed("a segment continues nothing")),
        (b"HTTP".to_vec(), FrameError::Malformed("a segment continues nothing")),
        (
            [&word(MORE | 1)[..], b"x", &word(MORE | 1)].concat(),
            FrameError::Malformed("two messages in segments at the same time"),
        ),
        (
            [&word(MORE | 1)[..], b"x", &word(CONTINUES + 1_000)].concat(),
            FrameError::TooLarge { len: 1_001, limit },
        ),
    ] {
        for piece in [1, 2, usize::MAX] {
            let mut reader = FrameReader::new(limit);
            let (messages, found) = receive(&mut reader, &stream, &[piece]);
            assert_eq!((messages.len(), found), (0, Some(error)), "{stream:02x?}");
            assert!(reader.held() < 20);
            assert_eq!(reader.next(&mut &[0, 0, 0, 1, 0][..]), Err(error));
        }
    }
}

#[test]
fn a_segment_above_the_most_is_refused_whatever_the_limit() {
    let mut reader = FrameReader::new(1 << 24);
    let len = SEGMENT_MOST_BYTES + 1;
    let error = FrameError::TooLarge { len, limit: SEGMENT_MOST_BYTES };
    assert_eq!(reader.next(&mut &word(len as u32)[..]), Err(error));
}

#[test]
fn memory_stays_within_twice_what_was_received_and_one_mebibyte() {
    let mut reader = FrameReader::new(16 << 20);
    let (frames, message) = segments(&[SEGMENT_MOST_BYTES; 64]);
    let mut received = 0;
    for (at, frame) in frames.iter().enumerate() {
        for piece in frame.chunks(50_000) {
            received += piece.len();
            match reader.next(&mut &piece[..]).unwrap() {
                Some(whole) => assert!(at == 63 && whole.bytes() == message),
                None => assert!(reader.held() <= 2 * received + (1 << 20), "{received}"),
            }
        }
    }
    assert_eq!(reader.held(), 0);
}

#[test]
fn a_large_message_in_single_bytes_costs_linear_time() {
    let (frames, message) = segments(&[SEGMENT_BYTES, SEGMENT_BYTES]);
    let mut reader = FrameReader::new(1 << 24);
    let (messages, error) = receive(&mut reader, &frames.concat(), &[1]);
    assert!(messages == [message] && error.is_none());
}

#[test]
fn a_raised_limit_holds_from_the_next_length_word_on() {
    let mut reader = FrameReader::new(10);
    reader.set_limit(20);
    let (frames, message) = segments(&[20]);
    assert_eq!(reader.next(&mut &frames[0][..]), Ok(Some(Frame::Borrowed(&message))));
}
