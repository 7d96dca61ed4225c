//! The first 16 bytes of each direction: magic, protocol versions, security modes. It must not know frames or messages.
//!
//! Both greetings have the same shape and differ in their first byte, so that a socket which was connected to itself
//! notices. A stranger is told apart at the first wrong byte, and nothing of what it sends is kept.

use std::fmt::Write as _;

/// The length of both greetings.
pub(crate) const GREETING_BYTES: usize = 16;

/// The protocol that this crate speaks.
pub(crate) const VERSION: u16 = 1;

/// The security mode without any security.
pub(crate) const PLAINTEXT: u16 = 1;

const DIALLER_MAGIC: [u8; 8] = *b"\xf4tmesh\r\n";
const LISTENER_MAGIC: [u8; 8] = *b"\xf5tmesh\r\n";
const RANGE: u16 = 0;
const CHOSEN: u16 = 1;

/// What the dialler can speak, and what a listener that found nothing in common can.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Offer {
    pub(crate) lowest: u16,
    pub(crate) highest: u16,
    /// A set: one bit per security mode.
    pub(crate) modes: u16,
}

/// What the listener decided.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Choice {
    pub(crate) version: u16,
    /// Exactly one bit of [`Offer::modes`].
    pub(crate) mode: u16,
}

/// The listener's greeting.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reply {
    /// Both go on with this.
    Chosen(Choice),
    /// Nothing in common: this is what the listener can speak. It closes after saying so.
    Range(Offer),
}

/// What a beginning of received bytes is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Heard<G> {
    /// Right so far, but not complete.
    More,
    /// The first [`GREETING_BYTES`] bytes are a greeting.
    Done(G),
    /// No greeting. The text says what it looks like.
    Alien(String),
}

impl Offer {
    /// What this crate speaks.
    pub(crate) const OURS: Self = Self { lowest: VERSION, highest: VERSION, modes: PLAINTEXT };

    /// The dialler's greeting.
    pub(crate) fn to_bytes(self) -> [u8; GREETING_BYTES] {
        self.assemble(DIALLER_MAGIC, RANGE)
    }

    /// Reads the dialler's greeting.
    pub(crate) fn parse(bytes: &[u8]) -> Heard<Self> {
        match split(bytes, DIALLER_MAGIC) {
            Heard::More => Heard::More,
            Heard::Alien(looks) => Heard::Alien(looks),
            Heard::Done((offer, _)) => Heard::Done(offer),
        }
    }

    fn assemble(self, magic: [u8; 8], verdict: u16) -> [u8; GREETING_BYTES] {
        let mut out = [0; GREETING_BYTES];
        out[..8].copy_from_slice(&magic);
        for (at, word) in [self.lowest, self.highest, self.modes, verdict].into_iter().enumerate() {
            out[8 + 2 * at..10 + 2 * at].copy_from_slice(&word.to_be_bytes());
        }
        out
    }
}

impl Choice {
    /// Whether a dialler that made this offer can go on with this choice.
    pub(crate) fn is_of(self, offer: Offer) -> bool {
        (offer.lowest..=offer.highest).contains(&self.version) && self.mode & offer.modes != 0
    }
}

impl Reply {
    /// The listener's greeting.
    pub(crate) fn to_bytes(self) -> [u8; GREETING_BYTES] {
        match self {
            Self::Chosen(Choice { version, mode }) => {
                let offer = Offer { lowest: version, highest: version, modes: mode };
                offer.assemble(LISTENER_MAGIC, CHOSEN)
            }
            Self::Range(offer) => offer.assemble(LISTENER_MAGIC, RANGE),
        }
    }

    /// Reads the listener's greeting.
    pub(crate) fn parse(bytes: &[u8]) -> Heard<Self> {
        let (offer, verdict) = match split(bytes, LISTENER_MAGIC) {
            Heard::More => return Heard::More,
            Heard::Alien(looks) => return Heard::Alien(looks),
            Heard::Done(parts) => parts,
        };
        match verdict {
            RANGE => Heard::Done(Self::Range(offer)),
            CHOSEN if offer.lowest == offer.highest && offer.modes.is_power_of_two() => {
                let choice = Choice { version: offer.lowest, mode: offer.modes };
                Heard::Done(Self::Chosen(choice))
            }
            _ => Heard::Alien("a malformed greeting".to_owned()),
        }
    }
}

/// The listener's choice: the highest version and the strongest mode that both have.
///
/// # Errors
/// A text that names what both can speak.
#[allow(clippy::trivially_copy_pass_by_ref)] // It compares two things that its callers keep.
pub(crate) fn negotiate(ours: &Offer, theirs: &Offer) -> Result<Choice, String> {
    let version = ours.highest.min(theirs.highest);
    let common = ours.modes & theirs.modes;
    if version >= ours.lowest.max(theirs.lowest) && common != 0 {
        let mode = 1 << common.ilog2();
        return Ok(Choice { version, mode });
    }
    Err(format!("this side speaks {}, the other {}", described(*ours), described(*theirs)))
}

