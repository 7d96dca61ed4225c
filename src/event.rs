//! What a message is called. It must not know who handles it.

use std::fmt;
use std::sync::Arc;

use crate::config::EVENT_BYTES;
use crate::error::{Error, ErrorKind};

const INLINE: usize = 30;

/// A prefix that nobody may use, so that names of a later protocol cannot be mistaken for those of programs.
const RESERVED: &str = "_system:";

/// A checked event name: 1 to 1,024 bytes of UTF-8 without control characters, not beginning with `_system:`.
///
/// Short names live in place, so that a message to the loop needs no heap.
#[derive(Clone)]
pub struct EventName(Repr);

#[derive(Clone)]
enum Repr {
    Inline { len: u8, bytes: [u8; INLINE] },
    Shared(Arc<str>),
}

impl EventName {
    /// Checks `name` and wraps it.
    ///
    /// # Errors
    /// `INVALID_EVENT` when `name` is empty, longer than 1,024 bytes, holds a control character or begins with `_system:`.
    pub fn new(name: &str) -> Result<Self, Error> {
        let invalid = |why: String| Err(Error::new(ErrorKind::InvalidEvent, why));
        if name.is_empty() || name.len() > EVENT_BYTES {
            return invalid(format!(
                "an event name has 1 to {EVENT_BYTES} bytes, this one has {}",
                name.len()
            ));
        }
        if name.starts_with(RESERVED) {
            return invalid(format!(
                "event names that begin with {RESERVED:?} are reserved: {name:?}"
            ));
        }
        // Every message that comes in passes here: what is ASCII, as nearly all names are, is looked through once.
        let controls = name.bytes().any(|byte| byte.is_ascii_control());
        if controls || !name.is_ascii() && name.chars().any(char::is_control) {
            return invalid(format!("an event name has no control characters: {name:?}"));
        }
        if name.len() <= INLINE {
            let mut bytes = [0; INLINE];
            bytes[..name.len()].copy_from_slice(name.as_bytes());
            return Ok(Self(Repr::Inline { len: name.len() as u8, bytes }));
        }
        Ok(Self(Repr::Shared(name.into())))
    }

    /// The bytes of the name, for what need not see that they are text.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Repr::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Repr::Shared(name) => name.as_bytes(),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Repr::Inline { len, bytes } => {
                std::str::from_utf8(&bytes[..usize::from(*len)]).unwrap_or_default()
            }
            Repr::Shared(name) => name,
        }
    }
}

impl TryFrom<&str> for EventName {
    type Error = Error;

    fn try_from(name: &str) -> Result<Self, Error> {
        Self::new(name)
    }
}

impl TryFrom<&String> for EventName {
    type Error = Error;

    fn try_from(name: &String) -> Result<Self, Error> {
        Self::new(name)
    }
}

impl fmt::Display for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventName({:?})", self.as_str())
    }
}

impl PartialEq for EventName {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for EventName {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_any_length_come_back() {
        for len in [1, INLINE - 1, INLINE, INLINE + 1, EVENT_BYTES] {
            let name = "x".repeat(len);
            assert_eq!(EventName::new(&name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn reserved_and_malformed_names_are_refused() {
        for name in ["", "_system:ping", "a\nb", "a\u{7f}", "a\u{85}", &"x".repeat(EVENT_BYTES + 1)]
        {
            assert_eq!(
                EventName::new(name).unwrap_err().kind(),
                ErrorKind::InvalidEvent,
                "{name:?}"
            );
        }
    }
}
