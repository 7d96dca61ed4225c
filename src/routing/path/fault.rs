//! What may be wrong with a formatted text, and how it is told. It looks at the text once, from the front.

use std::fmt;

use super::{WILDCARD, segments};
use crate::config::EVENT_BYTES;
use crate::error::{Error, ErrorKind};

/// Segments are counted from 1, as people do.
#[derive(Debug)]
pub(super) struct Fault<'a> {
    text: &'a str,
    what: What<'a>,
}

#[derive(Debug)]
enum What<'a> {
    Long,
    Character { place: usize, segment: &'a str, character: char },
    HalfWildcard { place: usize, segment: &'a str },
    Wildcard { place: usize },
    Root,
}

/// What keeps a formatted text from being a pattern.
pub(super) fn of_pattern(text: &str) -> Result<(), Fault<'_>> {
    let fault = |what| Err(Fault { text, what });
    if text.len() > EVENT_BYTES {
        return fault(What::Long);
    }
    for (place, segment) in (1..).zip(segments(text)) {
        let Some(character) = segment.chars().find(|c| !may_stand(*c)) else { continue };
        match character {
            '*' if segment == WILDCARD => {}
            '*' => return fault(What::HalfWildcard { place, segment }),
            _ => return fault(What::Character { place, segment, character }),
        }
    }
    Ok(())
}

/// What keeps a formatted text from being the path of a service.
pub(super) fn of_path(text: &str) -> Result<(), Fault<'_>> {
    of_pattern(text)?;
    if text == "/" {
        return Err(Fault { text, what: What::Root });
    }
    match segments(text).position(|segment| segment == WILDCARD) {
        Some(before) => Err(Fault { text, what: What::Wildcard { place: before + 1 } }),
        None => Ok(()),
    }
}

fn may_stand(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

impl Fault<'_> {
    /// The error that says so, of a text that should have been `wanted`.
    pub(super) fn refusal(&self, wanted: &str) -> Error {
        let message = match self.what {
            // Nobody reads a text as long as this one.
            What::Long => format!("a text of {} bytes is not {wanted}: {self}", self.text.len()),
            _ => format!("{:?} is not {wanted}: {self}", self.text),
        };
        Error::new(ErrorKind::InvalidPath, message)
    }
}

impl fmt::Display for Fault<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.what {
            What::Long => write!(f, "use at most {EVENT_BYTES}"),
            What::Character { place, segment, character } => write!(
                f,
                "segment {place}, {segment:?}, has {character:?}: use only ASCII letters, digits, '-', '_' and '.'"
            ),
            What::HalfWildcard { place, segment } => write!(
                f,
                "segment {place}, {segment:?}, has '*' beside other characters: it stands for a whole segment, so write it alone"
            ),
            What::Wildcard { place } => write!(
                f,
                "segment {place} is '*': register every path by its name, and keep '*' for calls"
            ),
            What::Root => f.write_str(r#"it has no segment: name at least one, as in "/add""#),
        }
    }
}
