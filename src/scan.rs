//! Is this exactly one well-formed CBOR item, not too deep and not too many? Asked of every payload before serde sees it.
//!
//! What RFC 8949 calls well-formed is accepted, indefinite lengths and tags included, since any program may have written
//! it. Whether texts are UTF-8 is left to serde, which looks at them anyway. Nothing is allocated and nothing recurses.

use crate::cbor::Malformed;
use crate::config::{PAYLOAD_DEPTH, PAYLOAD_ITEMS};

const BREAK: u8 = 0xff;

const TOO_MANY: Malformed = Malformed("more than 262144 items");

/// The whole length of a short scalar by its first byte; 0 where that byte alone does not tell.
static SHORT: [u8; 256] = short_lengths();

/// Fails unless `bytes` is one item within the limits. Arrays, maps and tags count as depth; every head counts as an item.
pub(crate) fn scan(bytes: &[u8]) -> Result<(), Malformed> {
    let mut rest = bytes;
    if skip_short(&mut rest, 1) == 1 && rest.is_empty() {
        return Ok(());
    }
    let mut scanner = Scanner::new(bytes);
    scanner.item()?;
    while scanner.depth > 0 {
        scanner.advance()?;
    }
    if scanner.rest.is_empty() { Ok(()) } else { Err(Malformed("bytes follow the item")) }
}

/// The content of the byte string that `item` is, if it is one of definite length.
pub(crate) fn byte_string(item: &[u8]) -> Option<&[u8]> {
    let mut scanner = Scanner::new(item);
    match scanner.head() {
        Ok((2, _, Some(len))) if len == scanner.rest.len() as u64 => Some(scanner.rest),
        _ => None,
    }
}

/// What is not yet complete at one level.
#[derive(Clone, Copy)]
enum Open {
    /// So many items are still to come.
    Items(u32),
    /// An array that ends with a break.
    Array,
    /// A map that ends with a break, which may not stand where a value is due.
    Map { value_due: bool },
}

struct Scanner<'a> {
    rest: &'a [u8],
    items: usize,
    /// The first `depth` of these count.
    open: [Open; PAYLOAD_DEPTH],
    depth: usize,
}

impl<'a> Scanner<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, items: 0, open: [Open::Items(0); PAYLOAD_DEPTH], depth: 0 }
    }

    /// Goes one item or one end further at the innermost level.
    fn advance(&mut self) -> Result<(), Malformed> {
        let ended = self.rest.first() == Some(&BREAK);
        match &mut self.open[self.depth - 1] {
            Open::Items(left) => {
                let room = (PAYLOAD_ITEMS - self.items) as u32;
                let skipped = skip_short(&mut self.rest, room.min(*left));
                self.items += skipped as usize;
                *left -= skipped;
                if *left == 0 {
                    self.depth -= 1;
                    return Ok(());
                }
                *left -= 1;
            }
            Open::Map { value_due: true } if ended => {
                return Err(Malformed("a map ends where a value is due"));
            }
            Open::Array | Open::Map { .. } if ended => {
                self.rest = &self.rest[1..];
                self.depth -= 1;
                return Ok(());
            }
            Open::Array => {}
            Open::Map { value_due } => *value_due = !*value_due,
        }
        self.item()
    }

    /// Reads one item, or the head of one that contains others.
    fn item(&mut self) -> Result<(), Malformed> {
        let (major, first, argument) = self.head()?;
        match (major, argument) {
            (0 | 1, Some(_)) => Ok(()),
            (2 | 3, Some(len)) => self.skip(len),
            (2 | 3, None) => self.chunks(major),
            (4, None) => self.push(Open::Array),
            (4, Some(len)) => self.push_items(len, 1),
            (5, None) => self.push(Open::Map { value_due: false }),
            (5, Some(len)) => self.push_items(len, 2),
            (6, Some(_)) => self.push(Open::Items(1)),
            (7, Some(value)) => simple(first, value),
            (7, None) => Err(Malformed("a break ends nothing")),
            _ => Err(Malformed("an integer or a tag has no number")),
        }
    }

    /// The parts of a string of indefinite length: definite strings of the same type, then a break.
    fn chunks(&mut self, major: u8) -> Result<(), Malformed> {
        loop {
            match self.head()? {
                (7, BREAK, None) => return Ok(()),
                (same, _, Some(len)) if same == major => self.skip(len)?,
                _ => return Err(Malformed("a string is made of something else")),
            }
        }
    }

    /// The major type, the first byte, and the number that follows from it unless the length is indefinite.
    fn head(&mut self) -> Result<(u8, u8, Option<u64>), Malformed> {
        if self.items == PAYLOAD_ITEMS {
            return Err(TOO_MANY);
        }
        self.items += 1;
        let [first] = self.fixed()?;
        let argument = match first & 0x1f {
            small @ 0..=23 => Some(u64::from(small)),
            24 => Some(u64::from(u8::from_be_bytes(self.fixed()?))),
            25 => Some(u64::from(u16::from_be_bytes(self.fixed()?))),
            26 => Some(u64::from(u32::from_be_bytes(self.fixed()?))),
            27 => Some(u64::from_be_bytes(self.fixed()?)),
            31 => None,
            _ => return Err(Malformed("a reserved length")),
        };
        Ok((first >> 5, first, argument))
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(Malformed("an item is cut off"))?;
        self.rest = rest;
        Ok(*taken)
    }

    fn skip(&mut self, len: u64) -> Result<(), Malformed> {
        self.claim(len, 1)?;
        self.rest = &self.rest[len as usize..];
        Ok(())
    }

    /// Whether so many things can still come; judged at once, so that nobody ever believes a length that is not there.
    fn claim(&self, len: u64, least_bytes: u64) -> Result<(), Malformed> {
        if len > self.rest.len() as u64 / least_bytes {
            return Err(Malformed("a length is beyond the message"));
        }
        Ok(())
    }

    fn push_items(&mut self, len: u64, each: u64) -> Result<(), Malformed> {
        self.claim(len, each)?;
        match u32::try_from(len * each) {
            Ok(items) if items as usize <= PAYLOAD_ITEMS => self.push(Open::Items(items)),
            _ => Err(TOO_MANY),
        }
    }

    fn push(&mut self, open: Open) -> Result<(), Malformed> {
        let place = self.open.get_mut(self.depth).ok_or(Malformed("more than 64 levels"))?;
        *place = open;
        self.depth += 1;
        Ok(())
    }
}