fn described(offer: Offer) -> String {
    let Offer { lowest, highest, modes } = offer;
    format!("protocols {lowest} to {highest} with security modes {modes:#06x}")
}

fn split(bytes: &[u8], magic: [u8; 8]) -> Heard<(Offer, u16)> {
    if bytes.iter().zip(&magic).any(|(heard, wanted)| heard != wanted) {
        return Heard::Alien(looks_like(bytes));
    }
    let Some(fields) = bytes.get(8..GREETING_BYTES) else {
        return Heard::More;
    };
    let word = |at: usize| u16::from_be_bytes([fields[at], fields[at + 1]]);
    Heard::Done((Offer { lowest: word(0), highest: word(2), modes: word(4) }, word(6)))
}

fn looks_like(bytes: &[u8]) -> String {
    const METHODS: [&[u8]; 8] =
        [b"GET ", b"POST", b"PUT ", b"HEAD", b"DELE", b"OPTI", b"CONN", b"HTTP"];
    let begins = |with: &[u8]| bytes.starts_with(with);
    if METHODS.into_iter().any(begins) {
        "HTTP".to_owned()
    } else if begins(&[0x16, 0x03]) {
        "TLS".to_owned()
    } else if begins(b"SSH-") {
        "SSH".to_owned()
    } else if begins(&DIALLER_MAGIC[..1]) {
        "a threadmesh node that dialled, too: perhaps this very node".to_owned()
    } else if begins(&LISTENER_MAGIC[..1]) {
        "a threadmesh node that listens, too".to_owned()
    } else {
        let mut text = "unknown bytes".to_owned();
        for byte in bytes.iter().take(GREETING_BYTES) {
            // Writing to a String cannot fail.
            let _ = write!(text, " {byte:02x}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFER: Offer = Offer { lowest: 1, highest: 3, modes: 0b101 };

    #[test]
    fn greetings_come_back_and_every_beginning_waits_for_more() {
        let offer = OFFER.to_bytes();
        for reply in
            [Reply::Chosen(Choice { version: 2, mode: 4 }), Reply::Range(OFFER)].map(|reply| {
                assert_eq!(Reply::parse(&reply.to_bytes()), Heard::Done(reply));
                reply.to_bytes()
            })
        {
            for cut in 0..GREETING_BYTES {
                assert_eq!(Offer::parse(&offer[..cut]), Heard::More);
                assert_eq!(Reply::parse(&reply[..cut]), Heard::More);
            }
        }
        assert_eq!(Offer::parse(&[&offer[..], b"more"].concat()), Heard::Done(OFFER));
    }

    #[test]
    fn the_first_wrong_magic_byte_is_alien() {
        for at in 0..8 {
            let mut bytes = OFFER.to_bytes();
            bytes[at] ^= 0x20;
            assert!(matches!(Offer::parse(&bytes[..=at]), Heard::Alien(_)), "{at}");
        }
    }

    #[test]
    fn strangers_are_named() {
        for (bytes, name) in [
            (&b"GET / HTTP/1.1\r\n"[..], "HTTP"),
            (b"HTTP/1.1 400 Bad", "HTTP"),
            (&[0x16, 0x03, 0x01, 0x02], "TLS"),
            (b"SSH-2.0-OpenSSH", "SSH"),
            (&[0, 1, 2], "unknown bytes 00 01 02"),
        ] {
            assert_eq!(Offer::parse(bytes), Heard::Alien(name.to_owned()));
            assert_eq!(Reply::parse(bytes), Heard::Alien(name.to_owned()));
        }
    }

    #[test]
    fn a_socket_connected_to_itself_notices_at_the_first_byte() {
        assert!(matches!(Reply::parse(&OFFER.to_bytes()[..1]), Heard::Alien(_)));
    }

    #[test]
    fn an_ambiguous_choice_is_no_greeting() {
        let mut bytes = Reply::Chosen(Choice { version: 1, mode: 1 }).to_bytes();
        bytes[13] = 3;
        assert!(matches!(Reply::parse(&bytes), Heard::Alien(_)));
    }

    #[test]
    fn the_highest_common_version_and_strongest_common_mode_win() {
        let theirs = Offer { lowest: 2, highest: 9, modes: 0b111 };
        let choice = negotiate(&OFFER, &theirs).unwrap();
        assert_eq!(choice, Choice { version: 3, mode: 4 });
        assert!(choice.is_of(OFFER) && choice.is_of(theirs));
        assert!(!choice.is_of(Offer::OURS));
    }

    #[test]
    fn nothing_in_common_names_both() {
        let newer = Offer { lowest: 4, highest: 5, modes: 0b101 };
        let text = negotiate(&OFFER, &newer).unwrap_err();
        assert!(text.contains("1 to 3") && text.contains("4 to 5"), "{text}");
        let other_modes = Offer { modes: 0b010, ..OFFER };
        assert!(negotiate(&OFFER, &other_modes).unwrap_err().contains("0x0002"));
    }
}
