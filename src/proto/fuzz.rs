//! What must hold for whatever bytes a stranger or a peer sends. Fuzz targets call these bodies, and tests run them.

#[cfg_attr(not(test), allow(dead_code))] // What fuzzing does not look at, the rows of bad input do.
pub(super) mod end;

use crate::config::Config;
use crate::proto::RouterRole;
use crate::proto::fuzz::end::End;
use crate::wire::put_frame_head;

/// What a stranger can make this node say: a greeting, its hello, its services, a refusal.
const SAID_TO_STRANGERS: usize = 64 * 1024;

/// A stranger's first bytes, to a listener or to a dialler: nobody is delivered to before it has joined, what is said to it is
/// bounded, and when it falls silent it is gone.
///
/// The lowest bit of the first byte chooses the role, the rest the length of the pieces.
pub(crate) fn handshake(bytes: &[u8]) {
    let [how, stream @ ..] = bytes else { return };
    let mut end = if how & 1 == 0 {
        End::accepting(Config::default())
    } else {
        End::dialling(Config::default())
    };
    end.hear_in_pieces(stream, usize::from(how >> 1));
    if !end.joined {
        assert!(end.said.len() <= SAID_TO_STRANGERS, "{} bytes said", end.said.len());
    }
    end.fall_silent();
}

/// A joined peer's bytes: our one call ends once, no answer goes out on a link that is gone, and silence ends it all.
///
/// The lowest bit of the first byte says whether the rest is a stream or messages, each behind its length in one byte. The highest says
/// that this node is a router, and the next one that the peer is one too, which is asked to place our call. Between them stands the
/// length of the pieces.
pub(crate) fn connection(bytes: &[u8]) {
    let [how, rest @ ..] = bytes else { return };
    let (is_router, has_router) = (how & 0x80 != 0, how & 0x40 != 0);
    let role = RouterRole { tells: true, chooses_elsewhere: false, stats_every: None };
    let roles = [is_router.then_some(role), has_router.then_some(role)];
    let (mut end, _) = End::pair(&Config::default(), roles);
    if has_router {
        end.ask_onward();
    } else {
        end.ask();
    }
    let stream = if how & 1 == 0 { rest.to_vec() } else { framed(rest) };
    end.hear_in_pieces(&stream, usize::from((how & 0x3f) >> 1));
    end.fall_silent();
    assert_eq!(end.answered, 1, "our call ended {} times", end.answered);
    let left = (end.mesh.pending_calls(), end.mesh.inbound_requests());
    assert_eq!(left, (0, 0), "pending calls and inbound requests");
}

/// A whole simulated mesh whose script these bytes are.
pub(crate) fn world(bytes: &[u8]) {
    super::sim::fuzz(bytes);
}

/// Puts frames around messages that stand behind their lengths.
fn framed(mut rest: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let [len, more @ ..] = rest {
        let (message, after) = more.split_at(more.len().min(usize::from(*len)));
        if !message.is_empty() {
            put_frame_head(&mut out, message.len(), false, false);
            out.extend_from_slice(message);
        }
        rest = after;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::fuzz::end::meet;

    const SEEDS: u64 = 300;

    #[test]
    fn strangers_get_nowhere_for_fixed_seeds() {
        let said_by_dialler =
            meet(&mut End::accepting(Config::default()), &mut End::dialling(Config::default()));
        let said_by_acceptor =
            meet(&mut End::dialling(Config::default()), &mut End::accepting(Config::default()));
        for seed in 0..SEEDS {
            let mut rng = fastrand::Rng::with_seed(seed);
            let how = rng.u8(..);
            let right = if how & 1 == 0 { &said_by_dialler } else { &said_by_acceptor };
            let mut bytes = [&[how], &**right].concat();
            for _ in 0..rng.usize(0..3) {
                let at = rng.usize(1..bytes.len());
                bytes[at] = rng.u8(..);
            }
            bytes.truncate(rng.usize(1..=bytes.len() * 2).min(bytes.len()));
            handshake(&bytes);
        }
    }

    #[test]
    fn peers_break_nothing_for_fixed_seeds() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/envelope");
        let mut paths: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        let samples: Vec<Vec<u8>> = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
        for seed in 0..SEEDS {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut bytes = vec![rng.u8(..) | 1];
            for _ in 0..rng.usize(1..20) {
                let message = &samples[rng.usize(..samples.len())];
                let Ok(len) = u8::try_from(message.len()) else { continue };
                bytes.push(len);
                bytes.extend_from_slice(message);
            }
            if rng.bool() {
                let at = rng.usize(1..bytes.len().max(2)).min(bytes.len() - 1);
                bytes[at] = rng.u8(..);
            }
            connection(&bytes);
        }
    }

    #[test]
    fn a_right_handshake_is_one_in_every_cut() {
        for cut in 0..128 {
            let mut ours = End::accepting(Config::default());
            let transcript =
                meet(&mut End::accepting(Config::default()), &mut End::dialling(Config::default()));
            ours.hear_in_pieces(&transcript, cut);
            assert!(ours.joined, "in pieces of {cut}");
        }
    }
}