/// Skips up to `most` short scalars in a row and says how many: most of what is in most payloads, several times faster this way.
fn skip_short(rest: &mut &[u8], most: u32) -> u32 {
    let (mut left, mut bytes) = (most, *rest);
    while left > 0 {
        let len = bytes.first().map_or(0, |first| usize::from(SHORT[usize::from(*first)]));
        if len == 0 || len > bytes.len() {
            break;
        }
        bytes = &bytes[len..];
        left -= 1;
    }
    *rest = bytes;
    most - left
}

const fn short_lengths() -> [u8; 256] {
    let mut lengths = [0; 256];
    let mut first = 0;
    while first < 256 {
        let low = (first & 0x1f) as u8;
        lengths[first] = match (first >> 5, low) {
            (0 | 1 | 7, 0..=23) => 1,
            (0 | 1, 24) => 2,
            (0 | 1 | 7, 25) => 3,
            (0 | 1 | 7, 26) => 5,
            (0 | 1 | 7, 27) => 9,
            (2 | 3, 0..=23) => 1 + low,
            _ => 0,
        };
        first += 1;
    }
    lengths
}

fn simple(first: u8, value: u64) -> Result<(), Malformed> {
    if first == 0xf8 && value < 32 {
        return Err(Malformed("an ill-formed simple value"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_formed_items_are_accepted() {
        for item in [
            &[0x00][..],
            &[0x18, 0x00],
            &[0x3b, 255, 255, 255, 255, 255, 255, 255, 255],
            &[0x42, 1, 2],
            &[0x5f, 0x41, 1, 0x40, 0xff],
            &[0x7f, 0xff],
            &[0x82, 0x80, 0xa0],
            &[0x9f, 0x01, 0x9f, 0xff, 0xff],
            &[0xbf, 0x01, 0x02, 0xff],
            &[0xa1, 0x9f, 0xff, 0xa0],
            &[0xc2, 0x49, 1, 0, 0, 0, 0, 0, 0, 0, 0],
            &[0xe0],
            &[0xf7],
            &[0xf8, 0x20],
            &[0xf9, 0x7e, 0x01],
            &[0x61, 0xff],
        ] {
            assert_eq!(scan(item), Ok(()), "{item:02x?}");
            for len in 0..item.len() {
                assert!(scan(&item[..len]).is_err(), "{len} bytes of {item:02x?}");
            }
            assert_eq!(scan(&[item, &[0]].concat()), Err(Malformed("bytes follow the item")));
        }
    }

    #[test]
    fn ill_formed_bytes_are_refused() {
        for item in [
            &[0x1c][..],
            &[0x1f],
            &[0x3f],
            &[0xdf, 0x00],
            &[0xf8, 0x14],
            &[0xf8, 0x1f],
            &[0xfc],
            &[0xff],
            &[0x81, 0xff],
            &[0xa1, 0x00, 0xff],
            &[0xbf, 0x00, 0xff],
            &[0xc0, 0xff],
            &[0x5f, 0x61, 0x61, 0xff],
            &[0x5f, 0x5f, 0xff, 0xff],
            &[0x7f, 0x00, 0xff],
            &[0x9b, 255, 255, 255, 255, 255, 255, 255, 255],
            &[0xbb, 128, 0, 0, 0, 0, 0, 0, 0],
            &[0x5b, 255, 255, 255, 255, 255, 255, 255, 255],
        ] {
            assert!(scan(item).is_err(), "{item:02x?}");
        }
    }

    #[test]
    fn depth_ends_at_the_limit() {
        for (open, close) in
            [(&[0x81][..], &[][..]), (&[0x9f], &[0xff]), (&[0xc1], &[]), (&[0xa1, 0], &[])]
        {
            let nested = |depth| [open.repeat(depth), vec![0], close.repeat(depth)].concat();
            assert_eq!(scan(&nested(PAYLOAD_DEPTH - 1)), Ok(()));
            assert_eq!(scan(&nested(PAYLOAD_DEPTH)), Ok(()));
            assert_eq!(scan(&nested(PAYLOAD_DEPTH + 1)), Err(Malformed("more than 64 levels")));
        }
        let deep = [0xa1, 0x60].repeat(800_000);
        assert_eq!(scan(&deep), Err(Malformed("more than 64 levels")));
    }

    #[test]
    fn items_end_at_the_limit() {
        let of_items = |items: usize| {
            let head = [&[0x9a][..], &(items as u32 - 1).to_be_bytes()].concat();
            [head, vec![0; items - 1]].concat()
        };
        assert_eq!(scan(&of_items(PAYLOAD_ITEMS - 1)), Ok(()));
        assert_eq!(scan(&of_items(PAYLOAD_ITEMS)), Ok(()));
        assert_eq!(scan(&of_items(PAYLOAD_ITEMS + 1)), Err(Malformed("more than 262144 items")));
        let chunks = [vec![0x5f], vec![0x40; PAYLOAD_ITEMS], vec![0xff]].concat();
        assert_eq!(scan(&chunks), Err(Malformed("more than 262144 items")));
    }

    /// Ten times slower and obvious: what one item is, by recursion.
    fn plainly(bytes: &mut &[u8], depth: usize) -> Option<()> {
        let (first, rest) = bytes.split_first()?;
        let first = *first;
        *bytes = rest;
        let extra = match first & 31 {
            0..=23 => 0,
            low @ 24..=27 => 1 << (low - 24),
            31 => return plainly_open(first >> 5, bytes, depth),
            _ => return None,
        };
        let (number, rest) = bytes.split_at_checked(extra)?;
        *bytes = rest;
        let small = if extra == 0 { u64::from(first & 31) } else { 0 };
        let number = number.iter().fold(small, |sum, byte| sum << 8 | u64::from(*byte));
        match first >> 5 {
            2 | 3 => *bytes = bytes.split_at_checked(usize::try_from(number).ok()?)?.1,
            major @ 4..=6 => {
                let inner = depth.checked_sub(1)?;
                let each = [1, 2].get(usize::from(major) - 4).copied();
                let items = each.map_or(Some(1), |each: u64| number.checked_mul(each))?;
                (0..items).try_for_each(|_| plainly(bytes, inner))?;
            }
            7 if first == 0xf8 && number < 32 => return None,
            _ => {}
        }
        Some(())
    }

    fn plainly_open(major: u8, bytes: &mut &[u8], depth: usize) -> Option<()> {
        let mut count = 0;
        while *bytes.first()? != BREAK {
            match major {
                2 | 3 if bytes[0] >> 5 != major || bytes[0] & 31 == 31 => return None,
                2 | 3 => plainly(bytes, 0)?,
                4 | 5 => plainly(bytes, depth.checked_sub(1)?)?,
                _ => return None,
            }
            count += 1;
        }
        *bytes = &bytes[1..];
        let legal = matches!(major, 2 | 3) || matches!(major, 4 | 5) && depth > 0;
        (legal && (major != 5 || count % 2 == 0)).then_some(())
    }

    #[test]
    fn a_plain_recursive_reader_agrees_on_random_bytes() {
        let mut rng = fastrand::Rng::with_seed(11);
        let heads =
            [0x80, 0x81, 0x83, 0x9f, 0xa1, 0xbf, 0xff, 0xff, 0x42, 0x5f, 0x7f, 0xc1, 0xf8, 0x18];
        let mut accepted = 0;
        for _ in 0..100_000 {
            let byte = |rng: &mut fastrand::Rng| {
                if rng.bool() { heads[rng.usize(..heads.len())] } else { rng.u8(..) }
            };
            let bytes: Vec<u8> = (0..rng.usize(1..12)).map(|_| byte(&mut rng)).collect();
            let mut rest = &bytes[..];
            let plain = plainly(&mut rest, PAYLOAD_DEPTH).is_some() && rest.is_empty();
            assert_eq!(scan(&bytes).is_ok(), plain, "{bytes:02x?}");
            accepted += usize::from(plain);
        }
        assert!(accepted > 1_000, "{accepted} were well-formed");
    }

    #[test]
    fn random_bytes_end_without_a_panic() {
        let mut rng = fastrand::Rng::with_seed(7);
        for _ in 0..20_000 {
            let bytes: Vec<u8> = (0..rng.usize(..40)).map(|_| rng.u8(..)).collect();
            let _ = (scan(&bytes), byte_string(&bytes));
        }
    }

    #[test]
    fn only_a_whole_definite_byte_string_has_content() {
        assert_eq!(byte_string(&[0x42, 1, 2]), Some(&[1, 2][..]));
        assert_eq!(byte_string(&[0x58, 1, 9]), Some(&[9][..]));
        for other in [&[][..], &[0x42, 1], &[0x41, 1, 2], &[0x5f, 0xff], &[0x62, 1, 2], &[0xf6]] {
            assert_eq!(byte_string(other), None, "{other:02x?}");
        }
    }
}
