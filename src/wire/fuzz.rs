//! What must hold for any bytes. Fuzz targets call these bodies, and tests run them on fixed seeds.

use crate::wire::frame::FrameError;
use crate::wire::parse::WireError;
use crate::wire::{FrameReader, Incoming, parse, put_control, put_data_head};

/// However a stream is cut, it gives the same messages and the same error, within the memory that was promised.
///
/// The first byte chooses the limit, the second the number of cuts, which follow; the rest is the stream.
pub(crate) fn frame(bytes: &[u8]) {
    let [limit, cuts, rest @ ..] = bytes else { return };
    let limit = 1 << (limit % 20);
    let (cuts, stream) = rest.split_at(rest.len().min(usize::from(cuts % 16)));
    let whole = receive(&mut FrameReader::new(limit), stream, &[usize::MAX]);
    let mut pieces: Vec<usize> = cuts.iter().map(|cut| usize::from(*cut).pow(2) + 1).collect();
    pieces.push(1);
    assert_eq!(receive(&mut FrameReader::new(limit), stream, &pieces), whole);
}

/// Accepted bytes are what writing the message again gives, except for what was skipped; and nothing is left to skip then.
pub(crate) fn envelope(bytes: &[u8]) {
    let Ok((again, skipped)) = rewritten(bytes) else { return };
    if skipped == 0 {
        assert_eq!(again, bytes);
    }
    let settled = rewritten(&again).map(|(bytes, _)| bytes);
    assert_eq!(settled, Ok(again));
}

/// The messages of a stream that arrives in pieces of these lengths, in turn, and how it ended.
pub(super) fn receive(
    reader: &mut FrameReader,
    mut stream: &[u8],
    pieces: &[usize],
) -> (Vec<Vec<u8>>, Option<FrameError>) {
    let mut out = Vec::new();
    let mut received = 0;
    for piece in pieces.iter().cycle() {
        if stream.is_empty() {
            return (out, None);
        }
        let mut len = (*piece).clamp(1, stream.len());
        let mut input = &[][..];
        if let Some(space) = reader.body_space() {
            len = len.min(space.len());
            space[..len].copy_from_slice(&stream[..len]);
            reader.body_received(len);
        } else {
            input = &stream[..len];
        }
        stream = &stream[len..];
        received += len;
        loop {
            match reader.next(&mut input) {
                Ok(Some(frame)) => out.push(frame.bytes().to_vec()),
                Ok(None) => break,
                Err(error) => return (out, Some(error)),
            }
        }
        assert!(input.is_empty());
        assert!(reader.held() <= 2 * received + (1 << 20));
    }
    (out, None)
}

/// The bytes that writing what was read gives, and how much was skipped while reading.
pub(super) fn rewritten(bytes: &[u8]) -> Result<(Vec<u8>, u64), WireError> {
    let mut skipped = 0;
    let mut out = Vec::new();
    match parse(bytes, &mut skipped)? {
        Incoming::Control(control) => put_control(&mut out, &control),
        Incoming::Data { head, payload } => {
            put_data_head(&mut out, &head.as_head(), payload.len());
            out.extend_from_slice(&bytes[payload]);
        }
        Incoming::Unknown { .. } | Incoming::UnsupportedHeader { .. } => {
            out.extend_from_slice(bytes);
        }
    }
    Ok((out, skipped))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{put_frame_head, samples};

    const SEEDS: u64 = 2_000;

    #[test]
    fn frames_hold_for_fixed_seeds() {
        let mut ended = [0; 2];
        for seed in 0..SEEDS {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut bytes = vec![rng.u8(..), rng.u8(..)];
            bytes.extend((0..16).map(|_| rng.u8(..)));
            let stream = stream(&mut rng);
            let (_, error) = receive(&mut FrameReader::new(1 << 20), &stream, &[usize::MAX]);
            ended[usize::from(error.is_some())] += 1;
            bytes.extend(stream);
            frame(&bytes);
        }
        assert!(ended.iter().all(|count| *count > 100), "{ended:?}");
    }

    #[test]
    fn envelopes_hold_for_fixed_seeds() {
        let samples = samples::all();
        let mut accepted = 0;
        for seed in 0..SEEDS {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut bytes = samples[rng.usize(..samples.len())].1.clone();
            let other = &samples[rng.usize(..samples.len())].1;
            for _ in 0..rng.usize(0..4) {
                mutate(&mut rng, &mut bytes, other);
            }
            accepted += u64::from(rewritten(&bytes).is_ok());
            envelope(&bytes);
            let noise: Vec<u8> = (0..rng.usize(..40)).map(|_| rng.u8(..)).collect();
            envelope(&noise);
        }
        assert!(accepted > SEEDS / 10, "{accepted}");
    }

    fn stream(rng: &mut fastrand::Rng) -> Vec<u8> {
        let mut out = Vec::new();
        let mut running = false;
        for _ in 0..rng.usize(1..8) {
            let most = if rng.u8(..) < 16 { 40_000 } else { 200 };
            let len = rng.usize(1..most);
            let (more, continues) = match rng.u8(..4) {
                0 => (false, false),
                1 => (false, running),
                _ => (true, running),
            };
            running = more || (running && !continues);
            put_frame_head(&mut out, len, more, continues);
            out.resize(out.len() + len, len as u8);
        }
        if rng.bool() {
            mutate(rng, &mut out, &[0xff, 0, 0, 1, 0, 0x40]);
        }
        out
    }

    fn mutate(rng: &mut fastrand::Rng, bytes: &mut Vec<u8>, other: &[u8]) {
        let at = rng.usize(..=bytes.len().saturating_sub(1));
        match rng.u8(..5) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << rng.u8(..8),
            1 if !bytes.is_empty() => bytes[at] = rng.u8(..),
            2 if !bytes.is_empty() => drop(bytes.remove(at)),
            3 => bytes.truncate(at),
            _ => {
                let end = rng.usize(..=other.len());
                let start = rng.usize(..=end);
                bytes.splice(at..at, other[start..end].iter().copied());
            }
        }
    }
}
