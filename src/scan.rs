//! Is this exactly one well-formed CBOR item, not too deep and not too many? Asked of every payload before serde sees it.
//!
//! What RFC 8949 calls well-formed is accepted, indefinite lengths and tags included, since any program may have written
//! it. Whether texts are UTF-8 is left to serde, which looks at them anyway. Nothing is allocated and nothing recurses.

use crate::cbor::Malformed;
use crate::config::{PAYLOAD_DEPTH, PAYLOAD_ITEMS};

const BREAK: u8 = 0xff;

/// Fails unless `bytes` is one item within the limits. Arrays, maps and tags count as depth; every head counts as an item.
pub(crate) fn scan(bytes: &[u8]) -> Result<(), Malformed> {
    let mut scanner =
        Scanner { rest: bytes, items: 0, open: [Open::Items(0); PAYLOAD_DEPTH], depth: 0 };
    scanner.item()?;
    while scanner.depth > 0 {
        scanner.advance()?;
    }
    if scanner.rest.is_empty() { Ok(()) } else { Err(Malformed("bytes follow the item")) }
}

/// The content of the byte string that `item` is, if it is one of definite length.
pub(crate) fn byte_string(item: &[u8]) -> Option<&[u8]> {
    let mut scanner =
        Scanner { rest: item, items: 0, open: [Open::Items(0); PAYLOAD_DEPTH], depth: 0 };
    match scanner.head() {
        Ok((2, _, Some(len))) if len == scanner.rest.len() as u64 => Some(scanner.rest),
        _ => None,
    }
}

/// What is not yet complete at one level.
#[derive(Clone, Copy)]
enum Open {
    /// So many items are still to come.
    Items(u64),
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

impl Scanner<'_> {
    /// Goes one item or one end further at the innermost level.
    fn advance(&mut self) -> Result<(), Malformed> {
        let ended = self.rest.first() == Some(&BREAK);
        match &mut self.open[self.depth - 1] {
            Open::Items(0) => {
                self.depth -= 1;
                return Ok(());
            }
            Open::Items(left) => *left -= 1,
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
            (4, Some(len)) => {
                self.claim(len, 1)?;
                self.push(Open::Items(len))
            }
            (5, None) => self.push(Open::Map { value_due: false }),
            (5, Some(len)) => {
                self.claim(len, 2)?;
                self.push(Open::Items(2 * len))
            }
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
            return Err(Malformed("more than 262144 items"));
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

    fn push(&mut self, open: Open) -> Result<(), Malformed> {
        let place = self.open.get_mut(self.depth).ok_or(Malformed("more than 64 levels"))?;
        *place = open;
        self.depth += 1;
        Ok(())
    }
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
